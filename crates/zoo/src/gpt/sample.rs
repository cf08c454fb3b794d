//! Choosing the next token from logits.

use crate::ZooError;
use wgrad_graph::philox;

/// How a token is chosen: by default from the model's own distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by this: below 1 the likely ones become likelier. At 0 the likeliest is taken, always.
    pub temperature: f32,
    /// Only the `k` likeliest are drawn from.
    pub top_k: Option<usize>,
    /// Only the likeliest are drawn from that together have this probability, the one that reaches it included (nucleus
    /// sampling; Holtzman et al., "The curious case of neural text degeneration", 2019). After `top_k`.
    pub top_p: Option<f32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 1.0, top_k: None, top_p: None }
    }
}

impl Sampling {
    /// The likeliest token, always.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Whether the options make sense.
    ///
    /// # Errors
    /// If the temperature is negative or not finite, `top_k` is 0, or `top_p` is not above 0 and at most 1.
    pub fn check(&self) -> Result<(), ZooError> {
        let wrong = |reason: String| Err(ZooError::Invalid { what: "sampling", reason });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong(format!("temperature {} is negative or not finite", self.temperature));
        }
        if self.top_k == Some(0) {
            return wrong("the likeliest 0 tokens are none to draw from".into());
        }
        match self.top_p {
            Some(p) if !(p > 0.0 && p <= 1.0) => wrong(format!("top_p {p} is not above 0 and at most 1")),
            _ => Ok(()),
        }
    }

    /// Tokens that may be drawn with their probabilities, likeliest first; of equal ones the lower number comes first.
    /// Logits that are NaN are never drawn.
    pub fn distribution(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let mut order: Vec<(u32, f32)> =
            (0u32..).zip(logits.iter().copied()).filter(|(_, logit)| !logit.is_nan()).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.temperature == 0.0 {
            return order.first().map(|&(token, _)| (token, 1.0)).into_iter().collect();
        }
        order.truncate(self.top_k.unwrap_or(usize::MAX));
        let Some(&(_, greatest)) = order.first() else { return vec![] };
        // Equal logits differ by 0, infinite ones too.
        let weight = |logit: f32| if logit == greatest { 1.0 } else { scaled(logit, greatest, self.temperature) };
        let mut weights: Vec<f64> = order.iter().map(|&(_, logit)| weight(logit)).collect();
        let sum: f64 = weights.iter().sum();
        if let Some(p) = self.top_p {
            let mut before = 0.0;
            let within = weights.iter().take_while(|&&w| {
                let drawn = before < f64::from(p) * sum;
                before += w;
                drawn
            });
            let kept = within.count().max(1);
            weights.truncate(kept);
        }
        let sum: f64 = weights.iter().sum();
        order.iter().zip(weights).map(|(&(token, _), w)| (token, w / sum)).collect()
    }
}

fn scaled(logit: f32, greatest: f32, temperature: f32) -> f64 {
    ((f64::from(logit) - f64::from(greatest)) / f64::from(temperature)).exp()
}

/// Draws tokens: the same ones for the same seed.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    key: [u32; 2],
    drawn: u64,
}

impl Sampler {
    /// A sampler whose draws `seed` decides.
    ///
    /// # Errors
    /// As [`Sampling::check`].
    pub fn new(sampling: Sampling, seed: u64) -> Result<Sampler, ZooError> {
        sampling.check()?;
        Ok(Sampler { sampling, key: [seed as u32, (seed >> 32) as u32], drawn: 0 })
    }

    /// The next token, given its logits; 0 if all of them are NaN.
    pub fn draw(&mut self, logits: &[f32]) -> u32 {
        let [high, low, ..] = philox(self.key, [self.drawn as u32, (self.drawn >> 32) as u32, 0, 0]);
        self.drawn += 1;
        // 53 random bits: in [0, 1).
        let mut left = ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1u64 << 53) as f64;
        let choices = self.sampling.distribution(logits);
        for &(token, p) in &choices {
            if left < p {
                return token;
            }
            left -= p;
        }
        // Rounding may leave a little after the last.
        choices.last().map_or(0, |&(token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, -1.0, 2.0, 1.0];

    fn tokens(sampling: Sampling) -> Vec<u32> {
        sampling.distribution(&LOGITS).iter().map(|&(t, _)| t).collect()
    }

    #[test]
    fn the_likeliest_come_first_and_add_up_to_one() {
        let all = Sampling::default().distribution(&LOGITS);
        assert_eq!(all.iter().map(|&(t, _)| t).collect::<Vec<_>>(), [1, 3, 4, 0, 2]);
        let sum: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for &(token, p) in &all {
            assert!((p - f64::from(LOGITS[token as usize]).exp() / sum).abs() < 1e-12);
        }
        let cold = Sampling { temperature: 0.5, ..Sampling::default() }.distribution(&LOGITS);
        assert!((cold[2].1 / cold[0].1 - (-2f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn few_are_kept() {
        assert_eq!(tokens(Sampling::greedy()), [1]);
        assert_eq!(tokens(Sampling { top_k: Some(3), ..Sampling::default() }), [1, 3, 4]);
        // The two greatest have 0.387 each.
        let nucleus = |p| tokens(Sampling { top_p: Some(p), ..Sampling::default() });
        assert_eq!([nucleus(0.01), nucleus(0.38)], [[1], [1]]);
        assert_eq!(nucleus(0.4), [1, 3]);
        assert_eq!(nucleus(0.8), [1, 3, 4]);
        assert_eq!(nucleus(1.0), [1, 3, 4, 0, 2]);
        // Of the two that are left each has a half.
        assert_eq!(tokens(Sampling { top_k: Some(2), top_p: Some(0.45), ..Sampling::default() }), [1]);
    }

    #[test]
    fn odd_logits() {
        let all = |logits: &[f32]| Sampling::default().distribution(logits);
        assert_eq!(all(&[]), []);
        assert_eq!(all(&[f32::NAN, 0.0]), [(1, 1.0)]);
        assert_eq!(all(&[f32::NEG_INFINITY, f32::NEG_INFINITY]), [(0, 0.5), (1, 0.5)]);
        assert_eq!(all(&[f32::INFINITY, 0.0])[0], (0, 1.0));
        assert_eq!(Sampler::new(Sampling::default(), 0).unwrap().draw(&[f32::NAN]), 0);
    }

    #[test]
    fn draws_follow_the_distribution_and_the_seed() {
        let draws = |seed| {
            let mut sampler = Sampler::new(Sampling::default(), seed).unwrap();
            (0..20_000).map(|_| sampler.draw(&LOGITS)).collect::<Vec<u32>>()
        };
        let first = draws(3);
        assert_eq!(first, draws(3));
        assert_ne!(first, draws(4));
        for (token, p) in Sampling::default().distribution(&LOGITS) {
            let share = first.iter().filter(|&&t| t == token).count() as f64 / first.len() as f64;
            // Four standard deviations.
            assert!((share - p).abs() < 4.0 * (p * (1.0 - p) / 20_000.0).sqrt(), "{token}: {share}, not {p}");
        }
    }

    #[test]
    fn senseless_options_are_refused() {
        let default = Sampling::default;
        for wrong in [
            Sampling { temperature: -1.0, ..default() },
            Sampling { temperature: f32::NAN, ..default() },
            Sampling { temperature: f32::INFINITY, ..default() },
            Sampling { top_k: Some(0), ..default() },
            Sampling { top_p: Some(0.0), ..default() },
            Sampling { top_p: Some(1.5), ..default() },
            Sampling { top_p: Some(f32::NAN), ..default() },
        ] {
            assert!(matches!(Sampler::new(wrong, 0), Err(ZooError::Invalid { what: "sampling", .. })), "{wrong:?}");
        }
    }
}
