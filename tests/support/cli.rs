//! Examples as their users see them: exit codes, messages, files. `cargo test` builds them before it runs the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// An example's program: cargo puts it in a folder beside the one that this test runs from.
pub fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: run `cargo build --example {example}` first", path.display());
    path
}

/// Runs an example on the CPU backend, in `dir`.
pub fn run(example: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(program(example)).current_dir(dir).args(["--device", "cpu"]).args(arguments).output().unwrap()
}

/// Bytes that are text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it printed to standard output.
#[track_caller]
pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line that says what is wrong.
#[track_caller]
pub fn fails(output: Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && stderr.lines().last() == Some(errors[0]), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    errors[0].to_string()
}

/// A directory of its own for one test, removed at its end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    /// An empty one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wgrad-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
