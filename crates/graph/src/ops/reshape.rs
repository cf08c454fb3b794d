//! The same elements in the same order under another shape.

use crate::op::{Array, DimIndex, IndexMap, Lower, Op, View};
use crate::shape::count;
use crate::{OpCase, Tensor};
use wgrad_device::{Affine, DType};

#[derive(Debug)]
pub(crate) struct Reshape(Vec<usize>);

impl Reshape {
    /// To this shape.
    pub fn to(shape: &[usize]) -> Reshape {
        Reshape(shape.to_vec())
    }
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        if count(&self.0) != x.count() {
            return Err(format!("{:?} has {} elements, {:?} has {}", x.shape(), x.count(), self.0, count(&self.0)));
        }
        Ok((self.0.clone(), x.dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![Some(grad.reshape(output.inputs()[0].shape()))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        Array::new(shape, inputs[0].data.clone())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Reshape {
    fn is_reshape(&self) -> bool {
        true
    }

    /// Works where each input dimension is made of whole output dimensions (a split seen from the input's side), which
    /// covers inserting and dropping extents of 1. Merging would need division of a sum.
    fn map(&self, map: &IndexMap, input: &[usize], output: &[usize]) -> Option<IndexMap> {
        let rank = map.dims.first().map(|d| d.affine.strides.len());
        let mut dims = vec![];
        let mut o = 0;
        for &n in input {
            if n == 1 {
                dims.push(Affine::constant(rank.unwrap_or(0), 0).into());
                continue;
            }
            // Take output dimensions until their product is n.
            let mut taken: Vec<usize> = vec![];
            let mut product = 1;
            while product < n {
                if o == output.len() {
                    return None;
                }
                if output[o] != 1 {
                    taken.push(o);
                    product *= output[o];
                }
                o += 1;
            }
            if product != n {
                return None;
            }
            if let [only] = taken[..] {
                dims.push(map.dims[only].clone());
                continue;
            }
            let mut sum: Option<Affine> = None;
            for &t in &taken {
                let DimIndex { affine, div: 1 } = &map.dims[t] else { return None };
                sum = Some(match sum {
                    None => affine.clone(),
                    Some(s) => s.scaled(output[t] as i64, 0).plus(affine, 1),
                });
            }
            dims.push(sum?.into());
        }
        Some(IndexMap { dims, guards: map.guards.clone() })
    }
}

impl Tensor {
    /// The same elements, row-major, under another shape of as many elements.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Tensor {
        let shape = shape.into();
        if shape == self.shape() { self.clone() } else { Tensor::apply(Reshape(shape), &[self]) }
    }

    /// Dimensions from `from` on made one: `flatten(1)` makes [N, C, H, W] into [N, C*H*W].
    #[track_caller]
    pub fn flatten(&self, from: usize) -> Tensor {
        if from > self.rank() {
            crate::fail("flatten", format!("no axis {from} in shape {:?}", self.shape()));
        }
        let mut shape = self.shape()[..from].to_vec();
        shape.push(count(&self.shape()[from..]));
        self.reshape(shape)
    }

    /// An extent of 1 put in at `axis`.
    #[track_caller]
    pub fn unsqueeze(&self, axis: usize) -> Tensor {
        if axis > self.rank() {
            crate::fail("unsqueeze", format!("no place {axis} in shape {:?}", self.shape()));
        }
        let mut shape = self.shape().to_vec();
        shape.insert(axis, 1);
        self.reshape(shape)
    }

    /// The extent of 1 at `axis` taken out.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Tensor {
        let axis = self.axis("squeeze", axis);
        if self.shape()[axis] != 1 {
            crate::fail("squeeze", format!("axis {axis} of {:?} is not 1", self.shape()));
        }
        let mut shape = self.shape().to_vec();
        shape.remove(axis);
        self.reshape(shape)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |from: &[usize], to: &[usize]| {
        let to = to.to_vec();
        // A product before and after, so that the view lies inside a fused chain.
        OpCase::new("reshape", format!("reshape {from:?} {to:?}"), &[from, &to.clone()], move |x| {
            (&x[0] * 2.0).reshape(to.clone()) * &x[1]
        })
    };
    vec![
        case(&[2, 3, 4], &[6, 4]),
        case(&[6, 4], &[2, 3, 1, 4]),
        case(&[7], &[1, 7, 1]),
        case(&[4, 6], &[3, 8]),
        case(&[0, 3], &[3, 0]),
        case(&[1, 1], &[1]),
        OpCase::new("reshape", "reshape of one element to none and back", &[&[1], &[3, 5]], |x| {
            (x[0].exp().reshape([]).square() * 2.0).reshape([1]).sin().reshape([]) * &x[1]
        }),
        OpCase::new("flatten", "flatten", &[&[2, 3, 5]], |x| x[0].flatten(1).square()),
        OpCase::new("unsqueeze", "unsqueeze, squeeze", &[&[4, 5]], |x| x[0].unsqueeze(1).square().squeeze(1)),
        OpCase::new("reshape", "reshape to a scalar and back, fused", &[&[1], &[2, 3]], |x| {
            x[0].exp().reshape([]).reshape([1, 1]).broadcast_to([2, 3]) * &x[1]
        }),
        OpCase::new("reshape", "reshape of a given element, spread", &[&[1]], |x| {
            x[0].reshape([]).broadcast_to([7, 11])
        }),
        OpCase::new("reshape", "reshape of a transpose", &[&[4, 5]], |x| x[0].permute(&[1, 0]).reshape([20]).square()),
    ]
}
