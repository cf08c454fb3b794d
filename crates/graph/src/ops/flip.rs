//! Elements in reverse order, and what follows from that: rolling, slices with negative steps.

use crate::op::{Array, DimIndex, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Reversed along these axes.
#[derive(Debug)]
struct Flip(Vec<usize>);

impl Op for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![Some(Tensor::apply(Flip(self.0.clone()), &[grad]))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| {
            let mut at = i.to_vec();
            self.0.iter().for_each(|&d| at[d] = shape[d] - 1 - i[d]);
            inputs[0].at(&at)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Flip {
    fn map(&self, map: &IndexMap, input: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut map = map.clone();
        for &d in &self.0 {
            let DimIndex { affine, div } = &map.dims[d];
            // n - 1 - a / div == ((n - 1) * div - a) / div
            let last = (input[d] as i64 - 1) * *div as i64;
            map.dims[d] = DimIndex { affine: affine.scaled(-1, last), div: *div };
        }
        Some(map)
    }
}

impl Tensor {
    /// Reversed along `axes`.
    #[track_caller]
    pub fn flip(&self, axes: &[isize]) -> Tensor {
        let axes = self.axes("flip", axes);
        if axes.iter().all(|&a| self.shape()[a] <= 1) { self.clone() } else { Tensor::apply(Flip(axes), &[self]) }
    }

    /// Moved by `shift` places along `axis`; what leaves at one end comes back at the other.
    #[track_caller]
    pub fn roll(&self, axis: isize, shift: isize) -> Tensor {
        let n = self.shape()[self.axis("roll", axis)];
        if n == 0 {
            return self.clone();
        }
        let first = n - shift.rem_euclid(n as isize) as usize;
        if first == n {
            return self.clone();
        }
        Tensor::concat(&[&self.slice(axis, first..n), &self.slice(axis, 0..first)], axis)
    }

    /// `len` elements along `axis`: `start`, `start + step`, and so on; `step` may be negative, but not 0.
    #[track_caller]
    pub fn slice_signed(&self, axis: isize, start: usize, len: usize, step: isize) -> Tensor {
        let n = self.shape()[self.axis("slice_signed", axis)];
        if step == 0 || start >= n {
            crate::fail(
                "slice_signed",
                format!("{len} elements from {start} in steps of {step} do not fit axis {axis} of {:?}", self.shape()),
            );
        }
        if step > 0 {
            return self.slice_step(axis, start, len, step as usize);
        }
        self.flip(&[axis]).slice_step(axis, n - 1 - start, len, step.unsigned_abs())
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let flip = |shape: &[usize], axes: &'static [isize]| {
        OpCase::new("flip", format!("flip {shape:?} {axes:?}"), &[shape], move |x| {
            // Of something that depends on the place, so that the fused index is seen.
            let place = Tensor::iota(x[0].shape(), 0).cast(x[0].dtype());
            (&x[0] * 2.0 + place).flip(axes).sin() * &x[0]
        })
    };
    let roll = |shape: &[usize], axis, shift| {
        OpCase::new("roll", format!("roll {shape:?} {axis} {shift}"), &[shape], move |x| {
            (&x[0] * 2.0).roll(axis, shift).exp() * &x[0]
        })
    };
    let slice = |shape: &[usize], axis, start, len, step| {
        OpCase::new("slice_signed", format!("slice_signed {shape:?} {axis} {start} {len} {step}"), &[shape], move |x| {
            (&x[0] * 2.0).slice_signed(axis, start, len, step).exp()
        })
    };
    vec![
        flip(&[5], &[0]),
        flip(&[3, 4, 5], &[0, -1]),
        flip(&[0, 3], &[0, 1]),
        flip(&[2, 1, 7], &[1, 2]),
        OpCase::new("flip", "matmul of flips", &[&[3, 5], &[5, 4]], |x| x[0].flip(&[1]).matmul(&x[1].flip(&[0, 1]))),
        OpCase::new("flip", "flip of a dilated, padded slice", &[&[4, 5]], |x| {
            x[0].dilate(1, 3).pad(1, 2, 1, 0.0).flip(&[1]).slice_step(1, 1, 5, 2).exp()
        }),
        OpCase::new("flip", "flip under a reduction", &[&[4, 5], &[4, 5]], |x| (x[0].flip(&[0, 1]) * &x[1]).sum(&[1])),
        roll(&[7], 0, 3),
        roll(&[3, 5], -1, -2),
        roll(&[4, 1, 3], 0, 9),
        roll(&[0, 3], 0, 1),
        slice(&[9], 0, 8, 3, -3),
        slice(&[4, 7], -1, 4, 5, -1),
        slice(&[5, 3], 0, 0, 3, 2),
    ]
}
