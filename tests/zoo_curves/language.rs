//! GPT, and the encoder-decoder transformer.

use crate::support::training::{Training, Values};
use wgrad::prelude::*;
use wgrad::zoo::{Gpt, Transformer};

const BATCH: usize = 8;
const LENGTH: usize = 12;

/// Numbers that look random: `count` from 2 to 9 for each row.
fn symbols(count: usize, step: usize) -> Vec<u32> {
    let word = |i: usize| (i as u32 + 977 * step as u32).wrapping_mul(2654435761) >> 16;
    (0..BATCH * count).map(|i| 2 + word(i) % 8).collect()
}

/// Counting on from a number, modulo 8.
fn counting(length: usize, step: usize) -> Vec<u32> {
    let first = symbols(1, step);
    first.iter().flat_map(|f| (0..length as u32).map(move |i| (f + i) % 8)).collect()
}

fn columns(rows: &[u32], length: usize, columns: std::ops::Range<usize>) -> Values {
    Values::U32(rows.chunks_exact(length).flat_map(|row| row[columns.clone()].to_vec()).collect())
}

#[test]
fn gpt() {
    let model = Gpt::new(8, LENGTH, 2, 2, 16).unwrap();
    let [tokens, targets] = ["tokens", "targets"].map(|n| Tensor::input(n, [BATCH, LENGTH], DType::U32));
    let scope = Scope::train();
    let loss = model.loss(&scope, &tokens, &targets);
    let updates = AdamW::new(0.01).clip_norm(1.0).minimize(&scope, &loss);
    let feed = |step| {
        let rows = counting(LENGTH + 1, step);
        let part = |range| columns(&rows, LENGTH + 1, range);
        vec![("tokens", part(0..LENGTH)), ("targets", part(1..LENGTH + 1))]
    };
    Training::new(loss, updates, feed).follows("gpt");
}

#[test]
fn transformer() {
    let model = Transformer::new(10, 10).layers(1).width(16).heads(2).hidden(32).pre_norm(true).padding(0);
    let source = Tensor::input("source", [BATCH, LENGTH], DType::U32);
    let [target, next] = ["target", "next"].map(|n| Tensor::input(n, [BATCH, LENGTH - 1], DType::U32));
    let scope = Scope::train();
    let loss = model.loss(&scope, &source, &target, &next, 0.1);
    let updates = Adam::new(0.01).betas(0.9, 0.98).minimize(&scope, &loss);
    let feed = |step| {
        let mut rows = symbols(LENGTH, step);
        // Every row has another length.
        for (i, row) in rows.chunks_exact_mut(LENGTH).enumerate() {
            row[LENGTH - (i + step) % 5..].fill(0);
        }
        let part = |range| columns(&rows, LENGTH, range);
        vec![("source", part(0..LENGTH)), ("target", part(0..LENGTH - 1)), ("next", part(1..LENGTH))]
    };
    Training::new(loss, updates, feed).follows("transformer");
}
