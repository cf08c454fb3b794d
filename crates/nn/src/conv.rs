//! Convolution of images.

use crate::init::{WeightInit, torch_bias};
use crate::{Layer, Pair, Scope};
use wgrad_graph::{ConvOptions, Init, Tensor, fail};

/// Convolution of [N, inputs, H, W] to [N, outputs, H', W'], each extent
/// `(extent + padding - dilation * (kernel - 1) - 1) / stride + 1`; cross-correlation, as in every framework.
///
/// Options, defaults and parameters as in `torch.nn.Conv2d`: `weight` [outputs, inputs / groups, kernel, kernel] and
/// `bias` `[outputs]`, both uniform within `1 / sqrt(fan_in)` unless said otherwise.
#[derive(Clone, Debug)]
pub struct Conv2d {
    inputs: usize,
    outputs: usize,
    kernel: Pair,
    options: ConvOptions,
    bias: bool,
    weight_init: WeightInit,
    bias_init: Option<Init>,
}

impl Conv2d {
    /// From `inputs` to `outputs` channels with a kernel of this size; stride 1, no padding, with a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<Pair>) -> Conv2d {
        Conv2d {
            inputs,
            outputs,
            kernel: kernel.into(),
            options: ConvOptions::new(2),
            bias: true,
            weight_init: WeightInit::TorchDefault,
            bias_init: None,
        }
    }

    /// Distance between outputs.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        let Pair { height, width } = stride.into();
        self.options.stride = vec![height, width];
        self
    }

    /// Zeros put around the image.
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        let Pair { height, width } = padding.into();
        self.padding_each((height, height), (width, width))
    }

    /// Zeros put at (top, bottom) and at (left, right).
    pub fn padding_each(mut self, height: (usize, usize), width: (usize, usize)) -> Self {
        self.options.padding = vec![height, width];
        self
    }

    /// Distance between the kernel's taps.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        let Pair { height, width } = dilation.into();
        self.options.dilation = vec![height, width];
        self
    }

    /// Groups of channels that do not mix.
    pub fn groups(mut self, groups: usize) -> Self {
        self.options.groups = groups;
        self
    }

    /// With or without a bias.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// What the weight starts as.
    pub fn weight_init(mut self, init: WeightInit) -> Self {
        self.weight_init = init;
        self
    }

    /// What the bias starts as.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }
}

impl Layer for Conv2d {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = || scope.describe("Conv2d");
        if x.rank() != 4 || x.shape()[1] != self.inputs {
            fail(&name(), format!("[N, {}, H, W] expected, not {:?}", self.inputs, x.shape()));
        }
        let groups = self.options.groups;
        if groups == 0 || !self.inputs.is_multiple_of(groups) || !self.outputs.is_multiple_of(groups) {
            fail(&name(), format!("{groups} groups do not divide {} and {} channels", self.inputs, self.outputs));
        }
        let shape = [self.outputs, self.inputs / groups, self.kernel.height, self.kernel.width];
        let weight = scope.param("weight", &shape, self.weight_init.init(&shape));
        let y = x.conv(&weight, &self.options);
        if !self.bias {
            return y;
        }
        let init = self.bias_init.clone().unwrap_or_else(|| torch_bias(&shape));
        y + scope.param("bias", &[self.outputs], init).reshape([1, self.outputs, 1, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn shapes_and_parameters() {
        let x = Tensor::input("x", [2, 4, 9, 8], DType::F32);
        let scope = Scope::train();
        let conv = Conv2d::new(4, 6, (3, 2)).stride((2, 1)).padding_each((1, 0), (2, 1)).dilation((1, 3)).groups(2);
        assert_eq!(conv.forward(&scope, &x).shape(), [2, 6, 4, 8]);
        assert_eq!(scope.params()[0].shape(), [6, 2, 3, 2]);
        assert_eq!(scope.params()[1].shape(), [6]);
        let bare = Scope::train();
        Conv2d::new(4, 6, 1).bias(false).forward(&bare, &x);
        assert_eq!(bare.params().len(), 1);
    }

    #[test]
    fn errors_name_the_layer() {
        let scope = Scope::train().enter("conv1");
        let x = Tensor::input("x", [2, 4, 9, 8], DType::F32);
        let error = |conv: Conv2d| checked(|| conv.forward(&scope, &x)).unwrap_err().to_string();
        assert!(error(Conv2d::new(3, 6, 1)).starts_with("Conv2d \"conv1\": [N, 3, H, W] expected, not [2, 4, 9, 8]"));
        assert!(error(Conv2d::new(4, 6, 1).groups(4)).contains("4 groups do not divide 4 and 6 channels"));
        assert!(error(Conv2d::new(4, 6, 10)).contains("no window of 10"));
    }
}
