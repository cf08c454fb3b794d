//! What a [`Trainer`](super::Trainer) trains: the expressions of a step, and how the result is judged.

use wgrad_graph::{DType, Tensor, Updates, fail};
use wgrad_nn::Scope;

use super::evaluation::Evaluation;
use crate::error::TrainError;
use crate::metrics::Scores;

/// Named expressions.
pub type Values = Vec<(&'static str, Tensor)>;

/// A model with what it learns and how it is judged.
///
/// [`Classifier`](super::Classifier) is the ready one for images and labels. A task of one's own says what a training step
/// and an evaluation compute of a batch, whose fields are those of the loader's [`Source`](crate::data::Source).
///
/// ```
/// use wgrad_graph::Tensor;
/// use wgrad_nn::{Layer, Linear, Scope, loss, optim::Adam};
/// use wgrad_train::trainer::{Headline, Inputs, Task, Updates, Values};
///
/// struct Line;
///
/// impl Line {
///     fn loss(&self, scope: &Scope, batch: &Inputs) -> Tensor {
///         let y = Linear::new(1, 1).forward(scope, &batch.get("x"));
///         loss::mse(&y, &batch.get("y"), loss::Reduction::Mean)
///     }
/// }
///
/// impl Task for Line {
///     fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
///         let loss = self.loss(scope, batch);
///         let updates = Adam::new(1e-2).minimize(scope, &loss);
///         (vec![("loss", loss)], updates)
///     }
///
///     fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
///         vec![("loss", self.loss(scope, batch))]
///     }
///
///     fn headline(&self) -> Headline {
///         Headline::lower("validation loss", "loss")
///     }
/// }
/// ```
pub trait Task: Send + Sync {
    /// The programs that make up one training step, in order. All work on one state. One, unless said otherwise.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::new("train")]
    }

    /// What phase `phase` computes of a batch and writes. The values are scalars, means over the batch's examples; they are
    /// averaged until the metrics' next line.
    ///
    /// # Panics
    /// With a [`wgrad_graph::ShapeError`] if the batch does not fit the model; the trainer makes an error of it.
    fn train(&self, phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates);

    /// What an evaluation computes of a batch. Scalars are means over the batch's examples, and averaged over the test data;
    /// values of other shapes are for [`Task::evaluate`].
    ///
    /// # Panics
    /// As [`Task::train`].
    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values;

    /// Judges the model as it is by now: by the means of what [`Task::eval`] gives, unless said otherwise. Here is also the
    /// place to write pictures into the run's directory.
    ///
    /// # Errors
    /// What the evaluation's methods give, and what goes wrong with files.
    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        run.means()
    }

    /// The score that counts.
    fn headline(&self) -> Headline;
}

/// One of the programs that make up a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// It runs at every so manyth step: the first is step `every`.
    pub every: u64,
}

impl Phase {
    /// A phase of every step.
    pub fn new(name: &'static str) -> Self {
        Self { name, every: 1 }
    }

    /// A phase of every `steps`-th step only: a generator that is trained less often than its critic.
    pub fn every(self, steps: u64) -> Self {
        Self { every: steps.max(1), ..self }
    }
}

/// The score that a model is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How it is printed at the end.
    pub label: &'static str,
    /// Its name among the scores.
    pub score: &'static str,
    /// Whether more is better.
    pub higher: bool,
}

impl Headline {
    /// A score of which more is better.
    pub fn higher(label: &'static str, score: &'static str) -> Self {
        Self { label, score, higher: true }
    }

    /// A score of which less is better.
    pub fn lower(label: &'static str, score: &'static str) -> Self {
        Self { label, score, higher: false }
    }

    /// The better of two.
    pub(super) fn better(&self, a: f64, b: f64) -> f64 {
        if self.higher { a.max(b) } else { a.min(b) }
    }
}

/// Shapes of a batch's fields.
pub(super) type Shapes = Vec<(&'static str, Vec<usize>, DType)>;

/// The inputs that stand for a batch.
pub struct Inputs(Vec<(&'static str, Tensor)>);

impl Inputs {
    /// Inputs of these names and shapes.
    pub fn new(shapes: &[(&'static str, Vec<usize>, DType)]) -> Self {
        Self(shapes.iter().map(|(name, shape, dtype)| (*name, Tensor::input(*name, shape.clone(), *dtype))).collect())
    }

    /// The field `name` of all examples: its shape has the batch in front.
    ///
    /// # Panics
    /// With a [`wgrad_graph::ShapeError`] if the data has no such field.
    #[track_caller]
    pub fn get(&self, name: &str) -> Tensor {
        match self.0.iter().find(|(n, _)| *n == name) {
            Some((_, tensor)) => tensor.clone(),
            None => {
                let known: Vec<&str> = self.0.iter().map(|(n, _)| *n).collect();
                fail("batch", format!("the data has no field \"{name}\", only {}", known.join(", ")))
            }
        }
    }
}
