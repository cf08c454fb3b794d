//! Adam and AdamW.

use crate::optim::{Optimizer, Rule, Step, range};
use wgrad_graph::Tensor;

/// Adam (Kingma and Ba, 2015), as `torch.optim.Adam` computes it:
///
/// ```text
/// g = grad + weight_decay * p
/// m = beta1 * m + (1 - beta1) * g
/// v = beta2 * v + (1 - beta2) * g^2
/// p = p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// Slots: `exp_avg` (m), `exp_avg_sq` (v), and the scalars `bias1` and `bias2`, which hold `1 - beta^t`.
pub type Adam = Optimizer<AdamRule<false>>;

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`: [`Adam`] with
/// `p = p - lr * weight_decay * p` in place of the penalty's gradient. The default rate is 0.01.
pub type AdamW = Optimizer<AdamRule<true>>;

/// The rule of [`Adam`] and, with decoupled weight decay, of [`AdamW`].
#[derive(Clone, Debug)]
pub struct AdamRule<const DECOUPLED: bool> {
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

impl<const DECOUPLED: bool> Optimizer<AdamRule<DECOUPLED>> {
    /// Betas 0.9 and 0.999, eps 1e-8.
    pub fn new(lr: f64) -> Self {
        let weight_decay = if DECOUPLED { 0.01 } else { 0.0 };
        Optimizer::with_rule(AdamRule { betas: (0.9, 0.999), eps: 1e-8, weight_decay }, lr)
    }

    /// How slowly the two means forget.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.rule.betas = (beta1, beta2);
        self
    }

    /// What is added to the root of the second moment.
    pub fn eps(mut self, eps: f64) -> Self {
        self.rule.eps = eps;
        self
    }

    /// The penalty on large weights.
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.rule.weight_decay = rate;
        self
    }
}

impl<const DECOUPLED: bool> Rule for AdamRule<DECOUPLED> {
    fn name(&self) -> &'static str {
        if DECOUPLED { "AdamW" } else { "Adam" }
    }

    fn check(&self) -> Result<(), String> {
        range("beta1", self.betas.0, 0.0..=ALMOST_ONE)?;
        range("beta2", self.betas.1, 0.0..=ALMOST_ONE)?;
        // Positive, since the gaps of a pack are 0 / (0 + eps). The least normal f32.
        range("eps", self.eps, f32::MIN_POSITIVE as f64..=f64::MAX)?;
        range("weight_decay", self.weight_decay, 0.0..=f64::MAX)
    }

    fn apply(&self, step: &mut Step) -> Tensor {
        let g = if DECOUPLED { step.grads.clone() } else { step.grads_with_decay(self.weight_decay) };
        let (beta1, beta2) = self.betas;
        let bias1 = mean(step, step.scalar("bias1", 0.0), &Tensor::scalar(1f32), beta1);
        let bias2 = mean(step, step.scalar("bias2", 0.0), &Tensor::scalar(1f32), beta2);
        let m = mean(step, step.slot("exp_avg"), &g, beta1);
        let v = mean(step, step.slot("exp_avg_sq"), &g.square(), beta2);
        let size = v.sqrt() / bias2.sqrt() + self.eps as f32;
        let mut p = step.params.clone();
        if DECOUPLED && self.weight_decay != 0.0 {
            let rate = step.lr.mul_scalar(self.weight_decay);
            p = &p - step.where_decayed(&p * rate);
        }
        p - (&step.lr / bias1) * (m / size)
    }
}

/// A beta of 1 would never learn.
const ALMOST_ONE: f64 = 1.0 - f32::EPSILON as f64;

/// `slot = beta * slot + (1 - beta) * x`, and that value.
///
/// The bias corrections `1 - beta^t` are such means too, of ones: for beta near 1 that keeps f32's relative precision,
/// which subtracting a power from 1 would lose.
fn mean(step: &mut Step, slot: Tensor, x: &Tensor, beta: f64) -> Tensor {
    let value = slot.mul_scalar(beta) + x.mul_scalar(1.0 - beta);
    step.assign(&slot, &value);
    value
}
