//! What one turn found. Peers print the same object, so that all are read alike.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

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
    /// What wgrad knows of the step before it runs.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// What is known of a step before it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Kernel launches.
    pub dispatches: usize,
    /// Peak of the memory on the device: state, inputs and temporary memory.
    pub planned_mb: f64,
    /// Floating-point operations, in units of 10^9.
    pub gflop: f64,
    /// Time to compile the programs.
    pub compile_ms: f64,
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
