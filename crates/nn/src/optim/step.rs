//! What a rule works on.

use crate::Scope;
use crate::optim::state_name;
use wgrad_graph::{DType, Init, Tensor, Updates};

/// One step in the making: packed parameters and gradients, and the optimiser's own state.
pub struct Step {
    /// All parameters: f32 [length of the pack].
    pub params: Tensor,
    /// Their gradients, clipped, in the same order.
    pub grads: Tensor,
    /// The learning rate: f32 [].
    pub lr: Tensor,
    scope: Scope,
    /// Length of the part of the pack whose parameters decay.
    decayed: usize,
    updates: Updates,
}

impl Step {
    #[track_caller]
    pub(super) fn new(scope: &Scope, params: Tensor, grads: Tensor, lr: f64, decayed: usize) -> Step {
        let lr = Tensor::state(state_name(scope, "lr"), [], DType::F32, Init::Constant(lr as f32));
        Step { params, grads, lr, scope: scope.clone(), decayed, updates: Updates::new() }
    }

    /// A moment: one number for each element of the pack, 0 at first.
    #[track_caller]
    pub fn slot(&self, name: &str) -> Tensor {
        Tensor::state(state_name(&self.scope, name), self.params.shape(), DType::F32, Init::Constant(0.0))
    }

    /// A number that lasts.
    #[track_caller]
    pub fn scalar(&self, name: &str, start: f32) -> Tensor {
        Tensor::state(state_name(&self.scope, name), [], DType::F32, Init::Constant(start))
    }

    /// `state`, a slot or a scalar, becomes `value`.
    #[track_caller]
    pub fn assign(&mut self, state: &Tensor, value: &Tensor) {
        self.updates.assign(state, value);
    }

    /// `x` where the parameter is one that decays, 0 elsewhere.
    #[track_caller]
    pub fn where_decayed(&self, x: Tensor) -> Tensor {
        if self.decayed == x.count() {
            return x;
        }
        let decays = Tensor::iota(x.shape(), 0).lt(&Tensor::scalar(self.decayed as u32));
        decays.select(&x, &Tensor::scalar(0f32))
    }

    /// The gradients of the loss with the penalty `rate / 2 * params^2`: weight decay as in the first optimisers.
    #[track_caller]
    pub fn grads_with_decay(&self, rate: f64) -> Tensor {
        if rate == 0.0 {
            return self.grads.clone();
        }
        &self.grads + self.where_decayed(self.params.mul_scalar(rate))
    }

    pub(super) fn into_updates(self) -> Updates {
        self.updates
    }
}
