//! Part of a tensor, with steps.

use crate::op::{Array, DimIndex, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// `len` elements along `axis`, from `start`, `step` apart.
#[derive(Debug)]
pub(crate) struct Slice {
    pub axis: usize,
    pub start: usize,
    pub len: usize,
    pub step: usize,
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let mut shape = inputs[0].shape().to_vec();
        let n = shape[self.axis];
        let end = if self.len == 0 { self.start } else { self.start + (self.len - 1) * self.step + 1 };
        if end > n || self.step == 0 {
            return Err(format!(
                "{} elements from {} in steps of {} do not fit axis {} of {shape:?}",
                self.len, self.start, self.step, self.axis
            ));
        }
        shape[self.axis] = self.len;
        Ok((shape, inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let n = output.inputs()[0].shape()[self.axis];
        if self.len == 0 {
            return Ok(vec![Some(Tensor::zeros(output.inputs()[0].shape(), grad.dtype()))]);
        }
        let spread = grad.dilate(self.axis, self.step);
        let after = n - self.start - spread.shape()[self.axis];
        Ok(vec![Some(spread.pad(self.axis as isize, self.start, after, 0.0))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| {
            let mut at = i.to_vec();
            at[self.axis] = self.start + i[self.axis] * self.step;
            inputs[0].at(&at)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Slice {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut map = map.clone();
        let DimIndex { affine, div } = &map.dims[self.axis];
        // (a / d) * step + start == (a * step + start * d) / d wherever a is divisible by d.
        let affine = affine.scaled(self.step as i64, (self.start * div) as i64);
        map.dims[self.axis] = DimIndex { affine, div: *div };
        Some(map)
    }
}

impl Tensor {
    /// Elements `range` along `axis`.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: std::ops::Range<usize>) -> Tensor {
        let len = range.end.saturating_sub(range.start);
        self.slice_step(axis, range.start, len, 1)
    }

    /// `len` elements along `axis`, from `start`, `step` apart.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, start: usize, len: usize, step: usize) -> Tensor {
        let axis = self.axis("slice", axis);
        if start == 0 && len == self.shape()[axis] && step == 1 {
            return self.clone();
        }
        Tensor::apply(Slice { axis, start, len, step }, &[self])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |shape: &[usize], axis: isize, start, len, step| {
        OpCase::new("slice", format!("slice {shape:?} {axis} {start} {len} {step}"), &[shape], move |x| {
            (&x[0] * 2.0).slice_step(axis, start, len, step).exp()
        })
    };
    vec![
        case(&[5, 7], 0, 1, 3, 1),
        case(&[5, 7], -1, 1, 3, 2),
        case(&[2, 9, 3], 1, 0, 3, 4),
        case(&[6], 0, 5, 1, 1),
        case(&[4, 3], 0, 2, 0, 1),
    ]
}
