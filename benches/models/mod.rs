//! Whole models, against the same models elsewhere.
//!
//! A measurement is a process of its own, so that memory and start are measured too, and each side has the machine to
//! itself. wgrad and its peers take turns, several rounds of them: on a machine that others share, only neighbours in
//! time can be compared.

mod measurement;
mod turns;
mod work;
mod zoo;

use crate::shared::peers::Peer;
use crate::shared::report::{Row, Table, save, short, summary};
use crate::shared::stats::{greatest, least, median};
use anyhow::{Result, ensure};
use clap::Args;
use measurement::Measurement;
use std::path::PathBuf;
use turns::Entry;

/// Times training steps (forward, loss, backward, update) of models, or their use, in wgrad and its peers.
///
/// All begin with the same weights and batch, and their first three losses must agree. The ratio is the peer's time by
/// wgrad's: above 1, wgrad is faster. Times are medians over all rounds.
#[derive(Args)]
pub struct Options {
    /// The models; all that suit the device unless some are named
    #[arg(value_name = "NAME", value_parser = zoo::NAMES)]
    models: Vec<String>,

    /// Where wgrad computes: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,

    /// Time the kernels' tiles before, where that was not done: what is found is kept for later runs, with or without this
    #[arg(long)]
    tune: bool,

    /// Who else takes the steps
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Peer>,

    /// The models as they are used, without training
    #[arg(long)]
    inference: bool,

    /// One round of short turns
    #[arg(long)]
    quick: bool,

    /// How often each takes its turn [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// How long a turn measures, in seconds; at least 4 steps [default: 5]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// Examples in a batch, where not the model's own number
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Write the rows of the last table to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Print where the time of one step goes, kernel by kernel, in place of timing steps
    #[arg(long)]
    profile: bool,

    /// One turn of wgrad, in this process
    #[arg(long, hide = true)]
    child: bool,

    /// Where a child writes the initial weights and the batch, so that peers begin with the same
    #[arg(long, hide = true)]
    export: Option<PathBuf>,
}

impl Options {
    fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 1.0 } else { 5.0 })
    }

    fn models(&self) -> Vec<&str> {
        if !self.models.is_empty() {
            return self.models.iter().map(String::as_str).collect();
        }
        let slow = matches!(self.device.as_str(), "cpu" | "software");
        zoo::NAMES.into_iter().filter(|name| !(slow && *name == zoo::LONG)).collect()
    }
}

/// What the last table has besides times.
const DETAILS: [&str; 8] = [
    "wgrad_cpu_ms",
    "peer_cpu_ms",
    "wgrad_peak_rss_mb",
    "peer_peak_rss_mb",
    "planned_mb",
    "dispatches",
    "compile_ms",
    "wgrad_first_step_s",
];

/// Does what the command line asks for.
///
/// # Errors
/// If wgrad or a peer failed on some model, or computed something else; at the end, after all others.
pub fn run(options: &Options) -> Result<()> {
    if options.child || options.profile {
        for name in options.models() {
            let (model, _) = zoo::named(name, options.batch_size)?;
            let work = work::Work::new(model.as_ref(), &options.device, options.tune, options.inference)?;
            match &options.export {
                Some(path) => work.export(path)?,
                None if options.profile => work.profile()?,
                None => work.turn(options.seconds())?.print()?,
            }
        }
        return Ok(());
    }
    let mut contenders = vec![];
    for peer in &options.peers {
        contenders.extend(peer.contenders("pytorch.py", &options.device)?);
    }
    let (mut rows, mut failed) = (vec![], vec![]);
    for name in options.models() {
        let (_, batch) = zoo::named(name, options.batch_size)?;
        let entries = match turns::take(name, options, &contenders) {
            Ok(entries) => entries,
            Err(e) => {
                eprintln!("{name}: {e:#}");
                failed.push(format!("wgrad of {name}"));
                continue;
            }
        };
        print(name, batch, &entries);
        rows.extend(rows_of(name, batch, options, &entries));
        let wrong = |e: &&Entry| e.turns.as_ref().is_err_and(|why| !why.starts_with("cannot: "));
        failed.extend(entries.iter().filter(wrong).map(|e| format!("{} of {name}", e.who)));
        // After each model: a run of all takes long, and may be broken off.
        if let Some(path) = &options.json {
            save(path, &rows)?;
        }
    }
    println!("## All on {}\n\n{}", rows.first().map_or("", |row| &row.device), summary(&rows, &DETAILS));
    ensure!(failed.is_empty(), "there is no measurement of {}", failed.join(", "));
    Ok(())
}

/// The median time of a training step at this batch size, in this process.
///
/// # Errors
/// If the model cannot be run there.
pub fn step_ms(name: &str, batch: usize, device: &str, seconds: f64) -> Result<f64> {
    let (model, _) = zoo::named(name, Some(batch))?;
    Ok(median(&work::Work::new(model.as_ref(), device, false, false)?.turn(seconds)?.step_ms))
}

/// What each competitor needed on one model.
fn print(name: &str, batch: usize, entries: &[Entry]) {
    let mut table = Table::new(&[
        "who",
        "median ms",
        "least",
        "worst turn",
        "CPU ms",
        "ratio",
        "examples/s",
        "start to 1st step, s",
        "peak RSS, MB",
    ]);
    let (mut base, mut reasons) = (f64::NAN, String::new());
    for entry in entries {
        let turns = match &entry.turns {
            Ok(turns) => turns,
            Err(why) => {
                table.row([entry.who.clone(), "-".into()]);
                reasons += &format!("{}: {why}\n", entry.who);
                continue;
            }
        };
        let times = Times::of(turns);
        let ratio = if base.is_nan() { String::new() } else { format!("{:.2}", times.median / base) };
        base = if base.is_nan() { times.median } else { base };
        let [start, rss] = [times.start, times.rss].map(short);
        let [median, least, worst, cpu] = [times.median, times.least, times.worst, times.cpu].map(short);
        let rate = short(batch as f64 / times.median * 1e3);
        table.row([entry.who.clone(), median, least, worst, cpu, ratio, rate, start, rss]);
    }
    println!("## {name}, batch {batch}\n\n{table}\n{reasons}");
    if let Some(turn) = entries[0].turns.iter().flatten().next()
        && let Some(plan) = &turn.plan
    {
        println!("{}: {} dispatches, {:.2} GFLOP,", turn.device, plan.dispatches, plan.gflop);
        let losses: Vec<f64> = turn.losses.iter().copied().take(work::WARM_UP).collect();
        println!("{:.0} MB planned, compiled in {:.0} ms; losses {losses:.4?}\n", plan.planned_mb, plan.compile_ms);
    }
}

/// A row for each peer, or one of wgrad alone.
fn rows_of(name: &str, batch: usize, options: &Options, entries: &[Entry]) -> Vec<Row> {
    let Some((Ok(turns), peers)) = entries.split_first().map(|(w, peers)| (&w.turns, peers)) else { return vec![] };
    let times = Times::of(turns);
    let mut row = Row::new(name, turns[0].device.clone(), times.median)
        .with("what", if options.inference { "inference" } else { "training step" })
        .with("batch", batch)
        .with("examples_per_s", batch as f64 / times.median * 1e3)
        .with("wgrad_least_ms", times.least)
        .with("wgrad_worst_ms", times.worst)
        .with("wgrad_cpu_ms", times.cpu)
        .with("wgrad_first_step_s", times.start)
        .with("wgrad_peak_rss_mb", times.rss);
    if let Some(plan) = &turns[0].plan {
        row = row.with("dispatches", plan.dispatches).with("planned_mb", plan.planned_mb);
        row = row.with("gflop", plan.gflop).with("compile_ms", plan.compile_ms);
    }
    let against = |peer: &Entry| {
        let turns = match &peer.turns {
            Ok(turns) => turns,
            Err(why) => return row.clone().against(&peer.who, None).with("peer_error", why.as_str()),
        };
        let times = Times::of(turns);
        row.clone()
            .against(&peer.who, Some(times.median))
            .with("peer_device", turns[0].device.as_str())
            .with("peer_least_ms", times.least)
            .with("peer_cpu_ms", times.cpu)
            .with("peer_first_step_s", times.start)
            .with("peer_peak_rss_mb", times.rss)
    };
    if peers.is_empty() { vec![row] } else { peers.iter().map(against).collect() }
}

/// A competitor's turns in short.
struct Times {
    /// The median of the turns' medians: a turn that was disturbed as a whole does not count for more.
    median: f64,
    /// The fastest step.
    least: f64,
    /// The slowest turn's median.
    worst: f64,
    /// Processor time of a step, in all threads.
    cpu: f64,
    /// Seconds from the process's start to the end of the first step.
    start: f64,
    /// MB.
    rss: f64,
}

impl Times {
    fn of(turns: &[Measurement]) -> Times {
        let all = |f: &dyn Fn(&Measurement) -> f64| turns.iter().map(f).collect::<Vec<_>>();
        let medians = all(&|t| median(&t.step_ms));
        Times {
            median: median(&medians),
            least: least(turns.iter().flat_map(|t| t.step_ms.iter().copied())),
            worst: greatest(medians),
            cpu: median(&all(&|t| t.cpu_ms)),
            start: median(&all(&|t| t.first_step_s)),
            rss: greatest(all(&|t| t.peak_rss_mb)),
        }
    }
}
