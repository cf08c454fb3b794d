//! Batch normalisation with running statistics.

use crate::{Layer, Scope};
use wgrad_graph::{DType, Init, Tensor, fail};

/// Batch normalisation (Ioffe and Szegedy, 2015) of each channel of [N, channels, H, W].
///
/// In training: `(x - mean) / sqrt(variance + eps) * weight + bias` with the batch's mean and biased variance, and
/// `running = (1 - momentum) * running + momentum * batch`, the variance unbiased here, as PyTorch has it. In evaluation
/// the same formula with the running statistics.
///
/// Names, options and defaults as in `torch.nn.BatchNorm2d`: parameters `weight` (ones) and `bias` (zeros), buffers
/// `running_mean` (zeros) and `running_var` (ones), all `[channels]`. PyTorch's `num_batches_tracked` matters only for
/// `momentum=None`, which is not offered, so there is no such buffer: who loads a PyTorch file passes over that key.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    channels: usize,
    eps: f32,
    momentum: f64,
    weight_init: Init,
}

impl BatchNorm2d {
    /// For this many channels; eps 1e-5, momentum 0.1.
    pub fn new(channels: usize) -> BatchNorm2d {
        BatchNorm2d { channels, eps: 1e-5, momentum: 0.1, weight_init: Init::Constant(1.0) }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The share of the newest batch in the running statistics (TensorFlow's "momentum" is one minus this).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What the weight starts as; zeros at the end of a residual branch make it start as the identity.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = init;
        self
    }
}

impl Layer for BatchNorm2d {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = || scope.describe("BatchNorm2d");
        if x.rank() != 4 || x.shape()[1] != self.channels {
            fail(&name(), format!("[N, {}, H, W] expected, not {:?}", self.channels, x.shape()));
        }
        let c = [self.channels];
        let weight = scope.param("weight", &c, self.weight_init.clone());
        let bias = scope.param("bias", &c, Init::Constant(0.0));
        let mean = scope.buffer("running_mean", &c, DType::F32, Init::Constant(0.0));
        let variance = scope.buffer("running_var", &c, DType::F32, Init::Constant(1.0));
        if !scope.is_train() {
            return x.batch_norm_eval(&weight, &bias, &mean, &variance, self.eps);
        }
        let batch = x.batch_norm_train(&weight, &bias, self.eps);
        if batch.count < 2 {
            fail(&name(), format!("training needs more than one value in each channel, but got {:?}", x.shape()));
        }
        let unbiased = batch.count as f64 / (batch.count - 1) as f64;
        let blend = |running: &Tensor, new: &Tensor, factor: f64| {
            running.mul_scalar(1.0 - self.momentum) + new.mul_scalar(self.momentum * factor)
        };
        scope.update("running_mean", &blend(&mean, &batch.mean, 1.0));
        scope.update("running_var", &blend(&variance, &batch.variance, unbiased));
        batch.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::checked;

    #[test]
    fn updates_its_statistics_in_training_only() {
        let x = Tensor::input("x", [2, 3, 4, 4], DType::F32);
        let norm = BatchNorm2d::new(3);
        let train = Scope::train();
        norm.forward(&train.enter("bn"), &x);
        let written = train.updates();
        let names: Vec<_> = written.states().map(|s| s.name().unwrap()).collect();
        assert_eq!(names, ["bn.running_mean", "bn.running_var"]);
        assert_eq!(train.param_count(), 6);
        let eval = Scope::eval();
        norm.forward(&eval, &x);
        assert_eq!(eval.updates().states().count(), 0);
    }

    #[test]
    fn one_value_has_no_variance() {
        let x = Tensor::input("x", [1, 3, 1, 1], DType::F32);
        assert!(checked(|| BatchNorm2d::new(3).forward(&Scope::train(), &x)).is_err());
        assert!(checked(|| BatchNorm2d::new(3).forward(&Scope::eval(), &x)).is_ok());
    }
}
