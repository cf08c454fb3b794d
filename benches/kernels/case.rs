//! One kernel at one size: how wgrad's graph says it, and how a peer is told of it.

use super::timer::{kept, leaf};
use serde::Serialize;
use wgrad::graph::{Attention, ConvOptions, Window, gradients_of};
use wgrad::prelude::*;

/// What is computed.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Work {
    /// [batch, m, k] times [batch, k, n]; each operand may lie transposed in memory. No batch axis where batch is 1.
    Matmul { batch: usize, m: usize, n: usize, k: usize, transposed: [bool; 2] },
    /// `n` images of `c` channels and `size` x `size` pixels with `o` kernels of `k` x `k`; `up` is transposed convolution.
    Conv { n: usize, c: usize, size: usize, o: usize, k: usize, stride: usize, pad: usize, groups: usize, up: bool },
    /// [n, heads, length, width], causal.
    Attention { n: usize, heads: usize, length: usize, width: usize },
    /// A function of tensors of this shape, by name: [`simple`].
    Simple { what: &'static str, shape: Vec<usize> },
    /// An update of so many parameters in so many tensors: `adam` or `sgd` (with momentum). Gradients that lie in the state are
    /// packed by a copy, which training does without: there, kernels write them into the pack.
    Update { what: &'static str, tensors: usize, each: usize },
}

/// Which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The value.
    Forward,
    /// The gradient by the first argument alone.
    Input,
    /// The gradient by the second argument alone.
    Weight,
    /// The value and all gradients.
    Both,
}

/// A case of the bench.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Its name in tables; peers know those of section "kernels" in `benches/peers/README.md`.
    pub name: String,
    /// What is computed.
    pub work: Work,
    /// Which part of it.
    pub part: Part,
    /// In half precision.
    pub half: bool,
}

impl Case {
    /// Where the case belongs in the summary: what it is, and of convolutions of whole networks which part.
    pub fn group(&self) -> String {
        let first = self.name.split('_').next().unwrap_or_default();
        match (&self.work, self.part) {
            (Work::Simple { .. }, Part::Forward) => "maps, reductions, norms".into(),
            (Work::Simple { .. }, _) => "the same with gradients".into(),
            (Work::Update { .. }, _) => "optimisers".into(),
            (_, Part::Forward) => first.into(),
            (_, Part::Both) => format!("{first} with gradients"),
            (_, Part::Input) => format!("{first} by input"),
            (_, Part::Weight) => format!("{first} by weight"),
        }
    }

    /// The whole as updates of state, for [`super::timer::time`].
    pub fn updates(&self) -> Updates {
        let dtype = if self.half { DType::F16 } else { DType::F32 };
        if let Work::Update { what, tensors, each } = self.work {
            let tensor = |kind: &str, i: usize| leaf(format!("{kind}.{i}"), &[each], dtype);
            let all = |kind: &str| (0..tensors).map(|i| tensor(kind, i)).collect::<Vec<_>>();
            let (scope, params, grads) = (Scope::train(), all("parameter"), all("gradient"));
            return match what {
                "adam" => Adam::new(1e-3).step(&scope, &params, &grads),
                _ => Sgd::new(1e-3).momentum(0.9).step(&scope, &params, &grads),
            };
        }
        let arguments: Vec<Tensor> =
            self.shapes().iter().enumerate().map(|(i, shape)| leaf(format!("in.{i}"), shape, dtype)).collect();
        let y = self.value(&arguments);
        let seed = || leaf("in.seed", y.shape(), y.dtype());
        let by = |wrt: &[&Tensor]| gradients_of(&y, wrt, &seed());
        kept(&match self.part {
            Part::Forward => vec![y.clone()],
            Part::Input => by(&[&arguments[0]]),
            Part::Weight => by(&[&arguments[1]]),
            Part::Both => [vec![y.clone()], by(&arguments.iter().collect::<Vec<_>>())].concat(),
        })
    }

    /// Extents of the arguments.
    fn shapes(&self) -> Vec<Vec<usize>> {
        match &self.work {
            &Work::Matmul { batch, m, n, k, transposed: [a, b] } => {
                let matrix = |rows, columns, turned| {
                    let [rows, columns] = if turned { [columns, rows] } else { [rows, columns] };
                    if batch == 1 { vec![rows, columns] } else { vec![batch, rows, columns] }
                };
                vec![matrix(m, k, a), matrix(k, n, b)]
            }
            &Work::Conv { n, c, size, o, k, groups, up, .. } => {
                let weight = if up { vec![c, o / groups, k, k] } else { vec![o, c / groups, k, k] };
                vec![vec![n, c, size, size], weight]
            }
            &Work::Attention { n, heads, length, width } => vec![vec![n, heads, length, width]; 3],
            Work::Simple { what, shape } => {
                let channels = if shape.len() == 4 { shape[1] } else { shape[shape.len() - 1] };
                match *what {
                    "add" => vec![shape.clone(); 2],
                    "layer_norm" | "batch_norm" => vec![shape.clone(), vec![channels], vec![channels]],
                    _ => vec![shape.clone()],
                }
            }
            Work::Update { .. } => vec![],
        }
    }

    fn value(&self, x: &[Tensor]) -> Tensor {
        match &self.work {
            &Work::Matmul { transposed: [a, b], .. } => {
                let turned = |t: &Tensor, turn| match (turn, t.rank()) {
                    (false, _) => t.clone(),
                    (true, 2) => t.permute(&[1, 0]),
                    (true, _) => t.permute(&[0, 2, 1]),
                };
                turned(&x[0], a).matmul(&turned(&x[1], b))
            }
            &Work::Conv { stride, pad, groups, up, .. } => {
                let options = ConvOptions::new(2).stride(stride).padding(pad).groups(groups);
                if up { x[0].conv_transpose(&x[1], &options, &[0, 0]) } else { x[0].conv(&x[1], &options) }
            }
            Work::Attention { .. } => x[0].attention(&x[1], &x[2], &Attention { causal: true, ..Attention::default() }),
            Work::Simple { what, .. } => simple(what, x),
            Work::Update { .. } => x[0].clone(),
        }
    }

    /// Floating-point operations (a multiply-add is two), of products; nothing for what memory bounds.
    pub fn flops(&self) -> Option<f64> {
        let parts = if self.part == Part::Both { 3 } else { 1 };
        Some(match self.work {
            Work::Matmul { batch, m, n, k, .. } => (2 * batch * m * n * k * parts) as f64,
            Work::Conv { n, c, size, o, k, stride, pad, groups, up } => {
                let places = if up { size } else { (size + 2 * pad - k) / stride + 1 };
                (2 * n * o * c / groups * k * k * places * places * parts) as f64
            }
            // Half of the scores; two products forward and five backward, as is usually counted.
            Work::Attention { n, heads, length, width } => {
                let product = (n * heads * length * length * width) as f64;
                product * if self.part == Part::Both { 7.0 } else { 2.0 }
            }
            _ => return None,
        })
    }
}

/// Functions by name. Peers have the same list.
fn simple(what: &str, x: &[Tensor]) -> Tensor {
    let window = |size, stride, pad| vec![Window { size, stride, dilation: 1, padding: (pad, pad) }; 2];
    match what {
        "add" => &x[0] + &x[1],
        "relu" => x[0].relu(),
        "gelu" => x[0].gelu_tanh(),
        "softmax" => x[0].softmax(-1),
        "sum_rows" => x[0].sum(&[1]),
        "sum_columns" => x[0].sum(&[0]),
        "sum_all" => x[0].sum_all(),
        "transpose" => x[0].permute(&[1, 0]),
        "layer_norm" => x[0].layer_norm(x[1].shape(), &x[1], &x[2], 1e-5),
        "batch_norm" => x[0].batch_norm_train(&x[1], &x[2], 1e-5).output,
        "max_pool_2" => x[0].max_pool(&window(2, 2, 0)),
        "max_pool_3" => x[0].max_pool(&window(3, 2, 1)),
        _ => x[0].cross_entropy(&leaf("in.labels", &x[0].shape()[..1], DType::U32)),
    }
}
