//! Every training example at its smallest: it ends with the line that it promises, and goes on where it stopped.

mod support;

use support::cli::{TempDir, run, succeeds, text};

/// Two steps, then one more: the last line of either is `{headline} {number}`.
fn check(name: &str, headline: &str, arguments: &[&str]) {
    let dir = TempDir::new();
    for more in [&["--steps", "2"][..], &["--steps", "3", "--resume"]] {
        let output = run(name, &dir.0, &[arguments, more].concat());
        let stderr = text(&output.stderr);
        for line in ["device: ", "data: ", "model: ", "step"] {
            assert!(stderr.contains(line), "{name} does not tell its {line:?}: {stderr}");
        }
        let stdout = succeeds(output);
        let number = stdout.lines().last().and_then(|line| line.strip_prefix(headline)).map(str::trim);
        let number = number.and_then(|text| text.parse::<f64>().ok());
        assert!(number.is_some_and(f64::is_finite), "{name}: {stdout}");
    }
    for file in ["last.safetensors", "last.json", "metrics.jsonl"] {
        let path = dir.0.join("runs").join(name).join(file);
        assert!(path.exists(), "{} is missing", path.display());
    }
    assert_eq!(run(name, &dir.0, &["--bogus"]).status.code(), Some(2));
    let help = succeeds(run(name, &dir.0, &["--help"]));
    for option in ["--data", "--epochs", "--batch-size", "--lr", "--seed", "--out", "--weights", "--profile", "--dump"]
    {
        assert!(help.contains(option), "{name} has no {option}");
    }
}

#[test]
fn resnet() {
    check("resnet", "test accuracy ", &[]);
}

#[test]
fn unet() {
    check("unet", "iou ", &["--width", "2", "--depth", "2", "--tile", "32"]);
}

#[test]
fn gpt() {
    let dir = TempDir::new();
    let text = dir.0.join("text");
    std::fs::write(&text, "The cat sat on the mat. ".repeat(60)).unwrap();
    check("gpt", "validation loss ", &["--data-dir", text.to_str().unwrap(), "--context", "16", "--width", "16"]);
}

#[test]
fn bert() {
    let dir = TempDir::new();
    let sentence = |i: usize| format!("Number {i} counts to the {} others. ", (i * 7) % 20);
    std::fs::write(dir.0.join("a.txt"), (0..40).map(sentence).collect::<String>()).unwrap();
    let texts = ["--data-dir", dir.0.to_str().unwrap(), "--pieces", "60", "--length", "16", "--batch-size", "4"];
    check("bert", "validation loss ", &texts);
}

#[test]
fn vit() {
    check("vit", "test accuracy ", &[]);
}

#[test]
fn copy_task() {
    check("copy_task", "exact match ", &[]);
}

#[test]
fn yolov3() {
    check("yolov3", "map50 ", &["--pictures", "32", "--size", "32"]);
}

#[test]
fn dcgan() {
    check("dcgan", "frechet distance ", &["--data", "digits", "--width", "8", "--samples", "250"]);
}

#[test]
fn the_zoo_is_listed() {
    let dir = TempDir::new();
    let list = succeeds(run("zoo", &dir.0, &["resnet18"]));
    let line = list.lines().last().unwrap();
    assert!(line.starts_with("resnet18 ") && line.contains(" 11689512 ") && line.contains("3x224x224"), "{list}");
    assert_eq!(run("zoo", &dir.0, &["no such model"]).status.code(), Some(1));
}
