//! One run of a [`Trainer`].

use std::time::Instant;

use wgrad_graph::{Data, Outputs, State, Summary};
use wgrad_nn::optim::LEARNING_RATE;

use super::late::{Late, Step};
use super::programs::{Built, Mode, Programs, build};
use super::{Report, Trainer, shape_of};
use crate::data::{Batch, Loader};
use crate::error::TrainError;
use crate::metrics::{Part, Record, Running};
use crate::profile;
use crate::progress::Progress;
use crate::run_dir::{Manifest, RunDir};
use crate::session::Session;

/// A run in progress.
pub(super) struct Fit<'a> {
    trainer: &'a Trainer,
    train: &'a Loader,
    test: &'a Loader,
    programs: Programs,
    session: Session,
    late: Late,
    /// The learning rate on the device, once it is known.
    lr: Option<f64>,
    speed: Speed,
}

impl<'a> Fit<'a> {
    /// Opens the output directory, compiles the training step, and fills the state from the seed or a checkpoint.
    pub fn begin(trainer: &'a Trainer, train: &'a Loader, test: &'a Loader) -> Result<Self, TrainError> {
        let start = Instant::now();
        // The directory first: what is wrong with it is told at once.
        let manifest = manifest(trainer, train);
        let (dir, saved) = if trainer.resume {
            let (dir, saved) = RunDir::resume(&trainer.out, &trainer.name)?;
            saved.manifest.require_options(dir.path(), &manifest.options)?;
            (dir, Some(saved))
        } else {
            (RunDir::create(&trainer.out, &trainer.name)?, None)
        };

        let Built { program, parameters, tensors } = build(trainer, Mode::Train, shape_of(train))?;
        let state = State::init(&trainer.device, &program, trainer.seed)?;
        let summary = program.summary();
        let mut programs = Programs::default();
        programs.insert(Mode::Train, shape_of(train), program);

        let session = match saved {
            Some(saved) => Session::resume(dir, saved, state, &tensors)?,
            None => Session::begin(dir, manifest, state, &tensors)?,
        };
        if !trainer.quiet {
            introduce(trainer, train, test, parameters, &summary);
            eprintln!("ready after {:.2} s", start.elapsed().as_secs_f64());
        }
        Ok(Self { trainer, train, test, programs, session, late: Late::default(), lr: None, speed: Speed::new() })
    }

    fn progress(&self, what: &str, total: usize) -> Progress {
        if self.trainer.quiet {
            return Progress::hidden();
        }
        let (epoch, epochs) = (self.session.manifest.epoch + 1, self.trainer.epochs);
        Progress::new(format!("epoch {}/{epochs} {what}", epoch.min(epochs)), total as u64)
    }

    /// Trains to the end, or to where the run should stop.
    pub fn run(mut self) -> Result<Report, TrainError> {
        let mut judged = None;
        while self.session.manifest.epoch < self.trainer.epochs && !self.is_stopped() {
            self.train_epoch()?;
            let test = self.evaluate()?;
            let batches = self.train.batches_per_epoch();
            if self.session.manifest.batch == batches {
                self.end_epoch(&test)?;
            }
            // A run that stops within an epoch leaves no test record: resumed, it has those of one that did not stop.
            self.session.save()?;
            judged = Some(test.loss);
        }
        let test = match judged {
            Some(running) => running,
            None => self.evaluate()?.loss,
        };
        let profile = if self.trainer.profile { Some(self.profile()?) } else { None };
        let Session { manifest, .. } = &self.session;
        Ok(Report {
            test,
            best_accuracy: manifest.best_accuracy,
            steps: manifest.step,
            epochs: manifest.epoch,
            checkpoint: self.session.dir().model_path(),
            metrics: self.session.dir().metrics_path(),
            profile,
        })
    }

    fn is_stopped(&self) -> bool {
        self.trainer.steps.is_some_and(|steps| self.session.manifest.step >= steps)
    }

    /// Trains to the end of the epoch, or to where the run should stop. All results are read at the end.
    fn train_epoch(&mut self) -> Result<(), TrainError> {
        let Manifest { epoch, batch: first, .. } = self.session.manifest;
        let mut progress = self.progress("train", self.train.batches_per_epoch()).start_at(first as u64);
        let mut mean = Running::default();
        self.speed = Speed::new();
        let start = Instant::now();
        for batch in self.train.epoch(epoch, first)? {
            let batch = batch?;
            let step = self.submit(&batch)?;
            self.late.push(step);
            while let Some(step) = self.late.due() {
                self.read(step, &mut mean)?;
            }
            progress.step(|| summary(&mean));
            if self.is_stopped() {
                break;
            }
        }
        while let Some(step) = self.late.any() {
            self.read(step, &mut mean)?;
        }
        let rate = mean.examples() as f64 / start.elapsed().as_secs_f64();
        progress.finish(&format!("{}, {rate:.0} examples/s", summary(&mean)));
        Ok(())
    }

    /// Starts a step on a batch, without waiting for its end.
    fn submit(&mut self, batch: &Batch) -> Result<Step, TrainError> {
        let lr = self.set_lr()?;
        let outputs = self.run_batch(Mode::Train, batch)?;
        let manifest = &mut self.session.manifest;
        manifest.step += 1;
        manifest.batch += 1;
        Ok(Step { number: manifest.step, lr, examples: batch.len(), at: Instant::now(), outputs })
    }

    /// Sets the learning rate of the next step, if it is another one than before.
    fn set_lr(&mut self) -> Result<f64, TrainError> {
        let Session { state, manifest, .. } = &mut self.session;
        let lr = match (&self.trainer.schedule, self.lr) {
            (Some(schedule), _) => schedule.lr_at(manifest.step),
            (None, Some(lr)) => lr,
            (None, None) => f64::from(*state.f32(LEARNING_RATE)?.first().unwrap_or(&0.0)),
        };
        if self.lr.map(|old| old as f32) != Some(lr as f32) {
            state.set_f32(LEARNING_RATE, &[lr as f32])?;
        }
        self.lr = Some(lr);
        Ok(lr)
    }

    fn run_batch(&mut self, mode: Mode, batch: &Batch) -> Result<Outputs, TrainError> {
        let state = &mut self.session.state;
        let program = self.programs.get(self.trainer, mode, batch.shape, state)?;
        Ok(program.run(state, &inputs(batch))?)
    }

    /// Adds a step's results to the means, and to the metrics where a line is due.
    fn read(&mut self, mut step: Step, mean: &mut Running) -> Result<(), TrainError> {
        let (loss, correct) = step.read()?;
        self.require_finite("training", loss, step.number, step.lr)?;
        let examples = step.examples as u64;
        mean.add(loss, correct, examples);
        self.speed.examples += examples;
        self.session.manifest.running.add(loss, correct, examples);

        let every = self.trainer.log_every;
        let per_epoch = self.train.batches_per_epoch() as u64;
        if step.number <= every || step.number % every == 0 || step.number % per_epoch == 0 {
            let running = self.session.manifest.running.take();
            let rate = self.speed.rate_until(step.at);
            self.log(Part::Train, &running, step.number, step.lr, rate)?;
        }
        Ok(())
    }

    /// Loss and accuracy on the whole test part.
    fn evaluate(&mut self) -> Result<Test, TrainError> {
        let start = Instant::now();
        let test = self.test;
        let mut progress = self.progress("test ", test.batches_per_epoch());
        let mut mean = Running::default();
        let (mut late, number) = (Late::default(), self.session.manifest.step);
        for batch in test.epoch(0, 0)? {
            let batch = batch?;
            let outputs = self.run_batch(Mode::Eval, &batch)?;
            late.push(Step { number, lr: 0.0, examples: batch.len(), at: start, outputs });
            while let Some(step) = late.due() {
                add(step, &mut mean)?;
            }
            progress.step(|| summary(&mean));
        }
        while let Some(step) = late.any() {
            add(step, &mut mean)?;
        }
        // A step may break the weights and still have had a finite loss: such weights should replace no checkpoint.
        self.require_finite("test", mean.loss(), number, self.lr.unwrap_or_default())?;
        progress.finish(&summary(&mean));
        Ok(Test { loss: mean, rate: mean.examples() as f64 / start.elapsed().as_secs_f64() })
    }

    fn end_epoch(&mut self, test: &Test) -> Result<(), TrainError> {
        let lr = self.lr.unwrap_or_default();
        self.log(Part::Test, &test.loss, self.session.manifest.step, lr, test.rate)?;
        let manifest = &mut self.session.manifest;
        manifest.epoch += 1;
        manifest.batch = 0;
        let accuracy = test.loss.accuracy();
        manifest.best_accuracy = Some(manifest.best_accuracy.map_or(accuracy, |best| best.max(accuracy)));
        Ok(())
    }

    fn log(&mut self, split: Part, mean: &Running, step: u64, lr: f64, rate: f64) -> Result<(), TrainError> {
        let epoch = self.session.manifest.epoch + 1;
        let (loss, accuracy) = (mean.loss(), mean.accuracy());
        self.session.log(&Record { step, epoch, split, loss, accuracy, lr, examples_per_second: rate })
    }

    fn require_finite(&self, part: &'static str, loss: f64, step: u64, lr: f64) -> Result<(), TrainError> {
        if loss.is_finite() {
            return Ok(());
        }
        let kept = match self.session.saved_step() {
            Some(step) => format!("the checkpoint of step {step} is kept"),
            None => "nothing was saved yet".into(),
        };
        Err(TrainError::NotFinite { part, loss, step, lr, kept })
    }

    /// The table of kernels of one more step, which is not saved.
    fn profile(&mut self) -> Result<String, TrainError> {
        let Some(batch) = self.train.epoch(0, 0)?.next() else { return Ok(String::new()) };
        let batch = batch?;
        // Once unmeasured: a run that had nothing left to do has compiled no kernels yet.
        self.run_batch(Mode::Train, &batch)?;
        let state = &mut self.session.state;
        let program = self.programs.get(self.trainer, Mode::Train, batch.shape, state)?;
        let (_, times) = program.run_profiled(state, &inputs(&batch))?;
        Ok(profile::table(&times))
    }
}

/// The result of an evaluation.
struct Test {
    loss: Running,
    /// Examples a second.
    rate: f64,
}

/// Examples since a moment.
struct Speed {
    since: Instant,
    examples: u64,
}

impl Speed {
    fn new() -> Self {
        Self { since: Instant::now(), examples: 0 }
    }

    /// Examples a second up to this moment, from which on it counts anew.
    fn rate_until(&mut self, now: Instant) -> f64 {
        let seconds = now.duration_since(self.since).as_secs_f64();
        let examples = std::mem::take(&mut self.examples);
        self.since = now;
        examples as f64 / seconds
    }
}

/// Tells on what, on which data and with which model the run works.
fn introduce(trainer: &Trainer, train: &Loader, test: &Loader, parameters: usize, summary: &Summary) {
    let (device, data, judge) = (&trainer.device, train.dataset(), test.dataset());
    let [channels, height, width] = data.shape();
    eprintln!("device: {}, {}", device.adapter(), device.why());
    eprintln!(
        "data: {}, {} to train on, {} to test on, {channels}x{height}x{width}, {} classes",
        data.name(),
        data.len(),
        judge.len(),
        data.classes()
    );
    eprintln!("model: {}, {parameters} parameters", trainer.name);
    let summary = summary.to_string();
    let lines: Vec<&str> = summary.lines().take(2).collect(); // the rest lists the largest tensors
    eprintln!("step: {}", lines.join("; "));
}

/// The manifest of a run that begins, with all that has to be the same when it is resumed.
fn manifest(trainer: &Trainer, train: &Loader) -> Manifest {
    let data = train.dataset().name();
    let mut manifest = Manifest::new(&trainer.name, data, trainer.seed);
    manifest.options = trainer.settings.clone();
    let known = [
        ("data", data.to_string()),
        ("batch-size", train.options().batch_size.to_string()),
        ("epochs", trainer.epochs.to_string()),
        ("seed", trainer.seed.to_string()),
    ];
    manifest.options.extend(known.map(|(name, value)| (name.to_string(), value)));
    manifest
}

fn inputs(batch: &Batch) -> [(&'static str, Data<'_>); 2] {
    [("images", Data::F32(&batch.images)), ("labels", Data::U32(&batch.labels))]
}

fn add(mut step: Step, mean: &mut Running) -> Result<(), TrainError> {
    let (loss, correct) = step.read()?;
    mean.add(loss, correct, step.examples as u64);
    Ok(())
}

/// Loss and accuracy in words; nothing before the first result.
fn summary(mean: &Running) -> String {
    if mean.examples() == 0 {
        return String::new();
    }
    format!("loss {:.4}, accuracy {:.4}", mean.loss(), mean.accuracy())
}
