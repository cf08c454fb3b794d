//! Judging a model, in the middle of its training or at the end.

use std::collections::VecDeque;
use std::path::Path;

use wgrad_graph::{Data, State, Updates};
use wgrad_nn::Scope;

use super::Trainer;
use super::late::DEPTH;
use super::programs::{Built, Named, Programs, Use};
use super::task::{Inputs, Values};
use crate::data::{Batch, Loader};
use crate::error::TrainError;
use crate::metrics::{Running, Scores};
use crate::session::Session;

/// What a [`Task`](super::Task) judges by: the test data, the model's state, and the run's directory.
pub struct Evaluation<'a> {
    pub(super) trainer: &'a Trainer,
    pub(super) test: &'a Loader,
    pub(super) programs: &'a mut Programs,
    pub(super) session: &'a mut Session,
}

impl Evaluation<'_> {
    /// The means over the test data of the scalars that the task's `eval` gives.
    ///
    /// # Errors
    /// If the data, the model or the device fail.
    pub fn means(&mut self) -> Result<Scores, TrainError> {
        self.each(|_, _| Ok(()))
    }

    /// As [`Evaluation::means`]; and `see` gets each batch with the values of the task's `eval`, in the order of the data.
    ///
    /// # Errors
    /// If the data, the model or the device fail, or `see` does.
    pub fn each(
        &mut self,
        mut see: impl FnMut(&Batch, &mut Named) -> Result<(), TrainError>,
    ) -> Result<Scores, TrainError> {
        let mut running = Running::default();
        let mut progress = self.trainer.progress(&self.session.manifest, "test ", self.test.batches_per_epoch());
        let mut queue: VecDeque<(Batch, Named)> = VecDeque::new();
        let mut read = |(batch, mut outputs): (Batch, Named), running: &mut Running| {
            for (name, mean) in outputs.take_scalars()? {
                running.add(name, mean, batch.len() as u64);
            }
            see(&batch, &mut outputs)
        };
        for batch in self.test.epoch(0, 0)? {
            let batch = batch?;
            let (device, task) = (&self.trainer.device, &*self.trainer.task);
            let build = |what: &Use, shapes: &_| Built::of(device, task, what, shapes);
            let state = &mut self.session.state;
            let built = self.programs.get(Use::Eval, batch.shapes(), state, build)?;
            let outputs = built.named(run(built, state, &batch.inputs())?);
            queue.push_back((batch, outputs));
            // Read late, so that nobody waits for the device.
            while queue.len() > DEPTH
                && let Some(oldest) = queue.pop_front()
            {
                read(oldest, &mut running)?;
            }
            progress.step(|| running.means().to_string());
        }
        for rest in queue {
            read(rest, &mut running)?;
        }
        progress.finish(&running.means().to_string());
        Ok(running.means())
    }

    /// Runs a program of the task's own on the model, in evaluation mode: `build` says what it computes of `inputs`. It is
    /// compiled once for each name and inputs' shapes, and writes nothing to the state.
    ///
    /// # Errors
    /// If the model or the device fail.
    pub fn program(
        &mut self,
        name: &'static str,
        inputs: &[(&'static str, &[usize], Data<'_>)],
        build: impl FnOnce(&Scope, &Inputs) -> Values,
    ) -> Result<Named, TrainError> {
        let shapes = inputs.iter().map(|(name, shape, data)| (*name, shape.to_vec(), data.dtype())).collect();
        let device = &self.trainer.device;
        let state = &mut self.session.state;
        let built = self.programs.get(Use::Other(name), shapes, state, |_, shapes| {
            Built::new(device, &Scope::eval(), shapes, |scope, inputs| (build(scope, inputs), Updates::new()))
        })?;
        let given: Vec<(&str, Data)> = inputs.iter().map(|(name, _, data)| (*name, *data)).collect();
        Ok(built.named(run(built, state, &given)?))
    }

    /// The model's tensors, with all others that last.
    pub fn state(&mut self) -> &mut State {
        &mut self.session.state
    }

    /// The test data.
    pub fn test(&self) -> &Loader {
        self.test
    }

    /// The directory of the run.
    pub fn out_dir(&self) -> &Path {
        self.session.dir().path()
    }

    /// Whole epochs done.
    pub fn epoch(&self) -> usize {
        self.session.manifest.epoch + usize::from(self.session.manifest.batch > 0)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.session.manifest.step
    }

    /// Whether training is over: all epochs are done, or as many steps as were asked for.
    pub fn is_last(&self) -> bool {
        self.epoch() >= self.trainer.epochs || self.trainer.steps.is_some_and(|steps| self.step() >= steps)
    }

    /// Whether the run should print nothing.
    pub fn is_quiet(&self) -> bool {
        self.trainer.quiet
    }

    /// Writes a file into the run's directory: the whole file, or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        crate::atomic::write(&self.out_dir().join(name), bytes)
    }
}

/// Runs a program on those of the inputs that it has a use for.
pub(super) fn run(
    built: &Built,
    state: &mut State,
    inputs: &[(&str, Data<'_>)],
) -> Result<wgrad_graph::Outputs, TrainError> {
    Ok(built.program.run(state, &used(built, inputs))?)
}

/// Those of the inputs that a program has a use for: it may leave out some of the batch's fields.
pub(super) fn used<'a>(built: &Built, inputs: &[(&'a str, Data<'a>)]) -> Vec<(&'a str, Data<'a>)> {
    let wanted: Vec<&str> = built.program.input_shapes().map(|(name, ..)| name).collect();
    inputs.iter().filter(|(name, _)| wanted.contains(name)).copied().collect()
}
