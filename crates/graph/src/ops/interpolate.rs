//! Resizing by interpolation: nearest, linear in each axis (bilinear, trilinear), cubic, as PyTorch's `interpolate`.
//!
//! Along each axis by itself, each a gather of few neighbours; so is the gradient. Positions are computed in whole numbers,
//! so they are exact where PyTorch's are floats that may round to the neighbouring pixel.

use crate::ops::axis_map::{AxisMap, Ramp};
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;

/// How values between elements are found, by PyTorch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The element at `floor(i * scale)`.
    Nearest,
    /// The element at `floor((i + 0.5) * scale)`: the nearest one by the places of pixels' centres.
    NearestExact,
    /// Between the two nearest along each axis: PyTorch's `linear`, `bilinear` and `trilinear`.
    Linear {
        /// The first and last elements keep their places; else pixels are areas, and the borders of the image do.
        align_corners: bool,
    },
    /// Between the four nearest along each axis, by cubic convolution with a = -0.75: PyTorch's `bicubic`.
    Cubic {
        /// As for `Linear`.
        align_corners: bool,
    },
    /// Mean of the area that an element comes from: [`Tensor::adaptive_avg_pool`].
    Area,
}

/// Output `i` of an axis comes from `(i * factor + offset) / divisor` of its input.
#[derive(Clone, Copy, Debug)]
struct Line {
    factor: u64,
    offset: i64,
    divisor: u64,
}

impl Line {
    /// For `to` outputs of `from` inputs, one output being `step.0 / step.1` inputs apart from the next.
    fn new(mode: Interpolation, from: usize, to: usize, step: (u64, u64)) -> Line {
        let (p, q) = step;
        match mode {
            Interpolation::Nearest | Interpolation::Area => Line { factor: p, offset: 0, divisor: q },
            Interpolation::NearestExact => Line { factor: 2 * p, offset: p as i64, divisor: 2 * q },
            Interpolation::Linear { align_corners: true } | Interpolation::Cubic { align_corners: true } => {
                let (factor, divisor) = if to > 1 { (from as u64 - 1, to as u64 - 1) } else { (0, 1) };
                Line { factor, offset: 0, divisor }
            }
            // (i + 0.5) * p / q - 0.5
            _ => Line { factor: 2 * p, offset: p as i64 - q as i64, divisor: 2 * q },
        }
    }

    /// `floor(position) + shift`, not below 0.
    fn floor(self, shift: i64) -> Ramp {
        Ramp { factor: self.factor, offset: self.offset + shift * self.divisor as i64, divisor: self.divisor }
    }

    /// The first `i` whose `floor(position)` is `j - reach` or more: `ceil(((j - reach) * divisor - offset) / factor)`.
    fn back(self, reach: i64) -> Ramp {
        if self.factor == 0 {
            return Ramp { factor: 0, offset: 0, divisor: 1 };
        }
        let offset = self.factor as i64 - 1 - self.offset - reach * self.divisor as i64;
        Ramp { factor: self.divisor, offset, divisor: self.factor }
    }

    /// How far the position is past `floor(position)`: f32.
    fn fraction(self, i: &Tensor, shift: i64) -> Tensor {
        let divisor = self.divisor as u32;
        let rest = self.floor(shift).numerator(i).rem(&Tensor::scalar(divisor));
        rest.cast(DType::F32) / divisor as f32
    }
}

/// The cubic convolution kernel (Keys, 1981) at the four neighbours of a position `t` past the second one.
fn cubic(t: &Tensor) -> [Tensor; 4] {
    const A: f32 = -0.75;
    let near = |d: &Tensor| (d * (A + 2.0) - (A + 3.0)) * d * d + 1.0;
    let far = |d: &Tensor| ((d * A - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let rest = 1.0 - t;
    [far(&(t + 1.0)), near(t), near(&rest), far(&(&rest + 1.0))]
}

fn axis_map(mode: Interpolation, from: usize, to: usize, line: Line) -> AxisMap {
    let last = from as u32 - 1;
    match mode {
        Interpolation::Linear { .. } => {
            let low = line.floor(0);
            let back_first = line.back(1);
            AxisMap {
                from,
                to,
                first: low,
                taps: 2,
                weight: Arc::new(move |i, j| {
                    // At the last element there is no second one.
                    let (first, t) = (low.of(i), line.fraction(i, 0));
                    let t = first.lt(&Tensor::scalar(last)).select(&t, &Tensor::scalar(0.0f32));
                    let second = j.equal(&(&first + Tensor::scalar(1u32)));
                    j.equal(&first).select(&(1.0 - &t), &second.select(&t, &Tensor::scalar(0.0f32)))
                }),
                back_first,
                back_taps: AxisMap::count_readers(from, to, back_first, |i| (low.at(i), low.at(i) + 1)),
            }
        }
        Interpolation::Cubic { .. } => {
            // Shifted by 2, so that whole numbers serve: the four are `low - 3` to `low`.
            let (low, first, back_first) = (line.floor(2), line.floor(-1), line.back(2));
            AxisMap {
                from,
                to,
                first,
                taps: 4,
                weight: Arc::new(move |i, j| {
                    let (low, parts) = (low.of(i), cubic(&line.fraction(i, 2)));
                    let number = |n: u32| Tensor::scalar(n);
                    let mut sum = Tensor::scalar(0.0f32);
                    for (k, part) in parts.iter().enumerate() {
                        // Neighbours past an end are the element at that end.
                        let at = (&low + number(k as u32)).maximum(&number(3)).minimum(&number(last + 3));
                        let hit = (j + number(3)).equal(&at);
                        sum = sum + hit.select(part, &Tensor::scalar(0.0f32));
                    }
                    sum
                }),
                back_first,
                back_taps: AxisMap::count_readers(from, to, back_first, |i| {
                    (low.at(i).saturating_sub(3).min(last as usize), low.at(i))
                }),
            }
        }
        _ => {
            let (at, back_first) = (line.floor(0), line.back(0));
            AxisMap {
                from,
                to,
                first: at,
                taps: 1,
                weight: Arc::new(move |i, j| at.of(i).equal(j).cast(DType::F32)),
                back_first,
                back_taps: AxisMap::count_readers(from, to, back_first, |i| (at.at(i), at.at(i))),
            }
        }
    }
}

/// A fraction near `x` with a denominator of at most 2^14, by continued fractions: exact for the factors that people write,
/// else about as near as an f32.
fn fraction(x: f64) -> (u64, u64) {
    let (mut before, mut now, mut rest) = ((0u64, 1u64), (1u64, 0u64), x);
    loop {
        let whole = rest.floor();
        let next = (whole as u64 * now.0 + before.0, whole as u64 * now.1 + before.1);
        if next.1 > 1 << 14 {
            return now;
        }
        (before, now) = (now, next);
        let error = (now.0 as f64 / now.1 as f64 - x).abs();
        if error <= x * 1e-9 || rest == whole {
            return now;
        }
        rest = 1.0 / (rest - whole);
    }
}

impl Tensor {
    /// The last axes resized to `sizes`, as PyTorch's `interpolate(size=...)`; [N, C, H, W] takes two. With `scale` =
    /// extent / size, element `i` comes from position `i * scale`, `(i + 0.5) * scale - 0.5` or, with aligned corners,
    /// `i * (extent - 1) / (size - 1)`; see [`Interpolation`].
    ///
    /// # Panics
    /// If a size or an extent is 0, or there are more sizes than axes.
    #[track_caller]
    pub fn interpolate(&self, sizes: &[usize], mode: Interpolation) -> Tensor {
        let steps: Vec<(u64, u64)> =
            self.shape().iter().rev().take(sizes.len()).rev().zip(sizes).map(|(&n, &s)| (n as u64, s as u64)).collect();
        self.resize("interpolate", sizes, &steps, mode)
    }

    /// The last axes resized by `factors`, as PyTorch's `interpolate(scale_factor=...)`: each to `floor(extent * factor)`, with
    /// `scale` = 1 / factor, whatever the extents are.
    ///
    /// # Panics
    /// If a factor is not positive, nothing is left of an axis, or there are more factors than axes.
    #[track_caller]
    pub fn interpolate_by(&self, factors: &[f64], mode: Interpolation) -> Tensor {
        if factors.len() > self.rank() || factors.iter().any(|&f| !(1e-4..=1e4).contains(&f)) {
            crate::fail("interpolate_by", format!("{:?} by factors {factors:?}", self.shape()));
        }
        let extents = &self.shape()[self.rank() - factors.len()..];
        let sizes: Vec<usize> = extents.iter().zip(factors).map(|(&n, f)| (n as f64 * f).floor() as usize).collect();
        let steps: Vec<(u64, u64)> = factors.iter().map(|&f| fraction(f)).map(|(p, q)| (q, p)).collect();
        self.resize("interpolate_by", &sizes, &steps, mode)
    }

    #[track_caller]
    fn resize(&self, op: &str, sizes: &[usize], steps: &[(u64, u64)], mode: Interpolation) -> Tensor {
        let bad = || format!("{:?} to sizes {sizes:?}", self.shape());
        if sizes.is_empty() || sizes.len() > self.rank() {
            crate::fail(op, bad());
        }
        let first = self.rank() - sizes.len();
        if sizes.contains(&0) || self.shape()[first..].contains(&0) {
            crate::fail(op, format!("{}: an extent is 0", bad()));
        }
        if !self.dtype().is_float() {
            crate::fail(op, format!("{}: a float is needed, not {}", bad(), self.dtype()));
        }
        if mode == Interpolation::Area {
            return self.adaptive_avg_pool(sizes);
        }
        let mut x = self.clone();
        let (mut repeats, mut whole) = (vec![], mode == Interpolation::Nearest || mode == Interpolation::NearestExact);
        for (d, (&to, &(p, q))) in sizes.iter().zip(steps).enumerate() {
            let from = self.shape()[first + d];
            repeats.push(to / from);
            whole &= to % from == 0 && p * to as u64 == q * from as u64;
        }
        if whole {
            return self.unpool_nearest(&repeats);
        }
        for (d, (&to, &step)) in sizes.iter().zip(steps).enumerate() {
            let from = self.shape()[first + d];
            if from == to && step.0 == step.1 {
                continue;
            }
            let line = Line::new(mode, from, to, step);
            let map = axis_map(mode, from, to, line);
            if !line.floor(2).fits(to) || !map.back_first.fits(from) {
                crate::fail(op, format!("{}: too large", bad()));
            }
            x = x.map_axis(first + d, &map);
        }
        x
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    use Interpolation::*;
    let mut all = vec![];
    let modes = [
        Nearest,
        NearestExact,
        Linear { align_corners: false },
        Linear { align_corners: true },
        Cubic { align_corners: false },
        Cubic { align_corners: true },
        Area,
    ];
    let geometry: [(&[usize], &[usize]); 3] =
        [(&[1, 2, 5, 3], &[7, 2]), (&[2, 1, 3], &[1]), (&[1, 1, 2, 7, 4], &[3, 3, 8])];
    for mode in modes {
        for (shape, sizes) in geometry {
            let name = format!("interpolate {shape:?} to {sizes:?} {mode:?}");
            all.push(OpCase::new("interpolate", name, &[shape], move |x| x[0].interpolate(sizes, mode)));
        }
        let name = format!("interpolate_by {mode:?}");
        all.push(OpCase::new("interpolate_by", name, &[&[2, 5, 4]], move |x| {
            x[0].exp().interpolate_by(&[1.5, 0.7], mode)
        }));
    }
    for (shape, factors) in [(&[2, 3, 3][..], &[2.0, 3.0][..]), (&[1, 7], &[0.37])] {
        all.push(OpCase::new("interpolate_by", format!("interpolate_by {factors:?}"), &[shape], move |x| {
            x[0].exp().interpolate_by(factors, NearestExact)
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;

    #[test]
    fn fractions() {
        assert_eq!(fraction(1.5), (3, 2));
        assert_eq!(fraction(0.7), (7, 10));
        assert_eq!(fraction(2.0), (2, 1));
        assert_eq!(fraction(1.0 / 3.0), (1, 3));
        let (p, q) = fraction(std::f64::consts::PI);
        assert!(q < 1 << 14 && (p as f64 / q as f64 - std::f64::consts::PI).abs() < 1e-6);
    }

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 3, 5, 5], DType::F32);
        for (e, reason) in [
            (
                checked(|| x.interpolate(&[0, 2], Interpolation::Nearest)).unwrap_err(),
                "interpolate: [2, 3, 5, 5] to sizes [0, 2]",
            ),
            (checked(|| x.interpolate(&[], Interpolation::Area)).unwrap_err(), "interpolate: [2, 3, 5, 5] to sizes []"),
            (
                checked(|| x.interpolate(&[2; 5], Interpolation::Area)).unwrap_err(),
                "interpolate: [2, 3, 5, 5] to sizes",
            ),
            (
                checked(|| x.interpolate_by(&[0.1], Interpolation::Nearest)).unwrap_err(),
                "interpolate_by: [2, 3, 5, 5] to sizes [0]",
            ),
            (
                checked(|| x.interpolate_by(&[-1.0], Interpolation::Nearest)).unwrap_err(),
                "interpolate_by: [2, 3, 5, 5] by factors",
            ),
            (checked(|| x.interpolate_by(&[f64::NAN], Interpolation::Nearest)).unwrap_err(), "interpolate_by: "),
            (checked(|| x.cast(DType::U32).interpolate(&[9], Interpolation::Nearest)).unwrap_err(), "interpolate: "),
        ] {
            let e = e.to_string();
            assert!(e.starts_with(reason) && e.contains("interpolate.rs"), "{e}");
        }
    }
}
