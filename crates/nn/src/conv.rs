//! Convolution and transposed convolution in one, two and three dimensions.

use crate::init::{WeightInit, torch_bias};
use crate::sizes::{Sizes, axes};
use crate::{Layer, Scope};
use wgrad_graph::{ConvOptions, Init, PadMode, Tensor, fail};

/// Convolution over `N` dimensions, or transposed convolution. Used by the names [`Conv1d`] to [`ConvTranspose3d`].
///
/// Options, defaults and parameters as in `torch.nn`: `weight` [outputs, inputs / groups, kernel...], of a transposed
/// convolution [inputs, outputs / groups, kernel...], and `bias` `[outputs]`; both are uniform within `1 / sqrt(fan_in)` unless
/// said otherwise, with fan_in the product of all of the weight's extents but the first.
#[derive(Clone, Debug)]
pub struct Convolution<const N: usize, const TRANSPOSED: bool> {
    inputs: usize,
    outputs: usize,
    kernel: [usize; N],
    options: ConvOptions,
    same: bool,
    padding_mode: PadMode,
    output_padding: [usize; N],
    bias: bool,
    weight_init: WeightInit,
    bias_init: Option<Init>,
}

/// Convolution of [N, inputs, L] to [N, outputs, L']. See [`Conv2d`].
pub type Conv1d = Convolution<1, false>;

/// Convolution of [N, inputs, H, W] to [N, outputs, H', W'], each extent
/// `(extent + padding - dilation * (kernel - 1) - 1) / stride + 1`; cross-correlation, as in every framework.
/// See [`Convolution`] for the parameters.
pub type Conv2d = Convolution<2, false>;

/// Convolution of [N, inputs, D, H, W] to [N, outputs, D', H', W']. See [`Conv2d`].
pub type Conv3d = Convolution<3, false>;

/// Transposed convolution of [N, inputs, L] to [N, outputs, L']. See [`ConvTranspose2d`].
pub type ConvTranspose1d = Convolution<1, true>;

/// Transposed convolution of [N, inputs, H, W] to [N, outputs, H', W'], each extent
/// `(extent - 1) * stride - padding + dilation * (kernel - 1) + output_padding + 1`.
/// See [`Convolution`] for the parameters.
pub type ConvTranspose2d = Convolution<2, true>;

/// Transposed convolution of [N, inputs, D, H, W] to [N, outputs, D', H', W']. See [`ConvTranspose2d`].
pub type ConvTranspose3d = Convolution<3, true>;

impl<const N: usize, const TRANSPOSED: bool> Convolution<N, TRANSPOSED> {
    /// From `inputs` to `outputs` channels with a kernel of this size; stride 1, no padding, with a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<Sizes<N>>) -> Self {
        Convolution {
            inputs,
            outputs,
            kernel: kernel.into().0,
            options: ConvOptions::new(N),
            same: false,
            padding_mode: PadMode::Constant(0.0),
            output_padding: [0; N],
            bias: true,
            weight_init: WeightInit::TorchDefault,
            bias_init: None,
        }
    }

    /// Distance between outputs (of a transposed convolution, between what neighbouring inputs add to).
    pub fn stride(mut self, stride: impl Into<Sizes<N>>) -> Self {
        self.options.stride = stride.into().0.to_vec();
        self
    }

    /// Zeros put around the input (of a transposed convolution, elements cut off around the result).
    pub fn padding(self, padding: impl Into<Sizes<N>>) -> Self {
        self.padding_each(padding.into().0.map(|p| (p, p)))
    }

    /// Padding before and after, for each dimension.
    pub fn padding_each(mut self, padding: [(usize, usize); N]) -> Self {
        self.options.padding = padding.to_vec();
        self.same = false;
        self
    }

    /// Distance between the kernel's taps.
    pub fn dilation(mut self, dilation: impl Into<Sizes<N>>) -> Self {
        self.options.dilation = dilation.into().0.to_vec();
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

    fn name() -> String {
        format!("Conv{}{N}d", if TRANSPOSED { "Transpose" } else { "" })
    }
}

impl<const N: usize> Convolution<N, false> {
    /// As much padding as makes each extent `ceil(extent / stride)`, an odd one after: TensorFlow's SAME
    /// ([`ConvOptions::same`]), and with stride 1 PyTorch's `padding="same"`.
    pub fn same(mut self) -> Self {
        self.same = true;
        self
    }

    /// What stands in the padding, if not zeros.
    pub fn padding_mode(mut self, mode: PadMode) -> Self {
        self.padding_mode = mode;
        self
    }
}

impl<const N: usize> Convolution<N, true> {
    /// Elements that the result is longer by, at the end of each dimension; below the stride or the dilation.
    pub fn output_padding(mut self, output_padding: impl Into<Sizes<N>>) -> Self {
        self.output_padding = output_padding.into().0;
        self
    }
}

impl<const N: usize, const TRANSPOSED: bool> Layer for Convolution<N, TRANSPOSED> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let name = || scope.describe(&Self::name());
        if x.rank() != N + 2 || x.shape()[1] != self.inputs {
            fail(&name(), format!("[N, {}, {}] expected, not {:?}", self.inputs, axes(N), x.shape()));
        }
        let groups = self.options.groups;
        if groups == 0 || !self.inputs.is_multiple_of(groups) || !self.outputs.is_multiple_of(groups) {
            fail(&name(), format!("{groups} groups do not divide {} and {} channels", self.inputs, self.outputs));
        }
        let (first, second) = if TRANSPOSED { (self.inputs, self.outputs) } else { (self.outputs, self.inputs) };
        let shape = [&[first, second / groups], &self.kernel[..]].concat();
        let weight = scope.param("weight", &shape, self.weight_init.init(&shape));
        let y = if TRANSPOSED {
            x.conv_transpose(&weight, &self.options, &self.output_padding)
        } else {
            let mut options = self.options.clone();
            if self.same {
                options = options.same(&x.shape()[2..], &self.kernel);
            }
            if self.padding_mode == PadMode::Constant(0.0) {
                x.conv(&weight, &options)
            } else {
                let around: Vec<_> = options.padding.iter().map(|&(a, b)| (a as isize, b as isize)).collect();
                x.pad_last(&around, self.padding_mode).conv(&weight, &options.padding(0))
            }
        };
        if !self.bias {
            return y;
        }
        let init = self.bias_init.clone().unwrap_or_else(|| torch_bias(&shape));
        let along = [&[1, self.outputs], &[1; N][..]].concat();
        y + scope.param("bias", &[self.outputs], init).reshape(along)
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
        let conv = Conv2d::new(4, 6, (3, 2)).stride((2, 1)).padding_each([(1, 0), (2, 1)]).dilation((1, 3)).groups(2);
        assert_eq!(conv.forward(&scope, &x).shape(), [2, 6, 4, 8]);
        assert_eq!(scope.params()[0].shape(), [6, 2, 3, 2]);
        assert_eq!(scope.params()[1].shape(), [6]);
        let bare = Scope::train();
        Conv2d::new(4, 6, 1).bias(false).forward(&bare, &x);
        assert_eq!(bare.params().len(), 1);
        assert_eq!(Conv2d::new(4, 6, (3, 4)).stride(2).same().forward(&Scope::train(), &x).shape(), [2, 6, 5, 4]);
    }

    #[test]
    fn transposed_weights_have_their_inputs_first() {
        let x = Tensor::input("x", [2, 4, 5], DType::F32);
        let scope = Scope::train();
        let up = ConvTranspose1d::new(4, 6, 4).stride(2).padding(1).output_padding(1).groups(2);
        assert_eq!(up.forward(&scope, &x).shape(), [2, 6, 11]);
        assert_eq!(scope.params()[0].shape(), [4, 3, 4]);
        assert_eq!(scope.params()[1].shape(), [6]);
        let y = Tensor::input("y", [1, 2, 3, 4, 5], DType::F32);
        assert_eq!(Conv3d::new(2, 3, [1, 2, 3]).forward(&Scope::train(), &y).shape(), [1, 3, 3, 3, 3]);
        assert_eq!(ConvTranspose3d::new(2, 3, (1, 2, 3)).forward(&Scope::train(), &y).shape(), [1, 3, 3, 5, 7]);
    }

    #[test]
    fn errors_name_the_layer() {
        let x = Tensor::input("x", [2, 4, 9, 8], DType::F32);
        let error =
            |conv: &dyn Layer| checked(|| conv.forward(&Scope::train().enter("conv1"), &x)).unwrap_err().to_string();
        assert!(error(&Conv2d::new(3, 6, 1)).starts_with("Conv2d \"conv1\": [N, 3, H, W] expected, not [2, 4, 9, 8]"));
        assert!(error(&Conv2d::new(4, 6, 1).groups(4)).contains("4 groups do not divide 4 and 6 channels"));
        assert!(error(&Conv2d::new(4, 6, 10)).contains("no window of 10"));
        assert!(
            error(&ConvTranspose3d::new(4, 6, 1)).starts_with("ConvTranspose3d \"conv1\": [N, 4, D, H, W] expected")
        );
        assert!(
            error(&ConvTranspose2d::new(4, 6, 1).output_padding((0, 1))).contains("output padding 1 is below neither")
        );
    }
}
