//! One run of a [`Trainer`].

use std::collections::BTreeMap;
use std::time::Instant;

use wgrad_graph::State;
use wgrad_nn::optim::LEARNING_RATE;

use super::evaluation::{Evaluation, run, used};
use super::late::{Late, Step};
use super::programs::{Built, Programs, Use};
use super::task::Phase;
use super::{Report, Trainer};
use crate::checkpoint;
use crate::data::{Batch, Loader};
use crate::error::TrainError;
use crate::metrics::{Part, Record, Running, Scores};
use crate::profile;
use crate::run_dir::{Manifest, RunDir};
use crate::session::Session;
use crate::tensors;

/// A run in progress.
pub(super) struct Fit<'a> {
    trainer: &'a Trainer,
    train: &'a Loader,
    test: &'a Loader,
    phases: Vec<Phase>,
    programs: Programs,
    session: Session,
    late: Late,
    /// Names of the learning rates among the state's tensors.
    rates: Vec<String>,
    /// What they are on the device, once it is known.
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

        let phases = trainer.task.phases();
        let (mut programs, mut state) = (Programs::default(), None);
        let (mut summaries, mut parameters, mut model) = (vec![], BTreeMap::new(), vec![]);
        for phase in &phases {
            let (what, shapes) = (Use::Train(phase.name), train.shapes());
            let built = Built::of(&trainer.device, &*trainer.task, &what, &shapes)?;
            match &mut state {
                None => state = Some(State::init(&trainer.device, &built.program, trainer.seed)?),
                Some(state) => state.add(&built.program)?,
            }
            summaries.push((phase.name, built.program.summary().to_string()));
            parameters.extend(built.parameters.clone());
            model.extend(built.tensors.clone());
            programs.insert(what, shapes, built);
        }
        let mut state = state.ok_or(TrainError::NoPhases)?;

        let session = match saved {
            Some(saved) => Session::resume(dir, saved, state, &model)?,
            None => {
                if let Some(path) = &trainer.weights {
                    let mut weights = checkpoint::load(path)?;
                    if let Some(rename) = &trainer.weight_names {
                        weights = checkpoint::renamed(weights, rename);
                    }
                    let names = model.iter().map(String::as_str);
                    let report = tensors::load_fitting(&mut state, names, &weights, path, &trainer.name)?;
                    if !trainer.quiet {
                        eprintln!("weights: {}: {report:#}", path.display());
                    }
                }
                Session::begin(dir, manifest, state, &model)?
            }
        };
        if !trainer.quiet {
            introduce(trainer, train, test, parameters.values().sum(), &summaries);
            eprintln!("ready after {:.2} s", start.elapsed().as_secs_f64());
        }
        let names = session.state.tensors().map(|(name, ..)| name.to_string());
        let rates: Vec<String> = names.filter(|n| n.starts_with("optimizer.") && n.ends_with(".lr")).collect();
        let (late, speed) = (Late::default(), Speed::new());
        Ok(Self { trainer, train, test, phases, programs, session, late, rates, lr: None, speed })
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
            judged = Some(test.scores);
        }
        let test = match judged {
            Some(scores) => scores,
            None => self.evaluate()?.scores,
        };
        let profile = if self.trainer.profile { Some(self.profile()?) } else { None };
        let Session { manifest, .. } = &self.session;
        Ok(Report {
            test,
            headline: self.trainer.task.headline(),
            best: manifest.best,
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
        let batches = self.train.batches_per_epoch();
        let mut progress = self.trainer.progress(&self.session.manifest, "train", batches).start_at(first as u64);
        let mut mean = Running::default();
        self.speed = Speed::new();
        let (start, mut examples, mut paused) = (Instant::now(), 0, 0.0);
        for batch in self.train.epoch(epoch, first)? {
            let batch = batch?;
            examples += batch.len();
            let step = self.submit(&batch)?;
            self.late.push(step);
            while let Some(step) = self.late.due() {
                self.read(step, &mut mean)?;
            }
            progress.step(|| mean.means().to_string());
            let Manifest { step, batch, .. } = self.session.manifest;
            if self.trainer.evaluate_every.is_some_and(|every| step % every == 0) && batch < batches {
                self.read_all(&mut mean)?;
                let pause = Instant::now();
                let test = self.evaluate()?;
                self.log(Part::Test, &test.scores, step, self.lr.unwrap_or(f64::NAN), test.rate)?;
                self.speed = Speed::new();
                paused += pause.elapsed().as_secs_f64();
            }
            if self.is_stopped() {
                break;
            }
        }
        self.read_all(&mut mean)?;
        let rate = examples as f64 / (start.elapsed().as_secs_f64() - paused);
        progress.finish(&format!("{}, {rate:.0} examples/s", mean.means()));
        Ok(())
    }

    /// Starts a step on a batch, without waiting for its end.
    fn submit(&mut self, batch: &Batch) -> Result<Step, TrainError> {
        let lr = self.set_lr()?;
        let number = self.session.manifest.step + 1;
        let mut outputs = vec![];
        for &Phase { name, every } in &self.phases {
            if number % every == 0 {
                let state = &mut self.session.state;
                let built = training(&mut self.programs, self.trainer, state, name, batch)?;
                outputs.push(built.named(run(built, state, &batch.inputs())?));
            }
        }
        let manifest = &mut self.session.manifest;
        manifest.step = number;
        manifest.batch += 1;
        Ok(Step { number, lr, examples: batch.len(), at: Instant::now(), outputs })
    }

    /// Sets the learning rate of the next step, if it is another one than before.
    fn set_lr(&mut self) -> Result<f64, TrainError> {
        let Session { state, manifest, .. } = &mut self.session;
        let Some(schedule) = &self.trainer.schedule else {
            if self.lr.is_none() {
                // Several optimisers with rates of their own have none that is the run's.
                let rate = |name: &String| Ok::<_, TrainError>(state.f32(name)?.first().copied().unwrap_or(f32::NAN));
                let rates = self.rates.iter().map(rate).collect::<Result<Vec<f32>, _>>()?;
                let one = rates.first().filter(|first| rates.iter().all(|rate| rate == *first));
                self.lr = Some(one.map_or(f64::NAN, |&rate| rate.into()));
            }
            return Ok(self.lr.unwrap_or(f64::NAN));
        };
        let lr = schedule.lr_at(manifest.step);
        if self.lr.map(|old| old as f32) != Some(lr as f32) {
            if self.rates.is_empty() {
                state.set_f32(LEARNING_RATE, &[lr as f32])?; // the error says what is missing
            }
            for name in &self.rates {
                state.set_f32(name, &[lr as f32])?;
            }
        }
        self.lr = Some(lr);
        Ok(lr)
    }

    fn read_all(&mut self, mean: &mut Running) -> Result<(), TrainError> {
        while let Some(step) = self.late.any() {
            self.read(step, mean)?;
        }
        Ok(())
    }

    /// Adds a step's results to the means, and to the metrics where a line is due.
    fn read(&mut self, mut step: Step, mean: &mut Running) -> Result<(), TrainError> {
        let examples = step.examples as u64;
        for outputs in &mut step.outputs {
            for (name, value) in outputs.take_scalars()? {
                self.require_finite("training", name, value, step.number, step.lr)?;
                mean.add(name, value, examples);
                self.session.manifest.running.add(name, value, examples);
            }
        }
        self.speed.examples += examples;

        let every = self.trainer.log_every;
        let per_epoch = self.train.batches_per_epoch() as u64;
        if step.number <= every || step.number % every == 0 || step.number % per_epoch == 0 {
            let means = self.session.manifest.running.take();
            let rate = self.speed.rate_until(step.at);
            self.log(Part::Train, &means, step.number, step.lr, rate)?;
        }
        Ok(())
    }

    /// The task's judgement of the model as it is by now.
    fn evaluate(&mut self) -> Result<Test, TrainError> {
        let start = Instant::now();
        let (trainer, test) = (self.trainer, self.test);
        let mut run = Evaluation { trainer, test, programs: &mut self.programs, session: &mut self.session };
        let scores = trainer.task.evaluate(&mut run)?;
        // A step may break the weights and still have had a finite loss: such weights should replace no checkpoint.
        let (step, headline) = (self.session.manifest.step, trainer.task.headline());
        for name in ["loss", headline.score] {
            if let Some(value) = scores.get(name) {
                self.require_finite("test", name, value, step, self.lr.unwrap_or(f64::NAN))?;
            }
        }
        Ok(Test { scores, rate: test.examples_per_epoch() as f64 / start.elapsed().as_secs_f64() })
    }

    fn end_epoch(&mut self, test: &Test) -> Result<(), TrainError> {
        self.log(Part::Test, &test.scores, self.session.manifest.step, self.lr.unwrap_or(f64::NAN), test.rate)?;
        let manifest = &mut self.session.manifest;
        manifest.epoch += 1;
        manifest.batch = 0;
        let headline = self.trainer.task.headline();
        if let Some(score) = test.scores.get(headline.score) {
            manifest.best = Some(manifest.best.map_or(score, |best| headline.better(best, score)));
        }
        Ok(())
    }

    fn log(&mut self, split: Part, scores: &Scores, step: u64, lr: f64, rate: f64) -> Result<(), TrainError> {
        let epoch = self.session.manifest.epoch + 1;
        self.session.log(&Record { step, epoch, split, scores: scores.clone(), lr, examples_per_second: rate })
    }

    fn require_finite(&self, part: &'static str, name: &str, value: f64, step: u64, lr: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let kept = match self.session.saved_step() {
            Some(step) => format!("the checkpoint of step {step} is kept"),
            None => "nothing was saved yet".into(),
        };
        Err(TrainError::NotFinite { part, name: name.into(), value, step, lr, kept })
    }

    /// The table of kernels of one more step, which is not saved.
    fn profile(&mut self) -> Result<String, TrainError> {
        let Some(batch) = self.train.epoch(0, 0)?.next() else { return Ok(String::new()) };
        let batch = batch?;
        let mut all = vec![];
        for phase in &self.phases {
            let state = &mut self.session.state;
            let built = training(&mut self.programs, self.trainer, state, phase.name, &batch)?;
            let inputs = batch.inputs();
            let inputs = used(built, &inputs);
            // Once unmeasured: a run that had nothing left to do has compiled no kernels yet.
            built.program.run(state, &inputs)?;
            all.extend(built.program.run_profiled(state, &inputs)?.1);
        }
        Ok(profile::table(&all))
    }
}

/// The program of a training phase.
fn training<'p>(
    programs: &'p mut Programs,
    trainer: &Trainer,
    state: &mut State,
    phase: &'static str,
    batch: &Batch,
) -> Result<&'p Built, TrainError> {
    let build = |what: &Use, shapes: &_| Built::of(&trainer.device, &*trainer.task, what, shapes);
    programs.get(Use::Train(phase), batch.shapes(), state, build)
}

/// The result of an evaluation.
struct Test {
    scores: Scores,
    /// Test examples a second.
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
fn introduce(trainer: &Trainer, train: &Loader, test: &Loader, parameters: usize, summaries: &[(&str, String)]) {
    let (device, data, judge) = (&trainer.device, train.source(), test.source());
    eprintln!("device: {}, {}", device.adapter(), device.why());
    let (name, count, tests) = (data.name(), data.len(), judge.len());
    eprintln!("data: {name}, {count} to train on, {tests} to test on, {}", data.describe());
    eprintln!("model: {}, {parameters} parameters", trainer.name);
    for (phase, summary) in summaries {
        let lines: Vec<&str> = summary.lines().take(2).collect(); // the rest lists the largest tensors
        let what = if summaries.len() > 1 { format!("step, {phase}") } else { "step".into() };
        eprintln!("{what}: {}", lines.join("; "));
    }
}

/// The manifest of a run that begins, with all that has to be the same when it is resumed.
fn manifest(trainer: &Trainer, train: &Loader) -> Manifest {
    let data = train.source().name();
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
