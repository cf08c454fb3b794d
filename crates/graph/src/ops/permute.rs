//! Axes in another order.

use crate::op::{Array, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Output axis `d` is input axis `self.0[d]`.
#[derive(Debug)]
pub(crate) struct Permute(Vec<usize>);

impl Permute {
    /// What this order of axes makes of another order's result, or `None` if it only undoes it.
    pub fn after(&self, first: &Permute) -> Option<Permute> {
        let both: Vec<usize> = self.0.iter().map(|&d| first.0[d]).collect();
        (!both.is_sorted()).then_some(Permute(both))
    }

    /// Whether only the last two axes change places.
    pub fn is_transpose(&self) -> bool {
        let n = self.0.len();
        n >= 2 && self.0[..n - 2].iter().copied().eq(0..n - 2) && self.0[n - 2] == n - 1
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        if sorted != (0..x.rank()).collect::<Vec<_>>() {
            return Err(format!("{:?} is no order of the axes of {:?}", self.0, x.shape()));
        }
        Ok((self.0.iter().map(|&d| x.shape()[d]).collect(), x.dtype()))
    }
    fn gradient(&self, _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let mut back = vec![0; self.0.len()];
        for (to, &from) in self.0.iter().enumerate() {
            back[from] = to;
        }
        Ok(vec![Some(grad.permute(&back))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| {
            let mut from = vec![0; i.len()];
            for (d, &axis) in self.0.iter().enumerate() {
                from[axis] = i[d];
            }
            inputs[0].at(&from)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Permute {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut dims = map.dims.clone();
        for (d, &axis) in self.0.iter().enumerate() {
            dims[axis] = map.dims[d].clone();
        }
        Some(IndexMap { dims, guards: map.guards.clone() })
    }
}

impl Tensor {
    /// Axes in another order: axis `d` of the result is axis `order[d]` of this tensor.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        if order.iter().copied().eq(0..self.rank()) {
            return self.clone();
        }
        Tensor::apply(Permute(order.to_vec()), &[self])
    }

    /// Two axes exchanged; negative ones count from the end.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(self.axis("transpose", a), self.axis("transpose", b));
        self.permute(&order)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |shape: &[usize], order: &[usize]| {
        let order = order.to_vec();
        OpCase::new("permute", format!("permute {shape:?} {order:?}"), &[shape], move |x| {
            let y = (&x[0] * 2.0).permute(&order);
            &y * &y.exp()
        })
    };
    vec![
        case(&[4, 7], &[1, 0]),
        case(&[2, 3, 5], &[2, 0, 1]),
        case(&[3, 1, 2, 4], &[3, 1, 0, 2]),
        case(&[0, 2], &[1, 0]),
        OpCase::new("transpose", "transpose", &[&[3, 4, 5]], |x| x[0].transpose(-1, 0).square()),
    ]
}
