//! Networks on sequences.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::graph::{Attention, Init};
use wgrad::nn::loss::mse;
use wgrad::nn::{Cell, LayerNorm, Recurrent, Reduction, Sequences};
use wgrad::prelude::*;

const BATCH: usize = 4;
const LENGTH: usize = 9;
const WORDS: usize = 11;

/// Random tokens.
fn tokens(step: usize) -> Vec<u32> {
    numbers(BATCH * LENGTH, step).into_iter().map(|x| ((x * 0.5 + 0.5) * WORDS as f32) as u32).collect()
}

/// A decoder block before-norm with two heads, predicting that the token before comes again.
#[test]
fn transformer() {
    let (width, heads) = (16, 2);
    let ids = Tensor::input("ids", [BATCH, LENGTH], DType::U32);
    let labels = Tensor::input("labels", [BATCH * LENGTH], DType::U32);
    let scope = Scope::train();
    let table = |name: &str, rows: usize| scope.param(name, &[rows, width], Init::Normal(0.0, 0.3));
    let words = table("words", WORDS);
    let x = words.index_select(0, &ids.reshape([BATCH * LENGTH])).reshape([BATCH, LENGTH, width]);
    let x = x + table("positions", LENGTH);
    let norm = |name: &str, x: &Tensor| LayerNorm::new([width]).forward(&scope.enter(name), x);
    let linear = |name: &str, x: &Tensor, n: usize| Linear::new(x.shape()[2], n).forward(&scope.enter(name), x);

    let projected = linear("qkv", &norm("ln1", &x), 3 * width);
    let head = |i: usize| {
        let part = projected.slice(2, i * width..(i + 1) * width);
        part.reshape([BATCH, LENGTH, heads, width / heads]).permute(&[0, 2, 1, 3])
    };
    let attended = head(0).attention(&head(1), &head(2), &Attention { causal: true, ..Attention::default() });
    let joined = attended.permute(&[0, 2, 1, 3]).reshape([BATCH, LENGTH, width]);
    let x = x + linear("out", &joined, width);
    let x = &x + &linear("fc2", &linear("fc1", &norm("ln2", &x), 4 * width).gelu(), width);
    // The output layer is the table of words.
    let logits = norm("ln3", &x).reshape([BATCH * LENGTH, width]).matmul(&words.transpose(0, 1));
    let loss = logits.cross_entropy(&labels);
    let updates = AdamW::new(0.01).minimize(&scope, &loss);
    let feed = |step: usize| {
        let ids = tokens(step);
        let labels = (0..ids.len()).map(|i| if i % LENGTH == 0 { 0 } else { ids[i - 1] }).collect();
        vec![("ids", Values::U32(ids)), ("labels", Values::U32(labels))]
    };
    Training::new(loss, updates, feed).learns(0.8);
}

/// Two layers in both directions over sequences of different lengths, counting ones.
#[test]
fn lstm() {
    let hidden = 12;
    let bits = Tensor::input("bits", [BATCH, LENGTH, 1], DType::F32);
    let lengths = Tensor::input("lengths", [BATCH], DType::U32);
    let counts = Tensor::input("counts", [BATCH, 1], DType::F32);
    let scope = Scope::train();
    let net = Recurrent::new(Cell::Lstm, 1, hidden).layers(2).bidirectional(true).batch_first(true);
    let Sequences { states, .. } = net.run(&scope.enter("lstm"), &bits, &[], Some(&lengths));
    // The last hidden states of the upper layer, forward and backward.
    let last = states[0].slice(0, 2..4).permute(&[1, 0, 2]).reshape([BATCH, 2 * hidden]);
    let loss = mse(&Linear::new(2 * hidden, 1).forward(&scope.enter("out"), &last), &counts, Reduction::Mean);
    let updates = Adam::new(0.02).minimize(&scope, &loss);
    let feed = |step: usize| {
        let bits: Vec<f32> = numbers(BATCH * LENGTH, step).into_iter().map(|x| (x > 0.0) as u8 as f32).collect();
        let lengths: Vec<u32> = (0..BATCH).map(|i| ((i + step) % LENGTH + 1) as u32).collect();
        let count = |i: usize| bits[i * LENGTH..i * LENGTH + lengths[i] as usize].iter().sum();
        let counts = (0..BATCH).map(count).collect();
        vec![("bits", Values::F32(bits)), ("lengths", Values::U32(lengths)), ("counts", Values::F32(counts))]
    };
    Training::new(loss, updates, feed).learns(0.7);
}
