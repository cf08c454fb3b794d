//! Programs over one state, each compiled when it is first needed.

use std::collections::{BTreeMap, HashMap};

use wgrad_graph::{DType, Device, Outputs, Program, State, Tensor, Updates, checked};
use wgrad_nn::Scope;

use super::task::{Inputs, Shapes, Task, Values};
use crate::error::TrainError;

/// What a program is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// The training phase of this name.
    Train(&'static str),
    /// Judging a batch.
    Eval,
    /// What a task asks for while it judges, by its name.
    Other(&'static str),
}

/// A program with the names of its outputs, and what its building told of the model.
pub(super) struct Built {
    pub program: Program,
    pub names: Vec<&'static str>,
    /// Those that are scalars of f32, which means are taken of.
    pub scalars: Vec<bool>,
    /// Parameters by name, with their number of elements.
    pub parameters: BTreeMap<String, usize>,
    /// Names of the model's tensors.
    pub tensors: Vec<String>,
}

impl Built {
    /// Builds and compiles a program of what `build` gives.
    pub fn new(
        device: &Device,
        scope: &Scope,
        shapes: &Shapes,
        build: impl FnOnce(&Scope, &Inputs) -> (Values, Updates),
    ) -> Result<Built, TrainError> {
        let (values, updates) = checked(|| build(scope, &Inputs::new(shapes)))?;
        let outputs: Vec<&Tensor> = values.iter().map(|(_, value)| value).collect();
        let program = Program::compile(device, &outputs, &updates)?;
        let name = |t: &Tensor| t.name().unwrap_or_default().to_string();
        Ok(Built {
            program,
            names: values.iter().map(|(name, _)| *name).collect(),
            scalars: values.iter().map(|(_, v)| v.count() == 1 && v.dtype() == DType::F32).collect(),
            parameters: scope.params().iter().map(|p| (name(p), p.count())).collect(),
            tensors: scope.tensors().iter().map(name).collect(),
        })
    }

    /// The program of a training phase or an evaluation.
    pub fn of(device: &Device, task: &dyn Task, what: &Use, shapes: &Shapes) -> Result<Built, TrainError> {
        match what {
            Use::Train(phase) => {
                Self::new(device, &Scope::train(), shapes, |scope, batch| task.train(phase, scope, batch))
            }
            _ => Self::new(device, &Scope::eval(), shapes, |scope, batch| (task.eval(scope, batch), Updates::new())),
        }
    }

    pub fn named(&self, outputs: Outputs) -> Named {
        Named { names: self.names.clone(), scalars: self.scalars.clone(), outputs }
    }
}

/// A program's outputs by name. Reading waits for the device.
pub struct Named {
    names: Vec<&'static str>,
    scalars: Vec<bool>,
    outputs: Outputs,
}

impl Named {
    /// The elements of the f32 output `name`, which can be taken once.
    ///
    /// # Errors
    /// As [`Outputs::f32`].
    ///
    /// # Panics
    /// If there is no such output.
    pub fn f32(&mut self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(self.outputs.f32(self.place(name))?)
    }

    /// The elements of the u32 output `name`, which can be taken once.
    ///
    /// # Errors
    /// As [`Outputs::u32`].
    ///
    /// # Panics
    /// If there is no such output.
    pub fn u32(&mut self, name: &str) -> Result<Vec<u32>, TrainError> {
        Ok(self.outputs.u32(self.place(name))?)
    }

    /// The shape of the output `name`.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn shape(&self, name: &str) -> &[usize] {
        self.outputs.shape(self.place(name))
    }

    /// All scalars of f32, in their order.
    pub(super) fn take_scalars(&mut self) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let places = (0..self.names.len()).filter(|&i| self.scalars[i]);
        places.map(|i| Ok((self.names[i], f64::from(self.outputs.scalar(i)?)))).collect()
    }

    fn place(&self, name: &str) -> usize {
        let found = self.names.iter().position(|n| *n == name);
        found.unwrap_or_else(|| panic!("no output is called \"{name}\", only {}", self.names.join(", ")))
    }
}

/// Programs over one state.
#[derive(Default)]
pub(super) struct Programs {
    compiled: HashMap<(Use, Shapes), Built>,
}

impl Programs {
    /// Keeps a program that was built before.
    pub fn insert(&mut self, what: Use, shapes: Shapes, built: Built) {
        self.compiled.insert((what, shapes), built);
    }

    /// The program for this use and these shapes, over `state`: the one there is, or what `build` gives.
    pub fn get(
        &mut self,
        what: Use,
        shapes: Shapes,
        state: &mut State,
        build: impl FnOnce(&Use, &Shapes) -> Result<Built, TrainError>,
    ) -> Result<&Built, TrainError> {
        let key = (what, shapes);
        if !self.compiled.contains_key(&key) {
            let built = build(&key.0, &key.1)?;
            state.add(&built.program)?;
            self.compiled.insert(key.clone(), built);
        }
        Ok(&self.compiled[&key])
    }
}
