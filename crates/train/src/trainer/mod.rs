//! The training loop: a [`Trainer`] takes a [`Task`] from data to checkpoint.
//!
//! It is made of parts that other loops can use as well: a [`Session`](crate::Session) keeps state, metrics and
//! checkpoints, a [`Loader`] prepares batches, [`Progress`] shows how far it is, and
//! [`profile`](crate::profile) where the time goes.

mod classifier;
mod evaluation;
mod fit;
mod late;
mod programs;
mod segmenter;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use wgrad_graph::Device;
pub use wgrad_graph::Updates;
use wgrad_nn::Schedule;

pub use classifier::Classifier;
pub use evaluation::Evaluation;
pub use programs::Named;
pub use segmenter::Segmenter;
pub use task::{Headline, Inputs, Phase, Task, Values};

use crate::data::Loader;
use crate::error::TrainError;
use crate::metrics::Scores;
use crate::options::{Dump, RunOptions};
use crate::progress::Progress;
use crate::run_dir::Manifest;
use fit::Fit;
use programs::{Built, Use};

type Rename = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Trains a [`Task`], such as a [`Classifier`].
///
/// Every epoch it evaluates, adds to `metrics.jsonl` and saves a checkpoint, from which [`Trainer::resume`] goes on: a run
/// that was stopped and resumed ends with the same bytes as one that was not.
///
/// In the metrics, each of the first steps has a line, later every 20th ([`Trainer::log_every`]) and the last of an epoch;
/// a line holds the means since the one before it. Each evaluation has a line. What is printed while it runs goes to
/// standard error.
///
#[cfg_attr(feature = "digits", doc = "```")]
#[cfg_attr(not(feature = "digits"), doc = "```no_run")]
/// use wgrad_graph::{Device, Tensor};
/// use wgrad_nn::{Flatten, Layer, Linear, Schedule, Scope, Sequential, optim::Sgd};
/// use wgrad_train::data::{self, Augment, ImageSource, Loader, LoaderOptions, Normalize};
/// use wgrad_train::trainer::{Classifier, Trainer};
///
/// let data = data::open("digits", None)?;
/// let normalize = Normalize::measured(&data.train);
/// let train = ImageSource::new(data.train, Augment::default(), &normalize)?;
/// let train = Loader::new(train, LoaderOptions::train(64, 0))?;
/// let test = Loader::new(ImageSource::plain(data.test, &normalize)?, LoaderOptions::test(64))?;
///
/// let model = Sequential::new().then(Flatten).then(Linear::new(64, 10));
/// let task = Classifier::new(model, |scope, loss| Sgd::new(0.1).minimize(scope, loss));
/// # let out = std::env::temp_dir().join(format!("wgrad-trainer-doc-{}", std::process::id()));
/// let report = Trainer::new(&Device::cpu(), "linear", task)
///     .schedule(Schedule::constant(0.1))
///     .epochs(2)
///     .output(&out)
///     .quiet(true)
///     .fit(&train, &test)?;
/// assert!(report.test.get("accuracy") > Some(0.8));
/// # std::fs::remove_dir_all(out).ok();
/// # Ok::<(), wgrad_train::TrainError>(())
/// ```
pub struct Trainer {
    device: Device,
    name: String,
    task: Box<dyn Task>,
    schedule: Option<Schedule>,
    epochs: usize,
    steps: Option<u64>,
    evaluate_every: Option<u64>,
    seed: u64,
    out: PathBuf,
    resume: bool,
    weights: Option<PathBuf>,
    weight_names: Option<Box<Rename>>,
    profile: bool,
    quiet: bool,
    log_every: u64,
    settings: BTreeMap<String, String>,
}

/// What came of a run. Prints as the lines that an example ends with.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the task's evaluation gave for the final weights.
    pub test: Scores,
    /// The score that counts.
    pub headline: Headline,
    /// The best of it at the end of an epoch, if one was completed.
    pub best: Option<f64>,
    /// Steps done in all, earlier runs included.
    pub steps: u64,
    /// Whole epochs done in all.
    pub epochs: usize,
    /// The model's tensors.
    pub checkpoint: PathBuf,
    /// The record of the training.
    pub metrics: PathBuf,
    /// The table of kernels, where it was asked for.
    pub profile: Option<String>,
}

impl Trainer {
    /// A trainer of `task`.
    ///
    /// `name` stands for the model in checkpoints: it should tell apart models whose tensors differ.
    pub fn new(device: &Device, name: impl Into<String>, task: impl Task + 'static) -> Self {
        Self {
            device: device.clone(),
            name: name.into(),
            task: Box::new(task),
            schedule: None,
            epochs: 1,
            steps: None,
            evaluate_every: None,
            seed: 0,
            out: PathBuf::from("runs"),
            resume: false,
            weights: None,
            weight_names: None,
            profile: false,
            quiet: false,
            log_every: 20,
            settings: BTreeMap::new(),
        }
    }

    /// The learning rate of each step, for all optimisers; without it, their own.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// How often to go through the training data: once unless said otherwise.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Stops after this many steps in all, even within an epoch.
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Evaluates after every so many steps too, not only at the end of each epoch.
    pub fn evaluate_every(mut self, steps: u64) -> Self {
        self.evaluate_every = Some(steps.max(1));
        self
    }

    /// Decides the initial weights and what the model draws at random. The loaders have seeds of their own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The directory for checkpoint and metrics: `runs` unless said otherwise.
    pub fn output(mut self, dir: impl Into<PathBuf>) -> Self {
        self.out = dir.into();
        self
    }

    /// Whether to go on from the checkpoint in the output directory.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Begins with the tensors of a safetensors file, as far as their names and shapes are the model's: the rest starts as
    /// usual. What did not fit is told.
    pub fn weights(mut self, path: impl Into<PathBuf>) -> Self {
        self.weights = Some(path.into());
        self
    }

    /// What the tensors of that file are called in the model, where their names are not those already: none for what the model
    /// has no use for.
    pub fn weight_names(mut self, rename: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.weight_names = Some(Box::new(rename));
        self
    }

    /// Whether to measure one more step at the end, kernel by kernel.
    pub fn profile(mut self, profile: bool) -> Self {
        self.profile = profile;
        self
    }

    /// Whether to print nothing while it runs.
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// How many steps a line of the metrics sums up, after as many steps that have a line each: 20 unless said otherwise.
    pub fn log_every(mut self, steps: u64) -> Self {
        self.log_every = steps.max(1);
        self
    }

    /// A setting that has to be the same when the run is resumed, named as its command-line option. Data set, batch size,
    /// epochs and seed are such settings without being named here.
    pub fn setting(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.settings.insert(name.into(), value.to_string());
        self
    }

    /// Takes over what the shared command line says of the run: seed, steps, output directory, resuming, initial weights,
    /// profiling.
    pub fn with_options(mut self, options: &RunOptions, example: &str) -> Self {
        self.seed = options.seed.unwrap_or(self.seed);
        self.steps = options.steps.or(self.steps);
        self.out = options.out_dir(example);
        self.resume = options.resume;
        self.weights = options.weights.clone().or(self.weights);
        self.profile = options.profile;
        self.device = self.device.with_tuning(options.tune);
        self
    }

    /// One stage of the compiled training step as text. Nothing is run and nothing is written.
    ///
    /// # Errors
    /// If the model does not fit the data, or the program does not fit the device.
    pub fn dump(&self, stage: Dump, train: &Loader) -> Result<String, TrainError> {
        let stage = match stage {
            Dump::Graph => wgrad_graph::Dump::Graph,
            Dump::Plan => wgrad_graph::Dump::Plan,
            Dump::Kernels => wgrad_graph::Dump::Kernels,
        };
        let phases = self.task.phases();
        let dump = |phase: &Phase| {
            let built = Built::of(&self.device, &*self.task, &Use::Train(phase.name), &train.shapes())?;
            let title = if phases.len() > 1 { format!("{}:\n", phase.name) } else { String::new() };
            Ok(title + &built.program.dump(stage))
        };
        phases.iter().map(dump).collect::<Result<Vec<_>, TrainError>>().map(|parts| parts.join("\n"))
    }

    /// Trains on the one loader's batches, and judges by the other's.
    ///
    /// # Errors
    /// If the data, the model, the device or the output directory fail, if there is no checkpoint to resume or one of
    /// another run, or if the loss is not finite any more: the last checkpoint is kept then.
    pub fn fit(&self, train: &Loader, test: &Loader) -> Result<Report, TrainError> {
        Fit::begin(self, train, test)?.run()
    }

    /// What an example prints: the stage of the compiled training step that `dump` names, and nothing is trained; or else the
    /// report of the training.
    ///
    /// # Errors
    /// As [`Trainer::dump`] or [`Trainer::fit`].
    pub fn printed(&self, dump: Option<Dump>, train: &Loader, test: &Loader) -> Result<String, TrainError> {
        match dump {
            Some(stage) => self.dump(stage, train),
            None => Ok(format!("{}\n", self.fit(train, test)?)),
        }
    }

    fn progress(&self, at: &Manifest, what: &str, total: usize) -> Progress {
        if self.quiet {
            return Progress::hidden();
        }
        let (epoch, epochs) = (at.epoch + 1, self.epochs);
        Progress::new(format!("epoch {}/{epochs} {what}", epoch.min(epochs)), total as u64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = &self.profile {
            writeln!(f, "{table}")?;
        }
        writeln!(f, "checkpoint {}", self.checkpoint.display())?;
        writeln!(f, "metrics {}", self.metrics.display())?;
        write!(f, "{} {:.4}", self.headline.label, self.test.get(self.headline.score).unwrap_or(f64::NAN))
    }
}
