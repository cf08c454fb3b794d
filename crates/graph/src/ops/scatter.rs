//! Elements and rows put to places that indices name: added, or written over, or the greatest kept. Everything happens in a
//! fixed order: the same bits in every run.

use crate::ops::gather::{check_along, flat_along, index_of};
use crate::ops::order::numbers;
use crate::ops::segments::{Groups, NOWHERE, fold_segments};
use crate::{OpCase, Tensor};
use wgrad_device::kernels::SegmentFold;

/// Where the elements of a scatter come from and go to.
struct Places {
    /// The elements, flat.
    source: Tensor,
    /// The position of each in the target, flat.
    at: Tensor,
}

impl Places {
    /// Of PyTorch's scatters: `source` may be larger than the index.
    #[track_caller]
    fn new(op: &'static str, target: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Places {
        let axis = target.axis(op, axis);
        check_along(op, index, target.shape(), axis);
        let larger = source.rank() == index.rank() && source.shape().iter().zip(index.shape()).all(|(s, i)| s >= i);
        if !larger || source.dtype() != target.dtype() {
            let (a, b) = (source.dtype(), target.dtype());
            let text = format!("a source {a} {:?} into {b} {:?} at an index ", source.shape(), target.shape());
            crate::fail(op, text + &format!("{:?}", index.shape()));
        }
        let mut used = source.clone();
        for (d, &n) in index.shape().iter().enumerate() {
            used = used.slice(d as isize, 0..n);
        }
        let n = index.count();
        let at = flat_along(&index_of(op, index, target.shape()[axis]), target.shape(), axis);
        Places { source: used.reshape([n]), at: at.reshape([n]) }
    }
}

/// For each number below `len`, the last position of it in an index [n], or [`NOWHERE`].
#[track_caller]
fn last_of(index: &Tensor, len: usize) -> Tensor {
    let groups = Groups::new(index, len);
    let (start, end) = (groups.starts.slice(0, 0..len), groups.starts.slice(0, 1..len + 1));
    let one = Tensor::scalar(1u32);
    // Sorting is stable: the last of a group is the last in the index.
    let last = groups.order.take(&(end.maximum(&one) - &one));
    start.lt(&end).select(&last, &Tensor::scalar(NOWHERE))
}

impl Tensor {
    /// This tensor with `source` added: for axis 0 `y[index[i][j]][j] += source[i][j]`, likewise for others. The index (u32)
    /// has this tensor's rank, and is no larger than this one elsewhere, nor than the source anywhere. As
    /// `torch.scatter_add`.
    ///
    /// An index out of range adds nothing and is reported when outputs are read.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let places = Places::new("scatter_add", self, axis, index, source);
        self + places.source.scatter_flat(&places.at, self.count()).reshape(self.shape())
    }

    /// This tensor with elements of `source` in the places that `index` names, as [`Tensor::scatter_add`] has it. Of several
    /// for one place, the last in row-major order of the index stays, and alone gets the gradient. As `torch.scatter`, which
    /// leaves that open.
    #[track_caller]
    pub fn scatter(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let Places { source, at } = Places::new("scatter", self, axis, index, source);
        let winner = last_of(&at, self.count());
        let taken = winner.not_equal(&Tensor::scalar(NOWHERE)).reshape(self.shape());
        let flat = source.stop_gradient().take(&winner).reshape(self.shape());
        let value = taken.select(&flat, &self.stop_gradient());
        value.with_gradient(&[self, &source], move |_, _, g| {
            let zero = g.lit(0.0);
            let n = at.count();
            let stayed = winner.take(&at).equal(&Tensor::iota([n], 0));
            vec![Some(taken.select(&zero, g)), Some(stayed.select(&g.reshape([g.count()]).take(&at), &zero))]
        })
    }

    /// This tensor, with the greatest of its own element and those of `source` in the places that `index` names, as
    /// [`Tensor::scatter_add`] has it. Gradients are shared evenly between equal elements. As
    /// `torch.scatter_reduce(reduce="amax")`.
    #[track_caller]
    pub fn scatter_max(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let Places { source, at } = Places::new("scatter_max", self, axis, index, source);
        let (len, n) = (self.count(), at.count());
        let groups = Groups::new(&at, len);
        let keys = source.stop_gradient().sort_keys().reshape([n, 1]);
        let best = fold_segments(SegmentFold::ArgMax, &keys, &groups.starts, Some(&groups.order), None).reshape([len]);
        let greatest = source.stop_gradient().take(&groups.order.take_or_nowhere(&best)).reshape(self.shape());
        let none = best.equal(&Tensor::scalar(NOWHERE)).reshape(self.shape());
        let own = self.stop_gradient();
        let value = none.select(&own, &own.maximum(&greatest));
        value.with_gradient(&[self, &source], move |y, arguments, g| {
            let (one, zero) = (g.lit(1.0), g.lit(0.0));
            let (x, source) = (&arguments[0], &arguments[1]);
            let own = x.equal(y).select(&one, &zero);
            let hits = source.equal(&y.reshape([len]).take(&at)).select(&one, &zero).stop_gradient();
            let all = own.stop_gradient() + hits.scatter_flat(&at, len).reshape(y.shape());
            let share = g / all;
            vec![Some(&own * &share), Some(hits * share.reshape([len]).take(&at))]
        })
    }

    /// [`Tensor::scatter_max`] with the least. As `torch.scatter_reduce(reduce="amin")`.
    #[track_caller]
    pub fn scatter_min(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        -((-self).scatter_max(axis, index, &-source))
    }

    /// This tensor with `alpha` times the slices of `source` along an axis added to those that a u32 index `[n]` names. The
    /// source has this tensor's shape but for extent n along the axis. As `torch.index_add`.
    #[track_caller]
    pub fn index_add(&self, axis: isize, index: &Tensor, source: &Tensor, alpha: f32) -> Tensor {
        let (axis, index) = self.slices("index_add", axis, index, Some(source));
        self + source.mul_scalar(alpha as f64).add_rows(axis, &index, self.shape()[axis])
    }

    /// This tensor with the slices of `source` along an axis in the places that a u32 index `[n]` names. The source has this
    /// tensor's shape but for extent n along the axis. Of several for one place the last stays. As `torch.index_copy`.
    #[track_caller]
    pub fn index_copy(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let (axis, index) = self.slices("index_copy", axis, index, Some(source));
        let last = last_of(&index, self.shape()[axis]);
        self.named(axis, &last).select(&source.select_rows(axis, &last), self)
    }

    /// This tensor with `value` in the slices along an axis that a u32 index `[n]` names. As `torch.index_fill`.
    #[track_caller]
    pub fn index_fill(&self, axis: isize, index: &Tensor, value: f32) -> Tensor {
        let (axis, index) = self.slices("index_fill", axis, index, None);
        self.named(axis, &last_of(&index, self.shape()[axis])).select(&self.lit(value as f64), self)
    }

    /// The axis, and the index of slices along it, with slices of that number that fit.
    #[track_caller]
    fn slices(&self, op: &'static str, axis: isize, index: &Tensor, source: Option<&Tensor>) -> (usize, Tensor) {
        let axis = self.axis(op, axis);
        let mut shape = self.shape().to_vec();
        let len = std::mem::replace(&mut shape[axis], index.count());
        let fits = source.is_none_or(|s| s.shape() == shape && s.dtype() == self.dtype());
        if index.rank() != 1 || !fits {
            let given = source.map(|s| (s.dtype(), s.shape().to_vec()));
            let text = format!("into {:?} along axis {axis} at an index {:?}", self.shape(), index.shape());
            crate::fail(op, format!("{given:?} {text}"));
        }
        (axis, index_of(op, index, len))
    }

    /// Whether the last of each slice's number is somewhere in an index, along an axis.
    #[track_caller]
    fn named(&self, axis: usize, last: &Tensor) -> Tensor {
        let mut along = vec![1; self.rank()];
        along[axis] = self.shape()[axis];
        last.not_equal(&Tensor::scalar(NOWHERE)).reshape(along)
    }

    /// The elements of this u32 tensor at positions of which some may be [`NOWHERE`], and then the result is too.
    #[track_caller]
    pub(crate) fn take_or_nowhere(&self, at: &Tensor) -> Tensor {
        let nowhere = Tensor::scalar(NOWHERE);
        at.equal(&nowhere).select(&nowhere, &self.take(at))
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Build = fn(&Tensor, isize, &Tensor, &Tensor) -> Tensor;
    let one = |op: &'static str, x: &[usize], index: &[usize], source: &[usize], axis: isize, build: Build| {
        let n = x[axis as usize];
        OpCase::new(op, format!("{op} {source:?} at {index:?} into {x:?} axis {axis}"), &[x, index, source], move |x| {
            build(&x[0].exp(), axis, &numbers(&x[1], n), &(&x[2] * 3.0))
        })
        .domain(0.0, 1.0)
    };
    let each = |op: &'static str, build: Build| {
        vec![
            one(op, &[5], &[7], &[7], 0, build),
            one(op, &[3, 5, 2], &[3, 4, 1], &[3, 4, 2], 1, build),
            one(op, &[4, 3], &[11, 2], &[11, 3], 0, build),
            one(op, &[2, 3], &[0, 3], &[2, 3], 1, build),
        ]
    };
    let add: Build = |x, axis, index, source| x.index_add(axis, index, source, -0.5);
    let copy: Build = |x, axis, index, source| x.index_copy(axis, index, source);
    let fill: Build = |x, axis, index, _| x.index_fill(axis, index, 0.5);
    [
        each("scatter_add", |x, axis, index, source| x.scatter_add(axis, index, source)),
        each("scatter", |x, axis, index, source| x.scatter(axis, index, source)),
        each("scatter_max", |x, axis, index, source| x.scatter_max(axis, index, source)),
        each("scatter_min", |x, axis, index, source| x.scatter_min(axis, index, source)),
        vec![
            one("index_add", &[5, 3], &[7], &[7, 3], 0, add),
            one("index_add", &[2, 3, 4], &[5], &[2, 3, 5], 2, add),
            one("index_add", &[2, 3, 4], &[1], &[2, 1, 4], 1, add),
            one("index_copy", &[5, 3], &[7], &[7, 3], 0, copy),
            one("index_copy", &[2, 3, 4], &[2], &[2, 3, 2], 2, copy),
            one("index_copy", &[3, 2], &[0], &[0, 2], 0, copy),
            one("index_fill", &[5, 3], &[3], &[1], 0, fill),
            one("index_fill", &[2, 3, 4], &[2], &[1], 2, fill),
            one("index_fill", &[3, 7], &[5], &[1], 1, fill),
        ],
    ]
    .concat()
}
