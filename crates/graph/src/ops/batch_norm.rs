//! Batch normalisation (Ioffe and Szegedy, 2015) over axis 1, as PyTorch computes it.

use crate::{OpCase, Tensor};

/// What training-mode batch normalisation gives.
pub struct BatchNorm {
    /// The normalised tensor.
    pub output: Tensor,
    /// Mean of each channel over the batch: `[C]`.
    pub mean: Tensor,
    /// Biased variance of each channel over the batch: `[C]`.
    pub variance: Tensor,
    /// Elements that each statistic was taken over.
    pub count: usize,
}

impl Tensor {
    /// Normalises each channel (axis 1) of [N, C, ...] by the batch's own mean and biased variance, then scales and
    /// shifts: `(x - mean) / sqrt(variance + eps) * gamma + beta`, with `gamma` and `beta` of shape `[C]`.
    ///
    /// The variance is the mean squared distance from the mean (two passes), so a large mean does no harm.
    #[track_caller]
    pub fn batch_norm_train(&self, gamma: &Tensor, beta: &Tensor, eps: f32) -> BatchNorm {
        let over = self.check_norm("batch_norm_train", &[gamma, beta]);
        let channels = self.shape()[1];
        let count = self.count().checked_div(channels).unwrap_or(0);
        if count == 0 {
            crate::fail("batch_norm_train", format!("{:?} has nothing to take statistics over", self.shape()));
        }
        let mut along = vec![1; self.rank()];
        along[1] = channels;
        let wide = move |t: &Tensor| t.reshape(along.clone());

        let mean = self.mean(&over);
        let variance = (self - wide(&mean)).square().mean(&over);
        let rstd = (&variance + eps).rsqrt();
        let normal = (self - wide(&mean)) * wide(&rstd);
        let value = normal.stop_gradient() * wide(gamma) + wide(beta);
        // The well-known short form of the gradient: one round of sums instead of the two that the chain rule would give.
        let output = value.with_gradient(&[self, gamma, beta], move |_, arguments, g| {
            let gamma = &arguments[1];
            let d_beta = g.sum(&over);
            let d_gamma = (g * &normal).sum(&over);
            let n = 1.0 / count as f32;
            let d_x = (g - (wide(&d_beta) + &normal * wide(&d_gamma)) * n) * wide(&(gamma * &rstd));
            vec![Some(d_x), Some(d_gamma), Some(d_beta)]
        });
        BatchNorm { output, mean: mean.stop_gradient(), variance: variance.stop_gradient(), count }
    }

    /// Normalises each channel by given statistics: `(x - mean) / sqrt(variance + eps) * gamma + beta`.
    #[track_caller]
    pub fn batch_norm_eval(&self, gamma: &Tensor, beta: &Tensor, mean: &Tensor, variance: &Tensor, eps: f32) -> Tensor {
        self.check_norm("batch_norm_eval", &[gamma, beta, mean, variance]);
        let mut along = vec![1; self.rank()];
        along[1] = self.shape()[1];
        let wide = |t: &Tensor| t.reshape(along.clone());
        let scale = gamma * (variance + eps).rsqrt();
        (self - wide(mean)) * wide(&scale) + wide(beta)
    }

    /// Checks that this is [N, C, ...] and the others [C]; returns the axes of the statistics.
    #[track_caller]
    fn check_norm(&self, op: &str, others: &[&Tensor]) -> Vec<isize> {
        if self.rank() < 2 {
            crate::fail(op, format!("[N, C, ...] expected, not {:?}", self.shape()));
        }
        let channels = self.shape()[1];
        for t in others {
            if t.shape() != [channels] {
                crate::fail(
                    op,
                    format!("{:?} has {channels} channels, but a parameter is {:?}", self.shape(), t.shape()),
                );
            }
        }
        (0..self.rank() as isize).filter(|&d| d != 1).collect()
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
    all.push(
        // A mean a thousand times the spread: sum of squares minus square of sums would lose all digits.
        OpCase::new("batch_norm", "batch_norm with a large mean", &[&[8, 2, 6], &[2], &[2]], |x| {
            (&x[0] * 0.1 + 300.0).batch_norm_train(&x[1], &x[2], 1e-5).output
        })
        .tolerance(2e-2),
    );
    all
}
