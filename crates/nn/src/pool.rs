//! Pooling in one, two and three dimensions.

use crate::sizes::{Sizes, axes};
use crate::{Layer, Scope};
use wgrad_graph::{AvgPool, Tensor, Window, fail};

/// Sizes of a pooling window. The stride is the kernel's size unless said otherwise.
#[derive(Clone, Debug)]
struct Geometry<const N: usize> {
    kernel: [usize; N],
    stride: Option<[usize; N]>,
    padding: [usize; N],
    dilation: [usize; N],
}

impl<const N: usize> Geometry<N> {
    fn new(kernel: Sizes<N>) -> Self {
        Geometry { kernel: kernel.0, stride: None, padding: [0; N], dilation: [1; N] }
    }

    #[track_caller]
    fn windows(&self, scope: &Scope, kind: &str, x: &Tensor) -> Vec<Window> {
        check_rank::<N>(scope, kind, x);
        let stride = self.stride.unwrap_or(self.kernel);
        let window = |d: usize| Window {
            size: self.kernel[d],
            stride: stride[d],
            dilation: self.dilation[d],
            padding: (self.padding[d], self.padding[d]),
        };
        (0..N).map(window).collect()
    }
}

#[track_caller]
fn check_rank<const N: usize>(scope: &Scope, kind: &str, x: &Tensor) {
    if x.rank() != N + 2 {
        fail(&scope.describe(&format!("{kind}{N}d")), format!("[N, C, {}] expected, not {:?}", axes(N), x.shape()));
    }
}

/// Greatest value of each window over `N` dimensions. Padding never wins; the gradient goes to the first greatest.
///
/// Options and defaults as in `torch.nn.MaxPool1d` to `MaxPool3d`.
#[derive(Clone, Debug)]
pub struct MaxPool<const N: usize> {
    geometry: Geometry<N>,
    ceil_mode: bool,
}

/// Max pooling of [N, C, L].
pub type MaxPool1d = MaxPool<1>;
/// Max pooling of [N, C, H, W].
pub type MaxPool2d = MaxPool<2>;
/// Max pooling of [N, C, D, H, W].
pub type MaxPool3d = MaxPool<3>;

impl<const N: usize> MaxPool<N> {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Sizes<N>>) -> Self {
        MaxPool { geometry: Geometry::new(kernel.into()), ceil_mode: false }
    }

    /// Distance between windows.
    pub fn stride(mut self, stride: impl Into<Sizes<N>>) -> Self {
        self.geometry.stride = Some(stride.into().0);
        self
    }

    /// Places around the image that never win; at most half a window.
    pub fn padding(mut self, padding: impl Into<Sizes<N>>) -> Self {
        self.geometry.padding = padding.into().0;
        self
    }

    /// Distance between the elements of a window.
    pub fn dilation(mut self, dilation: impl Into<Sizes<N>>) -> Self {
        self.geometry.dilation = dilation.into().0;
        self
    }

    /// Whether a last window that reaches past the padded end counts as well.
    pub fn ceil_mode(mut self, ceil: bool) -> Self {
        self.ceil_mode = ceil;
        self
    }

    /// The pooled tensor, and where each greatest element was (u32, row-major in its plane): `return_indices=True`.
    #[track_caller]
    pub fn forward_with_indices(&self, scope: &Scope, x: &Tensor) -> (Tensor, Tensor) {
        x.max_pool_with_indices(&self.geometry.windows(scope, "MaxPool", x), self.ceil_mode)
    }
}

impl<const N: usize> Layer for MaxPool<N> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let windows = self.geometry.windows(scope, "MaxPool", x);
        if self.ceil_mode { x.max_pool_ceil(&windows) } else { x.max_pool(&windows) }
    }
}

/// Mean of each window over `N` dimensions.
///
/// Options and defaults as in `torch.nn.AvgPool1d` to `AvgPool3d`.
#[derive(Clone, Debug)]
pub struct AvgPooling<const N: usize> {
    geometry: Geometry<N>,
    options: AvgPool,
}

/// Average pooling of [N, C, L].
pub type AvgPool1d = AvgPooling<1>;
/// Average pooling of [N, C, H, W].
pub type AvgPool2d = AvgPooling<2>;
/// Average pooling of [N, C, D, H, W].
pub type AvgPool3d = AvgPooling<3>;

impl<const N: usize> AvgPooling<N> {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Sizes<N>>) -> Self {
        AvgPooling { geometry: Geometry::new(kernel.into()), options: AvgPool::default() }
    }

    /// Distance between windows.
    pub fn stride(mut self, stride: impl Into<Sizes<N>>) -> Self {
        self.geometry.stride = Some(stride.into().0);
        self
    }

    /// Zeros put around the image; at most half a window.
    pub fn padding(mut self, padding: impl Into<Sizes<N>>) -> Self {
        self.geometry.padding = padding.into().0;
        self
    }

    /// Whether padding counts as zeros in the mean (the default) or not at all.
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.options.count_include_pad = count;
        self
    }

    /// Whether a last window that reaches past the padded end counts as well.
    pub fn ceil_mode(mut self, ceil: bool) -> Self {
        self.options.ceil_mode = ceil;
        self
    }

    /// What each window's sum is divided by, in place of the number of its elements.
    pub fn divisor_override(mut self, divisor: usize) -> Self {
        self.options.divisor_override = Some(divisor);
        self
    }
}

impl<const N: usize> Layer for AvgPooling<N> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        x.avg_pool_with(&self.geometry.windows(scope, "AvgPool", x), &self.options)
    }
}

/// The `p`-norm of each window over `N` dimensions, without absolute values: `(sum of x^p)^(1/p)`.
///
/// Options and defaults as in `torch.nn.LPPool1d` to `LPPool3d`.
#[derive(Clone, Debug)]
pub struct LpPool<const N: usize> {
    p: f32,
    geometry: Geometry<N>,
    ceil_mode: bool,
}

/// Norm pooling of [N, C, L].
pub type LpPool1d = LpPool<1>;
/// Norm pooling of [N, C, H, W].
pub type LpPool2d = LpPool<2>;
/// Norm pooling of [N, C, D, H, W].
pub type LpPool3d = LpPool<3>;

impl<const N: usize> LpPool<N> {
    /// Windows of this size, side by side.
    pub fn new(p: f32, kernel: impl Into<Sizes<N>>) -> Self {
        LpPool { p, geometry: Geometry::new(kernel.into()), ceil_mode: false }
    }

    /// Distance between windows.
    pub fn stride(mut self, stride: impl Into<Sizes<N>>) -> Self {
        self.geometry.stride = Some(stride.into().0);
        self
    }

    /// Whether a last window that reaches past the end counts as well.
    pub fn ceil_mode(mut self, ceil: bool) -> Self {
        self.ceil_mode = ceil;
        self
    }
}

impl<const N: usize> Layer for LpPool<N> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        x.lp_pool(self.p, &self.geometry.windows(scope, "LpPool", x), self.ceil_mode)
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

/// Greatest of each channel: [N, C, spatial...] to [N, C]. PyTorch's `AdaptiveMaxPool2d(1)` followed by `flatten(1)`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalMaxPool;

impl Layer for GlobalMaxPool {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.global_max_pool()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn shapes() {
        let x = Tensor::input("x", [2, 3, 7, 9], DType::F32);
        let scope = Scope::eval();
        assert_eq!(MaxPool2d::new(2).forward(&scope, &x).shape(), [2, 3, 3, 4]);
        assert_eq!(MaxPool2d::new(2).ceil_mode(true).forward(&scope, &x).shape(), [2, 3, 4, 5]);
        assert_eq!(MaxPool2d::new(3).stride(2).padding(1).forward(&scope, &x).shape(), [2, 3, 4, 5]);
        assert_eq!(MaxPool2d::new(3).stride(1).dilation((2, 3)).forward(&scope, &x).shape(), [2, 3, 3, 3]);
        assert_eq!(AvgPool2d::new((3, 2)).stride((1, 2)).forward(&scope, &x).shape(), [2, 3, 5, 4]);
        assert_eq!(LpPool2d::new(2.0, 3).forward(&scope, &x).shape(), [2, 3, 2, 3]);
        assert_eq!(GlobalAvgPool.forward(&scope, &x).shape(), [2, 3]);
        assert_eq!(GlobalMaxPool.forward(&scope, &x).shape(), [2, 3]);
        let y = Tensor::input("y", [2, 3, 7], DType::F32);
        assert_eq!(AvgPool1d::new(3).stride(2).ceil_mode(true).forward(&scope, &y).shape(), [2, 3, 3]);
        let error = checked(|| MaxPool3d::new(2).forward(&scope.enter("pool"), &x)).unwrap_err().to_string();
        assert!(error.starts_with("MaxPool3d \"pool\": [N, C, D, H, W] expected, not [2, 3, 7, 9]"), "{error}");
    }
}
