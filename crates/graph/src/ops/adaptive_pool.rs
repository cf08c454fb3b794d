//! Adaptive pooling: as many bins as asked for, whatever the extent, and pyramids of such pools.

use crate::ops::axis_map::{AxisMap, Ramp};
use crate::ops::taps::Window;
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;

/// PyTorch's bins: number `i` of `bins` over `n` elements is `floor(i * n / bins) .. ceil((i + 1) * n / bins)`. Bins may
/// overlap by one element.
#[derive(Clone, Copy)]
struct Bins {
    n: usize,
    bins: usize,
}

impl Bins {
    fn start(self) -> Ramp {
        Ramp { factor: self.n as u64, offset: 0, divisor: self.bins as u64 }
    }

    fn end(self) -> Ramp {
        let (n, bins) = (self.n as u64, self.bins as u64);
        Ramp { factor: n, offset: (n + bins - 1) as i64, divisor: bins }
    }

    /// Elements of the largest bin.
    fn largest(self) -> usize {
        (0..self.bins).map(|i| self.end().at(i) - self.start().at(i)).max().unwrap_or(0)
    }

    /// Element `j` is in bin `i` where `i * n < (j + 1) * bins` and `j * bins < (i + 1) * n`: read the other way, bin and element
    /// have changed places. So the adjoint of summing bins is summing bins.
    fn sums(self) -> AxisMap {
        let other = Bins { n: self.bins, bins: self.n };
        let end = self.end();
        AxisMap {
            from: self.n,
            to: self.bins,
            first: self.start(),
            taps: self.largest(),
            weight: Arc::new(move |i, j| {
                // Whichever of the two is read first begins inside, so both ends are asked for.
                j.lt(&end.of(i)).logical_and(&i.lt(&other.end().of(j))).cast(DType::F32)
            }),
            back_first: other.start(),
            back_taps: other.largest(),
        }
    }
}

impl Tensor {
    /// The bins along the last axes.
    #[track_caller]
    fn bins(&self, op: &str, sizes: &[usize]) -> Vec<Bins> {
        if sizes.is_empty() || sizes.len() > self.rank() {
            crate::fail(op, format!("{:?} to sizes {sizes:?}", self.shape()));
        }
        let extents = &self.shape()[self.rank() - sizes.len()..];
        let bins: Vec<Bins> = extents.iter().zip(sizes).map(|(&n, &bins)| Bins { n, bins }).collect();
        if sizes.contains(&0) || extents.contains(&0) {
            crate::fail(op, format!("{:?} to sizes {sizes:?}: an extent is 0", self.shape()));
        }
        if bins.iter().any(|b| !b.end().fits(b.bins) || !b.start().fits(b.bins)) {
            crate::fail(op, format!("{:?} to sizes {sizes:?}: too large", self.shape()));
        }
        bins
    }

    /// Mean of each of `sizes` bins over the last axes. Bin `i` of `s` over `n` elements is
    /// `floor(i * n / s) .. ceil((i + 1) * n / s)`, as PyTorch has it.
    ///
    /// # Panics
    /// If a size or an extent is 0, or there are more sizes than axes.
    #[track_caller]
    pub fn adaptive_avg_pool(&self, sizes: &[usize]) -> Tensor {
        let bins = self.bins("adaptive_avg_pool", sizes);
        if let Some(windows) = even(&bins) {
            return self.avg_pool(&windows, true);
        }
        let first = self.rank() - sizes.len();
        let mut x = self.clone();
        for (d, b) in bins.into_iter().enumerate() {
            let i = Tensor::iota([b.bins], 0);
            let length = (b.end().of(&i) - b.start().of(&i)).cast(self.dtype());
            let along = [&[b.bins], &vec![1; sizes.len() - 1 - d][..]].concat();
            x = x.map_axis(first + d, &b.sums()) / length.reshape(along);
        }
        x
    }

    /// Greatest of each of `sizes` bins over the last axes; bins as for [`Tensor::adaptive_avg_pool`]. The gradient goes to the
    /// first greatest element of a bin.
    ///
    /// # Panics
    /// If a size or an extent is 0, or there are more sizes than axes.
    #[track_caller]
    pub fn adaptive_max_pool(&self, sizes: &[usize]) -> Tensor {
        let bins = self.bins("adaptive_max_pool", sizes);
        match even(&bins) {
            Some(windows) => self.max_pool(&windows),
            None => self.max_of_bins(&bins).0,
        }
    }

    /// As [`Tensor::adaptive_max_pool`]; and where each greatest element was, as u32: its row-major position among the last
    /// axes, as PyTorch's `return_indices` gives it.
    #[track_caller]
    pub fn adaptive_max_pool_with_indices(&self, sizes: &[usize]) -> (Tensor, Tensor) {
        let bins = self.bins("adaptive_max_pool_with_indices", sizes);
        match even(&bins) {
            Some(windows) => self.max_pool_with_indices(&windows, false),
            None => self.max_of_bins(&bins),
        }
    }

    #[track_caller]
    fn max_of_bins(&self, bins: &[Bins]) -> (Tensor, Tensor) {
        let k = bins.len();
        let lead = &self.shape()[..self.rank() - k];
        let (planes, area) = (lead.iter().product::<usize>(), bins.iter().map(|b| b.n).product::<usize>());
        let number = |n: usize| Tensor::scalar(n as u32);
        // Axes: bins..., taps...; the position in the plane, and whether the tap is in its bin.
        let shape: Vec<usize> = bins.iter().map(|b| b.bins).chain(bins.iter().map(|b| b.largest())).collect();
        let mut at = Tensor::scalar(0u32);
        let mut inside = Tensor::scalar(true);
        for (d, b) in bins.iter().enumerate() {
            let i = Tensor::iota(shape.clone(), d);
            let j = b.start().of(&i) + Tensor::iota(shape.clone(), k + d);
            inside = inside.logical_and(&j.lt(&b.end().of(&i)));
            at = at * number(b.n) + j;
        }
        let taps: Vec<isize> = (1..=k as isize).map(|d| -d).collect();
        let wide = [&[planes], &shape[..]].concat();
        let flat = Tensor::iota(wide, 0) * number(area) + &at;
        let seen = self.stop_gradient().take(&flat);
        let winner = inside.select(&seen, &seen.lit(seen.dtype().least())).argmax(&taps);
        // From the number of the winning tap back to its position.
        let pooled = [&[planes], &shape[..k]].concat();
        let mut plane = number(0);
        let mut below: usize = shape[k..].iter().product();
        for (d, b) in bins.iter().enumerate() {
            below /= shape[k + d];
            let tap = (&winner / number(below)).rem(&number(shape[k + d]));
            plane = plane * number(b.n) + b.start().of(&Tensor::iota(pooled.clone(), 1 + d)) + tap;
        }
        let value = self.take(&(Tensor::iota(pooled, 0) * number(area) + &plane));
        let result = [lead, &shape[..k]].concat();
        (value.reshape(result.clone()), plane.reshape(result))
    }

    /// Greatest values over a pyramid of bins (He et al., 2014): for each level `s`, `adaptive_max_pool` of all axes from the third
    /// on to `s` bins each, flattened; all levels joined: [N, C * (sum of s^d)].
    ///
    /// # Panics
    /// If there are no levels, or as [`Tensor::adaptive_max_pool`].
    #[track_caller]
    pub fn pyramid_max_pool(&self, levels: &[usize]) -> Tensor {
        self.check_pyramid("pyramid_max_pool", levels);
        let mut parts = vec![];
        for &s in levels {
            parts.push(self.adaptive_max_pool(&vec![s; self.rank() - 2]).flatten(1));
        }
        Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1)
    }

    /// As [`Tensor::pyramid_max_pool`] with means.
    #[track_caller]
    pub fn pyramid_avg_pool(&self, levels: &[usize]) -> Tensor {
        self.check_pyramid("pyramid_avg_pool", levels);
        let mut parts = vec![];
        for &s in levels {
            parts.push(self.adaptive_avg_pool(&vec![s; self.rank() - 2]).flatten(1));
        }
        Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1)
    }

    #[track_caller]
    fn check_pyramid(&self, op: &str, levels: &[usize]) {
        if self.rank() < 3 || levels.is_empty() || levels.contains(&0) {
            crate::fail(
                op,
                format!("[N, C, spatial...] and levels above 0 expected, not {:?} and {levels:?}", self.shape()),
            );
        }
    }
}

/// The bins as windows, if all of them are of one size and side by side.
fn even(bins: &[Bins]) -> Option<Vec<Window>> {
    let window = |b: &Bins| {
        let size = b.n / b.bins;
        (b.n % b.bins == 0).then_some(Window { size, stride: size, dilation: 1, padding: (0, 0) })
    };
    bins.iter().map(window).collect()
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    let geometry: [(&[usize], &[usize]); 6] = [
        (&[2, 3, 7, 5], &[3, 2]),
        (&[1, 2, 3, 4], &[5, 3]),
        (&[2, 10], &[4]),
        (&[1, 2, 5, 4, 3], &[2, 3, 2]),
        (&[2, 6, 4], &[3, 2]),
        (&[3, 1], &[4]),
    ];
    for (shape, sizes) in geometry {
        let name = |op: &str| format!("{op} {shape:?} to {sizes:?}");
        all.push(OpCase::new("adaptive_avg_pool", name("adaptive_avg_pool"), &[shape], |x| {
            x[0].adaptive_avg_pool(sizes)
        }));
        all.push(OpCase::new("adaptive_max_pool", name("adaptive_max_pool"), &[shape], |x| {
            x[0].adaptive_max_pool(sizes)
        }));
    }
    all.push(OpCase::new("pyramid_max_pool", "pyramid_max_pool", &[&[2, 2, 5, 6]], |x| {
        x[0].pyramid_max_pool(&[1, 2, 3])
    }));
    all.push(OpCase::new("pyramid_avg_pool", "pyramid_avg_pool", &[&[2, 2, 7]], |x| x[0].pyramid_avg_pool(&[3, 1])));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 5, 5], DType::F32);
        for (e, reason) in [
            (checked(|| x.adaptive_avg_pool(&[0, 2])).unwrap_err(), "adaptive_avg_pool: [2, 3, 5, 5] to sizes [0, 2]"),
            (checked(|| x.adaptive_max_pool(&[])).unwrap_err(), "adaptive_max_pool: [2, 3, 5, 5] to sizes []"),
            (checked(|| x.slice(2, 0..0).adaptive_max_pool(&[1, 1])).unwrap_err(), "adaptive_max_pool: [2, 3, 0, 5]"),
            (checked(|| x.pyramid_max_pool(&[])).unwrap_err(), "pyramid_max_pool: "),
            (checked(|| x.pyramid_avg_pool(&[2, 0])).unwrap_err(), "pyramid_avg_pool: "),
        ] {
            let e = e.to_string();
            assert!(e.starts_with(reason) && e.contains("adaptive_pool.rs"), "{e}");
        }
    }
}
