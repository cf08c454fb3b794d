//! The contract of a layer.

use crate::Scope;
use wgrad_graph::Tensor;

/// A function of a tensor whose parameters live in a scope.
///
/// A layer holds its options only. It declares its parameters each time it is called, under the scope's path; a closure
/// is a layer too.
pub trait Layer: Send + Sync {
    /// The layer's value for `x`. The scope's path is the layer's own name: a parent calls
    /// `child.forward(&scope.enter("child"), x)`.
    ///
    /// # Panics
    /// With a [`wgrad_graph::ShapeError`] that names the layer, if `x` has a shape that it does not take.
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor;
}

impl<F: Fn(&Scope, &Tensor) -> Tensor + Send + Sync> Layer for F {
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        self(scope, x)
    }
}
