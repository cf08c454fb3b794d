//! The results as a table, and as JSON.

use crate::turns::{Comparison, Entry};
use anyhow::{Context, Result};
use std::path::Path;

/// Prints a comparison: one row for each peer, or one for wgrad alone.
pub fn print(comparison: &Comparison) {
    let (wgrad, peers) = comparison.entries.split_first().expect("wgrad has turns");
    let ours = Times::of(wgrad);
    println!("{} on {}", comparison.name, wgrad.turns[0].device);
    println!("  {:<20} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8}", "", "median ms", "least", "most", "ratio", "start s", "RSS MB");
    for entry in std::iter::once(wgrad).chain(peers) {
        let times = Times::of(entry);
        let ratio = if peers.is_empty() { String::new() } else { format!("{:.2}", times.median / ours.median) };
        println!(
            "  {:<20} {:>9.1} {:>9.1} {:>9.1} {ratio:>7} {:>9.2} {:>8.0}",
            entry.who, times.median, times.least, times.most, times.start, times.rss
        );
    }
    if let Some((ratio, who)) = best(&ours, peers) {
        println!("  against the better, {who}: {ratio:.2}");
    }
    let losses = &wgrad.turns[0].losses;
    println!("  losses {:.4?} ... {:.4}\n", &losses[..3], losses[losses.len() - 1]);
}

/// Writes all measurements.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, comparisons: &[Comparison]) -> Result<()> {
    let text = serde_json::to_string_pretty(comparisons)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The ratio to the fastest peer, and who that is.
fn best<'a>(ours: &Times, peers: &'a [Entry]) -> Option<(f64, &'a str)> {
    let ratio = |e: &'a Entry| (Times::of(e).median / ours.median, e.who.as_str());
    peers.iter().map(ratio).min_by(|a, b| a.0.total_cmp(&b.0))
}

/// A competitor's turns in short.
struct Times {
    median: f64,
    least: f64,
    most: f64,
    start: f64,
    rss: f64,
}

impl Times {
    fn of(entry: &Entry) -> Times {
        let turns = &entry.turns;
        // The median of the turns' medians: a turn that was disturbed as a whole does not count for more.
        let medians: Vec<f64> = turns.iter().map(|t| median(&t.step_ms)).collect();
        Times {
            median: median(&medians),
            least: turns.iter().flat_map(|t| &t.step_ms).fold(f64::INFINITY, |m, &x| m.min(x)),
            most: medians.iter().fold(0.0, |m, &x| m.max(x)),
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
