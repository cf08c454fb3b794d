//! Reductions over rows that belong together, in any order: what graph networks and ragged batches need.

use crate::ops::gather::index_of;
use crate::ops::order::numbers;
use crate::ops::segments::{Groups, NOWHERE, fold_segments};
use crate::{OpCase, Tensor};
use wgrad_device::DType;
use wgrad_device::kernels::SegmentFold;

/// Rows [n, width] of a tensor [n, ...], the segment of each, and the shape of a result.
struct Rows {
    x: Tensor,
    ids: Tensor,
    shape: Vec<usize>,
}

impl Rows {
    #[track_caller]
    fn new(op: &'static str, x: &Tensor, ids: &Tensor, segments: usize) -> Rows {
        if x.rank() == 0 || !x.dtype().is_float() || ids.shape() != &x.shape()[..1] {
            let (dtype, shape) = (x.dtype(), x.shape());
            crate::fail(op, format!("segments {:?} of rows of {dtype} {shape:?}: one each is wanted", ids.shape()));
        }
        let width: usize = x.shape()[1..].iter().product();
        let shape = [&[segments], &x.shape()[1..]].concat();
        Rows { x: x.reshape([x.shape()[0], width]), ids: index_of(op, ids, segments), shape }
    }

    fn segments(&self) -> usize {
        self.shape[0]
    }

    #[track_caller]
    fn sum(&self) -> Tensor {
        self.x.sum_rows(Some(&self.ids), None, None, self.segments())
    }

    /// The number of rows of each segment: [segments, 1].
    #[track_caller]
    fn counts(&self) -> Tensor {
        let ones = Tensor::ones([self.ids.count(), 1], self.x.dtype());
        ones.sum_rows(Some(&self.ids), None, None, self.segments())
    }

    /// The greatest of each column; 0 where a segment has no rows.
    #[track_caller]
    fn max(&self) -> Tensor {
        let (x, ids, segments) = (self.x.stop_gradient(), self.ids.clone(), self.segments());
        let [rows, width] = x.dims();
        let groups = Groups::new(&ids, segments);
        let best = fold_segments(SegmentFold::ArgMax, &x.sort_keys(), &groups.starts, Some(&groups.order), None);
        let row = groups.order.take_or_nowhere(&best);
        let at = &row * &Tensor::scalar(width as u32) + Tensor::iota(row.shape(), 1);
        let value = x.take(&row.lt(&Tensor::scalar(rows as u32)).select(&at, &Tensor::scalar(NOWHERE)));
        value.with_gradient(&[&self.x], move |y, arguments, g| {
            // Shared evenly between equal elements, as the gradient of max does.
            let hits = arguments[0].equal(&y.take_rows(&ids)).select(&g.lit(1.0), &g.lit(0.0)).stop_gradient();
            let ties = hits.sum_rows(Some(&ids), None, None, segments);
            let share = g / ties.maximum(&g.lit(1.0));
            vec![Some(hits * share.take_rows(&ids))]
        })
    }
}

impl Tensor {
    /// The sum of the rows of each segment: [segments, ...] from this tensor [n, ...] and u32 `ids` `[n]` in any order. A
    /// segment without rows gives 0.
    ///
    /// An id out of range is left out and reported when outputs are read.
    #[track_caller]
    pub fn segment_sum(&self, ids: &Tensor, segments: usize) -> Tensor {
        let rows = Rows::new("segment_sum", self, ids, segments);
        rows.sum().reshape(rows.shape)
    }

    /// The mean of the rows of each segment, 0 where there are none; see [`Tensor::segment_sum`].
    #[track_caller]
    pub fn segment_mean(&self, ids: &Tensor, segments: usize) -> Tensor {
        let rows = Rows::new("segment_mean", self, ids, segments);
        (rows.sum() / rows.counts().maximum(&self.lit(1.0))).reshape(rows.shape)
    }

    /// The greatest element of each column of each segment, 0 where there are no rows; see [`Tensor::segment_sum`]. The
    /// gradient is shared evenly between equal elements.
    #[track_caller]
    pub fn segment_max(&self, ids: &Tensor, segments: usize) -> Tensor {
        let rows = Rows::new("segment_max", self, ids, segments);
        rows.max().reshape(rows.shape)
    }

    /// The least element of each column of each segment; see [`Tensor::segment_max`].
    #[track_caller]
    pub fn segment_min(&self, ids: &Tensor, segments: usize) -> Tensor {
        let rows = Rows::new("segment_min", &-self, ids, segments);
        (-rows.max()).reshape(rows.shape)
    }

    /// Softmax over the rows of each segment, column by column: of this tensor's shape [n, ...]. As attention over the edges
    /// of a graph needs (Velickovic et al., "Graph attention networks", 2018).
    #[track_caller]
    pub fn segment_softmax(&self, ids: &Tensor, segments: usize) -> Tensor {
        let mut rows = Rows::new("segment_softmax", self, ids, segments);
        // Relative to the greatest, which does not matter for the value: no exponent is above 0.
        let greatest = Rows { x: rows.x.stop_gradient(), ids: rows.ids.clone(), shape: rows.shape.clone() }.max();
        rows.x = (&rows.x - greatest.take_rows(&rows.ids)).exp();
        let sums = rows.sum().take_rows(&rows.ids);
        // An id out of range has no sum.
        let sums = sums.gt(&sums.lit(0.0)).select(&sums, &sums.lit(1.0));
        (rows.x / sums).reshape(self.shape())
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Build = fn(&Tensor, &Tensor, usize) -> Tensor;
    let each = |op: &'static str, build: Build| {
        [(&[7usize, 3][..], 4), (&[11], 5), (&[5, 2, 3], 3), (&[0, 3], 2), (&[70, 4], 3)].map(|(shape, segments)| {
            OpCase::new(op, format!("{op} {shape:?} into {segments}"), &[shape, &shape[..1]], move |x| {
                build(&x[0].square(), &numbers(&x[1], segments), segments)
            })
            .domain(0.0, 1.0)
        })
    };
    let mut all = [
        each("segment_sum", |x, ids, n| x.segment_sum(ids, n)),
        each("segment_mean", |x, ids, n| x.segment_mean(ids, n)),
        each("segment_max", |x, ids, n| x.segment_max(ids, n)),
        each("segment_min", |x, ids, n| x.segment_min(ids, n)),
        each("segment_softmax", |x, ids, n| x.segment_softmax(ids, n)),
    ]
    .concat();
    all.push(
        OpCase::new("segment_max", "segment_max of equal rows", &[&[9, 2], &[9]], |x| {
            let equal = (&x[0] * 3.0).round().with_gradient(&[&x[0]], |_, _, g| vec![Some(g.clone())]);
            equal.segment_max(&numbers(&x[1], 2), 2)
        })
        .domain(0.0, 1.0)
        .no_difference(), // at a kink
    );
    all.push(
        OpCase::new("segment_sum", "segment_sum of half precision", &[&[5, 2], &[5]], |x| {
            x[0].cast(DType::F16).segment_sum(&numbers(&x[1], 3), 3).cast(DType::F32)
        })
        .domain(0.0, 1.0)
        .tolerance(4e-3)
        .no_difference(), // rounding to half precision has steps
    );
    all
}
