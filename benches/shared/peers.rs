//! Who else takes the steps, and how each is started.

use super::clock::now;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment variable with the time at which a process was started, in seconds since 1970.
pub const STARTED: &str = "WGRAD_BENCH_STARTED";

/// With this exit status a peer says that it cannot do what is asked.
const CANNOT: i32 = 3;

/// Another framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// By the interpreter that the environment variable PYTHON names: on the CPU with one thread and with one for each core; if
    /// wgrad computes on a GPU, on CUDA in strict f32, in TF32 and with automatic mixed precision
    Pytorch,
    /// benches/peers/burn
    Burn,
    /// benches/peers/meganeura
    Meganeura,
    /// benches/peers/candle
    Candle,
}

/// A peer in one of its settings.
pub struct Contender {
    /// What tables call it.
    pub who: String,
    /// Its program, and the first of its arguments.
    program: PathBuf,
    before: Vec<String>,
    /// Its last arguments.
    after: Vec<String>,
}

impl Peer {
    /// The settings in which it takes part, where wgrad computes on `device`. Builds its program if need be; PyTorch's is a script.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn contenders(self, script: &str, device: &str) -> Result<Vec<Contender>> {
        let words = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let threads = |n: &str| words(&["--threads", n]);
        let on_cpu = || {
            let mut settings = vec![("1 thread".to_string(), threads("1"))];
            if cores != "1" {
                settings.push((format!("{cores} threads"), threads(&cores)));
            }
            settings
        };
        if self != Peer::Pytorch {
            let name = self.to_possible_value().map_or(String::new(), |v| v.get_name().to_string());
            let program = match std::env::var_os("WGRAD_BENCH_PEERS") {
                Some(folder) => Path::new(&folder).join(&name),
                None => build(&name)?,
            };
            let contender = |who, threads: Vec<String>| {
                let after = [threads, words(&["--device", device])].concat();
                Contender { who, program: program.clone(), before: vec![], after }
            };
            return Ok(match device {
                "cpu" => on_cpu().into_iter().map(|(n, threads)| contender(format!("{name}, {n}"), threads)).collect(),
                _ => vec![contender(name, threads(&cores))],
            });
        }
        let settings = match device {
            "cpu" | "software" => on_cpu(),
            _ => ["strict f32", "TF32", "AMP"]
                .map(|p| (p.to_string(), words(&["--threads", &cores, "--device", "cuda", "--precision", p])))
                .into(),
        };
        let contender = |(setting, after)| Contender {
            who: format!("pytorch, {setting}"),
            program: std::env::var_os("PYTHON").unwrap_or("python3".into()).into(),
            before: vec![folder().join(script).to_string_lossy().into_owned()],
            after,
        };
        Ok(settings.into_iter().map(contender).collect())
    }
}

impl Contender {
    /// Its command with these arguments between its own.
    pub fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before).args(arguments).args(&self.after);
        command
    }
}

/// Where the peers are: under the current directory, since the program may have been built elsewhere.
fn folder() -> PathBuf {
    let here = Path::new("benches/peers");
    if here.is_dir() { here.into() } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(here) }
}

/// Builds a peer's crate; gives the path of its program.
fn build(name: &str) -> Result<PathBuf> {
    let manifest = folder().join(name).join("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--message-format", "json", "--manifest-path"]).arg(&manifest);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "{} cannot be built", manifest.display());
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut programs = lines.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    programs.next_back().with_context(|| format!("{} builds no program", manifest.display()))
}

/// What a process prints. What it complains of goes to standard error, too.
///
/// # Errors
/// If it fails; "cannot: " and why, if it says so.
pub fn answer(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.env(STARTED, now().to_string()).output().with_context(|| format!("cannot start {program}"))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        bail!("cannot: {}", complaints.lines().last().unwrap_or("it does not say why"));
    }
    eprint!("{complaints}");
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, complaints.lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
