//! A neural Turing machine (Graves et al., 2014) on the copy task.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::graph::Init;
use wgrad::nn::Reduction;
use wgrad::nn::loss::{Bce, bce_with_logits};
use wgrad::prelude::*;

const BATCH: usize = 4;
const SLOTS: usize = 6;
const WIDTH: usize = 5;
const BITS: usize = 3;
const LENGTH: usize = 4;
const HIDDEN: usize = 16;

/// One step of addressing: by content, gated with the last weighting, shifted, and sharpened.
fn address(scope: &Scope, name: &str, control: &Tensor, memory: &Tensor, last: &Tensor) -> Tensor {
    let scope = scope.enter(name);
    let part = |name: &str, n: usize| Linear::new(HIDDEN, n).forward(&scope.enter(name), control);
    let softplus = |x: Tensor| x.softplus(1.0, 20.0);
    let key = part("key", WIDTH).tanh().reshape([BATCH, 1, WIDTH]);
    let likeness = memory.cosine_similarity(&key, 2, 1e-8);
    let content = (likeness * softplus(part("strength", 1))).softmax(1);
    let gate = part("gate", 1).sigmoid();
    let gated = &gate * &content + (1.0 - &gate) * last;
    // Circular convolution with a distribution over the shifts -1, 0 and 1.
    let shift = part("shift", 3).softmax(1);
    let turned = |by: usize| Tensor::concat(&[&gated.slice(1, by..SLOTS), &gated.slice(1, 0..by)], 1);
    let at = |i: usize| shift.slice(1, i..i + 1);
    let shifted = turned(1) * at(0) + &gated * at(1) + turned(SLOTS - 1) * at(2);
    let sharp = (shifted + 1e-8).pow(&(softplus(part("sharpness", 1)) + 1.0));
    let total = sharp.sum_keepdim(&[1]);
    sharp / total
}

#[test]
fn ntm() {
    let x = Tensor::input("x", [BATCH, LENGTH, BITS], DType::F32);
    let scope = Scope::train();
    let learned = |name: &str, n: usize| scope.param(name, &[1, n], Init::Normal(0.0, 0.5)).broadcast_to([BATCH, n]);
    let mut memory = learned("memory", SLOTS * WIDTH).reshape([BATCH, SLOTS, WIDTH]);
    let mut reading = learned("reading", SLOTS).softmax(1);
    let mut writing = learned("writing", SLOTS).softmax(1);
    let mut read = learned("read", WIDTH);
    let mut loss = Tensor::scalar(0.0f32);
    for t in 0..2 * LENGTH {
        // The sequence with a flag that is up while it is given, then nothing while it is asked for.
        let input = match t < LENGTH {
            true => Tensor::concat(&[&x.slice(1, t..t + 1).squeeze(1), &Tensor::ones([BATCH, 1], DType::F32)], 1),
            false => Tensor::zeros([BATCH, BITS + 1], DType::F32),
        };
        let control = Linear::new(BITS + 1 + WIDTH, HIDDEN)
            .forward(&scope.enter("controller"), &Tensor::concat(&[&input, &read], 1))
            .tanh();
        writing = address(&scope, "write", &control, &memory, &writing);
        let part = |name: &str| Linear::new(HIDDEN, WIDTH).forward(&scope.enter(name), &control).unsqueeze(1);
        let weight = writing.unsqueeze(2);
        memory = &memory * (1.0 - &weight * part("erase").sigmoid()) + &weight * part("add").tanh();
        reading = address(&scope, "read", &control, &memory, &reading);
        read = (&memory * &reading.unsqueeze(2)).sum(&[1]);
        if t >= LENGTH {
            let logits = Linear::new(HIDDEN + WIDTH, BITS)
                .forward(&scope.enter("output"), &Tensor::concat(&[&control, &read], 1));
            let bits = x.slice(1, t - LENGTH..t - LENGTH + 1).squeeze(1);
            loss = loss + bce_with_logits(&logits, &bits, &Bce::default(), Reduction::Mean) / LENGTH as f32;
        }
    }
    let updates = RmsProp::new(0.003).eps(1e-4).momentum(0.9).clip_value(10.0).minimize(&scope, &loss);
    let feed = |step| {
        let bits = numbers(BATCH * LENGTH * BITS, step / 4).into_iter().map(|v| (v > 0.0) as u8 as f32).collect();
        vec![("x", Values::F32(bits))]
    };
    Training::new(loss, updates, feed).learns(0.98);
}
