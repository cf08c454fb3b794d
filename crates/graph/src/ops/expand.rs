//! Extents of 1 stretched.

use crate::op::{Array, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::{Affine, DType};

/// To this shape, of the same rank.
#[derive(Debug)]
struct Expand(Vec<usize>);

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        let fits = x.rank() == self.0.len() && x.shape().iter().zip(&self.0).all(|(&a, &b)| a == b || a == 1);
        if !fits {
            return Err(format!("{:?} does not stretch to {:?}", x.shape(), self.0));
        }
        Ok((self.0.clone(), x.dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let from = output.inputs()[0].shape();
        let axes: Vec<isize> = (0..from.len()).filter(|&d| from[d] != self.0[d]).map(|d| d as isize).collect();
        Ok(vec![Some(grad.sum_keepdim(&axes))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let from = &inputs[0].shape;
        Array::from_fn(shape, |i| {
            let at: Vec<usize> = i.iter().zip(from).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
            inputs[0].at(&at)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Expand {
    fn map(&self, map: &IndexMap, input: &[usize], output: &[usize]) -> Option<IndexMap> {
        let dims = map
            .dims
            .iter()
            .enumerate()
            .map(|(d, index)| {
                if input[d] == output[d] {
                    index.clone()
                } else {
                    Affine::constant(index.affine.strides.len(), 0).into()
                }
            })
            .collect();
        Some(IndexMap { dims, guards: map.guards.clone() })
    }
}

impl Tensor {
    /// Stretched to `shape` by NumPy's rule: aligned at the right, extents of 1 repeat.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Vec<usize>>) -> Tensor {
        let shape = shape.into();
        if shape == self.shape() {
            return self.clone();
        }
        if shape.len() < self.rank() {
            crate::fail("broadcast_to", format!("{:?} does not stretch to {shape:?}", self.shape()));
        }
        let mut from = vec![1; shape.len() - self.rank()];
        from.extend_from_slice(self.shape());
        let x = self.reshape(from);
        if shape == x.shape() { x } else { Tensor::apply(Expand(shape), &[&x]) }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |from: &[usize], to: &[usize]| {
        let to = to.to_vec();
        OpCase::new("expand", format!("expand {from:?} {to:?}"), &[from, &to.clone()], move |x| {
            x[0].square().broadcast_to(to.clone()) * &x[1]
        })
    };
    vec![
        case(&[3, 1], &[3, 5]),
        case(&[4], &[2, 3, 4]),
        case(&[1], &[7, 1, 2]),
        case(&[1, 3], &[0, 3]),
        case(&[2, 1, 3, 1], &[2, 4, 3, 5]),
    ]
}
