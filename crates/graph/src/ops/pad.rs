//! Constant padding, and zeros put between elements.

use crate::op::{Array, DimIndex, Guard, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Along `axis`: the input's element `i` stands at `before + i * step`, `fill` everywhere else; the result is `len` long.
#[derive(Debug)]
pub(crate) struct Pad {
    pub axis: usize,
    pub before: usize,
    pub step: usize,
    pub len: usize,
    pub fill: f64,
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let mut shape = inputs[0].shape().to_vec();
        shape[self.axis] = self.len;
        Ok((shape, inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let n = output.inputs()[0].shape()[self.axis];
        Ok(vec![Some(grad.slice_step(self.axis as isize, self.before, n, self.step))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let n = inputs[0].shape[self.axis];
        Array::from_fn(shape, |i| {
            let mut at = i.to_vec();
            let p = i[self.axis] as isize - self.before as isize;
            if p < 0 || p as usize % self.step != 0 || p as usize / self.step >= n {
                return self.fill;
            }
            at[self.axis] = p as usize / self.step;
            inputs[0].at(&at)
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Pad {
    fn fill(&self) -> f64 {
        self.fill
    }

    fn map(&self, map: &IndexMap, input: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut map = map.clone();
        let DimIndex { affine, div } = &map.dims[self.axis];
        // (a / d - before) / step == (a - before * d) / (d * step)
        let affine = affine.scaled(1, -((self.before * div) as i64));
        let div = div * self.step;
        map.guards.push(Guard { affine: affine.clone(), div, len: input[self.axis] });
        map.dims[self.axis] = DimIndex { affine, div };
        Some(map)
    }
}

impl Tensor {
    /// `before` and `after` elements of value `fill` added along `axis`.
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize, fill: f32) -> Tensor {
        let axis = self.axis("pad", axis);
        if before + after == 0 {
            return self.clone();
        }
        let len = before + self.shape()[axis] + after;
        Tensor::apply(Pad { axis, before, step: 1, len, fill: fill as f64 }, &[self])
    }

    /// `step - 1` zeros put between neighbours along `axis`.
    #[track_caller]
    pub fn dilate(&self, axis: usize, step: usize) -> Tensor {
        let n = self.shape()[self.axis("dilate", axis as isize)];
        if step == 1 || n == 0 {
            return self.clone();
        }
        Tensor::apply(Pad { axis, before: 0, step, len: (n - 1) * step + 1, fill: 0.0 }, &[self])
    }

    /// Tensors joined along `axis`.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
        let Some(first) = tensors.first() else { crate::fail("concat", "no tensors given") };
        let axis = first.axis("concat", axis);
        for t in tensors {
            let fits = t.rank() == first.rank()
                && t.dtype() == first.dtype()
                && (0..t.rank()).all(|d| d == axis || t.shape()[d] == first.shape()[d]);
            if !fits {
                crate::fail(
                    "concat",
                    format!(
                        "{} {:?} and {} {:?} do not join along axis {axis}",
                        first.dtype(),
                        first.shape(),
                        t.dtype(),
                        t.shape()
                    ),
                );
            }
        }
        // A choice by position between padded views: no kernel of its own, and fused into whatever follows.
        let total: usize = tensors.iter().map(|t| t.shape()[axis]).sum();
        let mut start = 0;
        let mut joined: Option<Tensor> = None;
        let mut shape = first.shape().to_vec();
        shape[axis] = total;
        let position = Tensor::iota(shape, axis);
        for t in tensors {
            let n = t.shape()[axis];
            let wide = t.pad(axis as isize, start, total - start - n, 0.0);
            joined = Some(match joined {
                None => wide,
                Some(before) => position.lt(&Tensor::scalar(start as u32)).select(&before, &wide),
            });
            start += n;
        }
        joined.expect("at least one tensor")
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let pad = |shape: &[usize], axis: isize, before, after, fill| {
        OpCase::new("pad", format!("pad {shape:?} {axis} {before} {after} {fill}"), &[shape], move |x| {
            (&x[0] * 2.0).pad(axis, before, after, fill).exp()
        })
    };
    vec![
        pad(&[3, 4], 0, 1, 2, 0.0),
        pad(&[3, 4], -1, 0, 3, -1.5),
        pad(&[2, 1, 2], 1, 2, 2, 0.5),
        pad(&[0, 2], 0, 1, 1, 2.0),
        OpCase::new("pad", "pad a loaded value twice", &[&[3, 5]], |x| {
            x[0].pad(0, 1, 1, 0.0).pad(1, 2, 0, 0.0).square()
        }),
        OpCase::new("pad", "slice of a pad of a transpose", &[&[3, 5]], |x| {
            x[0].permute(&[1, 0]).pad(1, 1, 1, 0.0).slice(1, 1..5).square()
        }),
        OpCase::new("dilate", "dilate", &[&[3, 4]], |x| x[0].dilate(1, 3).dilate(0, 2).square()),
        OpCase::new("concat", "concat", &[&[2, 3], &[2, 1], &[2, 4]], |x| {
            Tensor::concat(&[&x[0], &x[1].exp(), &x[2]], 1).square()
        }),
        OpCase::new("concat", "concat with an empty one", &[&[2, 3], &[0, 3]], |x| {
            Tensor::concat(&[&x[0], &x[1]], 0).square()
        }),
    ]
}
