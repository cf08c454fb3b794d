//! Batch normalisation (Ioffe and Szegedy, 2015) over axis 1, as PyTorch computes it.

use crate::ops::norm::{Norm, Normalised, along_channels, check_affine};
use crate::{OpCase, Tensor};

impl Tensor {
    /// Normalises each channel (axis 1) of [N, C, ...] by the batch's own mean and biased variance, then scales and
    /// shifts: `(x - mean) / sqrt(variance + eps) * weight + bias`, with `weight` and `bias` of shape `[C]`, or none. The
    /// statistics have shape `[C]`.
    ///
    /// The variance is the mean squared distance from the mean, so a large mean does no harm. Of f16
    /// tensors the statistics are f32, and parameters may be f32.
    #[track_caller]
    pub fn batch_norm_train<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Normalised {
        let (weight, bias) = (weight.into(), bias.into());
        self.check_channels("batch_norm_train", weight, bias);
        let along = along_channels(self);
        let wide = |t: &Tensor| t.reshape(along.clone());
        let (weight, bias) = (weight.map(wide), bias.map(wide));
        let over = (0..self.rank() as isize).filter(|&d| d != 1).collect();
        let norm = Norm { over, weight: weight.as_ref(), bias: bias.as_ref(), eps, centred: true };
        let done = norm.apply("batch_norm_train", self);
        let channels = [self.shape()[1]];
        Normalised { mean: done.mean.reshape(channels), variance: done.variance.reshape(channels), ..done }
    }

    /// Normalises each channel by given statistics: `(x - mean) / sqrt(variance + eps) * weight + bias`, all of shape
    /// `[C]`; weight and bias may be missing.
    #[track_caller]
    pub fn batch_norm_eval<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        mean: &Tensor,
        variance: &Tensor,
        eps: f32,
    ) -> Tensor {
        let (weight, bias) = (weight.into(), bias.into());
        self.check_channels("batch_norm_eval", weight, bias);
        self.check_channels("batch_norm_eval", Some(mean), Some(variance));
        let along = along_channels(self);
        let wide = |t: &Tensor| t.in_f32().reshape(along.clone());
        let rstd = (variance.in_f32() + eps).rsqrt();
        let scale = weight.map_or(rstd.clone(), |w| w.in_f32() * &rstd);
        let y = (self.in_f32() - wide(mean)) * wide(&scale);
        bias.map_or(y.clone(), |b| y + wide(b)).cast(self.dtype())
    }

    /// Checks that this is [N, C, ...] and the others [C].
    #[track_caller]
    pub(crate) fn check_channels(&self, op: &str, weight: Option<&Tensor>, bias: Option<&Tensor>) {
        if self.rank() < 2 {
            crate::fail(op, format!("[N, C, ...] expected, not {:?}", self.shape()));
        }
        check_affine(op, self, &self.shape()[1..2], [weight, bias]);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    for shape in [&[4usize, 3][..], &[3, 2, 5, 4], &[2, 1, 3], &[1, 2, 9, 9]] {
        let c = [shape[1]];
        all.push(
            OpCase::new("batch_norm", format!("batch_norm train {shape:?}"), &[shape, &c, &c], |x| {
                x[0].batch_norm_train(&x[1], &x[2], 1e-3).output.relu()
            })
            .domain(-1.0, 2.0),
        );
        all.push(OpCase::new("batch_norm", format!("batch_norm eval {shape:?}"), &[shape, &c, &c, &c, &c], |x| {
            x[0].batch_norm_eval(&x[1], &x[2], &x[3], &x[4].square(), 1e-2)
        }));
    }
    all.push(OpCase::new("batch_norm", "batch_norm train, no bias", &[&[3, 2, 5], &[2]], |x| {
        x[0].batch_norm_train(&x[1], None::<&Tensor>, 1e-3).output.square()
    }));
    all.push(OpCase::new("batch_norm", "batch_norm train, only a bias", &[&[5, 3], &[3]], |x| {
        x[0].batch_norm_train(None::<&Tensor>, &x[1], 1e-2).output.sin()
    }));
    all.push(OpCase::new("batch_norm", "batch_norm of a permuted tensor, no parameters", &[&[3, 4, 2]], |x| {
        x[0].permute(&[2, 0, 1]).batch_norm_train(None::<&Tensor>, None::<&Tensor>, 0.1).output.square()
    }));
    all.push(
        // A mean a thousand times the spread: sum of squares minus square of sums would lose all digits.
        OpCase::new("batch_norm", "batch_norm with a large mean", &[&[8, 2, 6], &[2], &[2]], |x| {
            (&x[0] * 0.1 + 300.0).batch_norm_train(&x[1], &x[2], 1e-5).output
        })
        .tolerance(2e-2)
        .f32_only("f16 holds 300 in steps of a quarter"),
    );
    all
}
