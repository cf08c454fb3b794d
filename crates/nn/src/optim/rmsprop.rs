//! RMSProp.

use crate::optim::{Optimizer, Rule, Step, range};
use wgrad_graph::Tensor;

/// RMSProp (Tieleman and Hinton, 2012), as `torch.optim.RMSprop` computes it:
///
/// ```text
/// g   = grad + weight_decay * p
/// v   = alpha * v + (1 - alpha) * g^2
/// d   = g / (sqrt(v) + eps)                         (centred: sqrt(v - mean^2), mean = alpha * mean + (1 - alpha) * g)
/// buf = momentum * buf + d
/// p   = p - lr * buf                                (without momentum: p - lr * d)
/// ```
///
/// Slots: `square_avg` (v), and `grad_avg` (mean) and `momentum` (buf) where they are used.
pub type RmsProp = Optimizer<RmsPropRule>;

/// The rule of [`RmsProp`].
#[derive(Clone, Debug)]
pub struct RmsPropRule {
    alpha: f64,
    eps: f64,
    momentum: f64,
    centered: bool,
    weight_decay: f64,
}

impl RmsProp {
    /// Alpha 0.99, eps 1e-8.
    pub fn new(lr: f64) -> RmsProp {
        let rule = RmsPropRule { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 };
        Optimizer::with_rule(rule, lr)
    }

    /// How slowly the mean square forgets.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.rule.alpha = alpha;
        self
    }

    /// What is added to the root of the mean square.
    pub fn eps(mut self, eps: f64) -> Self {
        self.rule.eps = eps;
        self
    }

    /// The share of the last direction that is kept.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// Divides by the standard deviation of the gradient in place of its root mean square.
    pub fn centered(mut self, centered: bool) -> Self {
        self.rule.centered = centered;
        self
    }

    /// The penalty on large weights.
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.rule.weight_decay = rate;
        self
    }
}

impl Rule for RmsPropRule {
    fn name(&self) -> &'static str {
        "RmsProp"
    }

    fn check(&self) -> Result<(), String> {
        range("alpha", self.alpha, 0.0..=1.0)?;
        range("momentum", self.momentum, 0.0..=f64::MAX)?;
        // Positive, since the gaps of a pack are 0 / (0 + eps). The least normal f32.
        range("eps", self.eps, f32::MIN_POSITIVE as f64..=f64::MAX)?;
        range("weight_decay", self.weight_decay, 0.0..=f64::MAX)
    }

    fn apply(&self, step: &mut Step) -> Tensor {
        let g = step.grads_with_decay(self.weight_decay);
        let mean = |step: &mut Step, slot: &str, x: &Tensor| {
            let slot = step.slot(slot);
            let value = slot.mul_scalar(self.alpha) + x.mul_scalar(1.0 - self.alpha);
            step.assign(&slot, &value);
            value
        };
        let mut square = mean(step, "square_avg", &g.square());
        if self.centered {
            // Rounding may take the difference below 0 (PyTorch gives NaN then).
            square = (square - mean(step, "grad_avg", &g).square()).maximum(&Tensor::scalar(0f32));
        }
        let mut direction = g / (square.sqrt() + self.eps as f32);
        if self.momentum != 0.0 {
            let slot = step.slot("momentum");
            direction = slot.mul_scalar(self.momentum) + direction;
            step.assign(&slot, &direction);
        }
        &step.params - direction * &step.lr
    }
}
