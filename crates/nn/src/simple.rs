//! Layers without parameters and options.

use crate::{Layer, Scope};
use wgrad_graph::Tensor;

/// max(x, 0).
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Layer for Relu {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.relu()
    }
}

/// All axes but the first made one: [N, C, H, W] to [N, C * H * W]. As `torch.nn.Flatten`.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Layer for Flatten {
    #[track_caller]
    fn forward(&self, _: &Scope, x: &Tensor) -> Tensor {
        x.flatten(1)
    }
}
