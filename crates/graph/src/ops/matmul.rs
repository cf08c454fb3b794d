//! Matrix product over the last two axes, with batches.

use crate::op::{Array, ContractionSpec, IndexMap, Lower, Op};
use crate::shape::broadcast;
use crate::{OpCase, Tensor};
use wgrad_device::{Affine, DType};

/// Arguments of equal rank and equal batch axes. Transposes reach the kernel as strides: they are views of the arguments.
#[derive(Clone, Debug)]
pub(crate) struct MatMul {
    batch: Vec<usize>,
    m: usize,
    k: usize,
    n: usize,
}

impl MatMul {
    /// The product of the transposed arguments in the other order, which is this one's result transposed.
    pub fn transposed(&self) -> MatMul {
        MatMul { m: self.n, n: self.m, ..self.clone() }
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype() != DType::F32 || b.dtype() != DType::F32 {
            return Err(format!("f32 expected, not {} and {}; cast first", a.dtype(), b.dtype()));
        }
        Ok(([&self.batch[..], &[self.m, self.n]].concat(), DType::F32))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let [a, b] = output.inputs() else { unreachable!("two arguments") };
        Ok(vec![Some(grad.matmul(&b.transpose(-1, -2))), Some(a.transpose(-1, -2).matmul(grad))])
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let r = self.batch.len();
        Array::from_fn(shape, |i| {
            let at = |x: usize, y: usize| [&i[..r], &[x, y]].concat();
            (0..self.k).map(|k| inputs[0].at(&at(i[r], k)) * inputs[1].at(&at(k, i[r + 1]))).sum()
        })
    }

    fn lower(&self) -> Lower<'_> {
        let rank = self.batch.len() + 2;
        Lower::Contraction(ContractionSpec {
            label: "matmul",
            batch: self.batch.clone(),
            m: vec![self.m],
            n: vec![self.n],
            k: vec![self.k],
            a: IndexMap::identity(rank),
            b: IndexMap::identity(rank),
            c: Affine::row_major(&[&self.batch[..], &[self.m, self.n]].concat()),
        })
    }
}

impl Tensor {
    /// Matrix product of [..., M, K] and [..., K, N]: [..., M, N]. The leading axes broadcast.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        if a.len() < 2 || b.len() < 2 {
            crate::fail("matmul", format!("{a:?} times {b:?}: matrices of two or more axes expected"));
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
        Tensor::apply(MatMul { batch, m, k, n }, &[&wide_a, &wide_b])
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
