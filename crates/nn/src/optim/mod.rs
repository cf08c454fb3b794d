//! Optimisers: expressions for the next value of every parameter.
//!
//! An optimiser works on packs: all parameters as one flat tensor ([`Tensor::pack`]), all gradients as another, and one
//! state tensor of the same length for each moment. So the update of a whole model, however many parameters it has, is
//! ordinary elementwise arithmetic on a few long tensors, and fuses into one kernel. Between the parameters a pack has
//! gaps of zeros; rules must keep them finite.
//!
//! The learning rate is itself a state tensor, [`LEARNING_RATE`], so that a schedule can set it before a step without
//! compiling anything again.
//!
//! A new optimiser is a [`Rule`]; clipping, weight decay of some parameters only and the bookkeeping come with
//! [`Optimizer`].

mod adam;
mod clip;
mod rmsprop;
mod sgd;
mod step;

pub use adam::{Adam, AdamRule, AdamW};
pub use rmsprop::{RmsProp, RmsPropRule};
pub use sgd::{Sgd, SgdRule};
pub use step::Step;

use crate::Scope;
use clip::Clip;
use std::sync::Arc;
use wgrad_graph::{Tensor, Updates, fail, gradients};

/// The state scalar (f32, shape []) that holds the learning rate of an optimiser of a root scope. For a scope with a path
/// see [`state_name`].
pub const LEARNING_RATE: &str = "optimizer.lr";

/// Where an optimiser of `scope` keeps its state `slot`: `optimizer.{slot}`, or `optimizer.{path}.{slot}` for a scope with
/// a path, so that the optimisers of two models do not meet. The learning rate is in the slot `lr`.
pub fn state_name(scope: &Scope, slot: &str) -> String {
    match scope.path() {
        "" => format!("optimizer.{slot}"),
        path => format!("optimizer.{path}.{slot}"),
    }
}

/// The formula of an optimiser.
pub trait Rule: Send + Sync {
    /// The optimiser's name, for errors.
    fn name(&self) -> &'static str;

    /// Whether the options make sense.
    ///
    /// # Errors
    /// Which one does not, and why.
    fn check(&self) -> Result<(), String>;

    /// The new value of the packed parameters `step.params`, given `step.grads`. Slots are declared and assigned through
    /// `step`.
    fn apply(&self, step: &mut Step) -> Tensor;
}

type Filter = dyn Fn(&str, &[usize]) -> bool + Send + Sync;

/// A [`Rule`] with what all optimisers have in common: [`Sgd`], [`Adam`], [`AdamW`] and [`RmsProp`] are this.
#[derive(Clone)]
pub struct Optimizer<R> {
    rule: R,
    lr: f64,
    clips: Vec<Clip>,
    decay_if: Option<Arc<Filter>>,
    weights_within: Option<f64>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimiser by this rule.
    pub fn with_rule(rule: R, lr: f64) -> Optimizer<R> {
        Optimizer { rule, lr, clips: vec![], decay_if: None, weights_within: None }
    }

    /// Scales all gradients together so that their global norm is at most `max`: by `min(1, max / (norm + 1e-6))`, as
    /// `torch.nn.utils.clip_grad_norm_`. Clippings apply in the order in which they are asked for.
    pub fn clip_norm(mut self, max: f64) -> Self {
        self.clips.push(Clip::Norm(max));
        self
    }

    /// Limits each element of the gradients to [-max, max], as `torch.nn.utils.clip_grad_value_`.
    pub fn clip_value(mut self, max: f64) -> Self {
        self.clips.push(Clip::Value(max));
        self
    }

    /// Limits each parameter, biases too, to [-max, max] after its update: weight clipping, as the critic of a Wasserstein GAN
    /// wants it (Arjovsky et al., 2017).
    pub fn clamp_weights(mut self, max: f64) -> Self {
        self.weights_within = Some(max);
        self
    }

    /// Weight decay only for parameters of which this holds, given name and shape; for all of them otherwise, as in
    /// PyTorch. The usual choice leaves out biases and norms: `.decay_if(|_, shape| shape.len() > 1)`.
    pub fn decay_if(mut self, filter: impl Fn(&str, &[usize]) -> bool + Send + Sync + 'static) -> Self {
        self.decay_if = Some(Arc::new(filter));
        self
    }

    /// One step down the gradient of `loss` with respect to the scope's parameters, and the scope's own updates: all that
    /// a training program writes.
    ///
    /// # Panics
    /// If the loss is not a scalar, the scope has no parameters, or an option makes no sense.
    #[track_caller]
    pub fn minimize(&self, scope: &Scope, loss: &Tensor) -> Updates {
        if loss.count() != 1 {
            fail("minimize", format!("the loss has shape {:?}; reduce it to one number", loss.shape()));
        }
        let params = scope.params();
        let grads = gradients(loss, &params.iter().collect::<Vec<_>>());
        let mut updates = self.step(scope, &params, &grads);
        updates.extend(&scope.updates());
        updates
    }

    /// One step for `params` with these gradients, without the scope's updates: for gradients that come from elsewhere.
    ///
    /// # Panics
    /// If there are no parameters, a gradient has not its parameter's shape, or an option makes no sense.
    #[track_caller]
    pub fn step(&self, scope: &Scope, params: &[Tensor], grads: &[Tensor]) -> Updates {
        self.check(scope, params, grads);
        // Decayed parameters first, so that being decayed is a matter of the position in the pack: no mask in memory.
        let decays = |p: &Tensor| self.decay_if.as_ref().is_none_or(|f| f(p.name().unwrap_or_default(), p.shape()));
        let (mut pairs, rest): (Vec<_>, Vec<_>) = params.iter().zip(grads).partition(|(p, _)| decays(p));
        let decayed = Tensor::pack(&pairs.iter().map(|&(p, _)| p).collect::<Vec<_>>()).count();
        pairs.extend(rest);
        let (params, grads): (Vec<&Tensor>, Vec<&Tensor>) = pairs.into_iter().unzip();

        let grads = self.clips.iter().fold(Tensor::pack(&grads), |g, clip| clip.apply(&g));
        let mut step = Step::new(scope, Tensor::pack(&params), grads, self.lr, decayed);
        let mut new = self.rule.apply(&mut step);
        if let Some(max) = self.weights_within {
            new = new.clamp(-max as f32, max as f32);
        }
        let mut updates = Updates::new();
        updates.assign_pack(&params, &new);
        updates.extend(&step.into_updates());
        updates
    }

    #[track_caller]
    fn check(&self, scope: &Scope, params: &[Tensor], grads: &[Tensor]) {
        let name = scope.describe(self.rule.name());
        if params.is_empty() {
            fail(&name, "there are no parameters to train; build the model in this scope first");
        }
        if params.len() != grads.len() {
            fail(&name, format!("{} parameters, but {} gradients", params.len(), grads.len()));
        }
        for (p, g) in params.iter().zip(grads) {
            if p.shape() != g.shape() {
                let p_name = p.name().unwrap_or_default();
                fail(&name, format!("\"{p_name}\" is {:?}, its gradient {:?}", p.shape(), g.shape()));
            }
        }
        let options = range("lr", self.lr, 0.0..=f64::MAX)
            .and_then(|()| self.clips.iter().try_for_each(Clip::check))
            .and_then(|()| self.weights_within.map_or(Ok(()), |m| range("clamp_weights", m, 0.0..=f64::MAX)))
            .and_then(|()| self.rule.check());
        if let Err(reason) = options {
            fail(&name, reason);
        }
    }
}

/// Checks an option; NaN is in no range.
fn range(option: &str, value: f64, allowed: std::ops::RangeInclusive<f64>) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let (lo, hi) = (*allowed.start(), *allowed.end());
    Err(match (lo, hi) {
        (lo, f64::MAX) if lo > 0.0 => format!("{option} = {value}, but a positive number is needed"),
        (lo, f64::MAX) => format!("{option} = {value}, but at least {lo} is needed"),
        (lo, hi) => format!("{option} = {value}, but {lo} to {hi} is needed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{Init, checked};

    fn scope_with_two() -> (Scope, Tensor) {
        let scope = Scope::train();
        let w = scope.param("w", &[2, 3], Init::Constant(1.0));
        let b = scope.param("b", &[3], Init::Constant(0.0));
        let loss = (w.sum(&[0]) + b).square().sum_all();
        (scope, loss)
    }

    #[test]
    fn a_step_writes_parameters_and_slots() {
        let (scope, loss) = scope_with_two();
        let updates = Adam::new(1e-3).minimize(&scope, &loss);
        let mut names: Vec<_> = updates.states().map(|s| s.name().unwrap()).collect();
        names.sort_unstable();
        let slots = ["optimizer.bias1", "optimizer.bias2", "optimizer.exp_avg", "optimizer.exp_avg_sq"];
        assert_eq!(names, [&["b"][..], &slots, &["w"]].concat());
    }

    #[test]
    fn a_scope_with_a_path_has_its_own_slots() {
        let root = Scope::train();
        let scope = root.enter("critic");
        let loss = scope.param("w", &[2], Init::Constant(1.0)).square().sum_all();
        let updates = Sgd::new(0.1).momentum(0.9).minimize(&scope, &loss);
        let names: Vec<_> = updates.states().map(|s| s.name().unwrap()).collect();
        assert_eq!(names, ["critic.w", "optimizer.critic.momentum"]);
        assert_eq!(state_name(&scope, "lr"), "optimizer.critic.lr");
        assert_eq!(state_name(&root, "lr"), LEARNING_RATE);
    }

    #[test]
    fn weights_stay_within_their_bounds() {
        let scope = Scope::train();
        let w = scope.param("w", &[3], Init::Data(vec![0.5, -0.02, 0.0].into()));
        let slopes = Tensor::state("slopes", [3], wgrad_graph::DType::F32, Init::Data(vec![1.0, 1.0, -0.0625].into()));
        let updates = Sgd::new(0.125).clamp_weights(0.01).minimize(&scope, &(&w * &slopes).sum_all());
        let device = wgrad_graph::Device::cpu();
        let program = wgrad_graph::Program::compile(&device, &[], &updates).unwrap();
        let mut state = wgrad_graph::State::init(&device, &program, 0).unwrap();
        program.run(&mut state, &[]).unwrap();
        assert_eq!(state.f32("w").unwrap(), [0.01, -0.01, 0.0078125]);
    }

    #[test]
    fn bad_options_are_refused() {
        let (scope, loss) = scope_with_two();
        let error = |build: &dyn Fn() -> Updates| checked(build).unwrap_err().to_string();
        assert!(error(&|| Sgd::new(-1.0).minimize(&scope, &loss)).contains("lr = -1"));
        assert!(error(&|| Sgd::new(f64::NAN).minimize(&scope, &loss)).contains("lr = NaN"));
        assert!(error(&|| Sgd::new(0.1).nesterov(true).minimize(&scope, &loss)).contains("nesterov"));
        assert!(error(&|| Adam::new(0.1).betas(1.0, 0.9).minimize(&scope, &loss)).contains("beta1 = 1"));
        assert!(error(&|| Adam::new(0.1).eps(0.0).minimize(&scope, &loss)).contains("eps = 0"));
        assert!(error(&|| RmsProp::new(0.1).alpha(-0.1).minimize(&scope, &loss)).contains("alpha = -0.1"));
        assert!(error(&|| Sgd::new(0.1).clip_norm(0.0).minimize(&scope, &loss)).contains("clip_norm = 0"));
        assert!(error(&|| Sgd::new(0.1).clamp_weights(-1.0).minimize(&scope, &loss)).contains("clamp_weights = -1"));
        assert!(error(&|| Sgd::new(0.1).minimize(&scope, &scope.params()[0])).contains("reduce it to one number"));
        assert!(error(&|| Sgd::new(0.1).minimize(&Scope::train(), &loss)).contains("no parameters"));
    }
}
