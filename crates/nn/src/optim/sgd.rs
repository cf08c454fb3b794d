//! Stochastic gradient descent.

use crate::optim::{Optimizer, Rule, Step, range};
use wgrad_graph::Tensor;

/// Stochastic gradient descent with momentum, as `torch.optim.SGD` computes it:
///
/// ```text
/// g   = grad + weight_decay * p
/// buf = momentum * buf + (1 - dampening) * g        (buf = g at the first step)
/// p   = p - lr * buf                                (Nesterov: p - lr * (g + momentum * buf))
/// ```
///
/// Here the learning rate is outside the momentum, so a change of it takes effect at once; Sutskever et al. (2013) have
/// it inside. Slots: `momentum`, and `gain` where there is dampening.
pub type Sgd = Optimizer<SgdRule>;

/// The rule of [`Sgd`].
#[derive(Clone, Debug, Default)]
pub struct SgdRule {
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl Sgd {
    /// Plain gradient descent.
    pub fn new(lr: f64) -> Sgd {
        Optimizer::with_rule(SgdRule::default(), lr)
    }

    /// The share of the last direction that is kept.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// By how much a new gradient counts less, once there is momentum.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.rule.dampening = dampening;
        self
    }

    /// Looks one step ahead along the momentum.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.rule.nesterov = nesterov;
        self
    }

    /// The penalty on large weights.
    pub fn weight_decay(mut self, rate: f64) -> Self {
        self.rule.weight_decay = rate;
        self
    }
}

impl Rule for SgdRule {
    fn name(&self) -> &'static str {
        "Sgd"
    }

    fn check(&self) -> Result<(), String> {
        range("momentum", self.momentum, 0.0..=f64::MAX)?;
        range("weight_decay", self.weight_decay, 0.0..=f64::MAX)?;
        range("dampening", self.dampening, 0.0..=1.0)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err("nesterov needs momentum, and no dampening".into());
        }
        Ok(())
    }

    fn apply(&self, step: &mut Step) -> Tensor {
        let g = step.grads_with_decay(self.weight_decay);
        if self.momentum == 0.0 {
            return &step.params - g * &step.lr;
        }
        let slot = step.slot("momentum");
        let buffer = slot.mul_scalar(self.momentum) + self.dampened(step, &g);
        step.assign(&slot, &buffer);
        let direction = if self.nesterov { g + buffer.mul_scalar(self.momentum) } else { buffer };
        &step.params - direction * &step.lr
    }
}

impl SgdRule {
    /// The gradient's share in the momentum. At the first step that is all of it: the gain starts as 1.
    fn dampened(&self, step: &mut Step, g: &Tensor) -> Tensor {
        if self.dampening == 0.0 {
            return g.clone();
        }
        let gain = step.scalar("gain", 1.0);
        step.assign(&gain, &Tensor::scalar((1.0 - self.dampening) as f32));
        g * gain
    }
}
