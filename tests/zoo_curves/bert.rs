//! BERT.

use crate::support::training::{Training, Values};
use wgrad::prelude::*;
use wgrad::train::data::{Documents, Loader, LoaderOptions, MaskedPairs};
use wgrad::train::tokenizer::WordPieceLearner;
use wgrad::zoo::bert::{Bert, BertPreTraining, Tokens, UNPICKED};

const BATCH: usize = 6;
const LENGTH: usize = 20;

/// Counting in words, in three documents.
fn text() -> Documents {
    let words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let line = |i: usize, step: usize| (0..4).map(|k| words[(i + k * step) % 9]).collect::<Vec<_>>().join(" ");
    let document = |step: usize| (0..20).map(|i| line(i * 2, step)).collect();
    Documents { name: "counting".into(), documents: (1..4).map(document).collect() }
}

/// Masked tokens and next sentences, by the loader's own batches.
#[test]
fn bert() {
    // What the model leaves out is what the data marks.
    assert_eq!(UNPICKED, wgrad::train::data::UNPICKED);
    let tokenizer = WordPieceLearner::new(60).learn(text().sentences()).unwrap();
    let pairs = MaskedPairs::new(&text(), &tokenizer, LENGTH).unwrap();
    let picks = pairs.picks();
    let loader = Loader::new(pairs, LoaderOptions::train(BATCH, 1)).unwrap();

    let word = |name: &str, shape: &[usize]| Tensor::input(name, shape, DType::U32);
    let sequence = |name: &str| word(name, &[BATCH, LENGTH]);
    let tokens = Tokens::new(&sequence("ids")).segments(&sequence("segments")).mask(&sequence("mask"));
    let scope = Scope::train();
    let bert = Bert::new(tokenizer.len(), 24, 2, 2).unwrap().inner(32).positions(LENGTH).dropout(0.1);
    let heads = BertPreTraining::new(bert).predict(&scope, &tokens, &word("positions", &[BATCH, picks]));
    let loss = heads.loss(&word("labels", &[BATCH, picks]), &word("next", &[BATCH]));
    let updates = AdamW::new(3e-3).clip_norm(1.0).minimize(&scope, &loss);
    let feed = move |step: usize| {
        let per_epoch = loader.batches_per_epoch();
        let mut rest = loader.epoch(step / per_epoch, step % per_epoch).unwrap();
        let batch = rest.next().unwrap().unwrap();
        let names = ["ids", "segments", "mask", "positions", "labels", "next"];
        names.map(|name| (name, Values::U32(batch.u32(name).to_vec()))).into()
    };
    Training::new(loss, updates, feed).follows("bert");
}
