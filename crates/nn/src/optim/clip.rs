//! Gradient clipping.

use crate::optim::range;
use wgrad_graph::Tensor;

#[derive(Clone, Debug)]
pub(super) enum Clip {
    Norm(f64),
    Value(f64),
}

impl Clip {
    pub fn check(&self) -> Result<(), String> {
        match self {
            Clip::Norm(max) => range("clip_norm", *max, f64::MIN_POSITIVE..=f64::MAX),
            Clip::Value(max) => range("clip_value", *max, f64::MIN_POSITIVE..=f64::MAX),
        }
    }

    /// Of packed gradients. The gaps are zeros and add nothing to the norm.
    #[track_caller]
    pub fn apply(&self, grads: &Tensor) -> Tensor {
        match *self {
            Clip::Norm(max) => {
                let norm = grads.square().sum_all().sqrt();
                let scale = (max as f32 / (norm + 1e-6)).minimum(&Tensor::scalar(1f32));
                grads * scale
            }
            Clip::Value(max) => grads.clamp(-max as f32, max as f32),
        }
    }
}
