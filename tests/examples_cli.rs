//! Every training example as its users run it: at its smallest, it ends with the line that it promises, and goes on where it
//! stopped.
//!
//! `cargo test` builds the examples before it runs this.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: run `cargo build --examples` first", path.display());
    path
}

fn run(name: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(program(name)).current_dir(dir).args(["--device", "cpu"]).args(arguments).output().unwrap()
}

/// Two steps, then one more: the last line of either is `{headline} {number}`.
fn check(name: &str, headline: &str, arguments: &[&str]) {
    let dir = std::env::temp_dir().join(format!("wgrad-examples-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for more in [&["--steps", "2"][..], &["--steps", "3", "--resume"]] {
        let output = run(name, &dir, &[arguments, more].concat());
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {stderr}");
        let number = stdout.lines().last().and_then(|line| line.strip_prefix(headline)).map(str::trim);
        let number = number.and_then(|text| text.parse::<f64>().ok());
        assert!(number.is_some_and(f64::is_finite), "{name}: {stdout}");
        for line in ["device: ", "data: ", "model: ", "step"] {
            assert!(stderr.contains(line), "{name} does not tell its {line:?}: {stderr}");
        }
    }
    for file in ["last.safetensors", "last.json", "metrics.jsonl"] {
        let path = dir.join("runs").join(name).join(file);
        assert!(path.exists(), "{} is missing", path.display());
    }
    let usage = run(name, &dir, &["--bogus"]);
    assert_eq!(usage.status.code(), Some(2));
    std::fs::remove_dir_all(&dir).unwrap();
}
