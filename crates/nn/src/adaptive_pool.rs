//! Pooling to a given number of bins.

use crate::sizes::{Sizes, axes};
use crate::{Layer, Scope};
use wgrad_graph::{Tensor, fail};

/// A number of bins for each of `N` dimensions; `MAX` chooses between greatest values and means. Used by the names
/// [`AdaptiveAvgPool1d`] to [`AdaptiveMaxPool3d`]. Bins as in `torch.nn`: `floor(i * n / size) .. ceil((i + 1) * n / size)`.
#[derive(Clone, Debug)]
pub struct AdaptivePool<const N: usize, const MAX: bool> {
    sizes: [usize; N],
}

/// Means of [N, C, L] to [N, C, size].
pub type AdaptiveAvgPool1d = AdaptivePool<1, false>;
/// Means of [N, C, H, W] to [N, C, size, size].
pub type AdaptiveAvgPool2d = AdaptivePool<2, false>;
/// Means of [N, C, D, H, W] to [N, C, size, size, size].
pub type AdaptiveAvgPool3d = AdaptivePool<3, false>;
/// Greatest values of [N, C, L] to [N, C, size].
pub type AdaptiveMaxPool1d = AdaptivePool<1, true>;
/// Greatest values of [N, C, H, W] to [N, C, size, size].
pub type AdaptiveMaxPool2d = AdaptivePool<2, true>;
/// Greatest values of [N, C, D, H, W] to [N, C, size, size, size].
pub type AdaptiveMaxPool3d = AdaptivePool<3, true>;

impl<const N: usize, const MAX: bool> AdaptivePool<N, MAX> {
    /// To this many bins.
    pub fn new(sizes: impl Into<Sizes<N>>) -> Self {
        AdaptivePool { sizes: sizes.into().0 }
    }
}

impl<const N: usize, const MAX: bool> Layer for AdaptivePool<N, MAX> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if x.rank() != N + 2 {
            let name = scope.describe(&format!("Adaptive{}Pool{N}d", if MAX { "Max" } else { "Avg" }));
            fail(&name, format!("[N, C, {}] expected, not {:?}", axes(N), x.shape()));
        }
        if MAX { x.adaptive_max_pool(&self.sizes) } else { x.adaptive_avg_pool(&self.sizes) }
    }
}

/// Greatest values over a pyramid of bins, joined: [N, C, spatial...] to a length that does not depend on the image's size
/// ([`Tensor::pyramid_max_pool`]).
#[derive(Clone, Debug)]
pub struct SpatialPyramidPool {
    levels: Vec<usize>,
}

impl SpatialPyramidPool {
    /// With these numbers of bins along each axis; the paper's are 4, 2 and 1.
    pub fn new(levels: impl Into<Vec<usize>>) -> SpatialPyramidPool {
        SpatialPyramidPool { levels: levels.into() }
    }
}

impl Layer for SpatialPyramidPool {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.pyramid_max_pool(&self.levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn shapes() {
        let x = Tensor::input("x", [2, 3, 7, 5], DType::F32);
        let scope = Scope::eval();
        assert_eq!(AdaptiveAvgPool2d::new((3, 2)).forward(&scope, &x).shape(), [2, 3, 3, 2]);
        assert_eq!(AdaptiveMaxPool2d::new(4).forward(&scope, &x).shape(), [2, 3, 4, 4]);
        assert_eq!(SpatialPyramidPool::new([4, 2, 1]).forward(&scope, &x).shape(), [2, 63]);
        let error = checked(|| AdaptiveMaxPool1d::new(4).forward(&scope, &x)).unwrap_err().to_string();
        assert!(error.starts_with("AdaptiveMaxPool1d: [N, C, L] expected"), "{error}");
    }
}
