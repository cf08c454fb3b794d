//! Sampling an image at given points, and grids of points from affine maps: spatial transformers (Jaderberg et al., 2015).

use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// What [`Tensor::grid_sample`] takes for points between elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleMode {
    /// Between the neighbours along each axis.
    Bilinear,
    /// The nearest element; halves go to the even one.
    Nearest,
}

/// What [`Tensor::grid_sample`] takes for points outside of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplePadding {
    /// Zeros around the image.
    Zeros,
    /// The nearest element of the border.
    Border,
    /// The image mirrored at its borders, as often as needed.
    Reflection,
}

/// Options of [`Tensor::grid_sample`], by PyTorch's names and with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// Between elements.
    pub mode: SampleMode,
    /// Outside of the image.
    pub padding_mode: SamplePadding,
    /// Whether -1 and 1 are the centres of the first and last elements; else their outer edges.
    pub align_corners: bool,
}

impl Default for GridSample {
    fn default() -> GridSample {
        GridSample { mode: SampleMode::Bilinear, padding_mode: SamplePadding::Zeros, align_corners: false }
    }
}

impl GridSample {
    /// From [-1, 1] to positions along an axis of `n` elements, with points outside brought in if the padding is so.
    fn position(&self, g: &Tensor, n: usize) -> Tensor {
        let size = n as f32;
        let at = if self.align_corners { (g + 1.0) * ((size - 1.0) / 2.0) } else { ((g + 1.0) * size - 1.0) * 0.5 };
        match self.padding_mode {
            SamplePadding::Zeros => at,
            SamplePadding::Border => at.clamp(0.0, size - 1.0),
            SamplePadding::Reflection => {
                // Mirrors stand at the first and last centres, or half an element beyond.
                let (low, span) = if self.align_corners { (0.0, size - 1.0) } else { (-0.5, size) };
                if span == 0.0 {
                    return &at * 0.0;
                }
                let past = (&at - low).abs();
                let flips = (&past / span).floor().stop_gradient();
                let rest = &past - &flips * span;
                let odd = (&flips - (&flips * 0.5).floor() * 2.0).gt(&past.lit(0.5));
                (odd.select(&(span - &rest), &rest) + low).clamp(0.0, size - 1.0)
            }
        }
    }
}

impl Tensor {
    /// Samples of [N, C, H, W] at the points of `grid` [N, H', W', 2]: [N, C, H', W']; or of [N, C, D, H, W] at [N, D', H', W', 3].
    /// A point is (x, y) or (x, y, z), x along the last axis, each from -1 to 1 over the image: position
    /// `((x + 1) * extent - 1) / 2`, or `(x + 1) / 2 * (extent - 1)` with aligned corners. As PyTorch's `grid_sample`, without
    /// `bicubic`.
    ///
    /// The gradient to the image adds up over points; that to the grid follows from the weights (0 for `Nearest`).
    ///
    /// # Panics
    /// If shapes do not fit, or an extent of the image is 0.
    #[track_caller]
    pub fn grid_sample(&self, grid: &Tensor, options: &GridSample) -> Tensor {
        if [self.dtype(), grid.dtype()].contains(&DType::F16) {
            return self.in_f32().grid_sample(&grid.in_f32(), options).cast(self.dtype());
        }
        let s = self.rank().saturating_sub(2);
        let fits = (s == 2 || s == 3)
            && grid.rank() == s + 2
            && grid.shape()[0] == self.shape()[0]
            && grid.shape()[s + 1] == s
            && (self.dtype(), grid.dtype()) == (DType::F32, DType::F32);
        if !fits || self.shape()[2..].contains(&0) {
            crate::fail(
                "grid_sample",
                format!(
                    "f32 [N, C, H, W] with grid [N, H', W', 2], or [N, C, D, H, W] with [N, D', H', W', 3], expected, not {} {:?} \
                     with {} {:?}",
                    self.dtype(),
                    self.shape(),
                    grid.dtype(),
                    grid.shape()
                ),
            );
        }
        let points = &grid.shape()[1..=s];
        let shape = [&self.shape()[..2], points].concat();
        let number = |n: usize| Tensor::scalar(n as u32);
        // For each axis, the neighbours: position, whether it is in the image, and weight.
        let axes: Vec<Vec<(Tensor, Tensor, Tensor)>> = (0..s)
            .map(|d| {
                let n = self.shape()[2 + d];
                let g = grid.slice(-1, s - 1 - d..s - d).reshape([&[shape[0], 1], points].concat());
                let at = options.position(&g, n);
                let neighbour = |p: Tensor, weight: Tensor| {
                    let (zero, last) = (p.lit(0.0), p.lit((n - 1) as f64));
                    let inside = p.ge(&zero).logical_and(&p.le(&last));
                    (p.stop_gradient().maximum(&zero).minimum(&last).cast(DType::U32), inside, weight)
                };
                match options.mode {
                    SampleMode::Nearest => vec![neighbour(at.round(), at.lit(1.0))],
                    SampleMode::Bilinear => {
                        let low = at.floor().stop_gradient();
                        let t = &at - &low;
                        vec![neighbour(low.clone(), 1.0 - &t), neighbour(low + 1.0, t)]
                    }
                }
            })
            .collect();
        let plane = Tensor::iota(shape.clone(), 0) * number(shape[1]) + Tensor::iota(shape.clone(), 1);
        let mut sum: Option<Tensor> = None;
        let corners = axes[0].len().pow(s as u32);
        for corner in 0..corners {
            let mut rest = corner;
            let (mut at, mut inside, mut weight) = (number(0), Tensor::scalar(true), Tensor::scalar(1.0f32));
            let mut area = 1;
            for (d, neighbours) in axes.iter().enumerate() {
                let (p, is_inside, w) = &neighbours[rest % neighbours.len()];
                rest /= neighbours.len();
                (at, inside, weight) =
                    (at * number(self.shape()[2 + d]) + p, inside.logical_and(is_inside), weight * w);
                area *= self.shape()[2 + d];
            }
            let flat = &plane * number(area) + at;
            let value = self.take(&inside.select(&flat, &Tensor::scalar(u32::MAX))) * weight;
            sum = Some(match sum {
                None => value,
                Some(before) => before + value,
            });
        }
        sum.expect("at least one corner")
    }

    /// Points for [`Tensor::grid_sample`]: for each image of the batch, `theta` [N, 2, 3] applied to (x, y, 1) for every element
    /// of an image of these spatial extents (H, W): [N, H, W, 2]; or [N, 3, 4] to (x, y, z, 1): [N, D, H, W, 3]. As PyTorch's
    /// `affine_grid`.
    ///
    /// # Panics
    /// If shapes do not fit, or an extent is 0.
    #[track_caller]
    pub fn affine_grid(theta: &Tensor, spatial: &[usize], align_corners: bool) -> Tensor {
        let s = spatial.len();
        if (s != 2 && s != 3) || theta.rank() != 3 || theta.shape()[1..] != [s, s + 1] || spatial.contains(&0) {
            crate::fail(
                "affine_grid",
                format!(
                    "theta [N, 2, 3] and extents [H, W], or [N, 3, 4] and [D, H, W], expected, not {:?} and {spatial:?}",
                    theta.shape()
                ),
            );
        }
        let n = theta.shape()[0];
        let ones = vec![1; s];
        let wide = theta.in_f32();
        let column = |k: usize| wide.slice(2, k..k + 1).reshape([&[n], &ones[..], &[s]].concat());
        let mut points = column(s);
        for k in 0..s {
            // x runs along the last axis.
            let (axis, extent) = (s - 1 - k, spatial[s - 1 - k]);
            let mut along = vec![1; s + 2];
            along[1 + axis] = extent;
            // -1 to 1 over the centres of the elements, or over their edges. One element is in the middle.
            let i = Tensor::iota(along, 1 + axis).cast(DType::F32);
            let intervals = if align_corners { extent.max(2) - 1 } else { extent };
            let first = if !align_corners {
                1.0 / extent as f32 - 1.0
            } else if extent == 1 {
                0.0
            } else {
                -1.0
            };
            points = points + column(k) * (i * (2.0 / intervals as f32) + first);
        }
        points.broadcast_to([&[n], spatial, &[s]].concat()).cast(theta.dtype())
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    for mode in [SampleMode::Bilinear, SampleMode::Nearest] {
        for padding_mode in [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection] {
            for align_corners in [false, true] {
                let options = GridSample { mode, padding_mode, align_corners };
                let name = format!("grid_sample {mode:?} {padding_mode:?} align_corners {align_corners}");
                all.push(OpCase::new("grid_sample", name, &[&[2, 2, 3, 5], &[2, 4, 3, 2]], move |x| {
                    x[0].exp().grid_sample(&(x[1].in_f32() * 1.7), &options)
                }));
            }
        }
    }
    all.extend([
        OpCase::new("grid_sample", "grid_sample in 3-D", &[&[1, 2, 2, 3, 4], &[1, 2, 2, 1, 3]], |x| {
            x[0].grid_sample(&(x[1].in_f32() * 1.3), &GridSample::default())
        }),
        OpCase::new("grid_sample", "grid_sample of one element", &[&[1, 1, 1, 1], &[1, 2, 3, 2]], |x| {
            let options =
                GridSample { padding_mode: SamplePadding::Reflection, align_corners: true, ..GridSample::default() };
            x[0].grid_sample(&x[1], &options)
        }),
        OpCase::new("affine_grid", "affine_grid", &[&[2, 2, 3]], |x| Tensor::affine_grid(&x[0], &[3, 4], false)),
        OpCase::new("affine_grid", "affine_grid, corners aligned", &[&[1, 2, 3]], |x| {
            Tensor::affine_grid(&x[0], &[1, 4], true)
        }),
        OpCase::new("affine_grid", "affine_grid in 3-D", &[&[2, 3, 4]], |x| {
            Tensor::affine_grid(&x[0], &[2, 3, 2], true)
        }),
        OpCase::new("grid_sample", "a spatial transformer", &[&[1, 2, 4, 3], &[1, 2, 3]], |x| {
            let grid = Tensor::affine_grid(&x[1].in_f32(), &[3, 3], false);
            x[0].grid_sample(&grid, &GridSample { padding_mode: SamplePadding::Border, ..GridSample::default() })
        }),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 5, 5], DType::F32);
        let grid = Tensor::input("g", [2, 3, 3, 3], DType::F32);
        for e in [
            checked(|| x.grid_sample(&grid, &GridSample::default())).unwrap_err(),
            checked(|| x.flatten(2).grid_sample(&grid, &GridSample::default())).unwrap_err(),
            checked(|| x.slice(0, 0..1).grid_sample(&grid.slice(3, 0..2), &GridSample::default())).unwrap_err(),
            checked(|| x.slice(2, 0..0).grid_sample(&grid.slice(3, 0..2), &GridSample::default())).unwrap_err(),
            checked(|| Tensor::affine_grid(&grid, &[3, 3], true)).unwrap_err(),
            checked(|| Tensor::affine_grid(&grid.reshape([9, 2, 3]), &[3, 0], true)).unwrap_err(),
        ] {
            let e = e.to_string();
            assert!(e.contains("expected, not") && e.contains("grid_sample.rs"), "{e}");
        }
    }
}
