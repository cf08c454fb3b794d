//! Recurrent networks.

mod cell;
mod scan;
mod sequence;

pub use cell::{Cell, RecurrentCell};
pub use scan::scan;

use crate::{Layer, Scope};
use cell::{check_states, project};
use sequence::{Ran, Sequence};
use wgrad_graph::{DType, OpCase, Tensor, fail};

/// Recurrent layers over whole sequences: `torch.nn.RNN`, `LSTM` and `GRU`, by [`Cell`].
///
/// x is [T, B, inputs], or [B, T, inputs] if `batch_first`. Layer k (from 0) has the parameters `weight_ih_lk`,
/// `weight_hh_lk`, `bias_ih_lk` and `bias_hh_lk`, with `_reverse` appended for the direction backwards in time, all uniform
/// within 1 / sqrt(hidden).
///
/// The inputs of all steps are one product. Each step is a product of the hidden state, and a pointwise kernel. In the
/// gradient each weight has one product for all steps.
///
/// ```
/// use wgrad_graph::{DType, Tensor};
/// use wgrad_nn::{Cell, Recurrent, Scope};
/// let x = Tensor::input("x", [7, 2, 3], DType::F32);
/// let lengths = Tensor::input("lengths", [2], DType::U32);
/// let lstm = Recurrent::new(Cell::Lstm, 3, 5).layers(2).bidirectional(true);
/// let out = lstm.run(&Scope::eval(), &x, &[], Some(&lengths));
/// assert_eq!(out.output.shape(), [7, 2, 10]);
/// assert_eq!(out.states[0].shape(), [4, 2, 5]); // h of each layer and direction; states[1] is c
/// ```
#[derive(Clone, Debug)]
pub struct Recurrent {
    cell: Cell,
    inputs: usize,
    hidden: usize,
    layers: usize,
    bias: bool,
    batch_first: bool,
    bidirectional: bool,
    dropout: f32,
}

/// What [`Recurrent::run`] gives.
pub struct Sequences {
    /// h of the last layer at each time, [T, B, directions * hidden] (batch first if asked for); zeros past a sequence's
    /// end.
    pub output: Tensor,
    /// h, and c of an LSTM, at the end of each sequence: [layers * directions, B, hidden], forwards before backwards.
    pub states: Vec<Tensor>,
}

impl Recurrent {
    /// One layer from `inputs` features, with a state of `hidden`.
    pub fn new(cell: Cell, inputs: usize, hidden: usize) -> Recurrent {
        Recurrent {
            cell,
            inputs,
            hidden,
            layers: 1,
            bias: true,
            batch_first: false,
            bidirectional: false,
            dropout: 0.0,
        }
    }

    /// As many layers, each over the outputs of the one before.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// With or without biases.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Whether x and the output are [B, T, ...].
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = batch_first;
        self
    }

    /// Whether a second set of weights reads each sequence from its end; outputs are joined.
    pub fn bidirectional(mut self, bidirectional: bool) -> Self {
        self.bidirectional = bidirectional;
        self
    }

    /// Dropout of the outputs of each layer but the last, in training.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// Runs sequences. `initial` are the states to start from, as [`Sequences::states`]; none stand for zeros. `lengths`
    /// (u32 `[B]`) says where each sequence ends: what stands beyond changes neither states nor gradients, and the output
    /// there is 0. Parameters and all arithmetic are f32; results have the type of `x`. A length beyond T counts as T and is reported when outputs are read; one of 0 leaves the initial state.
    ///
    /// # Panics
    /// If shapes or types do not fit.
    #[track_caller]
    pub fn run(&self, scope: &Scope, x: &Tensor, initial: &[Tensor], lengths: Option<&Tensor>) -> Sequences {
        let name = scope.describe("Recurrent");
        let directions = 1 + self.bidirectional as usize;
        if x.rank() != 3 || x.shape()[2] != self.inputs || !x.dtype().is_float() || x.count() == 0 {
            let order = if self.batch_first { "B, T" } else { "T, B" };
            fail(&name, format!("floats [{order}, {}] expected, not {} {:?}", self.inputs, x.dtype(), x.shape()));
        }
        if self.layers == 0 || self.hidden == 0 {
            fail(&name, format!("{} layers of {}", self.layers, self.hidden));
        }
        let dtype = x.dtype();
        let mut x = if self.batch_first { x.transpose(0, 1) } else { x.clone() }.in_f32();
        let [time, batch, _] = x.dims();
        let shape = [self.layers * directions, batch, self.hidden];
        let initial = match initial {
            [] => vec![Tensor::zeros(shape, DType::F32); self.cell.states()],
            given => given.to_vec(),
        };
        check_states(&name, self.cell, &shape, &initial);
        let initial: Vec<Tensor> = initial.iter().map(Tensor::in_f32).collect();
        let mut inside = None;
        let mut ends = None;
        if let Some(lengths) = lengths {
            if lengths.shape() != [batch] || lengths.dtype() != DType::U32 {
                fail(&name, format!("lengths u32 [{batch}] expected, not {} {:?}", lengths.dtype(), lengths.shape()));
            }
            let lengths = lengths.checked_index("recurrent lengths", time + 1);
            inside = Some(Tensor::iota([time, batch, 1], 0).lt(&lengths.reshape([1, batch, 1])));
            ends = Some(lengths);
        }
        // Zeros for what must not matter, even if it is NaN.
        let zero = Tensor::scalar(0f32);
        let masked = |t: Tensor| inside.as_ref().map_or(t.clone(), |m| m.select(&t, &zero));
        x = masked(x);
        let mut last: Vec<Vec<Tensor>> = vec![vec![]; self.cell.states()];
        for layer in 0..self.layers {
            let mut outputs = vec![];
            for (direction, end) in ["", "_reverse"].iter().enumerate().take(directions) {
                let inputs = x.shape()[2];
                let suffix = format!("_l{layer}{end}");
                let (weight, bias, weights) = self.cell.declare(scope, &suffix, inputs, self.hidden, self.bias);
                let gates = project(&x.reshape([time * batch, inputs]), &weight, &bias);
                let at = layer * directions + direction;
                let begin: Vec<Tensor> =
                    initial.iter().map(|s| s.slice(0, at..at + 1).reshape([batch, self.hidden])).collect();
                let sequence = Sequence {
                    cell: self.cell,
                    weights: &weights,
                    x: &gates.reshape([time, batch, weight.shape()[0]]),
                    initial: &begin,
                    lengths: ends.as_ref(),
                    reverse: direction == 1,
                };
                let Ran { h, last: states } = sequence.run();
                outputs.push(masked(h));
                last.iter_mut().zip(states).for_each(|(all, s)| all.push(s.unsqueeze(0)));
            }
            x = join(&outputs, 2);
            if layer + 1 < self.layers && self.dropout > 0.0 && scope.is_train() {
                let (generator, stream) = scope.rng();
                x = x.dropout(self.dropout, &generator, stream);
            }
        }
        let output = if self.batch_first { x.transpose(0, 1) } else { x }.cast(dtype);
        Sequences { output, states: last.iter().map(|parts| join(parts, 0).cast(dtype)).collect() }
    }
}

/// The output alone, from zeros and without lengths.
impl Layer for Recurrent {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        self.run(scope, x, &[], None).output
    }
}

fn join(parts: &[Tensor], axis: isize) -> Tensor {
    match parts {
        [one] => one.clone(),
        many => Tensor::concat(&many.iter().collect::<Vec<_>>(), axis),
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let all = [
        (Cell::Tanh, "rnn_tanh"),
        (Cell::Relu, "rnn_relu"),
        (Cell::Lstm, "lstm"),
        (Cell::PeepholeLstm, "lstm_peephole"),
        (Cell::Gru, "gru"),
        (Cell::GruResetBefore, "gru_reset_before"),
    ];
    let case =
        |cell: Cell, op: &'static str, [time, batch, inputs, hidden]: [usize; 4], lengths: bool, reverse: bool| {
            let rows = cell.gates() * hidden;
            let mut shapes =
                vec![vec![time, batch, inputs], vec![rows, inputs], vec![rows, hidden], vec![rows], vec![batch]];
            shapes.extend(vec![vec![batch, hidden]; cell.states()]);
            if cell == Cell::PeepholeLstm {
                shapes.push(vec![3 * hidden]);
            }
            let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
            let text = format!("{op} {time}x{batch}x{inputs} to {hidden}, lengths {lengths}, reverse {reverse}");
            OpCase::new(op, text, &shapes, move |t| {
                // As the layers do with f16.
                let dtype = t[0].dtype();
                let t: Vec<Tensor> = t.iter().map(Tensor::in_f32).collect();
                let weights = cell::Weights {
                    hidden: t[2].clone(),
                    bias: Some(t[3].clone()),
                    peephole: (cell == Cell::PeepholeLstm).then(|| t[t.len() - 1].clone()),
                };
                let x = project(&t[0].reshape([time * batch, inputs]), &t[1], &None).reshape([time, batch, rows]);
                // From 0 to one beyond T, made from floats.
                let ends = ((&t[4] + 1.0) * (0.5 * time as f32 + 0.9)).stop_gradient().cast(DType::U32);
                let sequence = Sequence {
                    cell,
                    weights: &weights,
                    x: &x,
                    initial: &t[5..5 + cell.states()],
                    lengths: lengths.then_some(&ends),
                    reverse,
                };
                let Ran { h, last } = sequence.run();
                last.iter().fold(h, |sum, s| sum + s * 0.5).cast(dtype)
            })
        };
    let mut cases = vec![];
    for (cell, op) in all {
        cases.push(case(cell, op, [3, 2, 2, 3], false, false));
        cases.push(case(cell, op, [4, 3, 1, 2], true, true));
        cases.push(case(cell, op, [1, 1, 3, 1], true, false));
    }
    let ramp = |k: Option<usize>, op: &'static str| {
        OpCase::new(op, format!("{op} truncated to {k:?}"), &[&[5, 3], &[3]], move |t| {
            let (last, all) = scan(5, &[t[1].clone()], k, |i, s| {
                let next = (&s[0] * 0.7 + t[0].slice(0, i..i + 1).reshape([3])).tanh();
                (vec![next.clone()], next.square())
            });
            all + &last[0]
        })
    };
    cases.push(ramp(None, "scan"));
    // Truncated gradients are not what differences see.
    cases.push(ramp(Some(2), "scan").no_difference());
    cases.push(ramp(Some(5), "scan"));
    cases
}

#[cfg(test)]
mod tests;
