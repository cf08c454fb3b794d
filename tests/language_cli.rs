//! The `gpt` and `copy_task` examples as their users see them.

mod support;

use support::cli::{TempDir, fails, run, succeeds};

const SMALL: [&str; 6] = ["--layers", "1", "--width", "16", "--heads", "2"];

#[test]
fn gpt_trains_resumes_and_writes() {
    let temp = TempDir::new();
    let dir = temp.0.as_path();
    std::fs::write(dir.join("text"), "The cat sat on the mat. ".repeat(60)).unwrap();
    let data = ["--data-dir", "text", "--context", "16", "--batch-size", "8", "--epochs", "3"];
    let out = succeeds(run("gpt", dir, &[&data[..], &SMALL].concat()));
    let last = out.lines().last().unwrap();
    let loss: f32 = last.strip_prefix("validation loss ").unwrap_or_else(|| panic!("{out}")).parse().unwrap();
    assert!(loss < 17f32.ln(), "{loss}");
    let sample = std::fs::read_to_string(dir.join("runs/gpt/sample.txt")).unwrap();
    assert!(sample.starts_with("The ") && sample.chars().count() == 404, "{sample}");

    // Stopped and resumed, it ends with the same weights: what samples need in the state is not part of it.
    let halves = [&data[..], &SMALL, &["--out", "halves"]].concat();
    succeeds(run("gpt", dir, &[&halves[..], &["--steps", "13"]].concat()));
    succeeds(run("gpt", dir, &[&halves[..], &["--resume"]].concat()));
    let weights = |run: &str| std::fs::read(dir.join(run).join("last.safetensors")).unwrap();
    assert!(weights("halves") == weights("runs/gpt"), "resumed, other weights");

    let write = ["--weights", "halves/last.safetensors", "--data-dir", "text", "--heads", "2"];
    let greedy = ["--write", "30", "--prompt", "The cat", "--temperature", "0"];
    let text = succeeds(run("gpt", dir, &[&write[..], &greedy].concat()));
    assert!(text.starts_with("The cat") && text.chars().count() == 7 + 30 + 1, "{text:?}");

    let refuses = |arguments: &[&str], part: &str| {
        let error = fails(run("gpt", dir, arguments));
        assert!(error.contains(part), "{error}");
    };
    refuses(&["--data-dir", "text", "--prompt", "Ü"], "the character 'Ü' does not occur");
    refuses(&["--data-dir", "none"], "no text at none");
    refuses(&["--data-dir", "text", "--context", "2000"], "too few for windows of 2000");
    refuses(&["--data-dir", "text", "--batch-size", "8", "--heads", "3"], "width 128 is no multiple of 3 heads");
    refuses(&["--data-dir", "text", "--batch-size", "8", "--temperature=-1"], "temperature -1 is negative");
    // Only a file has something to write with.
    assert_eq!(run("gpt", dir, &["--write", "3"]).status.code(), Some(2));
}

#[test]
fn copy_task_reports_exact_matches() {
    let temp = TempDir::new();
    let dir = temp.0.as_path();
    let out = succeeds(run("copy_task", dir, &[&SMALL[..], &["--steps", "3"]].concat()));
    let last = out.lines().last().unwrap();
    let share: f32 = last.strip_prefix("exact match ").unwrap_or_else(|| panic!("{out}")).parse().unwrap();
    assert!((0.0..0.5).contains(&share), "{share}");
    assert!(std::fs::read(dir.join("runs/copy_task/attention.png")).unwrap().starts_with(b"\x89PNG"));
    let error = fails(run("copy_task", dir, &["--heads", "3"]));
    assert!(error.contains("width 64 is no multiple of 3 heads"), "{error}");
}
