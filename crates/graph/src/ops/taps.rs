//! Sliding windows as views, with two operations that are each other's gradient.
//!
//! Both have a position axis and a tap axis. [`Tensor::window`] is built from the first by broadcasting; pooling in any
//! number of dimensions is windows followed by a reduction, and their gradients come by themselves.

use crate::op::{Array, DimIndex, Guard, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Window geometry along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Number of taps.
    pub size: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// Padding before and after.
    pub padding: (usize, usize),
}

impl Window {
    /// Number of windows over `n` elements: `(n + padding - dilation * (size - 1) - 1) / stride + 1`.
    ///
    /// # Errors
    /// If not one window fits.
    pub fn count(&self, n: usize) -> Result<usize, String> {
        let span = self.dilation * (self.size.max(1) - 1) + 1;
        let wide = n + self.padding.0 + self.padding.1;
        if self.size == 0 || self.stride == 0 || self.dilation == 0 || wide < span {
            return Err(format!(
                "no window of {} (stride {}, dilation {}) fits {n} elements padded by {:?}",
                self.size, self.stride, self.dilation, self.padding
            ));
        }
        Ok((wide - span) / self.stride + 1)
    }

    /// As [`Window::count`], but a last window that reaches past the padded end counts as well, unless it begins past the
    /// input's end: PyTorch's `ceil_mode`.
    ///
    /// # Errors
    /// If there is not one window.
    pub fn count_ceil(&self, n: usize) -> Result<usize, String> {
        // As much more at the end as lets the last window fit.
        let longer = Window { padding: (self.padding.0, self.padding.1 + self.stride.saturating_sub(1)), ..*self };
        let count = longer.count(n).map_err(|_| match self.count(n) {
            Err(reason) => reason,
            Ok(_) => unreachable!("it fits a shorter input"),
        })?;
        if (count - 1) * self.stride < n + self.padding.0 {
            Ok(count)
        } else if count > 1 {
            Ok(count - 1)
        } else {
            Err(format!("no window of {} begins in {n} elements", self.size))
        }
    }

    /// Number of taps of window `i` that lie in `lo..hi`.
    pub(crate) fn taps_within(&self, i: usize, lo: i64, hi: i64) -> usize {
        let first = (i * self.stride) as i64 - self.padding.0 as i64;
        (0..self.size).filter(|r| (lo..hi).contains(&(first + (r * self.dilation) as i64))).count()
    }
}

/// Gather (`out[o, r] = in[o*stride + r*dilation - pad, r]`, `fill` where outside) or, inverted, scatter
/// (`out[h, r] = in[(h + pad - r*dilation) / stride, r]`, 0 where that is no window).
#[derive(Debug)]
struct Taps {
    axis: usize,
    tap: usize,
    window: Window,
    /// Extent of the result's position axis.
    len: usize,
    fill: f64,
    scatter: bool,
}

impl Op for Taps {
    fn name(&self) -> &'static str {
        if self.scatter { "tap_scatter" } else { "tap_gather" }
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let mut shape = inputs[0].shape().to_vec();
        shape[self.axis] = self.len;
        Ok((shape, inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let len = output.inputs()[0].shape()[self.axis];
        let op = Taps { axis: self.axis, tap: self.tap, window: self.window, len, fill: 0.0, scatter: !self.scatter };
        Ok(vec![Some(Tensor::apply(op, &[grad]))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let n = inputs[0].shape[self.axis] as i64;
        let Window { stride, dilation, padding, .. } = self.window;
        let (s, d, p) = (stride as i64, dilation as i64, padding.0 as i64);
        Array::from_fn(shape, |i| {
            let (o, r) = (i[self.axis] as i64, i[self.tap] as i64);
            let at = if self.scatter {
                let v = o + p - r * d;
                if v % s != 0 {
                    return 0.0;
                }
                v / s
            } else {
                o * s + r * d - p
            };
            if at < 0 || at >= n {
                return self.fill;
            }
            let mut index = i.to_vec();
            index[self.axis] = at as usize;
            inputs[0].at(&index)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Taps {
    fn fill(&self) -> f64 {
        self.fill
    }

    fn map(&self, map: &IndexMap, input: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut map = map.clone();
        let DimIndex { affine: o, div } = map.dims[self.axis].clone();
        let DimIndex { affine: r, div: 1 } = &map.dims[self.tap] else { return None };
        let Window { stride, dilation, padding, .. } = self.window;
        let (affine, div) = if self.scatter {
            // (o/div + pad - r*dilation) / stride
            (o.scaled(1, (padding.0 * div) as i64).plus(r, -((dilation * div) as i64)), div * stride)
        } else {
            // o/div * stride + r*dilation - pad
            (o.scaled(stride as i64, -((padding.0 * div) as i64)).plus(r, (dilation * div) as i64), div)
        };
        map.guards.push(Guard { affine: affine.clone(), div, len: input[self.axis] });
        map.dims[self.axis] = DimIndex { affine, div };
        Some(map)
    }
}

impl Tensor {
    /// Sliding windows along `axis`: the axis counts windows, and a new last axis counts their elements. `fill` stands
    /// where a window reaches into the padding.
    #[track_caller]
    pub fn window(&self, axis: isize, window: Window, fill: f32) -> Tensor {
        let axis = self.axis("window", axis);
        let len = match window.count(self.shape()[axis]) {
            Ok(len) => len,
            Err(reason) => crate::fail("window", format!("axis {axis} of {:?}: {reason}", self.shape())),
        };
        let tap = self.rank();
        let mut wide = self.shape().to_vec();
        wide.push(window.size);
        let x = self.unsqueeze(tap).broadcast_to(wide);
        Tensor::apply(Taps { axis, tap, window, len, fill: fill as f64, scatter: false }, &[&x])
    }
}

/// Whether windows lie side by side, so that each element is in one of them (or behind the last): 2x2 pooling, mostly.
fn tiles(w: &Window, count: usize, extent: usize) -> bool {
    let plain = Window { size: w.size, stride: w.size, dilation: 1, padding: (0, w.padding.1) };
    *w == plain && count * w.size <= extent
}

/// Windows along several axes at once: the last axes of the image, and as many tap axes after them.
impl Tensor {
    /// Views of the windows over the last axes, `counts` of them: those axes count windows, and as many new axes count taps.
    #[track_caller]
    pub(crate) fn tap_views(&self, windows: &[Window], counts: &[usize], fill: f32) -> Tensor {
        let first = self.rank() - windows.len();
        let mut wide = self.shape().to_vec();
        wide.extend(windows.iter().map(|_| 1));
        let mut x = self.reshape(wide.clone());
        for (d, (&window, &len)) in windows.iter().zip(counts).enumerate() {
            let (axis, tap) = (first + d, self.rank() + d);
            wide[axis] = x.shape()[axis];
            wide[tap] = window.size;
            x = x.broadcast_to(wide.clone());
            x = Tensor::apply(Taps { axis, tap, window, len, fill: fill as f64, scatter: false }, &[&x]);
            wide[axis] = len;
        }
        x
    }

    /// The adjoint view: windows by taps, with elements where they were in an image of these extents, zeros elsewhere. Their
    /// sum over the taps is the image.
    #[track_caller]
    pub(crate) fn spread_taps(&self, windows: &[Window], extents: &[usize]) -> Tensor {
        let (k, first) = (windows.len(), self.rank() - 2 * windows.len());
        let mut x = self.clone();
        for (d, (&window, &len)) in windows.iter().zip(extents).enumerate() {
            let (axis, tap) = (first + d, first + k + d);
            x = Tensor::apply(Taps { axis, tap, window, len, fill: 0.0, scatter: true }, &[&x]);
        }
        x
    }

    /// Windows that tile an image, by taps, as that image, with zeros behind: no sum needed.
    #[track_caller]
    fn laid_out(&self, extents: &[usize]) -> Tensor {
        let k = extents.len();
        let first = self.rank() - 2 * k;
        let order: Vec<usize> = (0..first).chain((0..k).flat_map(|d| [first + d, first + k + d])).collect();
        let mut shape = self.shape()[..first].to_vec();
        shape.extend((0..k).map(|d| self.shape()[first + d] * self.shape()[first + k + d]));
        let mut x = self.permute(&order).reshape(shape);
        for (d, &n) in extents.iter().enumerate() {
            let behind = n - x.shape()[first + d];
            x = x.pad((first + d) as isize, 0, behind, 0.0);
        }
        x
    }

    /// The windows over the last axes, as [`Tensor::tap_views`]; the gradient is one sum over all taps.
    #[track_caller]
    pub(crate) fn windows(&self, windows: &[Window], counts: &[usize], fill: f32) -> Tensor {
        let (owned, extents) = (windows.to_vec(), self.shape()[self.rank() - windows.len()..].to_vec());
        let value = self.tap_views(windows, counts, fill);
        value.with_gradient(&[self], move |_, _, g| vec![Some(g.overlap_add(&owned, &extents))])
    }

    /// Windows by taps added up to an image of these extents: the adjoint of [`Tensor::windows`].
    #[track_caller]
    pub(crate) fn overlap_add(&self, windows: &[Window], extents: &[usize]) -> Tensor {
        let k = windows.len();
        let first = self.rank() - 2 * k;
        let (owned, counts) = (windows.to_vec(), self.shape()[first..first + k].to_vec());
        let value = if (0..k).all(|d| tiles(&windows[d], counts[d], extents[d])) {
            self.laid_out(extents)
        } else {
            let taps: Vec<isize> = (1..=k as isize).map(|d| -d).collect();
            self.spread_taps(windows, extents).sum(&taps)
        };
        value.with_gradient(&[self], move |_, _, g| vec![Some(g.windows(&owned, &counts, 0.0))])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |n: usize, size, stride, dilation, padding| {
        let w = Window { size, stride, dilation, padding };
        OpCase::new("window", format!("window of {n}: {w:?}"), &[&[2, n, 3]], move |x| {
            let y = (&x[0] * 2.0).window(1, w, 0.0);
            (&y * &y).sum(&[-1])
        })
    };
    let scatter = |n: usize, size, stride, dilation, pad| {
        let window = Window { size, stride, dilation, padding: (pad, pad) };
        let len = window.count(n).expect("fits");
        let op = move || Taps { axis: 1, tap: 2, window, len: n, fill: 0.0, scatter: true };
        OpCase::new("tap_scatter", format!("tap_scatter to {n}: {window:?}"), &[&[2, len, size]], move |x| {
            Tensor::apply(op(), &[&(&x[0] * 2.0)]).exp()
        })
    };
    vec![
        scatter(7, 3, 1, 1, 1),
        scatter(8, 2, 3, 2, 0),
        case(7, 3, 1, 1, (1, 1)),
        case(8, 2, 2, 1, (0, 0)),
        case(9, 3, 2, 2, (2, 1)),
        case(5, 1, 3, 1, (0, 0)),
        case(1, 3, 1, 1, (1, 1)),
    ]
}
