//! Pooling in any number of dimensions: windows, then a reduction.

use crate::ops::taps::Window;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Options of [`Tensor::avg_pool_with`], by PyTorch's names and with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool {
    /// A last window that reaches past the padded end counts as well.
    pub ceil_mode: bool,
    /// Padding counts as zeros in the mean; else it does not count. What a window of `ceil_mode` has beyond the padding never
    /// counts.
    pub count_include_pad: bool,
    /// Divides each window's sum in place of the number of its elements.
    pub divisor_override: Option<usize>,
}

impl Default for AvgPool {
    fn default() -> AvgPool {
        AvgPool { ceil_mode: false, count_include_pad: true, divisor_override: None }
    }
}

/// The last `n` axes, counted from the end.
fn last(n: usize) -> Vec<isize> {
    (1..=n as isize).map(|d| -d).collect()
}

impl Tensor {
    /// The extents of the last axes, one for each window.
    #[track_caller]
    fn pooled(&self, op: &str, windows: &[Window]) -> &[usize] {
        if windows.is_empty() || windows.len() > self.rank() {
            crate::fail(op, format!("{} windows over shape {:?}", windows.len(), self.shape()));
        }
        &self.shape()[self.rank() - windows.len()..]
    }

    /// Number of windows along each of the last axes.
    #[track_caller]
    fn pool_counts(&self, op: &str, windows: &[Window], ceil: bool) -> Vec<usize> {
        let extents = self.pooled(op, windows);
        if let Some(w) =
            windows.iter().find(|w| w.padding.0.max(w.padding.1) * 2 > w.dilation * (w.size.max(1) - 1) + 1)
        {
            crate::fail(op, format!("padding {:?} is more than half of a window of {}", w.padding, w.size));
        }
        let mut counts = vec![];
        for (w, &n) in windows.iter().zip(extents) {
            match if ceil { w.count_ceil(n) } else { w.count(n) } {
                Ok(count) => counts.push(count),
                Err(reason) => crate::fail(op, format!("{:?}: {reason}", self.shape())),
            }
        }
        counts
    }

    /// The greatest of each window, and which of its taps that is.
    #[track_caller]
    fn max_and_tap(&self, op: &str, windows: &[Window], ceil: bool) -> (Tensor, Tensor) {
        let counts = self.pool_counts(op, windows, ceil);
        let (extents, k) = (self.pooled(op, windows).to_vec(), windows.len());
        let seen = self.stop_gradient().tap_views(windows, &counts, self.dtype().least() as f32);
        let (value, winner) = (seen.max(&last(k)), seen.argmax(&last(k)));
        let (owned, shape) = (windows.to_vec(), seen.shape().to_vec());
        let hit = winner.reshape([winner.shape(), &vec![1; k]].concat()).equal(&tap_positions(&shape, k));
        let value = value.with_gradient(&[self], move |_, _, g| {
            let wide = g.reshape([g.shape(), &vec![1; k]].concat()).broadcast_to(shape.clone());
            vec![Some(hit.select(&wide, &g.lit(0.0)).overlap_add(&owned, &extents))]
        });
        (value, winner)
    }

    /// Greatest of each window over the last axes, one [`Window`] for each: max pooling of [N, C, H, W] takes two.
    /// Padding never wins. The gradient goes to the first greatest element of a window, as in PyTorch.
    ///
    /// # Panics
    /// If a window does not fit its padded axis, or is padded by more than half of itself.
    #[track_caller]
    pub fn max_pool(&self, windows: &[Window]) -> Tensor {
        self.max_and_tap("max_pool", windows, false).0
    }

    /// As [`Tensor::max_pool`], with PyTorch's `ceil_mode`: a last window that reaches past the padded end counts as well
    /// ([`Window::count_ceil`]).
    #[track_caller]
    pub fn max_pool_ceil(&self, windows: &[Window]) -> Tensor {
        self.max_and_tap("max_pool_ceil", windows, true).0
    }

    /// As [`Tensor::max_pool`], or [`Tensor::max_pool_ceil`]; and where each greatest element was, as u32: its row-major
    /// position among the last axes (in the image's plane), as PyTorch's `return_indices` gives it.
    #[track_caller]
    pub fn max_pool_with_indices(&self, windows: &[Window], ceil_mode: bool) -> (Tensor, Tensor) {
        let (value, winner) = self.max_and_tap("max_pool_with_indices", windows, ceil_mode);
        let extents = self.pooled("max_pool_with_indices", windows);
        let first = self.rank() - windows.len();
        let number = |n: usize| Tensor::scalar(n as u32);
        let mut plane = number(0);
        let mut below: usize = windows.iter().map(|w| w.size).product();
        for (d, w) in windows.iter().enumerate() {
            below /= w.size;
            let tap = (&winner / number(below)).rem(&number(w.size));
            let window = Tensor::iota(winner.shape(), first + d);
            let padded = window * number(w.stride) + tap * number(w.dilation);
            // Not below 0: the winner is no padding.
            let at = padded.maximum(&number(w.padding.0)) - number(w.padding.0);
            plane = plane * number(extents[d]) + at;
        }
        (value, plane)
    }

    /// Mean of each window over the last axes. Padding counts as zeros if `count_padding`, else it does not count.
    ///
    /// # Panics
    /// As [`Tensor::max_pool`].
    #[track_caller]
    pub fn avg_pool(&self, windows: &[Window], count_padding: bool) -> Tensor {
        let options = AvgPool { count_include_pad: count_padding, ..AvgPool::default() };
        self.mean_of_windows("avg_pool", windows, &options)
    }

    /// Mean of each window over the last axes, with all of PyTorch's options.
    ///
    /// # Panics
    /// As [`Tensor::max_pool`], or if the divisor is 0.
    #[track_caller]
    pub fn avg_pool_with(&self, windows: &[Window], options: &AvgPool) -> Tensor {
        self.mean_of_windows("avg_pool_with", windows, options)
    }

    #[track_caller]
    fn mean_of_windows(&self, op: &str, windows: &[Window], options: &AvgPool) -> Tensor {
        if self.dtype() == DType::F16 {
            return self.in_f32().mean_of_windows(op, windows, options).cast(DType::F16);
        }
        let counts = self.pool_counts(op, windows, options.ceil_mode);
        let (k, extents) = (windows.len(), self.pooled(op, windows));
        let sum = self.windows(windows, &counts, 0.0).sum(&last(k));
        if let Some(divisor) = options.divisor_override {
            if divisor == 0 {
                crate::fail(op, "a divisor of 0");
            }
            return sum.mul_scalar(1.0 / divisor as f64);
        }
        let mut divisor = Tensor::scalar(1.0f32).cast(self.dtype());
        let mut area = 1;
        for (d, (w, &n)) in windows.iter().zip(extents).enumerate() {
            let padding = if options.count_include_pad { w.padding } else { (0, 0) };
            let (lo, hi) = (-(padding.0 as i64), (n + padding.1) as i64);
            if (0..counts[d]).all(|i| w.taps_within(i, lo, hi) == w.size) {
                area *= w.size;
                continue;
            }
            // How many taps count, for each window along this axis. A window without any has a sum of 0 as well.
            let ones = Tensor::ones([n + padding.0 + padding.1], self.dtype());
            let inner = Window { padding: (w.padding.0 - padding.0, 0), ..*w };
            let taps = ones.tap_views(&[inner], &counts[d..=d], 0.0).sum(&[-1]).maximum(&self.lit(1.0));
            divisor = divisor * taps.reshape([&counts[d..=d], &vec![1; k - 1 - d]].concat());
        }
        let mean = sum.mul_scalar(1.0 / area as f64);
        if divisor.rank() == 0 { mean } else { mean / divisor }
    }

    /// The `p`-norm of each window over the last axes, without absolute values, as PyTorch has it: `(sum of x^p)^(1/p)`. The
    /// gradient is 0 where the sum is 0. Windows have no padding. In ceil mode a window that reaches past the end is scaled
    /// as if it were whole, which is PyTorch's way too.
    ///
    /// # Panics
    /// If a window does not fit, or has padding, or if `p` is not positive.
    #[track_caller]
    pub fn lp_pool(&self, p: f32, windows: &[Window], ceil_mode: bool) -> Tensor {
        if p.is_nan() || p <= 0.0 {
            crate::fail("lp_pool", format!("p = {p}"));
        }
        if let Some(w) = windows.iter().find(|w| w.padding != (0, 0)) {
            crate::fail("lp_pool", format!("padding {:?}; pad the input", w.padding));
        }
        if self.dtype() == DType::F16 {
            return self.in_f32().lp_pool(p, windows, ceil_mode).cast(DType::F16);
        }
        let powers = match p {
            1.0 => self.clone(),
            2.0 => self.square(),
            3.0 => self.square() * self,
            _ => self.pow(&self.lit(p as f64)),
        };
        let area: usize = windows.iter().map(|w| w.size).product();
        let options = AvgPool { ceil_mode, ..AvgPool::default() };
        let sum = powers.mean_of_windows("lp_pool", windows, &options).mul_scalar(area as f64);
        let (root, zero) = (sum.lit(1.0 / p as f64), sum.lit(0.0));
        if p == 1.0 {
            return sum;
        }
        // A base of 1 in place of 0, where the root has no gradient.
        let none = sum.equal(&zero);
        let base = none.select(&sum.lit(1.0), &sum);
        none.select(&zero, &if p == 2.0 { base.sqrt() } else { base.pow(&root) })
    }

    /// Mean over all axes from the third on, which are dropped: [N, C, ...] to [N, C].
    #[track_caller]
    pub fn global_avg_pool(&self) -> Tensor {
        self.check_global("global_avg_pool");
        self.mean(&(2..self.rank() as isize).collect::<Vec<_>>())
    }

    /// Greatest over all axes from the third on, which are dropped: [N, C, ...] to [N, C]. The gradient goes to the first
    /// greatest element, as in PyTorch's `adaptive_max_pool`.
    #[track_caller]
    pub fn global_max_pool(&self) -> Tensor {
        self.check_global("global_max_pool");
        let flat = self.flatten(2);
        let seen = flat.stop_gradient();
        let winner = seen.argmax(&[2]);
        seen.max(&[2]).with_gradient(&[&flat], move |_, t, g| {
            let hit = Tensor::iota(t[0].shape(), 2).equal(&winner.unsqueeze(2));
            vec![Some(hit.select(&g.unsqueeze(2), &g.lit(0.0)))]
        })
    }

    #[track_caller]
    fn check_global(&self, op: &str) {
        if self.rank() < 3 || self.shape()[2..].contains(&0) {
            crate::fail(op, format!("[N, C, spatial...] with something in it expected, not {:?}", self.shape()));
        }
    }
}

/// The row-major number of each tap, in the shape of windows with `n` tap axes.
fn tap_positions(shape: &[usize], n: usize) -> Tensor {
    let first = shape.len() - n;
    (first..shape.len()).fold(Tensor::zeros(shape, DType::U32), |p, axis| {
        p * Tensor::scalar(shape[axis] as u32) + Tensor::iota(shape, axis)
    })
}

pub(crate) fn cases() -> Vec<OpCase> {
    let w = |size, stride, pad| Window { size, stride, dilation: 1, padding: (pad, pad) };
    let geometry: Vec<(&[usize], Vec<Window>)> = vec![
        (&[2, 3, 6, 8], vec![w(2, 2, 0), w(2, 2, 0)]),
        (&[1, 2, 7, 9], vec![w(3, 2, 1), w(3, 2, 1)]),
        (&[2, 1, 5, 5], vec![w(3, 1, 1), w(2, 1, 0)]),
        (&[1, 2, 9], vec![w(3, 2, 1)]),
        (&[1, 1, 1, 1], vec![w(1, 1, 0), w(1, 1, 0)]),
        (&[1, 2, 3, 4, 5], vec![w(2, 1, 1), w(2, 2, 0), w(3, 2, 1)]),
        (&[2, 10], vec![Window { size: 3, stride: 3, dilation: 2, padding: (0, 2) }]),
    ];
    let mut all = vec![];
    for (shape, windows) in geometry {
        let text = |name: &str| format!("{name} {shape:?} {windows:?}");
        let mut add = |op: &'static str, text: String, build: fn(&Tensor, &[Window]) -> Tensor| {
            let windows = windows.clone();
            all.push(OpCase::new(op, text, &[shape], move |x| build(&x[0], &windows)).domain(-2.0, 2.0));
        };
        add("max_pool", text("max_pool"), |x, w| x.max_pool(w));
        add("avg_pool", text("avg_pool"), |x, w| x.avg_pool(w, true));
        add("avg_pool", text("avg_pool, padding not counted"), |x, w| x.avg_pool(w, false));
        add("max_pool", text("max_pool, ceil mode"), |x, w| x.max_pool_ceil(w));
        add("max_pool_with_indices", text("max_pool_with_indices"), |x, w| {
            let (value, at) = x.max_pool_with_indices(w, true);
            &value * at.cast(value.dtype()).mul_scalar(0.1)
        });
        for (text, count_include_pad) in
            [(text("avg_pool, ceil mode"), true), (text("avg_pool, ceil, not counted"), false)]
        {
            let (windows, options) =
                (windows.clone(), AvgPool { ceil_mode: true, count_include_pad, ..AvgPool::default() });
            all.push(OpCase::new("avg_pool", text, &[shape], move |x| x[0].avg_pool_with(&windows, &options)));
        }
    }
    let lp = |p: f32, shape: &[usize], windows: Vec<Window>, ceil: bool| {
        OpCase::new("lp_pool", format!("lp_pool {p} {shape:?} {windows:?} ceil {ceil}"), &[shape], move |x| {
            x[0].lp_pool(p, &windows, ceil)
        })
        .domain(0.2, 1.5)
    };
    all.extend([
        lp(2.0, &[2, 3, 6, 7], vec![w(2, 2, 0), w(3, 2, 0)], false),
        lp(3.0, &[1, 2, 8], vec![w(3, 2, 0)], true),
        lp(1.5, &[1, 2, 5, 5], vec![w(2, 3, 0), w(2, 1, 0)], true),
        lp(1.0, &[3, 5], vec![w(2, 1, 0)], false),
        OpCase::new("avg_pool", "avg_pool with a divisor of 5", &[&[2, 2, 5, 6]], move |x| {
            let options = AvgPool { divisor_override: Some(5), ceil_mode: true, ..AvgPool::default() };
            x[0].avg_pool_with(&[w(3, 2, 1), w(2, 3, 1)], &options)
        }),
        OpCase::new("global_avg_pool", "global_avg_pool", &[&[2, 3, 4, 5]], |x| x[0].global_avg_pool()),
        OpCase::new("global_max_pool", "global_max_pool", &[&[2, 3, 4, 5]], |x| x[0].global_max_pool()),
        OpCase::new("global_max_pool", "global_max_pool of one element", &[&[2, 1, 1]], |x| x[0].global_max_pool()),
        OpCase::new("global_max_pool", "global_max_pool in 3-D", &[&[0, 2, 2, 1, 3]], |x| x[0].global_max_pool()),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ShapeError, checked};

    #[test]
    fn ceil_mode_counts_as_pytorch() {
        let w = |size, stride, pad| Window { size, stride, dilation: 1, padding: (pad, pad) };
        // (window, extent, floor, ceil), from torch.nn.functional.max_pool1d.
        for (window, n, floor, ceil) in [
            (w(3, 2, 0), 6, 2, 3),
            (w(2, 2, 1), 5, 3, 3),
            (w(2, 3, 1), 5, 2, 2),
            (w(3, 2, 1), 6, 3, 4),
            (w(1, 3, 0), 5, 2, 2),
        ] {
            assert_eq!((window.count(n).unwrap(), window.count_ceil(n).unwrap()), (floor, ceil), "{window:?} over {n}");
        }
        assert!(w(3, 2, 0).count(2).is_err());
        assert_eq!(w(3, 2, 0).count_ceil(2).unwrap(), 1);
        assert!(w(4, 2, 0).count_ceil(2).is_err());
    }

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 5, 5], DType::F32);
        let w = |size, stride, padding| Window { size, stride, dilation: 1, padding: (padding, padding) };
        let check = |result: Result<Tensor, ShapeError>, op: &str, reason: &str| {
            let e = result.unwrap_err().to_string();
            assert!(e.starts_with(op) && e.contains(reason) && e.contains("pool.rs"), "{e}");
        };
        check(
            checked(|| x.max_pool(&[w(3, 1, 2); 2])),
            "max_pool: ",
            "padding (2, 2) is more than half of a window of 3",
        );
        check(checked(|| x.max_pool(&[w(6, 1, 0); 2])), "max_pool: ", "no window of 6");
        check(checked(|| x.avg_pool(&[w(2, 0, 0); 2], true)), "avg_pool: ", "stride 0");
        check(checked(|| x.max_pool(&[w(0, 1, 0)])), "max_pool: ", "no window of 0");
        check(checked(|| x.max_pool(&[])), "max_pool: ", "0 windows over shape");
        check(checked(|| x.lp_pool(2.0, &[w(2, 1, 1)], false)), "lp_pool: ", "padding (1, 1)");
        check(checked(|| x.lp_pool(0.0, &[w(2, 1, 0)], false)), "lp_pool: ", "p = 0");
        let options = AvgPool { divisor_override: Some(0), ..AvgPool::default() };
        check(checked(|| x.avg_pool_with(&[w(2, 1, 0)], &options)), "avg_pool_with: ", "divisor of 0");
        check(checked(|| x.flatten(1).global_max_pool()), "global_max_pool: ", "[2, 75]");
    }
}
