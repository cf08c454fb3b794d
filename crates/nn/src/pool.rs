//! Pooling of images.

use crate::{Layer, Pair, Scope};
use wgrad_graph::{Tensor, Window, fail};

/// Sizes of a pooling window. The stride is the kernel's size unless said otherwise.
#[derive(Clone, Debug)]
struct Geometry {
    kernel: Pair,
    stride: Option<Pair>,
    padding: Pair,
    dilation: Pair,
}

impl Geometry {
    fn new(kernel: Pair) -> Geometry {
        Geometry { kernel, stride: None, padding: 0.into(), dilation: 1.into() }
    }

    #[track_caller]
    fn windows(&self, name: impl Fn() -> String, x: &Tensor) -> [Window; 2] {
        if x.rank() != 4 {
            fail(&name(), format!("[N, C, H, W] expected, not {:?}", x.shape()));
        }
        let stride = self.stride.unwrap_or(self.kernel);
        let window = |size, stride, dilation, padding| Window { size, stride, dilation, padding: (padding, padding) };
        [
            window(self.kernel.height, stride.height, self.dilation.height, self.padding.height),
            window(self.kernel.width, stride.width, self.dilation.width, self.padding.width),
        ]
    }
}

/// Greatest value of each window of [N, C, H, W]. Padding never wins; the gradient goes to the first greatest.
///
/// Options and defaults as in `torch.nn.MaxPool2d`.
#[derive(Clone, Debug)]
pub struct MaxPool2d(Geometry);

impl MaxPool2d {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Pair>) -> MaxPool2d {
        MaxPool2d(Geometry::new(kernel.into()))
    }

    /// Distance between windows.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.0.stride = Some(stride.into());
        self
    }

    /// Places around the image that never win; at most half a window.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.0.padding = padding.into();
        self
    }

    /// Distance between the elements of a window.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.0.dilation = dilation.into();
        self
    }
}

impl Layer for MaxPool2d {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        x.max_pool(&self.0.windows(|| scope.describe("MaxPool2d"), x))
    }
}

/// Mean of each window of [N, C, H, W].
///
/// Options and defaults as in `torch.nn.AvgPool2d`.
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    geometry: Geometry,
    count_include_pad: bool,
}

impl AvgPool2d {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Pair>) -> AvgPool2d {
        AvgPool2d { geometry: Geometry::new(kernel.into()), count_include_pad: true }
    }

    /// Distance between windows.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.geometry.stride = Some(stride.into());
        self
    }

    /// Zeros put around the image; at most half a window.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.geometry.padding = padding.into();
        self
    }

    /// Whether padding counts as zeros in the mean (the default) or not at all.
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.count_include_pad = count;
        self
    }
}

impl Layer for AvgPool2d {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        x.avg_pool(&self.geometry.windows(|| scope.describe("AvgPool2d"), x), self.count_include_pad)
    }
}

/// Mean of each channel: [N, C, spatial...] to [N, C]. PyTorch's `AdaptiveAvgPool2d(1)` followed by `flatten(1)`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

impl Layer for GlobalAvgPool {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.global_avg_pool()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::DType;

    #[test]
    fn shapes() {
        let x = Tensor::input("x", [2, 3, 7, 9], DType::F32);
        let scope = Scope::eval();
        assert_eq!(MaxPool2d::new(2).forward(&scope, &x).shape(), [2, 3, 3, 4]);
        assert_eq!(MaxPool2d::new(3).stride(2).padding(1).forward(&scope, &x).shape(), [2, 3, 4, 5]);
        assert_eq!(MaxPool2d::new(3).stride(1).dilation((2, 3)).forward(&scope, &x).shape(), [2, 3, 3, 3]);
        assert_eq!(AvgPool2d::new((3, 2)).stride((1, 2)).forward(&scope, &x).shape(), [2, 3, 5, 4]);
        assert_eq!(GlobalAvgPool.forward(&scope, &x).shape(), [2, 3]);
    }
}
