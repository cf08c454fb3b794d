//! The task of telling images apart.

use wgrad_graph::{CrossEntropy, Tensor, Updates};
use wgrad_nn::{Layer, Scope, loss};

use super::evaluation::Evaluation;
use super::task::{Headline, Inputs, Task, Values};
use crate::error::TrainError;
use crate::metrics::Scores;

type Optimize = dyn Fn(&Scope, &Tensor) -> Updates + Send + Sync;

/// Trains a function from "images" [N, ...] to logits [N, classes] to name the classes that "labels" (u32, `[N]`) name, by
/// cross-entropy.
///
/// Scores: `loss`, `accuracy`, and with more than five classes `top5`, the share of examples whose class is among the five
/// greatest logits.
pub struct Classifier {
    model: Box<dyn Layer>,
    optimizer: Box<Optimize>,
    label_smoothing: f32,
    class_names: Option<Vec<String>>,
}

impl Classifier {
    /// A classifier. `optimizer` gives the updates that one step makes to bring down the loss, such as
    /// `|scope, loss| Sgd::new(0.1).minimize(scope, loss)`.
    pub fn new(
        model: impl Layer + 'static,
        optimizer: impl Fn(&Scope, &Tensor) -> Updates + Send + Sync + 'static,
    ) -> Self {
        Self { model: Box::new(model), optimizer: Box::new(optimizer), label_smoothing: 0.0, class_names: None }
    }

    /// Share of each training label that is spread over all classes: 0 unless said otherwise.
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.label_smoothing = share;
        self
    }

    /// Writes the confusion matrix of each evaluation to `confusion.csv` in the run's directory: a row for each true class, a
    /// column for each answer.
    pub fn confusion(mut self, class_names: &[String]) -> Self {
        self.class_names = Some(class_names.to_vec());
        self
    }

    /// Logits, labels, and what both training and evaluation tell.
    fn forward(&self, scope: &Scope, batch: &Inputs, label_smoothing: f32) -> (Tensor, Tensor, Values) {
        let labels = batch.get("labels");
        let logits = self.model.forward(scope, &batch.get("images"));
        let loss = logits.cross_entropy_with(&labels, &CrossEntropy { label_smoothing, ..CrossEntropy::default() });
        let accuracy = loss::correct(&logits, &labels) / labels.count() as f32;
        (logits, labels, vec![("loss", loss), ("accuracy", accuracy)])
    }
}

impl Task for Classifier {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let (_, _, values) = self.forward(scope, batch, self.label_smoothing);
        let updates = (self.optimizer)(scope, &values[0].1);
        (values, updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let (logits, labels, mut values) = self.forward(scope, batch, 0.0);
        if logits.shape()[1] > 5 {
            values.push(("top5", loss::correct_in_top(&logits, &labels, 5) / labels.count() as f32));
        }
        if self.class_names.is_some() {
            values.push(("answers", logits.argmax(&[1])));
        }
        values
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let Some(names) = &self.class_names else { return run.means() };
        let mut counts = vec![vec![0u64; names.len()]; names.len()];
        let scores = run.each(|batch, outputs| {
            for (&label, answer) in batch.u32("labels").iter().zip(outputs.u32("answers")?) {
                let row = counts.get_mut(label as usize);
                if let Some(count) = row.and_then(|row| row.get_mut(answer as usize)) {
                    *count += 1;
                }
            }
            Ok(())
        })?;
        run.write("confusion.csv", confusion_csv(names, &counts).as_bytes())?;
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::higher("test accuracy", "accuracy")
    }
}

/// The table as text: names are quoted where they have to be.
fn confusion_csv(names: &[String], counts: &[Vec<u64>]) -> String {
    let quoted = |name: &String| {
        if name.contains([',', '"', '\n']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.clone() }
    };
    let head: Vec<String> = names.iter().map(quoted).collect();
    let mut text = format!("class,{}\n", head.join(","));
    for (name, row) in head.iter().zip(counts) {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        text += &format!("{name},{}\n", row.join(","));
    }
    text
}
