//! Networks on sequences.

use crate::support::numbers;
use crate::{Training, Values};
use wgrad::graph::{Attention, Init};
use wgrad::nn::LayerNorm;
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
