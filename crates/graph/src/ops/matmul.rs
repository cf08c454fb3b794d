//! Matrix product over the last two axes, with batches.

use crate::op::{Array, ContractionSpec, IndexMap, Lower, Op};
use crate::shape::{broadcast, indices};
use crate::{OpCase, Tensor};
use wgrad_device::{Affine, DType};

/// Arguments [batch, m, k] and [batch, k, n], each a list of axes; result [batch, m, n]. Transposes reach the kernel as
/// strides: they are views of the arguments.
#[derive(Clone, Debug)]
pub(crate) struct MatMul {
    pub batch: Vec<usize>,
    pub m: Vec<usize>,
    pub k: Vec<usize>,
    pub n: Vec<usize>,
}

impl MatMul {
    /// The product of the transposed arguments in the other order, which is this one's result transposed.
    pub fn transposed(&self) -> MatMul {
        MatMul { m: self.n.clone(), n: self.m.clone(), ..self.clone() }
    }

    /// Whether rows, columns and the sum are one axis each.
    pub fn is_plain(&self) -> bool {
        [&self.m, &self.k, &self.n].iter().all(|axes| axes.len() == 1)
    }

    /// [batch, x, y] as [batch, y, x], for an argument whose last `y` axes are these.
    fn swapped(&self, t: &Tensor, y: usize) -> Tensor {
        let (b, rank) = (self.batch.len(), t.rank());
        let order: Vec<usize> = (0..b).chain(rank - y..rank).chain(b..rank - y).collect();
        t.permute(&order)
    }
}

/// The type of two operands that are multiplied and summed: one float type. Sums are formed in f32.
pub(crate) fn same_float(a: &Tensor, b: &Tensor) -> Result<DType, String> {
    if a.dtype() != b.dtype() || !a.dtype().is_float() {
        return Err(format!("two tensors of one float type expected, not {} and {}; cast first", a.dtype(), b.dtype()));
    }
    Ok(a.dtype())
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let (a, b) = (inputs[0], inputs[1]);
        let dtype = same_float(a, b)?;
        Ok(([&self.batch[..], &self.m, &self.n].concat(), dtype))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let [a, b] = output.inputs() else { unreachable!("two arguments") };
        let MatMul { batch, m, k, n } = self.clone();
        let to_a = MatMul { batch: batch.clone(), m: m.clone(), k: n.clone(), n: k.clone() };
        let to_b = MatMul { batch, m: k.clone(), k: m, n: n.clone() };
        Ok(vec![
            Some(Tensor::apply(to_a, &[grad, &self.swapped(b, n.len())])),
            Some(Tensor::apply(to_b, &[&self.swapped(a, k.len()), grad])),
        ])
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let (r, m) = (self.batch.len(), self.batch.len() + self.m.len());
        Array::from_fn(shape, |i| {
            let term =
                |k: Vec<usize>| inputs[0].at(&[&i[..m], &k].concat()) * inputs[1].at(&[&i[..r], &k, &i[m..]].concat());
            indices(&self.k).map(term).sum()
        })
    }

    fn lower(&self) -> Lower<'_> {
        let MatMul { batch, m, k, n } = self.clone();
        Lower::Contraction(ContractionSpec {
            label: "matmul",
            a: IndexMap::identity(batch.len() + m.len() + k.len()),
            b: IndexMap::identity(batch.len() + k.len() + n.len()),
            c: Affine::row_major(&[&batch[..], &m, &n].concat()),
            batch,
            m,
            n,
            k,
        })
    }
}

impl Tensor {
    /// Matrix product of [..., M, K] and [..., K, N]: [..., M, N]. The leading axes broadcast, without a copy. A vector
    /// stands for a row on the left and for a column on the right, and its axis is dropped, as in PyTorch.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        if a.is_empty() || b.is_empty() {
            crate::fail("matmul", format!("{a:?} times {b:?}: one or more axes expected"));
        }
        if let [k] = *a {
            let product = self.reshape([1, k]).matmul(other);
            // A vector times a vector has lost its column already.
            return product.squeeze(if b.len() == 1 { 0 } else { -2 });
        }
        if let [k] = *b {
            return self.matmul(&other.reshape([k, 1])).squeeze(-1);
        }
        let ((batch_a, &[m, k]), (batch_b, &[k2, n])) = (
            (&a[..a.len() - 2], a.last_chunk::<2>().expect("two axes")),
            (&b[..b.len() - 2], b.last_chunk::<2>().expect("two axes")),
        );
        if k != k2 {
            crate::fail("matmul", format!("{a:?} times {b:?}: inner sizes {k} and {k2} differ"));
        }
        let Some(batch) = broadcast(batch_a, batch_b) else {
            crate::fail("matmul", format!("{a:?} times {b:?}: the leading axes do not broadcast"))
        };
        let wide_a = self.broadcast_to([&batch[..], &[m, k]].concat());
        let wide_b = other.broadcast_to([&batch[..], &[k, n]].concat());
        Tensor::apply(MatMul { batch, m: vec![m], k: vec![k], n: vec![n] }, &[&wide_a, &wide_b])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |a: &[usize], b: &[usize]| {
        OpCase::new("matmul", format!("matmul {a:?} {b:?}"), &[a, b], |x| x[0].matmul(&x[1])).domain(-1.0, 1.0)
    };
    let transposed = |a: bool, b: bool| {
        let sa: &[usize] = if a { &[19, 9] } else { &[9, 19] };
        let sb: &[usize] = if b { &[11, 19] } else { &[19, 11] };
        OpCase::new("matmul", format!("matmul, transposed {a} {b}"), &[sa, sb], move |x| {
            let l = if a { x[0].transpose(0, 1) } else { x[0].clone() };
            let r = if b { x[1].transpose(0, 1) } else { x[1].clone() };
            l.matmul(&r)
        })
        .domain(-1.0, 1.0)
    };
    vec![
        case(&[3, 5], &[5, 4]),
        case(&[65, 17], &[17, 66]),
        case(&[1, 7], &[7, 1]),
        case(&[2, 3, 4], &[2, 4, 5]),
        case(&[2, 1, 3, 4], &[5, 4, 2]),
        case(&[3, 0], &[0, 4]),
        case(&[5], &[5]),
        case(&[3, 5], &[5]),
        case(&[5], &[2, 5, 3]),
        case(&[0, 3], &[3, 4]),
        transposed(true, false),
        transposed(false, true),
        transposed(true, true),
        OpCase::new("matmul", "matmul with bias and relu", &[&[6, 10], &[10, 9], &[9]], |x| {
            (x[0].matmul(&x[1]) + &x[2]).relu()
        })
        .domain(-1.0, 1.0),
        OpCase::new("matmul", "matmul of slices", &[&[8, 10], &[5, 12]], |x| {
            x[0].slice(1, 2..7).matmul(&x[1].slice(1, 3..10))
        }),
    ]
}
