//! Unpooling: larger images from pooled ones.

use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// Each element put where `indices` (u32, of this shape) says, zeros elsewhere: the last `spatial.len()` axes become
    /// `spatial`, and an index is a row-major position in their plane, as [`Tensor::max_pool_with_indices`] gives it. Where
    /// one position is named more than once the elements add up (PyTorch keeps any one of them).
    ///
    /// # Panics
    /// If shapes do not fit. An index outside of the plane is dropped, and reported when outputs are read.
    #[track_caller]
    pub fn max_unpool(&self, indices: &Tensor, spatial: &[usize]) -> Tensor {
        if indices.shape() != self.shape() || indices.dtype() != DType::U32 {
            crate::fail(
                "max_unpool",
                format!("indices u32 {:?} expected, not {} {:?}", self.shape(), indices.dtype(), indices.shape()),
            );
        }
        if spatial.is_empty() || spatial.len() > self.rank() {
            crate::fail("max_unpool", format!("{:?} to spatial extents {spatial:?}", self.shape()));
        }
        let lead = &self.shape()[..self.rank() - spatial.len()];
        let (planes, area): (usize, usize) = (lead.iter().product(), spatial.iter().product());
        let shape = [lead, spatial].concat();
        let inside = self.count().checked_div(planes).unwrap_or(0);
        let at = indices.checked_index("max_unpool", area).reshape([planes, inside]);
        let limit = Tensor::scalar(area as u32);
        let flat = Tensor::iota([planes, inside], 0) * &limit + &at;
        let flat = at.lt(&limit).select(&flat, &Tensor::scalar(u32::MAX));
        self.reshape([planes, inside]).scatter_flat(&flat, planes * area).reshape(shape)
    }

    /// Each element repeated `factors[d]` times along each of the last axes: nearest-neighbour upsampling by whole factors.
    ///
    /// # Panics
    /// If a factor is 0, or there are more of them than axes.
    #[track_caller]
    pub fn unpool_nearest(&self, factors: &[usize]) -> Tensor {
        let first = self.check_factors("unpool_nearest", factors);
        let (mut thin, mut wide, mut shape) = (vec![], vec![], vec![]);
        for (d, &n) in self.shape().iter().enumerate() {
            let f = if d < first { 1 } else { factors[d - first] };
            thin.extend([n, 1]);
            wide.extend([n, f]);
            shape.push(n * f);
        }
        self.reshape(thin).broadcast_to(wide).reshape(shape)
    }

    /// Each element in the first corner of a block of `factors`, zeros in the rest: the bed of nails.
    ///
    /// # Panics
    /// If a factor is 0, or there are more of them than axes.
    #[track_caller]
    pub fn unpool_nails(&self, factors: &[usize]) -> Tensor {
        let first = self.check_factors("unpool_nails", factors);
        let mut x = self.clone();
        for (d, &f) in factors.iter().enumerate() {
            let axis = first + d;
            // Nothing has no last element to put zeros after.
            let after = if x.shape()[axis] == 0 { 0 } else { f - 1 };
            x = x.dilate(axis, f).pad(axis as isize, 0, after, 0.0);
        }
        x
    }

    /// The first axis that the factors are for.
    #[track_caller]
    fn check_factors(&self, op: &str, factors: &[usize]) -> usize {
        if factors.len() > self.rank() || factors.contains(&0) {
            crate::fail(op, format!("{:?} by factors {factors:?}", self.shape()));
        }
        self.rank() - factors.len()
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    use crate::ops::taps::Window;
    let w = Window { size: 2, stride: 2, dilation: 1, padding: (0, 0) };
    let unpool = |shape: &[usize], k: usize| {
        OpCase::new("max_unpool", format!("max_unpool {shape:?}"), &[shape], move |x| {
            let (value, at) = x[0].max_pool_with_indices(&vec![w; k], false);
            value.exp().max_unpool(&at, &x[0].shape()[x[0].rank() - k..])
        })
    };
    let up = |shape: &[usize], f: &[usize]| {
        let (a, b) = (f.to_vec(), f.to_vec());
        [
            OpCase::new("unpool_nearest", format!("unpool_nearest {shape:?} {f:?}"), &[shape], move |x| {
                x[0].exp().unpool_nearest(&a).square()
            }),
            OpCase::new("unpool_nails", format!("unpool_nails {shape:?} {f:?}"), &[shape], move |x| {
                x[0].exp().unpool_nails(&b).square()
            }),
        ]
    };
    let mut all = vec![unpool(&[2, 3, 4, 5], 2), unpool(&[2, 7], 1), unpool(&[1, 2, 2, 3, 4], 3)];
    all.extend(
        [up(&[2, 3, 2, 3], &[2, 3]), up(&[2, 5], &[3]), up(&[0, 2, 1], &[1, 4]), up(&[1, 2, 3, 1], &[2, 1, 2])]
            .concat(),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 4], DType::F32);
        let at = Tensor::input("at", [2, 3, 4], DType::U32);
        for (e, reason) in [
            (checked(|| x.max_unpool(&x, &[8])).unwrap_err(), "max_unpool: indices u32 [2, 3, 4] expected, not f32"),
            (checked(|| x.max_unpool(&at, &[])).unwrap_err(), "max_unpool: [2, 3, 4] to spatial extents []"),
            (checked(|| x.unpool_nearest(&[0])).unwrap_err(), "unpool_nearest: [2, 3, 4] by factors [0]"),
            (checked(|| x.unpool_nails(&[1, 2, 3, 4])).unwrap_err(), "unpool_nails: [2, 3, 4] by factors [1, 2, 3, 4]"),
        ] {
            let e = e.to_string();
            assert!(e.starts_with(reason) && e.contains("unpool.rs"), "{e}");
        }
    }
}
