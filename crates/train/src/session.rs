//! A run in progress: its state on the device, and the directory that it is saved to.

use wgrad_graph::State;

use crate::checkpoint::TensorMap;
use crate::error::TrainError;
use crate::metrics::{MetricsLog, Record};
use crate::run_dir::{Manifest, RunDir, Saved};
use crate::tensors;

/// What lasts of a run, on the device and on the disk. A training loop of any shape changes `state` and `manifest`, and
/// asks for records and checkpoints.
pub struct Session {
    /// All tensors that last.
    pub state: State,
    /// Where the run stands.
    pub manifest: Manifest,
    dir: RunDir,
    metrics: MetricsLog,
    /// Names of the model's tensors.
    model: Vec<String>,
    /// Names of all others: what the optimiser remembers, the random generator.
    rest: Vec<String>,
    saved_step: Option<u64>,
}

impl Session {
    /// A run that begins. `model` names the tensors of the model: a checkpoint holds them in a file of their own, and
    /// the other tensors that `state` has by now in another.
    ///
    /// # Errors
    /// When the metrics file cannot be made.
    pub fn begin(dir: RunDir, manifest: Manifest, state: State, model: &[String]) -> Result<Self, TrainError> {
        let metrics = MetricsLog::create(dir.metrics_path())?;
        Ok(Self::new(dir, manifest, state, model, metrics))
    }

    /// A run that goes on from a checkpoint, whose tensors replace those of `state`.
    ///
    /// # Errors
    /// When the checkpoint's tensors are not those of `state`, or the metrics file is damaged.
    pub fn resume(dir: RunDir, saved: Saved, state: State, model: &[String]) -> Result<Self, TrainError> {
        let Saved { manifest, model: weights, state: others } = saved;
        let metrics = MetricsLog::resume(dir.metrics_path(), manifest.metrics_lines)?;
        let mut session = Self::new(dir, manifest, state, model, metrics);
        session.import(&weights, &others)?;
        session.saved_step = Some(session.manifest.step);
        Ok(session)
    }

    fn new(dir: RunDir, manifest: Manifest, state: State, model: &[String], metrics: MetricsLog) -> Self {
        let names = state.tensors().map(|(name, ..)| name.to_string());
        let (model, rest) = names.partition(|name| model.contains(name));
        Self { state, manifest, dir, metrics, model, rest, saved_step: None }
    }

    fn import(&mut self, weights: &TensorMap, others: &TensorMap) -> Result<(), TrainError> {
        let parts = [
            (&self.model, weights, self.dir.model_path(), self.manifest.model.clone()),
            (&self.rest, others, self.dir.state_path(), format!("{} and its optimiser", self.manifest.model)),
        ];
        for (names, from, path, what) in parts {
            tensors::import(&mut self.state, names.iter().map(String::as_str), from, &path, &what)?;
        }
        Ok(())
    }

    /// Adds a line to the metrics.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log(&mut self, record: &Record) -> Result<(), TrainError> {
        self.metrics.append(record)
    }

    /// Replaces the checkpoint by one of this moment. Waits for the device.
    ///
    /// # Errors
    /// When the device fails or a file cannot be written: the old checkpoint stays then.
    pub fn save(&mut self) -> Result<(), TrainError> {
        let weights = tensors::export(&self.state, self.model.iter().map(String::as_str))?;
        let others = tensors::export(&self.state, self.rest.iter().map(String::as_str))?;
        self.metrics.publish()?;
        self.manifest.metrics_lines = self.metrics.lines();
        self.dir.save(&self.manifest, &weights, &others)?;
        self.saved_step = Some(self.manifest.step);
        Ok(())
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The step of the run's last checkpoint, if it has one.
    pub fn saved_step(&self) -> Option<u64> {
        self.saved_step
    }
}
