//! One step of a recurrent network.

use crate::Scope;
use wgrad_graph::{DType, Init, Tensor, fail};

/// The formula of a step. Below, `x` and `h` stand for `x @ weight_ih^T + bias_ih` and `h @ weight_hh^T + bias_hh` of the
/// gate concerned; rows of the weights are in the order of the gates, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `h' = tanh(x + h)`.
    Tanh,
    /// `h' = relu(x + h)`.
    Relu,
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000): gates i, f, g, o; `c' = sigmoid(f) * c
    /// + sigmoid(i) * tanh(g)`, `h' = sigmoid(o) * tanh(c')`.
    Lstm,
    /// An LSTM whose gates see the cell (Gers and Schmidhuber, 2000): c times a weight is added to i and f, and c' times a
    /// weight to o, before the sigmoid. The weights are `weight_ch` [3 * hidden], for i, f and o. PyTorch has none.
    PeepholeLstm,
    /// Gated recurrent unit, the reset gate after the product, as PyTorch and cuDNN have it: gates r, z, n; `n =
    /// tanh(x_n + sigmoid(r) * h_n)`, `h' = (1 - sigmoid(z)) * n + sigmoid(z) * h`.
    Gru,
    /// Gated recurrent unit, the reset gate before the product, as published (Cho et al., 2014): `h_n` is the product of
    /// `sigmoid(r) * h`. Two products a step.
    GruResetBefore,
}

impl Cell {
    /// Gates, which the weights have rows for.
    pub(super) fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Lstm | Cell::PeepholeLstm => 4,
            Cell::Gru | Cell::GruResetBefore => 3,
        }
    }

    /// Tensors of state: h, and c of an LSTM.
    pub(super) fn states(self) -> usize {
        if matches!(self, Cell::Lstm | Cell::PeepholeLstm) { 2 } else { 1 }
    }
}

/// The parameters of a step beside those of the input.
#[derive(Clone)]
pub(super) struct Weights {
    /// [gates * hidden, hidden].
    pub hidden: Tensor,
    /// [gates * hidden].
    pub bias: Option<Tensor>,
    /// [3 * hidden].
    pub peephole: Option<Tensor>,
}

impl Weights {
    /// All there are.
    pub fn list(&self) -> Vec<&Tensor> {
        std::iter::once(&self.hidden).chain(&self.bias).chain(&self.peephole).collect()
    }
}

/// A product with rows of the hidden weight.
pub(super) struct Product {
    pub operand: Tensor,
    /// With the bias.
    pub value: Tensor,
}

/// What a step makes.
pub(super) struct Step {
    pub states: Vec<Tensor>,
    pub products: Vec<Product>,
}

impl Cell {
    /// One step, from `x` [B, gates * hidden] and the states, each [B, hidden].
    pub(super) fn step(self, x: &Tensor, states: &[Tensor], w: &Weights) -> Step {
        let h = &states[0];
        let size = h.shape()[1];
        let gate = |t: &Tensor, i: usize| t.slice(1, i * size..(i + 1) * size);
        let product = |operand: &Tensor, rows: std::ops::Range<usize>| {
            let value = operand.matmul(&w.hidden.slice(0, rows.clone()).transpose(0, 1));
            let value = match &w.bias {
                Some(b) => value + b.slice(0, rows.clone()),
                None => value,
            };
            Product { operand: operand.clone(), value }
        };
        let blend = |z: Tensor, n: Tensor| (1.0 - &z) * n + z * h;
        match self {
            Cell::Tanh | Cell::Relu => {
                let p = product(h, 0..size);
                let sum = x + &p.value;
                let new = if self == Cell::Tanh { sum.tanh() } else { sum.relu() };
                Step { states: vec![new], products: vec![p] }
            }
            Cell::Lstm | Cell::PeepholeLstm => {
                let c = &states[1];
                let p = product(h, 0..4 * size);
                let gates = x + &p.value;
                let seen = |gate: Tensor, i: usize, c: &Tensor| match &w.peephole {
                    Some(w) => gate + w.slice(0, i * size..(i + 1) * size) * c,
                    None => gate,
                };
                let i = seen(gate(&gates, 0), 0, c).sigmoid();
                let f = seen(gate(&gates, 1), 1, c).sigmoid();
                let new_c = f * c + i * gate(&gates, 2).tanh();
                let o = seen(gate(&gates, 3), 2, &new_c).sigmoid();
                // As a node of its own, since a gradient by both states at once must not go from h to c.
                let kept = new_c.straight_through(&new_c);
                Step { states: vec![o * new_c.tanh(), kept], products: vec![p] }
            }
            Cell::Gru => {
                let p = product(h, 0..3 * size);
                let r = (gate(x, 0) + gate(&p.value, 0)).sigmoid();
                let z = (gate(x, 1) + gate(&p.value, 1)).sigmoid();
                let n = (gate(x, 2) + r * gate(&p.value, 2)).tanh();
                Step { states: vec![blend(z, n)], products: vec![p] }
            }
            Cell::GruResetBefore => {
                let p = product(h, 0..2 * size);
                let r = (gate(x, 0) + gate(&p.value, 0)).sigmoid();
                let z = (gate(x, 1) + gate(&p.value, 1)).sigmoid();
                let q = product(&(r * h), 2 * size..3 * size);
                let n = (gate(x, 2) + &q.value).tanh();
                Step { states: vec![blend(z, n)], products: vec![p, q] }
            }
        }
    }

    /// Declares the weights whose names end with `suffix`: those of the input [gates * hidden, inputs] with their bias, and
    /// the others. All uniform within 1 / sqrt(hidden), as in PyTorch.
    #[track_caller]
    pub(super) fn declare(
        self,
        scope: &Scope,
        suffix: &str,
        inputs: usize,
        hidden: usize,
        bias: bool,
    ) -> (Tensor, Option<Tensor>, Weights) {
        let bound = (1.0 / (hidden as f64).sqrt()) as f32;
        let rows = self.gates() * hidden;
        let param =
            |name: &str, shape: &[usize]| scope.param(&format!("{name}{suffix}"), shape, Init::Uniform(-bound, bound));
        let weight = param("weight_ih", &[rows, inputs]);
        let hidden_weight = param("weight_hh", &[rows, hidden]);
        let input_bias = bias.then(|| param("bias_ih", &[rows]));
        let bias = bias.then(|| param("bias_hh", &[rows]));
        let peephole = (self == Cell::PeepholeLstm).then(|| param("weight_ch", &[3 * hidden]));
        (weight, input_bias, Weights { hidden: hidden_weight, bias, peephole })
    }
}

/// One step of a recurrent network as a layer: `torch.nn.LSTMCell`, `GRUCell` and `RNNCell`. Parameters `weight_ih`,
/// `weight_hh`, `bias_ih` and `bias_hh`.
#[derive(Clone, Debug)]
pub struct RecurrentCell {
    cell: Cell,
    inputs: usize,
    hidden: usize,
    bias: bool,
}

impl RecurrentCell {
    /// From `inputs` features, with a state of `hidden`.
    pub fn new(cell: Cell, inputs: usize, hidden: usize) -> RecurrentCell {
        RecurrentCell { cell, inputs, hidden, bias: true }
    }

    /// With or without biases.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The next state, from x [B, inputs] and the state: h, and c of an LSTM, each [B, hidden]. No state at all stands for
    /// zeros.
    ///
    /// # Panics
    /// If shapes or the number of states do not fit.
    #[track_caller]
    pub fn forward(&self, scope: &Scope, x: &Tensor, states: &[Tensor]) -> Vec<Tensor> {
        let name = scope.describe("RecurrentCell");
        if x.rank() != 2 || x.shape()[1] != self.inputs || !x.dtype().is_float() {
            fail(&name, format!("floats [B, {}] expected, not {} {:?}", self.inputs, x.dtype(), x.shape()));
        }
        let shape = [x.shape()[0], self.hidden];
        let states = match states {
            [] => vec![Tensor::zeros(shape, DType::F32); self.cell.states()],
            given => given.to_vec(),
        };
        check_states(&name, self.cell, &shape, &states);
        let (weight, bias, weights) = self.cell.declare(scope, "", self.inputs, self.hidden, self.bias);
        let states: Vec<Tensor> = states.iter().map(Tensor::in_f32).collect();
        let next = self.cell.step(&project(&x.in_f32(), &weight, &bias), &states, &weights).states;
        next.iter().map(|s| s.cast(x.dtype())).collect()
    }
}

/// `x @ weight^T + bias`, of rows.
pub(super) fn project(x: &Tensor, weight: &Tensor, bias: &Option<Tensor>) -> Tensor {
    let y = x.matmul(&weight.transpose(0, 1));
    bias.as_ref().map_or(y.clone(), |b| y + b)
}

#[track_caller]
pub(super) fn check_states(name: &str, cell: Cell, shape: &[usize], states: &[Tensor]) {
    if states.len() != cell.states() {
        fail(name, format!("{cell:?} has {} tensors of state, but {} are given", cell.states(), states.len()));
    }
    if let Some(s) = states.iter().find(|s| s.shape() != shape || !s.dtype().is_float()) {
        fail(name, format!("a state is {} {:?}, not floats {shape:?}", s.dtype(), s.shape()));
    }
}
