//! The results as a table, and as JSON.

use crate::turns::{Comparison, Entry};
use anyhow::{Context, Result};
use std::path::Path;

/// Prints what each competitor needed on one model.
pub fn print_turns(comparison: &Comparison) {
    println!("{}", comparison.name);
    println!(
        "  {:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>8}",
        "who", "median ms", "least", "worst", "CPU ms", "start s", "peak RSS MB", "losses"
    );
    for entry in &comparison.entries {
        let (times, losses) = (Times::of(entry), &entry.turns[0].losses);
        println!(
            "  {:<20} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.2} {:>11.0}   {:.4?}",
            entry.who,
            times.median,
            times.least,
            times.worst,
            times.cpu,
            times.start,
            times.rss,
            &losses[..3]
        );
    }
    println!();
}

/// Prints the table of all comparisons: a row for each peer.
pub fn print_ratios(comparisons: &[Comparison]) {
    let rows: Vec<[String; 6]> = comparisons.iter().flat_map(rows).collect();
    if rows.is_empty() {
        return;
    }
    let head = ["name", "device", "wgrad_ms", "peer", "peer_ms", "ratio"].map(String::from);
    let width = |column: usize| rows.iter().chain([&head]).map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in [&head].into_iter().chain(&rows) {
        let cell = |(i, text): (usize, &String)| match i {
            0 | 1 | 3 => format!("{text:<w$}", w = widths[i]),
            _ => format!("{text:>w$}", w = widths[i]),
        };
        println!("{}", row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  "));
    }
}

fn rows(comparison: &Comparison) -> Vec<[String; 6]> {
    let (wgrad, peers) = comparison.entries.split_first().expect("wgrad has turns");
    let ours = Times::of(wgrad).median;
    let row = |peer: &Entry| {
        let theirs = Times::of(peer).median;
        let [ours, theirs, ratio] = [format!("{ours:.1}"), format!("{theirs:.1}"), format!("{:.2}", theirs / ours)];
        [comparison.name.clone(), wgrad.turns[0].device.clone(), ours, peer.who.clone(), theirs, ratio]
    };
    peers.iter().map(row).collect()
}

/// Writes all measurements.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, comparisons: &[Comparison]) -> Result<()> {
    let text = serde_json::to_string_pretty(comparisons)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
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
    fn of(entry: &Entry) -> Times {
        let turns = &entry.turns;
        let medians: Vec<f64> = turns.iter().map(|t| median(&t.step_ms)).collect();
        Times {
            median: median(&medians),
            least: turns.iter().flat_map(|t| &t.step_ms).fold(f64::INFINITY, |m, &x| m.min(x)),
            worst: medians.iter().fold(0.0, |m, &x| m.max(x)),
            cpu: median(&turns.iter().map(|t| t.cpu_ms).collect::<Vec<_>>()),
            start: median(&turns.iter().map(|t| t.first_step_s).collect::<Vec<_>>()),
            rss: turns.iter().fold(0.0, |m, t| m.max(t.peak_rss_mb)),
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 { f64::NAN } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 }
}
