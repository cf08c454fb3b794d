//! Layer, RMS, group, instance and local response normalisation.

use crate::batch_norm::Running;
use crate::{Layer, Scope};
use wgrad_graph::{Init, Tensor, fail};

const ONES: Init = Init::Constant(1.0);
const ZEROS: Init = Init::Constant(0.0);

/// Layer normalisation (Ba et al., 2016) over the last axes: [`Tensor::layer_norm`] with parameters `weight` (ones) and
/// `bias` (zeros) of shape `normalized_shape`. As `torch.nn.LayerNorm`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    normalized_shape: Vec<usize>,
    eps: f32,
    affine: bool,
    bias: bool,
}

impl LayerNorm {
    /// Over the last axes, of these extents; eps 1e-5.
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> LayerNorm {
        LayerNorm { normalized_shape: normalized_shape.into(), eps: 1e-5, affine: true, bias: true }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// With or without weight and bias.
    pub fn elementwise_affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// With or without a bias beside the weight.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let shape = &self.normalized_shape;
        check_end(scope, "LayerNorm", shape, x);
        let weight = self.affine.then(|| scope.param("weight", shape, ONES));
        let bias = (self.affine && self.bias).then(|| scope.param("bias", shape, ZEROS));
        x.layer_norm(shape, &weight, &bias, self.eps)
    }
}

/// RMS normalisation (Zhang and Sennrich, 2019) over the last axes: [`Tensor::rms_norm`] with the parameter `weight`
/// (ones) of shape `normalized_shape`. As `torch.nn.RMSNorm`.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    normalized_shape: Vec<usize>,
    eps: f32,
    affine: bool,
}

impl RmsNorm {
    /// Over the last axes, of these extents; eps is f32's 1.1920929e-7.
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> RmsNorm {
        RmsNorm { normalized_shape: normalized_shape.into(), eps: f32::EPSILON, affine: true }
    }

    /// What is added to the mean square.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// With or without a weight.
    pub fn elementwise_affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }
}

impl Layer for RmsNorm {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let shape = &self.normalized_shape;
        check_end(scope, "RmsNorm", shape, x);
        let weight = self.affine.then(|| scope.param("weight", shape, ONES));
        x.rms_norm(shape, &weight, self.eps)
    }
}

/// Group normalisation (Wu and He, 2018): [`Tensor::group_norm`] with parameters `weight` (ones) and `bias` (zeros), both
/// `[channels]`. As `torch.nn.GroupNorm`.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    channels: usize,
    eps: f32,
    affine: bool,
}

impl GroupNorm {
    /// `groups` groups of `channels` channels together; eps 1e-5.
    pub fn new(groups: usize, channels: usize) -> GroupNorm {
        GroupNorm { groups, channels, eps: 1e-5, affine: true }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// With or without weight and bias.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }
}

impl Layer for GroupNorm {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = scope.describe("GroupNorm");
        if self.groups == 0 || self.channels % self.groups != 0 {
            fail(&name, format!("{} groups do not divide {} channels", self.groups, self.channels));
        }
        if x.rank() < 2 || x.shape()[1] != self.channels {
            fail(&name, format!("[N, {}, ...] expected, not {:?}", self.channels, x.shape()));
        }
        let weight = self.affine.then(|| scope.param("weight", &[self.channels], ONES));
        let bias = self.affine.then(|| scope.param("bias", &[self.channels], ZEROS));
        x.group_norm(self.groups, &weight, &bias, self.eps)
    }
}

/// Instance normalisation (Ulyanov et al., 2016) of [N, channels, ...] with `SPATIAL` more axes:
/// [`Tensor::instance_norm`]. As `torch.nn.InstanceNorm2d`: without parameters and running statistics unless asked for;
/// these are named and updated as [`crate::BatchNorm`]'s, each sample counting alike, and used in evaluation.
#[derive(Clone, Debug)]
pub struct InstanceNorm<const SPATIAL: usize> {
    channels: usize,
    eps: f32,
    momentum: Option<f64>,
    affine: bool,
    track: bool,
}

/// [`InstanceNorm`] of [N, channels, L], as `torch.nn.InstanceNorm1d`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// [`InstanceNorm`] of [N, channels, H, W], as `torch.nn.InstanceNorm2d`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// [`InstanceNorm`] of [N, channels, D, H, W], as `torch.nn.InstanceNorm3d`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl<const SPATIAL: usize> InstanceNorm<SPATIAL> {
    /// For this many channels; eps 1e-5, momentum 0.1.
    pub fn new(channels: usize) -> Self {
        InstanceNorm { channels, eps: 1e-5, momentum: Some(0.1), affine: false, track: false }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The share of the newest batch in the running statistics.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = Some(momentum);
        self
    }

    /// Running statistics that are the plain mean over all batches so far (PyTorch's `momentum=None`).
    pub fn cumulative(mut self) -> Self {
        self.momentum = None;
        self
    }

    /// With or without weight and bias.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// With or without running statistics.
    pub fn track_running_stats(mut self, track: bool) -> Self {
        self.track = track;
        self
    }
}

impl<const SPATIAL: usize> Layer for InstanceNorm<SPATIAL> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = || scope.describe(&format!("InstanceNorm{SPATIAL}d"));
        if x.rank() != SPATIAL + 2 || x.shape()[1] != self.channels {
            let rank = SPATIAL + 2;
            fail(&name(), format!("[N, {}, ...] of {rank} axes expected, not {:?}", self.channels, x.shape()));
        }
        let weight = self.affine.then(|| scope.param("weight", &[self.channels], ONES));
        let bias = self.affine.then(|| scope.param("bias", &[self.channels], ZEROS));
        let running = self.track.then(|| Running::new(scope, self.channels));
        if let Some(running) = &running
            && !scope.is_train()
        {
            return x.batch_norm_eval(&weight, &bias, &running.mean, &running.variance, self.eps);
        }
        let own = x.instance_norm(&weight, &bias, self.eps);
        if scope.is_train() {
            if own.count < 2 {
                fail(&name(), format!("training needs more than one value in each channel, but got {:?}", x.shape()));
            }
            if let Some(running) = running {
                let (mean, variance) = (own.mean.mean(&[0]), own.variance.mean(&[0]));
                running.update(scope, self.momentum, &mean, &variance, own.count);
            }
        }
        own.output
    }
}

/// Local response normalisation (Krizhevsky et al., 2012): [`Tensor::local_response_norm`]. As
/// `torch.nn.LocalResponseNorm`: alpha 1e-4, beta 0.75, k 1.
#[derive(Clone, Copy, Debug)]
pub struct LocalResponseNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl LocalResponseNorm {
    /// Over windows of this many channels.
    pub fn new(size: usize) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }

    /// What the mean square is multiplied by.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// The exponent.
    pub fn beta(mut self, beta: f32) -> Self {
        self.beta = beta;
        self
    }

    /// What is added.
    pub fn k(mut self, k: f32) -> Self {
        self.k = k;
        self
    }
}

impl Layer for LocalResponseNorm {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.local_response_norm(self.size, self.alpha, self.beta, self.k)
    }
}

#[track_caller]
fn check_end(scope: &Scope, kind: &str, end: &[usize], x: &Tensor) {
    if end.is_empty() || !x.shape().ends_with(end) {
        fail(&scope.describe(kind), format!("a shape that ends with {end:?} expected, not {:?}", x.shape()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn bad_arguments_are_named() {
        let x = Tensor::input("x", [2, 6, 4], DType::F32);
        let scope = Scope::train().enter("norm");
        let error = |layer: &dyn Layer, x: &Tensor| {
            let text = checked(|| layer.forward(&scope, x)).unwrap_err().to_string();
            assert!(text.contains("layer_norm.rs"), "{text}");
            text
        };
        assert!(error(&LayerNorm::new([6]), &x).starts_with("LayerNorm \"norm\": a shape that ends with [6] expected"));
        assert!(error(&LayerNorm::new([]), &x).contains("[] expected"));
        assert!(error(&RmsNorm::new([6, 3]), &x).starts_with("RmsNorm \"norm\""));
        assert!(error(&GroupNorm::new(4, 6), &x).contains("4 groups do not divide 6 channels"));
        assert!(error(&GroupNorm::new(0, 6), &x).contains("0 groups"));
        assert!(error(&GroupNorm::new(2, 8), &x).contains("[N, 8, ...] expected, not [2, 6, 4]"));
        assert!(error(&InstanceNorm2d::new(6), &x).contains("of 4 axes"));
        assert!(error(&InstanceNorm1d::new(6), &x.slice(2, 0..1)).contains("more than one value"));
        assert!(error(&LocalResponseNorm::new(0), &x).contains("size 0"));
        for error in [
            checked(|| x.layer_norm(&[3], None::<&Tensor>, None::<&Tensor>, 1e-5)).unwrap_err(),
            checked(|| x.layer_norm(&[4], &x, None::<&Tensor>, 1e-5)).unwrap_err(),
            checked(|| x.group_norm(5, None::<&Tensor>, None::<&Tensor>, 1e-5)).unwrap_err(),
            checked(|| x.slice(2, 0..0).instance_norm(None::<&Tensor>, None::<&Tensor>, 1e-5).output).unwrap_err(),
            checked(|| x.normalize(0.0, 1, 1e-12)).unwrap_err(),
            checked(|| x.normalize(2.0, 3, 1e-12)).unwrap_err(),
            checked(|| x.weight_norm(&x, 0)).unwrap_err(),
            checked(|| x.spectral_norm(&x, &x, 0)).unwrap_err(),
        ] {
            assert!(error.to_string().contains("layer_norm.rs"), "{error}");
        }
    }

    #[test]
    fn parameters_only_where_asked_for() {
        let x = Tensor::input("x", [2, 6, 4], DType::F32);
        let count = |layer: &dyn Layer| {
            let scope = Scope::train();
            layer.forward(&scope, &x);
            scope.param_count()
        };
        assert_eq!(count(&LayerNorm::new([6, 4])), 48);
        assert_eq!(count(&LayerNorm::new([4]).bias(false)), 4);
        assert_eq!(count(&LayerNorm::new([4]).elementwise_affine(false)), 0);
        assert_eq!(count(&RmsNorm::new([4])), 4);
        assert_eq!(count(&GroupNorm::new(3, 6)), 12);
        assert_eq!(count(&InstanceNorm1d::new(6)), 0);
        assert_eq!(count(&InstanceNorm1d::new(6).affine(true)), 12);
    }
}
