//! Batch normalisation with running statistics.

use crate::{Layer, Scope};
use wgrad_graph::{DType, Init, Tensor, fail};

/// Batch normalisation (Ioffe and Szegedy, 2015) of each channel of [N, channels, ...] with `SPATIAL` more axes; of [N,
/// channels] too where `SPATIAL` is 1.
///
/// In training: `(x - mean) / sqrt(variance + eps) * weight + bias` with the batch's mean and biased variance, and
/// `running = (1 - momentum) * running + momentum * batch`, the variance unbiased here, as PyTorch has it. In evaluation
/// the same formula with the running statistics.
///
/// Names, options and defaults as in `torch.nn.BatchNorm2d`: parameters `weight` (ones) and `bias` (zeros), buffers
/// `running_mean` (zeros) and `running_var` (ones), all `[channels]`. PyTorch's `num_batches_tracked` matters only for a
/// cumulative average, so there is such a buffer only then (f32, where PyTorch has an integer of 64 bits): who loads a
/// PyTorch file otherwise passes over that key.
#[derive(Clone, Debug)]
pub struct BatchNorm<const SPATIAL: usize> {
    channels: usize,
    eps: f32,
    momentum: Option<f64>,
    affine: bool,
    track: bool,
    frozen_statistics: bool,
    frozen_parameters: bool,
    weight_init: Init,
}

/// [`BatchNorm`] of [N, channels] or [N, channels, L], as `torch.nn.BatchNorm1d`.
pub type BatchNorm1d = BatchNorm<1>;
/// [`BatchNorm`] of [N, channels, H, W], as `torch.nn.BatchNorm2d`.
pub type BatchNorm2d = BatchNorm<2>;
/// [`BatchNorm`] of [N, channels, D, H, W], as `torch.nn.BatchNorm3d`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const SPATIAL: usize> BatchNorm<SPATIAL> {
    /// For this many channels; eps 1e-5, momentum 0.1.
    pub fn new(channels: usize) -> Self {
        BatchNorm {
            channels,
            eps: 1e-5,
            momentum: Some(0.1),
            affine: true,
            track: true,
            frozen_statistics: false,
            frozen_parameters: false,
            weight_init: Init::Constant(1.0),
        }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The share of the newest batch in the running statistics (TensorFlow's "momentum" is one minus this).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = Some(momentum);
        self
    }

    /// Running statistics that are the plain mean over all batches so far (PyTorch's `momentum=None`). The number of
    /// batches is kept in the buffer `num_batches_tracked`.
    pub fn cumulative(mut self) -> Self {
        self.momentum = None;
        self
    }

    /// With or without weight and bias.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// With or without running statistics. Without them evaluation too takes the batch's own.
    pub fn track_running_stats(mut self, track: bool) -> Self {
        self.track = track;
        self
    }

    /// Whether training too normalises by the running statistics, and leaves them as they are: for fine-tuning with
    /// batches too small for statistics of their own.
    pub fn frozen_statistics(mut self, frozen: bool) -> Self {
        self.frozen_statistics = frozen;
        self
    }

    /// Whether weight and bias stay as they are: they are buffers then, which no optimiser sees.
    pub fn frozen_parameters(mut self, frozen: bool) -> Self {
        self.frozen_parameters = frozen;
        self
    }

    /// What the weight starts as; zeros at the end of a residual branch make it start as the identity.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = init;
        self
    }
}

impl<const SPATIAL: usize> Layer for BatchNorm<SPATIAL> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = || scope.describe(&format!("BatchNorm{SPATIAL}d"));
        let rank_fits = x.rank() == SPATIAL + 2 || (SPATIAL == 1 && x.rank() == 2);
        if !rank_fits || x.shape()[1] != self.channels {
            let spatial = ["", ", L", ", H, W", ", D, H, W"].get(SPATIAL).unwrap_or(&", ...");
            fail(&name(), format!("[N, {}{spatial}] expected, not {:?}", self.channels, x.shape()));
        }
        if self.frozen_statistics && !self.track {
            fail(&name(), "there are no running statistics to freeze");
        }
        let c = [self.channels];
        let parameter = |name: &str, init: Init| {
            self.affine.then(|| match self.frozen_parameters {
                true => scope.buffer(name, &c, DType::F32, init),
                false => scope.param(name, &c, init),
            })
        };
        let weight = parameter("weight", self.weight_init.clone());
        let bias = parameter("bias", Init::Constant(0.0));
        let running = self.track.then(|| Running::new(scope, self.channels));
        if let Some(running) = &running
            && (self.frozen_statistics || !scope.is_train())
        {
            return x.batch_norm_eval(&weight, &bias, &running.mean, &running.variance, self.eps);
        }
        let batch = x.batch_norm_train(&weight, &bias, self.eps);
        if scope.is_train() {
            if batch.count < 2 {
                fail(&name(), format!("training needs more than one value in each channel, but got {:?}", x.shape()));
            }
            if let Some(running) = running {
                running.update(scope, self.momentum, &batch.mean, &batch.variance, batch.count);
            }
        }
        batch.output
    }
}

/// The buffers that hold running statistics.
pub(crate) struct Running {
    pub mean: Tensor,
    pub variance: Tensor,
}

impl Running {
    /// The buffers `running_mean` and `running_var`.
    #[track_caller]
    pub fn new(scope: &Scope, channels: usize) -> Running {
        Running {
            mean: scope.buffer("running_mean", &[channels], DType::F32, Init::Constant(0.0)),
            variance: scope.buffer("running_var", &[channels], DType::F32, Init::Constant(1.0)),
        }
    }

    /// Blends in the statistics of a batch, `variance` biased and taken over `count` elements. Without a momentum the
    /// running statistics are the mean over all batches.
    #[track_caller]
    pub fn update(self, scope: &Scope, momentum: Option<f64>, mean: &Tensor, variance: &Tensor, count: usize) {
        let unbiased = count as f64 / (count - 1) as f64;
        let batches = momentum.is_none().then(|| {
            let batches = scope.buffer("num_batches_tracked", &[], DType::F32, Init::Constant(0.0)) + 1.0;
            scope.update("num_batches_tracked", &batches);
            batches
        });
        let m = momentum.unwrap_or_default();
        let blend = |old: &Tensor, new: &Tensor, factor: f64| match &batches {
            Some(n) => old + (new.mul_scalar(factor) - old) / n,
            None => old.mul_scalar(1.0 - m) + new.mul_scalar(m * factor),
        };
        scope.update("running_mean", &blend(&self.mean, mean, 1.0));
        scope.update("running_var", &blend(&self.variance, variance, unbiased));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::checked;

    fn names(scope: &Scope) -> Vec<String> {
        scope.updates().states().map(|s| s.name().unwrap().to_string()).collect()
    }

    #[test]
    fn updates_its_statistics_in_training_only() {
        let x = Tensor::input("x", [2, 3, 4, 4], DType::F32);
        let norm = BatchNorm2d::new(3);
        let train = Scope::train();
        norm.forward(&train.enter("bn"), &x);
        assert_eq!(names(&train), ["bn.running_mean", "bn.running_var"]);
        assert_eq!(train.param_count(), 6);
        let eval = Scope::eval();
        norm.forward(&eval, &x);
        assert!(names(&eval).is_empty());
    }

    #[test]
    fn frozen_and_untracked_statistics_stay() {
        let x = Tensor::input("x", [2, 3, 5], DType::F32);
        let frozen = Scope::train();
        BatchNorm1d::new(3).frozen_statistics(true).forward(&frozen, &x);
        assert!(names(&frozen).is_empty());
        assert_eq!(frozen.params().len(), 2);
        let all = Scope::train();
        BatchNorm1d::new(3).frozen_statistics(true).frozen_parameters(true).forward(&all, &x);
        assert!(all.params().is_empty());
        let untracked = Scope::train();
        BatchNorm1d::new(3).track_running_stats(false).affine(false).forward(&untracked, &x);
        assert!(names(&untracked).is_empty() && untracked.tensors().is_empty());
        let cumulative = Scope::train();
        BatchNorm1d::new(3).cumulative().forward(&cumulative, &x);
        assert_eq!(names(&cumulative), ["num_batches_tracked", "running_mean", "running_var"]);
    }

    #[test]
    fn bad_arguments_are_named() {
        let x = Tensor::input("x", [1, 3, 1, 1], DType::F32);
        assert!(checked(|| BatchNorm2d::new(3).forward(&Scope::train(), &x)).is_err(), "one value has no variance");
        assert!(checked(|| BatchNorm2d::new(3).forward(&Scope::eval(), &x)).is_ok());
        let error = |f: &dyn Fn() -> Tensor| checked(f).unwrap_err().to_string();
        let text = error(&|| BatchNorm3d::new(3).forward(&Scope::train().enter("bn"), &x));
        assert!(text.starts_with("BatchNorm3d \"bn\": [N, 3, D, H, W] expected, not [1, 3, 1, 1]"), "{text}");
        assert!(text.contains("batch_norm.rs"), "{text}");
        let text = error(&|| BatchNorm2d::new(4).forward(&Scope::train(), &x));
        assert!(text.contains("[N, 4, H, W]"), "{text}");
        let norm = BatchNorm2d::new(3).frozen_statistics(true).track_running_stats(false);
        assert!(error(&|| norm.forward(&Scope::train(), &x)).contains("no running statistics"));
    }
}
