//! Elements and rows chosen by indices along an axis. The gradients add up what went to equal places, in a fixed order.

use crate::ops::order::numbers;
use crate::ops::segments::NOWHERE;
use crate::shape::broadcast;
use crate::{OpCase, Tensor};
use wgrad_device::{DType, row_major_strides};

/// A u32 index from data, whose elements are to be below `limit`: counted in each run if they are not.
#[track_caller]
pub(crate) fn index_of(op: &'static str, index: &Tensor, limit: usize) -> Tensor {
    if index.dtype() != DType::U32 {
        crate::fail(op, format!("the index must be u32, not {} {:?}", index.dtype(), index.shape()));
    }
    index.checked_index(op, limit)
}

/// The positions in a tensor of shape `shape` of elements whose coordinate along `axis` is given by `index`, and whose
/// others are their own place in the index.
#[track_caller]
pub(crate) fn flat_along(index: &Tensor, shape: &[usize], axis: usize) -> Tensor {
    let strides = row_major_strides(shape);
    let place = |d: usize| Tensor::iota(index.shape(), d) * Tensor::scalar(strides[d] as u32);
    let others = (0..shape.len()).filter(|&d| d != axis && index.shape()[d] > 1);
    let at = others.map(place).fold(index * &Tensor::scalar(strides[axis] as u32), |at, more| at + more);
    // A product with an index that does not exist could wrap around to one that does.
    index.lt(&Tensor::scalar(shape[axis] as u32)).select(&at, &Tensor::scalar(NOWHERE))
}

/// That `index` may name places along `axis` of `shape`: of its rank, and no larger elsewhere.
#[track_caller]
pub(crate) fn check_along(op: &str, index: &Tensor, shape: &[usize], axis: usize) {
    let fits = |d: usize| d == axis || index.shape()[d] <= shape[d];
    if index.rank() != shape.len() || !(0..shape.len()).all(fits) {
        crate::fail(op, format!("an index {:?} along axis {axis} of {shape:?}", index.shape()));
    }
}

impl Tensor {
    /// `y[i][j][k] = x[index[i][j][k]][j][k]` for axis 0, and likewise for others. The index (u32) has this tensor's rank and
    /// may be smaller along the other axes; the result has its shape. As `torch.gather`.
    ///
    /// An index out of range gives 0 and is reported when outputs are read.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        let axis = self.axis("gather", axis);
        check_along("gather", index, self.shape(), axis);
        let index = index_of("gather", index, self.shape()[axis]);
        self.take(&flat_along(&index, self.shape(), axis))
    }

    /// [`Tensor::gather`] with tensor and index broadcast to each other along the other axes. As
    /// `torch.take_along_dim` and `numpy.take_along_axis`.
    #[track_caller]
    pub fn take_along_axis(&self, index: &Tensor, axis: isize) -> Tensor {
        let axis = self.axis("take_along_axis", axis);
        let without = |t: &Tensor| t.shape().iter().enumerate().map(|(d, &n)| if d == axis { 1 } else { n }).collect();
        let (a, b): (Vec<usize>, Vec<usize>) = (without(self), without(index));
        let fits = self.rank() == index.rank();
        let Some(mut shape) = broadcast(&a, &b).filter(|_| fits) else {
            crate::fail(
                "take_along_axis",
                format!("index {:?} along axis {axis} of {:?}", index.shape(), self.shape()),
            );
        };
        let to = |t: &Tensor, shape: &mut Vec<usize>| {
            shape[axis] = t.shape()[axis];
            t.broadcast_to(shape.clone())
        };
        let (x, index) = (to(self, &mut shape), to(index, &mut shape));
        let index = index_of("take_along_axis", &index, self.shape()[axis]);
        x.take(&flat_along(&index, x.shape(), axis))
    }

    /// The slices along an axis that a u32 index `[n]` names: the result has extent n there. As `torch.index_select`.
    ///
    /// An index out of range gives zeros and is reported when outputs are read.
    #[track_caller]
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Tensor {
        let axis = self.axis("index_select", axis);
        if index.rank() != 1 {
            crate::fail("index_select", format!("an index [n] expected, not {:?}", index.shape()));
        }
        self.select_rows(axis, &index_of("index_select", index, self.shape()[axis]))
    }

    /// Slices along an axis, chosen by an index [n] that may name some that do not exist. Its adjoint is
    /// [`Tensor::add_rows`].
    #[track_caller]
    pub(crate) fn select_rows(&self, axis: usize, index: &Tensor) -> Tensor {
        let mut shape = self.shape().to_vec();
        let len = std::mem::replace(&mut shape[axis], index.count());
        let mut along = vec![1; shape.len()];
        along[axis] = index.count();
        let at = flat_along(&index.reshape(along).broadcast_to(shape), self.shape(), axis);
        let index = index.clone();
        let value = self.stop_gradient().take(&at);
        value.with_gradient(&[self], move |_, _, g| vec![Some(g.add_rows(axis, &index, len))])
    }

    /// Slices of this tensor along an axis added up by a u32 index [n], one for each: extent `len` there. The index alone is
    /// sorted.
    #[track_caller]
    pub(crate) fn add_rows(&self, axis: usize, index: &Tensor, len: usize) -> Tensor {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order[..=axis].rotate_right(1);
        let first = self.permute(&order);
        let (n, mut shape) = (first.shape()[0], first.shape().to_vec());
        let width = shape[1..].iter().product();
        let sums = first.reshape([n, width]).sum_rows(Some(index), None, None, len);
        shape[0] = len;
        let mut back: Vec<usize> = (0..self.rank()).collect();
        back[..=axis].rotate_left(1);
        sums.reshape(shape).permute(&back)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // The second argument makes the index.
    let case =
        |op: &'static str, x: &[usize], index: &[usize], axis: isize, build: fn(&Tensor, &Tensor, isize) -> Tensor| {
            let n = x[axis.rem_euclid(x.len() as isize) as usize];
            OpCase::new(op, format!("{op} {index:?} of {x:?} axis {axis}"), &[x, index], move |x| {
                build(&x[0].exp(), &numbers(&x[1], n), axis)
            })
            .domain(0.0, 1.0)
        };
    let gather = |x: &[usize], index: &[usize], axis| case("gather", x, index, axis, |x, i, a| x.gather(a, i));
    let along =
        |x: &[usize], index: &[usize], axis| case("take_along_axis", x, index, axis, |x, i, a| x.take_along_axis(i, a));
    let select = |x: &[usize], n: usize, axis| case("index_select", x, &[n], axis, |x, i, a| x.index_select(a, i));
    vec![
        gather(&[5], &[7], 0),
        gather(&[3, 5, 2], &[3, 4, 1], 1),
        gather(&[4, 3], &[11, 2], 0),
        gather(&[4, 3], &[0, 2], 0),
        along(&[4, 1], &[2, 5], 0),
        along(&[1, 7], &[3, 4], -1),
        along(&[2, 3, 4], &[2, 3, 1], 2),
        select(&[7], 5, 0),
        select(&[5, 3], 11, 0),
        select(&[2, 3, 4], 5, 1),
        select(&[2, 5, 7], 3, -1),
        select(&[3, 2], 0, 0),
    ]
}
