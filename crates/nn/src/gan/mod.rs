//! Generative adversarial networks: the two losses of a generator and a discriminator over one state.

mod tricks;

use crate::loss::{Adversarial, between, gradient_penalty};
use crate::{Layer, Scope};
use std::sync::Arc;
use tricks::Tricks;
use wgrad_graph::{DType, Tensor, Updates, fail};

/// Generator or discriminator: a function of its input and, if it is conditional, of labels.
type Network = dyn Fn(&Scope, &Tensor, Option<&Tensor>) -> Tensor + Send + Sync;

/// Where parameters of the generator are.
pub const GENERATOR_PATH: &str = "generator";
/// Where parameters of the discriminator are.
pub const DISCRIMINATOR_PATH: &str = "discriminator";

/// A generator and a discriminator (or critic) that train each other (Goodfellow et al., 2014), with the tricks of the trade
/// as options.
///
/// A training step is two programs over one state: [`Gan::discriminator_loss`] and [`Gan::generator_loss`], each built in a
/// root scope of its own, in which the networks are `generator` and `discriminator`. Each draws fresh latents on the device, so
/// a run is a function of its seed. Both networks train in both programs, as in PyTorch: each forward updates its batch norms'
/// statistics ([`Gan::updates`]).
///
/// ```
/// use wgrad_graph::{DType, Tensor};
/// use wgrad_nn::{Gan, Linear, Scope, loss::Adversarial, optim::Adam};
///
/// let gan = Gan::new(Linear::new(4, 2), Linear::new(2, 1), [4]).loss(Adversarial::Hinge).label_smoothing(0.1);
/// let real = Tensor::input("real", [16, 2], DType::F32);
/// let scope = Scope::train();
/// let judged = gan.discriminator_loss(&scope, &real, None);
/// let step = gan.updates(&scope, Adam::new(2e-4).betas(0.5, 0.999).minimize(&scope.enter("discriminator"), &judged.loss));
/// assert!(step.states().any(|s| s.name() == Some("discriminator.weight")));
/// assert!(step.states().all(|s| s.name() != Some("generator.weight")));
/// ```
#[derive(Clone)]
pub struct Gan {
    generator: Arc<Network>,
    discriminator: Arc<Network>,
    /// Extents of one latent.
    latent: Vec<usize>,
    /// Of conditional networks.
    classes: Option<usize>,
    loss: Adversarial,
    penalty: Option<f32>,
    uniform: bool,
    joint: bool,
    tricks: Tricks,
}

/// What a discriminator's step computes.
pub struct Judged {
    /// What its update minimises.
    pub loss: Tensor,
    /// The mean score of real examples.
    pub real: Tensor,
    /// The mean score of generated examples.
    pub fake: Tensor,
    /// The gradient penalty, before its weight; where there is one.
    pub penalty: Option<Tensor>,
}

/// The random numbers of a discriminator's step.
pub struct Draws {
    /// A latent for each example: [N, latent...].
    pub latents: Tensor,
    /// Where between a real and a generated example the gradient penalty is taken: `[N]`, in [0, 1).
    pub share: Tensor,
}

impl Gan {
    /// Of a generator of latents [N, latent...] and a discriminator of what it gives, whose scores (`[N]` or [N, 1]) are
    /// logits.
    pub fn new(
        generator: impl Layer + 'static,
        discriminator: impl Layer + 'static,
        latent: impl Into<Vec<usize>>,
    ) -> Gan {
        Gan {
            generator: Arc::new(move |scope, z, _| generator.forward(scope, z)),
            discriminator: Arc::new(move |scope, x, _| discriminator.forward(scope, x)),
            latent: latent.into(),
            classes: None,
            loss: Adversarial::default(),
            penalty: None,
            uniform: false,
            joint: false,
            tricks: Tricks::default(),
        }
    }

    /// Of networks that are told the class that an example has, or is to have (Mirza and Osindero, 2014): their second
    /// argument is u32 `[N]`, below `classes`. The discriminator sees generated examples with the real batch's labels; in the
    /// generator's step labels are drawn, each class as likely as the others.
    pub fn conditional(
        generator: impl Fn(&Scope, &Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
        discriminator: impl Fn(&Scope, &Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
        latent: impl Into<Vec<usize>>,
        classes: usize,
    ) -> Gan {
        let mut gan = Gan::new(|_: &Scope, x: &Tensor| x.clone(), |_: &Scope, x: &Tensor| x.clone(), latent);
        gan.generator = Arc::new(move |scope, z, labels| generator(scope, z, given(labels)));
        gan.discriminator = Arc::new(move |scope, x, labels| discriminator(scope, x, given(labels)));
        gan.classes = Some(classes);
        gan
    }

    /// The loss; [`Adversarial::NonSaturating`] unless said otherwise.
    pub fn loss(mut self, loss: Adversarial) -> Self {
        self.loss = loss;
        self
    }

    /// Adds this many times the [`gradient_penalty`] to the discriminator's loss; 10 in the paper.
    pub fn gradient_penalty(mut self, weight: f32) -> Self {
        self.penalty = Some(weight);
        self
    }

    /// Latents uniform in [-1, 1), as in the DCGAN paper; standard normal otherwise.
    pub fn uniform_latents(mut self, uniform: bool) -> Self {
        self.uniform = uniform;
        self
    }

    /// Whether the discriminator sees real and generated examples as one batch: its batch norms then mix their statistics.
    /// Apart unless said otherwise.
    pub fn joint_batches(mut self, joint: bool) -> Self {
        self.joint = joint;
        self
    }

    /// One-sided label smoothing (Salimans et al., 2016): real examples are to be called real with 1 - `by`; generated ones
    /// are generated for certain.
    pub fn label_smoothing(mut self, by: f32) -> Self {
        self.tricks.smoothing = by;
        self
    }

    /// Tells the discriminator the wrong side of an example, real or generated, with this probability.
    pub fn flip_labels(mut self, probability: f32) -> Self {
        self.tricks.flips = probability;
        self
    }

    /// Noise with this standard deviation on all that the discriminator sees (Sonderby et al., 2017; Arjovsky and Bottou,
    /// 2017). It falls evenly to nothing over so many steps of the discriminator.
    pub fn instance_noise(mut self, deviation: f32, steps: usize) -> Self {
        self.tricks.noise = Some((deviation, steps));
        self
    }

    /// Half of the generated examples that the discriminator sees are drawn from the last `capacity` that were kept
    /// (Shrivastava et al., 2017); the other half is kept in turn. They are state tensors `replay`, on the device.
    pub fn replay(mut self, capacity: usize) -> Self {
        self.tricks.replay = Some(capacity);
        self
    }

    /// Extents of one latent.
    pub fn latent(&self) -> &[usize] {
        &self.latent
    }

    /// Whether latents are uniform in [-1, 1), and not normal.
    pub fn is_uniform(&self) -> bool {
        self.uniform
    }

    /// The number of classes, if the networks are conditional.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// The loss that was chosen.
    pub fn adversarial(&self) -> Adversarial {
        self.loss
    }

    /// What the generator makes of latents [N, latent...].
    ///
    /// # Panics
    /// If there are labels, and the networks are not conditional; or none, and they are.
    #[track_caller]
    pub fn generate(&self, scope: &Scope, latents: &Tensor, labels: Option<&Tensor>) -> Tensor {
        self.check_labels(labels);
        (self.generator)(&scope.enter(GENERATOR_PATH), latents, labels)
    }

    /// The discriminator's scores: `[N]`.
    ///
    /// # Panics
    /// As [`Gan::generate`], and if there is not one score for each example.
    #[track_caller]
    pub fn score(&self, scope: &Scope, examples: &Tensor, labels: Option<&Tensor>) -> Tensor {
        self.check_labels(labels);
        let scores = (self.discriminator)(&scope.enter(DISCRIMINATOR_PATH), examples, labels);
        let n = examples.shape()[0];
        if scores.count() != n {
            fail("Gan", format!("{n} examples, but the discriminator gives {:?}: not one score each", scores.shape()));
        }
        scores.reshape([n])
    }

    /// Latents for `n` examples, from the scope's random generator.
    #[track_caller]
    pub fn latents(&self, scope: &Scope, n: usize) -> Tensor {
        let shape = [&[n], &self.latent[..]].concat();
        let (generator, stream) = scope.rng();
        match self.uniform {
            true => generator.random_uniform_in(shape, stream, -1.0, 1.0),
            false => generator.random_normal(shape, stream),
        }
    }

    /// The discriminator's loss of a batch of real examples [N, ...] and as many generated ones.
    ///
    /// # Panics
    /// If labels are missing or superfluous, or an option makes no sense.
    #[track_caller]
    pub fn discriminator_loss(&self, scope: &Scope, real: &Tensor, labels: Option<&Tensor>) -> Judged {
        let n = real.shape()[0];
        let latents = self.latents(scope, n);
        let (generator, stream) = scope.rng();
        let share = generator.random_uniform([n], stream);
        self.discriminator_loss_at(scope, real, labels, &Draws { latents, share })
    }

    /// [`Gan::discriminator_loss`] with these random numbers (those that tricks want are drawn all the same).
    ///
    /// # Panics
    /// As [`Gan::discriminator_loss`].
    #[track_caller]
    pub fn discriminator_loss_at(
        &self,
        scope: &Scope,
        real: &Tensor,
        labels: Option<&Tensor>,
        draws: &Draws,
    ) -> Judged {
        self.tricks.check();
        // Only the discriminator learns from this: no gradient reaches the generator.
        let fake = self.generate(scope, &draws.latents, labels).stop_gradient();
        if fake.shape() != real.shape() {
            fail("Gan", format!("real examples {:?}, generated ones {:?}", real.shape(), fake.shape()));
        }
        let (fake, fake_labels) = self.tricks.replayed(scope, fake, labels.cloned());
        let (seen, fake_seen) = (self.tricks.noisy(scope, real), self.tricks.noisy(scope, &fake));
        let (real_scores, fake_scores) = if self.joint {
            let all = Tensor::concat(&[&seen, &fake_seen], 0);
            let labels = labels.zip(fake_labels.as_ref()).map(|(a, b)| Tensor::concat(&[a, b], 0));
            let scores = self.score(scope, &all, labels.as_ref()).chunk(2, 0);
            (scores[0].clone(), scores[1].clone())
        } else {
            (self.score(scope, &seen, labels), self.score(scope, &fake_seen, fake_labels.as_ref()))
        };
        let (yes, no) = self.tricks.labels(scope, real.shape()[0]);
        let mut loss = self.loss.judge(&real_scores, &yes) + self.loss.judge(&fake_scores, &no);
        let penalty = self.penalty.map(|weight| {
            let points = between(&seen, &fake_seen, &draws.share);
            let penalty = gradient_penalty(|x| self.score(scope, x, labels), &points);
            loss = &loss + &penalty * weight;
            penalty
        });
        self.tricks.count(scope);
        Judged { loss, real: real_scores.mean_all(), fake: fake_scores.mean_all(), penalty }
    }

    /// The generator's loss of `n` generated examples. Its gradient passes through the discriminator, whose parameters stay.
    ///
    /// # Panics
    /// If an option makes no sense.
    #[track_caller]
    pub fn generator_loss(&self, scope: &Scope, n: usize) -> Tensor {
        let latents = self.latents(scope, n);
        let labels = self.classes.map(|classes| self.any_labels(scope, n, classes));
        self.generator_loss_at(scope, &latents, labels.as_ref())
    }

    /// [`Gan::generator_loss`] of these latents and labels.
    ///
    /// # Panics
    /// As [`Gan::generator_loss`].
    #[track_caller]
    pub fn generator_loss_at(&self, scope: &Scope, latents: &Tensor, labels: Option<&Tensor>) -> Tensor {
        self.tricks.check();
        let fake = self.generate(scope, latents, labels);
        let scores = self.score(scope, &self.tricks.noisy(scope, &fake), labels);
        self.loss.generator(&scores)
    }

    /// All that a step writes: an optimiser's updates of one network, and what both networks keep besides (statistics).
    pub fn updates(&self, scope: &Scope, mut step: Updates) -> Updates {
        step.extend(&scope.updates());
        step
    }

    /// Labels with each class as likely as the others.
    fn any_labels(&self, scope: &Scope, n: usize, classes: usize) -> Tensor {
        let (generator, stream) = scope.rng();
        generator.random_int([n], stream, 0, classes as i32).cast(DType::U32)
    }

    #[track_caller]
    fn check_labels(&self, labels: Option<&Tensor>) {
        match (self.classes, labels) {
            (None, Some(_)) => fail("Gan", "labels are given, but the networks are not conditional"),
            (Some(classes), None) => fail("Gan", format!("the networks are conditional, on labels below {classes}")),
            _ => {}
        }
    }
}

/// Labels that were checked to be there.
#[track_caller]
fn given(labels: Option<&Tensor>) -> &Tensor {
    labels.unwrap_or_else(|| fail("Gan", "a conditional network needs labels"))
}

#[cfg(test)]
mod tests;
