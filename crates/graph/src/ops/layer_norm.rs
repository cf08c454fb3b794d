//! Layer normalisation (Ba et al., 2016) and RMS normalisation (Zhang and Sennrich, 2019), over the last axes.

use crate::ops::norm::{Norm, check_affine};
use crate::{OpCase, Tensor};

impl Tensor {
    /// Normalises over the last axes, which have the extents `normalized_shape`: `(x - mean) / sqrt(variance + eps) *
    /// weight + bias`, with the biased variance; `weight` and `bias` have shape `normalized_shape`, or are missing. As
    /// `torch.nn.functional.layer_norm`.
    ///
    /// # Panics
    /// If the last extents are not `normalized_shape`, a parameter has another shape, or there is nothing to normalise.
    #[track_caller]
    pub fn layer_norm<'a>(
        &self,
        normalized_shape: &[usize],
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Tensor {
        self.last_axes_norm("layer_norm", normalized_shape, weight.into(), bias.into(), eps, true)
    }

    /// Divides by the root mean square over the last axes, which have the extents `normalized_shape`:
    /// `x / sqrt(mean(x^2) + eps) * weight`; `weight` has shape `normalized_shape`, or is missing. As
    /// `torch.nn.functional.rms_norm`, whose default eps is f32's 1.1920929e-7.
    ///
    /// # Panics
    /// As [`Tensor::layer_norm`].
    #[track_caller]
    pub fn rms_norm<'a>(&self, normalized_shape: &[usize], weight: impl Into<Option<&'a Tensor>>, eps: f32) -> Tensor {
        self.last_axes_norm("rms_norm", normalized_shape, weight.into(), None, eps, false)
    }

    #[track_caller]
    fn last_axes_norm(
        &self,
        op: &str,
        normalized: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f32,
        centred: bool,
    ) -> Tensor {
        if normalized.is_empty() || !self.shape().ends_with(normalized) {
            crate::fail(op, format!("normalized_shape {normalized:?} is not the end of the shape {:?}", self.shape()));
        }
        check_affine(op, self, normalized, [weight, bias]);
        let first = self.rank() - normalized.len();
        let along = [&vec![1; first][..], normalized].concat();
        let wide = |t: &Tensor| t.reshape(along.clone());
        let (weight, bias) = (weight.map(wide), bias.map(wide));
        let over = (first as isize..self.rank() as isize).collect();
        let norm = Norm { over, weight: weight.as_ref(), bias: bias.as_ref(), eps, centred };
        norm.apply(op, self).output
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    const NONE: Option<&Tensor> = None;
    let mut all = vec![];
    for (shape, from) in [(&[4usize, 7][..], 1), (&[2, 3, 5], 1), (&[3, 1, 6], 2), (&[11], 0), (&[0, 5], 1)] {
        let last = &shape[from..];
        all.push(OpCase::new("layer_norm", format!("layer_norm {shape:?} from {from}"), &[shape, last, last], {
            let last = last.to_vec();
            move |x| x[0].layer_norm(&last, &x[1], &x[2], 1e-3).sin()
        }));
        all.push(OpCase::new("rms_norm", format!("rms_norm {shape:?} from {from}"), &[shape, last], {
            let last = last.to_vec();
            move |x| x[0].rms_norm(&last, &x[1], 1e-3).sin()
        }));
    }
    all.extend([
        OpCase::new("layer_norm", "layer_norm, no parameters", &[&[5, 3]], |x| {
            x[0].layer_norm(&[3], NONE, NONE, 0.1).square()
        }),
        OpCase::new("layer_norm", "layer_norm, no bias, of a transpose", &[&[6, 4], &[6]], |x| {
            x[0].transpose(0, 1).layer_norm(&[6], &x[1], NONE, 1e-5)
        }),
        OpCase::new("layer_norm", "layer_norm of one element", &[&[4, 1], &[1], &[1]], |x| {
            x[0].layer_norm(&[1], &x[1], &x[2], 0.5)
        }),
        OpCase::new("rms_norm", "rms_norm, no weight", &[&[5, 3]], |x| x[0].rms_norm(&[3], NONE, 0.1).square()),
        OpCase::new("rms_norm", "rms_norm of a slice", &[&[4, 9], &[5]], |x| {
            x[0].slice(1, 2..7).rms_norm(&[5], &x[1], 1e-6)
        }),
        // A mean of some 350 times the spread. Its rounding to f32 alone is 1e-5 of the spread.
        OpCase::new("layer_norm", "layer_norm with a large mean", &[&[4, 33], &[33], &[33]], |x| {
            (&x[0] + 200.0).layer_norm(&[33], &x[1], &x[2], 1e-5)
        })
        .tolerance(1e-4)
        .f32_only("f16 holds 200 in steps of an eighth"),
        OpCase::new("rms_norm", "rms_norm with a large mean", &[&[4, 33], &[33]], |x| {
            (&x[0] + 200.0).rms_norm(&[33], &x[1], 1e-5)
        }),
    ]);
    all
}
