//! Places of values in sorted rows: `searchsorted` and `bucketize`, as PyTorch has them.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;
use wgrad_device::kernels::Search;

/// Arguments: sorted u32 keys, u32 keys to look for.
#[derive(Debug)]
struct Searchsorted(Search);

impl Op for Searchsorted {
    fn name(&self) -> &'static str {
        "searchsorted"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[1].shape().to_vec(), DType::U32))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![None, None])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let s = &self.0;
        let place = |(i, &v): (usize, &f64)| {
            let row = &inputs[0].data[i / s.values * s.len..][..s.len];
            row.iter().filter(|&&x| x < v || (s.after_equals && x == v)).count() as f64
        };
        Array::new(shape, inputs[1].data.iter().enumerate().map(place).collect())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.0.clone()))
    }
}

impl Tensor {
    /// For each value, how many elements of this sorted tensor are less than it (or, with `right`, not greater): where it
    /// would go so that the order is kept. This tensor is `[len]`, and `values` of any shape; or this one is [..., len] and
    /// `values` [..., m] with the same leading extents, row by row. Result: u32 of the shape of `values`. NaN counts as
    /// greater than any number.
    ///
    /// As `torch.searchsorted`. Whether the rows are sorted is not checked; where they are not, the result is some number
    /// from 0 to len.
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Tensor {
        let (rank, shape) = (self.rank(), self.shape());
        let fits = rank == 1 || (rank > 1 && values.rank() == rank && values.shape()[..rank - 1] == shape[..rank - 1]);
        if !fits || values.dtype() != self.dtype() {
            let (a, b) = (self.dtype(), values.dtype());
            crate::fail("searchsorted", format!("values {b} {:?} in rows {a} {shape:?}", values.shape()));
        }
        let rows = shape[..rank - 1].iter().product::<usize>();
        let values_of_row = if rank == 1 { values.count() } else { values.shape()[rank - 1] };
        let search = Search { rows, len: shape[rank - 1], values: values_of_row, after_equals: right };
        Tensor::apply(Searchsorted(search), &[&self.sort_keys(), &values.sort_keys()])
    }

    /// For each element, the number of the bucket it falls in: how many of the sorted `boundaries` `[n]` are less than it, or
    /// with `right` not greater: u32 from 0 to n. As `torch.bucketize`.
    #[track_caller]
    pub fn bucketize(&self, boundaries: &Tensor, right: bool) -> Tensor {
        if boundaries.rank() != 1 {
            crate::fail("bucketize", format!("boundaries [n] expected, not {:?}", boundaries.shape()));
        }
        boundaries.searchsorted(self, right)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // Sorted rows: running sums of steps. Some values are equal to some elements.
    let sorted = |shape: &[usize], like: &Tensor| {
        let steps = Tensor::iota(shape, shape.len() - 1).cast(like.dtype());
        steps.mul_scalar(0.25) - 1.0
    };
    let case = |rows: &[usize], values: &[usize], right: bool| {
        let shape = rows.to_vec();
        OpCase::new(
            "searchsorted",
            format!("searchsorted {values:?} in {rows:?}, right {right}"),
            &[values],
            move |x| {
                let rounded = (x[0].stop_gradient() * 8.0).round() * 0.125;
                let place = sorted(&shape, &x[0]).searchsorted(&rounded, right);
                x[0].exp() * place.cast(x[0].dtype())
            },
        )
    };
    vec![
        case(&[7], &[5, 3], false),
        case(&[7], &[5, 3], true),
        case(&[3, 5], &[3, 11], false),
        case(&[2, 1, 9], &[2, 1, 4], true),
        case(&[0], &[4], false),
        case(&[3], &[0], true),
        OpCase::new("bucketize", "bucketize", &[&[4, 5]], move |x| {
            x[0].sin() * x[0].bucketize(&sorted(&[6], &x[0]), true).cast(x[0].dtype())
        }),
    ]
}
