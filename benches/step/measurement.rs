//! What one turn found. Peers print the same object, so that all are read alike.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The environment variable with the time at which the process was started, in seconds since 1970.
pub const STARTED: &str = "WGRAD_BENCH_STARTED";

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// One turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What computed.
    pub device: String,
    /// From the start of the process to the end of its first step.
    pub first_step_s: f64,
    /// Each step after the first three.
    pub step_ms: Vec<f64>,
    /// Processor time of a step, all threads together: where others share the machine, this tells more than the clock.
    /// Waiting for each other in a loop counts, too.
    pub cpu_ms: f64,
    /// The loss of each step from the first on, as far as they are kept.
    pub losses: Vec<f64>,
    /// The greatest resident set of the process, all in: libraries, runtime, compiler.
    pub peak_rss_mb: f64,
}

impl Measurement {
    /// Writes the object as one line, for the parent process.
    ///
    /// # Errors
    /// None that is expected.
    pub fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }

    /// Reads the last line of what a turn printed.
    ///
    /// # Errors
    /// If that is no measurement.
    pub fn parse(output: &str) -> Result<Measurement> {
        let line = output.lines().last().context("it printed nothing")?;
        serde_json::from_str(line).with_context(|| format!("it printed {line:?}"))
    }
}

/// The greatest resident set of this process so far, in MB; 0 where the system does not say.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// The processor time that this process has taken so far, in seconds; 0 where the system does not say.
pub fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets, which may have spaces: fields 3 and on; 14 and 15 are user and system time.
    let fields = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
    let ticks = |i: usize| fields.get(i - 3).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    // In hundredths of a second, on every Linux.
    (ticks(14) + ticks(15)) / 100.0
}
