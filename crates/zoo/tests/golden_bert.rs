//! BERT against Hugging Face's transformers, from a state dict bound by name. The files are written by scripts/golden/bert.py.

mod step;

use step::{Golden, Step, check_eval, check_step, full, golden, input, leaves};
use wgrad_graph::DType;
use wgrad_nn::Scope;
use wgrad_nn::optim::Sgd;
use wgrad_zoo::bert::{Tokens, sentence_embedding};
use wgrad_zoo::{Bert, BertClassifier, BertPreTraining};

fn tiny() -> Bert {
    Bert::new(40, 16, 2, 2).unwrap().inner(24).positions(12).dropout(0.0)
}

fn optimizer() -> Sgd {
    Sgd::new(0.1).momentum(0.9).weight_decay(1e-2)
}

/// Padded sequences of two sentences.
fn tokens(file: &Golden) -> Tokens {
    let word = |name| input(file, name, DType::U32);
    Tokens::new(&word("ids")).segments(&word("segments")).mask(&word("mask"))
}

/// Both heads' logits, the loss, every gradient (the table of words has two: as input and as output layer), every parameter
/// after a step; and in evaluation the encoder's vectors, the pooled one, and a sentence's.
fn check(file: &Golden, bert: &Bert) {
    let (leaves, tokens) = (leaves(file), tokens(file));
    let scope = Scope::eval();
    let body = scope.enter("bert");
    let hidden = bert.encode(&body, &tokens);
    let pooled = bert.pool(&body, &hidden);
    let sentence = sentence_embedding(bert, &body, &tokens);
    check_eval(file, &leaves, &[("hidden", &hidden), ("pooled", &pooled), ("sentence", &sentence)]);

    let scope = Scope::train();
    let heads = BertPreTraining::new(bert.clone()).predict(&scope, &tokens, &input(file, "positions", DType::U32));
    let loss = heads.loss(&input(file, "labels", DType::U32), &input(file, "follows", DType::U32));
    let updates = optimizer().minimize(&scope, &loss);
    let outputs = vec![("tokens", heads.tokens), ("next", heads.next), ("loss", loss)];
    check_step(file, &leaves, &scope, &Step { outputs, updates });
}

#[test]
fn pre_training() {
    check(&golden("bert"), &tiny());
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/bert.py --full writes"]
fn full_bert() {
    check(&full("bert"), &Bert::base(30522).dropout(0.0));
}

#[test]
fn sequence_classification() {
    let file = golden("bert_classifier");
    let (leaves, scope) = (leaves(&file), Scope::train());
    let logits = BertClassifier::new(tiny(), 3).classify(&scope, &tokens(&file));
    let loss = logits.cross_entropy(&input(&file, "labels", DType::U32));
    let updates = optimizer().minimize(&scope, &loss);
    check_step(&file, &leaves, &scope, &Step { outputs: vec![("logits", logits), ("loss", loss)], updates });
}
