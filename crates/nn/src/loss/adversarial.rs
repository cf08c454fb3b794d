//! Losses of generators against discriminators, and the gradient penalty.

use super::{Bce, Reduction, above_zero, bce_with_logits};
use wgrad_graph::{Tensor, fail, gradients};

/// What a discriminator's scores are pushed to. Scores are logits, or a critic's unbounded values: networks end without a
/// sigmoid. All losses are means over the batch.
///
/// | | discriminator | generator |
/// |---|---|---|
/// | [`NonSaturating`](Self::NonSaturating) | `-log D(x) - log(1 - D(G(z)))` with `D = sigmoid(score)` | `-log D(G(z))` |
/// | [`Saturating`](Self::Saturating) | the same | `log(1 - D(G(z)))` |
/// | [`LeastSquares`](Self::LeastSquares) | `((s(x) - 1)^2 + s(G(z))^2) / 2` | `(s(G(z)) - 1)^2 / 2` |
/// | [`Hinge`](Self::Hinge) | `max(0, 1 - s(x)) + max(0, 1 + s(G(z)))` | `-s(G(z))` |
/// | [`Wasserstein`](Self::Wasserstein) | `s(G(z)) - s(x)` | `-s(G(z))` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adversarial {
    /// Goodfellow et al. (2014), with the generator's loss that they advise: its gradient does not vanish where the
    /// discriminator is sure.
    #[default]
    NonSaturating,
    /// Goodfellow et al. (2014), the minimax game itself. The gradient of `log(1 - sigmoid(s))` is `-sigmoid(s)`: next to
    /// nothing for samples that are told apart with certainty.
    Saturating,
    /// LSGAN (Mao et al., 2017), with its labels a = 0, b = c = 1.
    LeastSquares,
    /// Lim and Ye (2017), Miyato et al. (2018).
    Hinge,
    /// Arjovsky et al. (2017). Wants a critic with bounded slope: [`crate::optim::Optimizer::clamp_weights`],
    /// [`gradient_penalty`] or [`crate::SpectralNorm`].
    Wasserstein,
}

impl Adversarial {
    /// The discriminator's loss of the scores of real and generated examples.
    #[track_caller]
    pub fn discriminator(self, real: &Tensor, fake: &Tensor) -> Tensor {
        let label = |scores: &Tensor, value: f32| Tensor::full(scores.shape(), value);
        self.judge(real, &label(real, 1.0)) + self.judge(fake, &label(fake, 0.0))
    }

    /// The loss of scores that should say `labels`: 1 for real, 0 for generated, others in between for smoothed labels (which
    /// [`Hinge`](Self::Hinge) and [`Wasserstein`](Self::Wasserstein) take as a smaller weight: they have no target to miss).
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn judge(self, scores: &Tensor, labels: &Tensor) -> Tensor {
        if scores.shape() != labels.shape() {
            fail("Adversarial", format!("scores {:?} against labels {:?}", scores.shape(), labels.shape()));
        }
        let sign = || labels * 2.0 - 1.0;
        match self {
            Adversarial::NonSaturating | Adversarial::Saturating => {
                bce_with_logits(scores, labels, &Bce::default(), Reduction::Mean)
            }
            Adversarial::LeastSquares => (scores - labels).square().mean_all() * 0.5,
            Adversarial::Hinge => above_zero(&(1.0 - sign() * scores)).mean_all(),
            Adversarial::Wasserstein => -(sign() * scores).mean_all(),
        }
    }

    /// The generator's loss of its samples' scores.
    #[track_caller]
    pub fn generator(self, fake: &Tensor) -> Tensor {
        let label = |value: f32| Tensor::full(fake.shape(), value);
        match self {
            Adversarial::NonSaturating | Adversarial::LeastSquares => self.judge(fake, &label(1.0)),
            Adversarial::Saturating => -self.judge(fake, &label(0.0)),
            Adversarial::Hinge | Adversarial::Wasserstein => -fake.mean_all(),
        }
    }
}

/// The gradient penalty of WGAN-GP (Gulrajani et al., 2017): `mean((|d critic(x) / dx| - 1)^2)`, at `points` between real and
/// generated examples ([`between`]). The norm is over all elements of an example. Its own gradient takes second derivatives of
/// the critic, which must treat each example alone: no batch norm.
///
/// # Panics
/// If `points` has no axis beside the batch's.
#[track_caller]
pub fn gradient_penalty(critic: impl FnOnce(&Tensor) -> Tensor, points: &Tensor) -> Tensor {
    if points.rank() < 2 {
        fail("gradient_penalty", format!("[N, ...] expected, not {:?}", points.shape()));
    }
    let slope = &gradients(&critic(points).sum_all(), &[points])[0];
    // The root's gradient is infinite at 0.
    let length = (slope.flatten(1).square().sum(&[1]) + 1e-12).sqrt();
    (length - 1.0).square().mean_all()
}

/// Points on the lines from `fake` to `real`, example by example: `share * real + (1 - share) * fake`, with a share `[N]` for
/// each example. No gradient flows back to either.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn between(real: &Tensor, fake: &Tensor, share: &Tensor) -> Tensor {
    if real.shape() != fake.shape() || real.rank() == 0 || share.shape() != [real.shape()[0]] {
        let given = format!("real {:?}, fake {:?}, share {:?}", real.shape(), fake.shape(), share.shape());
        fail("between", format!("two batches of one shape and a share for each example expected, not {given}"));
    }
    let mut each = vec![1; real.rank()];
    each[0] = real.shape()[0];
    let share = share.reshape(each);
    (&share * real + (1.0 - &share) * fake).stop_gradient()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, DType, checked, reference::evaluate};

    const ALL: [Adversarial; 5] = [
        Adversarial::NonSaturating,
        Adversarial::Saturating,
        Adversarial::LeastSquares,
        Adversarial::Hinge,
        Adversarial::Wasserstein,
    ];

    /// The values of `outputs`, given scores.
    fn values(outputs: &[Tensor], real: &[f64], fake: &[f64]) -> Vec<Vec<f64>> {
        let leaf = |x: &[f64]| Array::new([x.len()], x.to_vec());
        let leaves = HashMap::from([("real".to_string(), leaf(real)), ("fake".to_string(), leaf(fake))]);
        let roots: Vec<&Tensor> = outputs.iter().collect();
        evaluate(&roots, &leaves).into_iter().map(|a| a.data).collect()
    }

    fn scores() -> [Tensor; 2] {
        ["real", "fake"].map(|name| Tensor::input(name, [2], DType::F32))
    }

    #[test]
    fn formulas() {
        let (real, fake) = ([2.0, -1.0], [0.5, -3.0]);
        let mean = |f: &dyn Fn(f64) -> f64, x: [f64; 2]| (f(x[0]) + f(x[1])) / 2.0;
        let (yes, no) = (|s: f64| -(1.0 / (1.0 + (-s).exp())).ln(), |s: f64| -(1.0 / (1.0 + s.exp())).ln());
        let expected = [
            (mean(&yes, real) + mean(&no, fake), mean(&yes, fake)),
            (mean(&yes, real) + mean(&no, fake), -mean(&no, fake)),
            (
                (mean(&|s| (s - 1.0).powi(2), real) + mean(&|s| s * s, fake)) / 2.0,
                mean(&|s| (s - 1.0).powi(2), fake) / 2.0,
            ),
            (mean(&|s| (1.0 - s).max(0.0), real) + mean(&|s| (1.0 + s).max(0.0), fake), -mean(&|s| s, fake)),
            (mean(&|s| s, fake) - mean(&|s| s, real), -mean(&|s| s, fake)),
        ];
        for (loss, (critic, generator)) in ALL.into_iter().zip(expected) {
            let [r, f] = scores();
            let got = values(&[loss.discriminator(&r, &f), loss.generator(&f)], &real, &fake);
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            assert!(close(got[0][0], critic) && close(got[1][0], generator), "{loss:?}: {got:?}");
        }
    }

    /// Where the discriminator is sure, the saturating loss has no gradient on the logit, and the other the whole one.
    #[test]
    fn saturation() {
        let [_, fake] = scores();
        let slope = |loss: Adversarial| gradients(&loss.generator(&fake), &[&fake]).remove(0);
        let outputs = [slope(Adversarial::Saturating), slope(Adversarial::NonSaturating)];
        let got = values(&outputs, &[0.0; 2], &[-10.0, 0.0]);
        // Half of each, as the loss is a mean of two.
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (i, s) in [-10.0, 0.0].into_iter().enumerate() {
            assert!((got[0][i] + sigmoid(s) / 2.0).abs() < 1e-9, "{got:?}");
            assert!((got[1][i] + sigmoid(-s) / 2.0).abs() < 1e-9, "{got:?}");
        }
    }

    /// V(x, y) = x * y: simultaneous steps spiral outwards at any rate, which is why one does not read a game's losses as
    /// progress.
    #[test]
    fn simultaneous_steps_do_not_settle() {
        let (x, y) = (Tensor::input("real", [1], DType::F32), Tensor::input("fake", [1], DType::F32));
        let value = (&x * &y).sum_all();
        let slopes = gradients(&value, &[&x, &y]);
        let (mut at, mut radius) = ([1.0, 0.0], 1.0);
        for _ in 0..50 {
            let g = values(&slopes, &at[..1], &at[1..]);
            at = [at[0] - 0.1 * g[0][0], at[1] + 0.1 * g[1][0]];
            let next = at[0].hypot(at[1]);
            assert!(next > radius);
            radius = next;
        }
    }

    /// A linear critic's slope is its weight, wherever it is measured; the penalty's gradient is known then.
    #[test]
    fn penalty_of_a_linear_critic() {
        let (real, fake) = (Tensor::input("x", [3, 2], DType::F32), Tensor::zeros([3, 2], DType::F32));
        let weight = Tensor::input("w", [2, 1], DType::F32);
        let share = Tensor::full([3], 0.25f32);
        let points = between(&real, &fake, &share);
        let penalty = gradient_penalty(|x| x.matmul(&weight), &points);
        let slope = gradients(&penalty, &[&weight]).remove(0);
        let leaves = HashMap::from([
            ("x".to_string(), Array::new([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("w".to_string(), Array::new([2, 1], vec![3.0, 4.0])),
        ]);
        let got = evaluate(&[&penalty, &slope, &points], &leaves);
        // |w| = 5: (5 - 1)^2, and 2 (5 - 1) w / 5.
        assert!((got[0].data[0] - 16.0).abs() < 1e-9);
        assert!((got[1].data[0] - 4.8).abs() < 1e-9 && (got[1].data[1] - 6.4).abs() < 1e-9, "{:?}", got[1].data);
        assert_eq!(got[2].data, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]);
    }

    #[test]
    fn shapes_are_checked() {
        let scores = Tensor::input("s", [4, 1], DType::F32);
        let labels = Tensor::input("t", [4], DType::F32);
        let error = checked(|| Adversarial::Hinge.judge(&scores, &labels)).unwrap_err().to_string();
        assert!(error.contains("scores [4, 1] against labels [4]"), "{error}");
        assert!(checked(|| between(&scores, &scores, &scores)).is_err());
        assert!(checked(|| gradient_penalty(Tensor::clone, &labels)).is_err());
    }
}
