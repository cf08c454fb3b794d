//! Training steps of whole models, against the same steps in PyTorch: `scripts/bench --help`.
//!
//! A measurement is a process of its own, so that memory and start are measured too, and each side has the machine to
//! itself. wgrad and its peers take turns, several rounds of them: on a machine that others share, only neighbours in
//! time can be compared.

mod child;
mod measurement;
mod models;
mod report;
mod turns;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Times training steps (forward, loss, backward, update) of wgrad and its peers.
///
/// The ratio is the peer's time by wgrad's: above 1, wgrad is faster. Times are medians over all rounds.
#[derive(Parser)]
#[command(name = "scripts/bench")]
struct Cli {
    /// The models: resnet20, resnet18, resnet50
    #[arg(value_name = "MODEL", value_parser = models::Model::named, default_values = models::NAMES)]
    models: Vec<models::Model>,

    /// Where wgrad computes: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,

    /// Who else takes the steps, on the CPU: PyTorch, with one thread and with one for each core, by the interpreter that
    /// the environment variable PYTHON names
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Peer>,

    /// How often each takes its turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,

    /// How long a turn measures, in seconds; at least 4 steps
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// Examples in a batch, where not the model's own number
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Write the measurements to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Print where the time of one step goes, kernel by kernel, in place of timing steps
    #[arg(long)]
    profile: bool,

    /// One turn of wgrad, in this process. Reads no other option than --device, --seconds and --batch-size.
    #[arg(long, hide = true)]
    child: bool,

    /// Where a turn writes the initial weights and the batch, so that peers begin with the same
    #[arg(long, hide = true)]
    export: Option<PathBuf>,

    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    Pytorch,
}

fn main() -> Result<()> {
    let mut cli = Cli::parse();
    ensure!(cli.rounds > 0, "--rounds 0 measures nothing");
    for model in &mut cli.models {
        model.batch = cli.batch_size.unwrap_or(model.batch);
    }
    if cli.profile || cli.child {
        for model in &cli.models {
            let work = child::Work::new(model, &cli.device)?;
            if cli.profile { work.profile()? } else { work.turn(cli.seconds, cli.export.as_deref())?.print()? }
        }
        return Ok(());
    }
    let threads: &[usize] = if cli.peers.contains(&Peer::Pytorch) { &turns::thread_counts() } else { &[] };
    let mut results = vec![];
    for model in &cli.models {
        let result = turns::take(model, &cli.device, threads, cli.rounds, cli.seconds)?;
        report::print_turns(&result);
        results.push(result);
        // After each model: a run of all takes long, and may be broken off.
        if let Some(path) = &cli.json {
            report::save(path, &results)?;
        }
    }
    report::print_ratios(&results);
    Ok(())
}
