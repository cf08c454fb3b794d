//! Group normalisation (Wu and He, 2018) and instance normalisation (Ulyanov et al., 2016).

use crate::ops::norm::{Norm, Normalised, along_channels};
use crate::{OpCase, Tensor};

impl Tensor {
    /// Normalises each of `groups` groups of neighbouring channels of each sample of [N, C, ...] by its mean and biased
    /// variance, then scales and shifts each channel: `(x - mean) / sqrt(variance + eps) * weight + bias`, with `weight`
    /// and `bias` of shape `[C]`, or none. As `torch.nn.functional.group_norm`.
    ///
    /// # Panics
    /// If `groups` does not divide the channels, or a parameter has another shape.
    #[track_caller]
    pub fn group_norm<'a>(
        &self,
        groups: usize,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Tensor {
        let (weight, bias) = (weight.into(), bias.into());
        self.check_channels("group_norm", weight, bias);
        let (samples, channels) = (self.shape()[0], self.shape()[1]);
        if groups == 0 || channels % groups != 0 {
            crate::fail(
                "group_norm",
                format!("{groups} groups do not divide the {channels} channels of {:?}", self.shape()),
            );
        }
        let size = channels / groups;
        let places: usize = self.shape()[2..].iter().product();
        let wide = |t: &Tensor| t.reshape([1, groups, size, 1]);
        let (weight, bias) = (weight.map(wide), bias.map(wide));
        let norm = Norm { over: vec![2, 3], weight: weight.as_ref(), bias: bias.as_ref(), eps, centred: true };
        norm.apply("group_norm", &self.reshape([samples, groups, size, places])).output.reshape(self.shape())
    }

    /// Normalises each channel of each sample of [N, C, ...] by its own mean and biased variance, then scales and shifts:
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`, with `weight` and `bias` of shape `[C]`, or none. The
    /// statistics have shape `[N, C]`. As `torch.nn.functional.instance_norm`.
    ///
    /// # Panics
    /// If there are no axes beside N and C, or a parameter has another shape.
    #[track_caller]
    pub fn instance_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Normalised {
        let (weight, bias) = (weight.into(), bias.into());
        if self.rank() < 3 {
            crate::fail("instance_norm", format!("[N, C, ...] of three or more axes expected, not {:?}", self.shape()));
        }
        self.check_channels("instance_norm", weight, bias);
        let along = along_channels(self);
        let wide = |t: &Tensor| t.reshape(along.clone());
        let (weight, bias) = (weight.map(wide), bias.map(wide));
        let over = (2..self.rank() as isize).collect();
        let norm = Norm { over, weight: weight.as_ref(), bias: bias.as_ref(), eps, centred: true };
        let done = norm.apply("instance_norm", self);
        let each = &self.shape()[..2];
        Normalised { mean: done.mean.reshape(each), variance: done.variance.reshape(each), ..done }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    const NONE: Option<&Tensor> = None;
    let mut all = vec![];
    for (shape, groups) in [(&[2usize, 6, 3, 5][..], 3), (&[3, 4], 2), (&[1, 5, 7], 1), (&[2, 3, 2, 2], 3)] {
        let c = [shape[1]];
        all.push(OpCase::new("group_norm", format!("group_norm {shape:?} in {groups}"), &[shape, &c, &c], move |x| {
            x[0].group_norm(groups, &x[1], &x[2], 1e-3).sin()
        }));
    }
    for shape in [&[2usize, 3, 7][..], &[1, 2, 3, 5], &[2, 1, 2, 3, 2], &[0, 2, 3]] {
        let c = [shape[1]];
        all.push(OpCase::new("instance_norm", format!("instance_norm {shape:?}"), &[shape, &c, &c], |x| {
            x[0].instance_norm(&x[1], &x[2], 1e-3).output.sin()
        }));
    }
    all.extend([
        OpCase::new("group_norm", "group_norm, no parameters", &[&[2, 4, 3]], |x| {
            x[0].group_norm(2, NONE, NONE, 0.1).square()
        }),
        OpCase::new("group_norm", "group_norm of a permuted tensor, no bias", &[&[2, 3, 4], &[4]], |x| {
            x[0].permute(&[0, 2, 1]).group_norm(2, &x[1], NONE, 1e-2).square()
        }),
        OpCase::new("instance_norm", "instance_norm, no parameters", &[&[2, 2, 5]], |x| {
            x[0].instance_norm(NONE, NONE, 0.1).output.square()
        }),
        OpCase::new("instance_norm", "instance_norm, only a bias, of a slice", &[&[2, 3, 9], &[3]], |x| {
            x[0].slice_step(2, 1, 4, 2).instance_norm(NONE, &x[1], 1e-2).output.square()
        }),
        // A mean of some 350 times the spread. Its rounding to f32 alone is 1e-5 of the spread.
        OpCase::new("group_norm", "group_norm with a large mean", &[&[2, 4, 9], &[4], &[4]], |x| {
            (&x[0] + 200.0).group_norm(2, &x[1], &x[2], 1e-5)
        })
        .tolerance(1e-4)
        .f32_only("f16 holds 200 in steps of an eighth"),
        OpCase::new("instance_norm", "instance_norm with a large mean", &[&[2, 2, 17], &[2], &[2]], |x| {
            (&x[0] + 200.0).instance_norm(&x[1], &x[2], 1e-5).output
        })
        .tolerance(1e-4)
        .f32_only("f16 holds 200 in steps of an eighth"),
    ]);
    all
}
