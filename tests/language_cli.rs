//! The `gpt` and `copy_task` examples as their users see them.
//!
//! `cargo test` builds the examples before it runs this.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs an example, which cargo puts in a folder beside the one that this test runs from, on the CPU backend in `dir`.
fn run(dir: &Path, example: &str, arguments: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: run `cargo build --example {example}` first", path.display());
    Command::new(path).current_dir(dir).args(["--device", "cpu"]).args(arguments).output().unwrap()
}

fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory of its own for a test, empty at first.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wgrad-language-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

const SMALL: [&str; 6] = ["--layers", "1", "--width", "16", "--heads", "2"];

#[test]
fn gpt_trains_resumes_and_writes() {
    let dir = directory("gpt");
    std::fs::write(dir.join("text"), "The cat sat on the mat. ".repeat(60)).unwrap();
    let data = ["--data-dir", "text", "--context", "16", "--batch-size", "8", "--epochs", "3"];
    let out = succeeds(run(&dir, "gpt", &[&data[..], &SMALL].concat()));
    let last = out.lines().last().unwrap();
    let loss: f32 = last.strip_prefix("validation loss ").unwrap_or_else(|| panic!("{out}")).parse().unwrap();
    assert!(loss < 17f32.ln(), "{loss}");
    let sample = std::fs::read_to_string(dir.join("runs/gpt/sample.txt")).unwrap();
    assert!(sample.starts_with("The ") && sample.chars().count() == 404, "{sample}");

    // Stopped and resumed, it ends with the same weights: what samples need in the state is not part of it.
    let halves = [&data[..], &SMALL, &["--out", "halves"]].concat();
    succeeds(run(&dir, "gpt", &[&halves[..], &["--steps", "13"]].concat()));
    succeeds(run(&dir, "gpt", &[&halves[..], &["--resume"]].concat()));
    let weights = |run: &str| std::fs::read(dir.join(run).join("last.safetensors")).unwrap();
    assert!(weights("halves") == weights("runs/gpt"), "resumed, other weights");

    let write = ["--weights", "halves/last.safetensors", "--data-dir", "text", "--heads", "2"];
    let greedy = ["--write", "30", "--prompt", "The cat", "--temperature", "0"];
    let text = succeeds(run(&dir, "gpt", &[&write[..], &greedy].concat()));
    assert!(text.starts_with("The cat") && text.chars().count() == 7 + 30 + 1, "{text:?}");

    let fails = |arguments: &[&str], part: &str| {
        let output = run(&dir, "gpt", arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(part), "{error}");
    };
    fails(&["--data-dir", "text", "--prompt", "Ü"], "the character 'Ü' does not occur");
    fails(&["--data-dir", "none"], "no text at none");
    fails(&["--data-dir", "text", "--context", "2000"], "too few for windows of 2000");
    fails(&["--data-dir", "text", "--batch-size", "8", "--heads", "3"], "width 128 is no multiple of 3 heads");
    fails(&["--data-dir", "text", "--batch-size", "8", "--temperature=-1"], "temperature -1 is negative");
    fails(&["--write", "3"], "--weights");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn copy_task_reports_exact_matches() {
    let dir = directory("copy");
    let out = succeeds(run(&dir, "copy_task", &[&SMALL[..], &["--steps", "3"]].concat()));
    let last = out.lines().last().unwrap();
    let share: f32 = last.strip_prefix("exact match ").unwrap_or_else(|| panic!("{out}")).parse().unwrap();
    assert!((0.0..0.5).contains(&share), "{share}");
    assert!(std::fs::read(dir.join("runs/copy_task/attention.png")).unwrap().starts_with(b"\x89PNG"));
    let output = run(&dir, "copy_task", &["--heads", "3"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("width 64 is no multiple of 3 heads"));
    std::fs::remove_dir_all(dir).unwrap();
}
