//! The programs of a classifier: one that trains and one that evaluates, for each shape of batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wgrad_graph::{CrossEntropy, DType, Program, State, Tensor, Updates, checked};
use wgrad_nn::{Scope, loss};

use super::Trainer;
use crate::error::TrainError;

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// Forward, backward and update.
    Train,
    /// Forward, in evaluation mode.
    Eval,
}

/// A program with what its building told of the model.
pub(super) struct Built {
    pub program: Program,
    /// Trainable elements.
    pub parameters: usize,
    /// Names of the model's tensors.
    pub tensors: Vec<String>,
}

/// Builds and compiles the program for batches of images of this shape. Its inputs are "images" and "labels", its outputs
/// the mean loss and the number of right answers.
pub(super) fn build(trainer: &Trainer, mode: Mode, shape: [usize; 4]) -> Result<Built, TrainError> {
    let (scope, smoothing) = match mode {
        Mode::Train => (Scope::train(), trainer.label_smoothing),
        Mode::Eval => (Scope::eval(), 0.0),
    };
    let (loss, correct, updates) = checked(|| {
        let images = Tensor::input("images", shape, DType::F32);
        let labels = Tensor::input("labels", [shape[0]], DType::U32);
        let logits = trainer.model.forward(&scope, &images);
        let options = CrossEntropy { label_smoothing: smoothing, ..CrossEntropy::default() };
        let loss = logits.cross_entropy_with(&labels, &options);
        let correct = loss::correct(&logits, &labels);
        let updates = match mode {
            Mode::Train => (trainer.optimizer)(&scope, &loss),
            Mode::Eval => Updates::new(),
        };
        (loss, correct, updates)
    })?;
    let program = Program::compile(&trainer.device, &[&loss, &correct], &updates)?;
    let tensors = scope.tensors().iter().filter_map(|t| t.name().map(String::from)).collect();
    Ok(Built { program, parameters: scope.param_count(), tensors })
}

/// Programs over one state, each compiled when it is first needed.
#[derive(Default)]
pub(super) struct Programs {
    compiled: HashMap<(Mode, [usize; 4]), Program>,
}

impl Programs {
    /// Keeps a program that was built before.
    pub fn insert(&mut self, mode: Mode, shape: [usize; 4], program: Program) {
        self.compiled.insert((mode, shape), program);
    }

    /// The program for this mode and shape, over `state`.
    pub fn get(
        &mut self,
        trainer: &Trainer,
        mode: Mode,
        shape: [usize; 4],
        state: &mut State,
    ) -> Result<&Program, TrainError> {
        match self.compiled.entry((mode, shape)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let program = build(trainer, mode, shape)?.program;
                state.add(&program)?;
                Ok(place.insert(program))
            }
        }
    }
}
