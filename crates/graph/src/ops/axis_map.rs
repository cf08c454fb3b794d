//! Linear maps along one axis whose outputs read few neighbouring inputs: what resizing and adaptive pooling are made of.
//!
//! Their adjoint is of the same kind, so gradients are gathers too, and nothing has to be scattered.

use crate::Tensor;
use std::sync::Arc;

/// `max(0, floor((i * factor + offset) / divisor))`: a line through whole numbers. What it starts from and gives is exact, so
/// that no rounding decides which pixel is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    pub factor: u64,
    pub offset: i64,
    pub divisor: u64,
}

impl Ramp {
    /// The value at `i`.
    pub(crate) fn at(self, i: usize) -> usize {
        ((i as u64 * self.factor).saturating_add_signed(self.offset) / self.divisor) as usize
    }

    /// The numerators for whole numbers `i` (u32), not below 0.
    pub(crate) fn numerator(self, i: &Tensor) -> Tensor {
        let number = |n: u64| Tensor::scalar(n as u32);
        let product = i * &number(self.factor);
        if self.offset < 0 {
            let down = number(self.offset.unsigned_abs());
            product.maximum(&down) - down
        } else {
            product + number(self.offset as u64)
        }
    }

    /// The values for whole numbers `i` (u32).
    pub(crate) fn of(self, i: &Tensor) -> Tensor {
        self.numerator(i) / Tensor::scalar(self.divisor as u32)
    }

    /// Whether all of it fits into 32 bits for indices below `n`.
    pub(crate) fn fits(self, n: usize) -> bool {
        let top = (n as u64).saturating_mul(self.factor).saturating_add(self.offset.unsigned_abs());
        top.max(self.divisor) < 1 << 31
    }
}

/// The weight that output `i` gives input `j`, for u32 tensors of one shape: f32.
pub(crate) type Weight = dyn Fn(&Tensor, &Tensor) -> Tensor + Send + Sync;

/// A linear map of axes from `from` to `to` elements: output `i` is the weighted sum of `taps` inputs from `first.at(i)` on
/// (those at `from` and beyond count as 0).
#[derive(Clone)]
pub(crate) struct AxisMap {
    pub from: usize,
    pub to: usize,
    pub first: Ramp,
    pub taps: usize,
    pub weight: Arc<Weight>,
    /// The same for the adjoint: input `j` is read by at most `back_taps` outputs from `back_first.at(j)` on.
    pub back_first: Ramp,
    pub back_taps: usize,
}

impl AxisMap {
    /// The map whose matrix is this one's transpose.
    pub(crate) fn adjoint(&self) -> AxisMap {
        let weight = self.weight.clone();
        AxisMap {
            from: self.to,
            to: self.from,
            first: self.back_first,
            taps: self.back_taps,
            weight: Arc::new(move |j, i| weight(i, j)),
            back_first: self.first,
            back_taps: self.taps,
        }
    }

    /// Greatest number of outputs that read one input, from where `back_first` says on: `reads(i)` are the first and last
    /// input that output `i` reads.
    pub(crate) fn count_readers(
        from: usize,
        to: usize,
        back_first: Ramp,
        reads: impl Fn(usize) -> (usize, usize),
    ) -> usize {
        let mut most = 1;
        for i in 0..to {
            let (lo, hi) = reads(i);
            for j in lo..=hi.min(from.saturating_sub(1)) {
                most = most.max(i + 1 - back_first.at(j).min(i));
            }
        }
        most
    }
}

impl Tensor {
    /// This tensor seen as [before, axis, after].
    pub(crate) fn around(&self, axis: usize) -> [usize; 3] {
        let product = |s: &[usize]| s.iter().product();
        [product(&self.shape()[..axis]), self.shape()[axis], product(&self.shape()[axis + 1..])]
    }

    /// [before, axis, after] to [before, n, after, taps]: the elements at `position` (u32 [n, taps]) along the axis, 0 where
    /// that is past its end.
    #[track_caller]
    pub(crate) fn take_taps(&self, axis: usize, position: &Tensor) -> Tensor {
        let [before, from, after] = self.around(axis);
        let [n, taps] = position.dims();
        let shape = [before, n, after, taps];
        let number = |n: usize| Tensor::scalar(n as u32);
        let position = position.reshape([n, 1, taps]);
        let flat = (Tensor::iota(shape, 0) * number(from) + &position) * number(after) + Tensor::iota(shape, 2);
        self.take(&position.lt(&number(from)).select(&flat, &Tensor::scalar(u32::MAX)))
    }

    /// A linear map along `axis`.
    #[track_caller]
    pub(crate) fn map_axis(&self, axis: usize, map: &AxisMap) -> Tensor {
        let table = [map.to, map.taps];
        let (i, tap) = (Tensor::iota(table, 0), Tensor::iota(table, 1));
        let j = map.first.of(&i) + tap;
        let read = self.stop_gradient().take_taps(axis, &j);
        let weight = (map.weight)(&i, &j).cast(self.dtype()).reshape([map.to, 1, map.taps]);
        let mut shape = self.shape().to_vec();
        shape[axis] = map.to;
        let value = (read * weight).sum(&[3]).reshape(shape);
        let adjoint = map.adjoint();
        value.with_gradient(&[self], move |_, _, g| vec![Some(g.map_axis(axis, &adjoint))])
    }
}
