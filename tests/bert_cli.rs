//! The `bert` example as its users see it: what it writes can be read again by its other mode.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::cli::{TempDir, fails, run, succeeds};
use wgrad::train::checkpoint;

/// Runs the example in `dir`.
fn bert(dir: &Path, arguments: &[&str]) -> Output {
    run("bert", dir, arguments)
}

/// Two documents of twenty sentences.
fn write_texts(dir: &Path) {
    fs::create_dir_all(dir.join("texts")).unwrap();
    for (name, verb) in [("a.txt", "counts"), ("b.txt", "sings")] {
        let sentence = |i: usize| format!("Number {i} {verb} to the {} others. ", (i * 7) % 20);
        fs::write(dir.join("texts").join(name), (0..20).map(sentence).collect::<String>()).unwrap();
    }
}

#[test]
fn trains_and_then_compares_sentences() {
    let dir = TempDir::new();
    write_texts(&dir.0);
    let small = ["--data-dir", "texts", "--pieces", "60", "--length", "16", "--batch-size", "4", "--out", "out"];
    let printed = succeeds(bert(&dir.0, &[&small[..], &["--epochs", "2", "--steps", "6"]].concat()));
    let last = printed.lines().last().unwrap();
    let loss: f32 = last.strip_prefix("validation loss ").unwrap().parse().unwrap();
    // Of 60 pieces and two classes chosen blindly: 4.8.
    assert!((1.0..6.0).contains(&loss), "{last}");

    fs::write(dir.0.join("lines.txt"), "Number one counts.\n\nThe others sing\nnumber one COUNTS.\n").unwrap();
    let compare = ["--weights", "out/last.safetensors", "--vocab", "out/vocab.txt", "--sentences", "lines.txt"];
    let printed = succeeds(bert(&dir.0, &compare));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 5, "{printed}");
    assert!(lines[0].contains("1.000") && lines[0].ends_with("Number one counts."), "{printed}");
    assert_eq!(lines[4], "closest 1 and 3: cosine 1.0000");
    assert!(dir.0.join("runs/bert/similarity.png").exists() && dir.0.join("runs/bert/embeddings.safetensors").exists());

    // Fine-tuned; with the encoder frozen, its tensors stay as they are.
    for (mode, out) in [(&["--classify"][..], "tuned"), (&["--classify", "--freeze"], "frozen")] {
        let shared =
            ["--weights", "out/last.safetensors", "--vocab", "out/vocab.txt", "--epochs", "1", "--length", "16"];
        let data = ["--data-dir", "texts", "--batch-size", "4", "--out", out];
        let printed = succeeds(bert(&dir.0, &[mode, &shared[..], &data[..]].concat()));
        assert!(printed.lines().last().unwrap().starts_with("test accuracy "), "{printed}");
        let [before, after] = ["out", out].map(|d| checkpoint::load(dir.0.join(d).join("last.safetensors")).unwrap());
        let name = "bert.encoder.layer.0.output.dense.weight";
        assert_eq!(before[name] == after[name], out == "frozen");
        assert!(after.contains_key("classifier.weight"));
    }

    // A vocabulary of another model, a model without its description.
    fs::write(dir.0.join("short.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n").unwrap();
    let other = ["--weights", "out/last.safetensors", "--vocab", "short.txt", "--sentences", "lines.txt"];
    let error = fails(bert(&dir.0, &other));
    assert!(error.contains("short.txt has 5 pieces, but the model"), "{error}");
    fs::remove_file(dir.0.join("out/config.json")).unwrap();
    let error = fails(bert(&dir.0, &compare));
    assert!(error.contains("config.json"), "{error}");
}

#[test]
fn bad_input_is_told() {
    let dir = TempDir::new();
    fs::create_dir_all(dir.0.join("texts")).unwrap();
    let error = fails(bert(&dir.0, &["--data-dir", "texts"]));
    assert!(error.contains("no text file at texts"), "{error}");
    fs::write(dir.0.join("texts/a"), "One sentence only.").unwrap();
    let error = fails(bert(&dir.0, &["--data-dir", "texts", "--pieces", "50"]));
    assert!(error.contains("no document has two sentences"), "{error}");
    let error = fails(bert(&dir.0, &["--data-dir", "texts", "--pieces", "9"]));
    assert!(error.contains("a vocabulary of 9 pieces"), "{error}");
    let usage = bert(&dir.0, &["--sentences", "lines.txt"]);
    assert_eq!(usage.status.code(), Some(2));
}
