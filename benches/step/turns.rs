//! wgrad and its peers, by turns.

use crate::measurement::{Measurement, STARTED, now};
use crate::models::Model;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};

/// Losses may differ by this much of the peer's, in the first steps: f32 sums in other orders.
const TOLERANCE: f64 = 1e-3;

/// All turns of one competitor.
#[derive(Serialize)]
pub struct Entry {
    /// `wgrad`, or the peer with its number of threads.
    pub who: String,
    /// Its turns, in order.
    pub turns: Vec<Measurement>,
}

/// All turns on one model; the first entry is wgrad's.
#[derive(Serialize)]
pub struct Comparison {
    /// The model and the shape of its batch.
    pub name: String,
    /// Everybody's turns.
    pub entries: Vec<Entry>,
}

/// The numbers of threads that peers get: one, and one for each core.
pub fn thread_counts() -> Vec<usize> {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => vec![1],
        cores => vec![1, cores],
    }
}

/// Lets wgrad, and PyTorch with each of these numbers of threads, take `rounds` turns.
///
/// # Errors
/// If a turn fails, or a peer that began with the same weights has other losses.
pub fn take(model: &Model, device: &str, threads: &[usize], rounds: usize, seconds: f64) -> Result<Comparison> {
    let weights = std::env::temp_dir().join(format!("wgrad-bench-{}-{}.safetensors", std::process::id(), model.name));
    let mut entries: Vec<Entry> = std::iter::once("wgrad".to_string())
        .chain(threads.iter().map(|n| format!("pytorch, {n} thread{}", if *n == 1 { "" } else { "s" })))
        .map(|who| Entry { who, turns: vec![] })
        .collect();
    let mut all = || -> Result<()> {
        for round in 0..rounds {
            let export = (round == 0 && !threads.is_empty()).then_some(weights.as_path());
            entries[0].turns.push(wgrad(model, device, seconds, export)?);
            for (entry, &threads) in entries[1..].iter_mut().zip(threads) {
                entry.turns.push(pytorch(model, threads, seconds, &weights)?);
            }
        }
        Ok(())
    };
    let done = all();
    // It may not be there; and what counts is how the turns went.
    let _ = std::fs::remove_file(&weights);
    done?;
    for entry in &entries[1..] {
        same_losses(&entries[0].turns[0], &entry.turns[0]).with_context(|| format!("{}: {}", model.name, entry.who))?;
    }
    Ok(Comparison { name: model.describe(), entries })
}

fn wgrad(model: &Model, device: &str, seconds: f64, export: Option<&Path>) -> Result<Measurement> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--child", model.name, "--device", device]);
    command.args(["--seconds", &seconds.to_string(), "--batch-size", &model.batch.to_string()]);
    if let Some(path) = export {
        command.arg("--export").arg(path);
    }
    run(command)
}

fn pytorch(model: &Model, threads: usize, seconds: f64, weights: &Path) -> Result<Measurement> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/pytorch.py");
    let mut command = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    command.arg(script).arg(model.name).arg(weights);
    command.args(["--threads", &threads.to_string(), "--seconds", &seconds.to_string()]);
    run(command)
}

/// Runs a turn in a process of its own; what it complains of goes to standard error.
fn run(mut command: Command) -> Result<Measurement> {
    command.env(STARTED, now().to_string()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    ensure!(output.status.success(), "{:?} ended with {}", command.get_program(), output.status);
    Measurement::parse(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("{:?} is no measurement", command.get_program()))
}

/// Both must compute the same: the losses of the first three steps agree, and those of both fall.
fn same_losses(wgrad: &Measurement, peer: &Measurement) -> Result<()> {
    let (ours, theirs) = (&wgrad.losses[..3], &peer.losses[..3]);
    let agree = ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs());
    ensure!(agree, "from the same weights, wgrad's losses are {ours:?} and the peer's {theirs:?}");
    for m in [wgrad, peer] {
        ensure!(m.losses.last() < m.losses.first(), "the loss does not fall: {:?}", m.losses);
    }
    Ok(())
}
