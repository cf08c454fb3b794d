//! A byte-level tokenizer as GPT-2's against Hugging Face's Python package. The files are written by
//! scripts/golden/tokenizer.py.

#![cfg(feature = "tokenizers")]

use std::path::PathBuf;
use wgrad_train::DataError;
use wgrad_train::tokenizer::{Published, Tokenizer};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/tokenizer", name].iter().collect()
}

fn check(tokenizer: &Published, tokens: &str) {
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(file("expected.json")).unwrap()).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids: Vec<u32> = case[tokens].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn tokenizer_json() {
    let tokenizer = Published::from_file(file("tokenizer.json")).unwrap();
    check(&tokenizer, "tokens");
    assert_eq!(tokenizer.size(), 301);
}

#[test]
fn vocabulary_and_merges() {
    let tokenizer = Published::gpt2(file("vocab.json"), file("merges.txt")).unwrap();
    check(&tokenizer, "without_special");
    assert_eq!(tokenizer.size(), 300);
}

#[test]
fn what_is_no_tokenizer() {
    assert!(matches!(Published::from_file(file("none.json")), Err(DataError::Read { .. })));
    assert!(matches!(Published::gpt2(file("vocab.json"), file("none")), Err(DataError::Read { .. })));
    let error = Published::from_file(file("merges.txt")).err().unwrap();
    assert!(matches!(error, DataError::Tokenizer { .. }), "{error}");
    assert!(matches!(Published::gpt2(file("merges.txt"), file("merges.txt")), Err(DataError::Tokenizer { .. })));
}
