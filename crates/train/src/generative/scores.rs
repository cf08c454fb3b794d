//! What a classifier's answers tell of samples.

use std::fmt;

/// How sure a classifier is of samples, and how they are spread over its classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScores {
    /// `exp(mean KL(p(y|x) || p(y)))`, from 1 (all answers alike) to the number of classes (each sample certain, all classes as
    /// frequent): the form of the inception score (Salimans et al., 2016), here of the data's own classifier.
    pub inception: f64,
    /// The share of samples that it is sure of: whose greatest probability is above the threshold.
    pub confident: f64,
    /// For each class, the share of all samples that it is sure to be of that class. One near 0 is a mode that is missing.
    pub shares: Vec<f64>,
}

impl ClassScores {
    /// Of logits, a row for each sample and a column for each class. Sure is what has a probability above `threshold`.
    ///
    /// # Panics
    /// When there are no classes or no whole rows.
    pub fn of(logits: &[f32], classes: usize, threshold: f64) -> ClassScores {
        assert!(classes > 0 && !logits.is_empty() && logits.len() % classes == 0, "rows of {classes} logits");
        let count = (logits.len() / classes) as f64;
        let (mut mean, mut shares) = (vec![0.0; classes], vec![0.0; classes]);
        // The mean of sum(p log p), which is less than sum(p log mean(p)) by the divergence.
        let mut certainty = 0.0;
        for row in logits.chunks_exact(classes) {
            let greatest = row.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
            let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - greatest).exp()).collect();
            let total: f64 = powers.iter().sum();
            for (class, power) in powers.iter().enumerate() {
                let p = power / total;
                mean[class] += p / count;
                certainty += if p > 0.0 { p * p.ln() / count } else { 0.0 };
                if p > threshold {
                    shares[class] += 1.0 / count;
                }
            }
        }
        let spread: f64 = mean.iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum();
        ClassScores { inception: (certainty - spread).exp(), confident: shares.iter().sum(), shares }
    }
}

/// In words: the share of confident samples of each class in per cent.
impl fmt::Display for ClassScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<String> = self.shares.iter().map(|s| format!("{:.0}", 100.0 * s)).collect();
        write!(f, "{:.0} % confident ({} by class)", 100.0 * self.confident, shares.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn certain_and_even_is_the_best() {
        let logits: Vec<f32> = (0..12).map(|i| if i / 3 % 3 == i % 3 { 60.0 } else { 0.0 }).collect();
        // Classes 0, 1, 2 and 0 again.
        let scores = ClassScores::of(&logits, 3, 0.9);
        assert!(close(scores.inception, (-(0.5f64 * 0.5f64.ln() + 0.5 * 0.25f64.ln())).exp()), "{scores:?}");
        assert_eq!((scores.confident, scores.shares), (1.0, vec![0.5, 0.25, 0.25]));
        let even = ClassScores::of(&logits[..9], 3, 0.9);
        assert!(close(even.inception, 3.0));
    }

    #[test]
    fn unsure_or_always_the_same_is_the_worst() {
        let unsure = ClassScores::of(&[0.5; 12], 3, 0.9);
        assert!(close(unsure.inception, 1.0) && unsure.confident == 0.0);
        // Sure, but all of one class: a generator whose modes collapsed.
        let collapsed = ClassScores::of(&[9.0, 0.0, 9.0, 0.0], 2, 0.9);
        assert!(close(collapsed.inception, 1.0));
        assert_eq!((collapsed.confident, collapsed.shares.clone()), (1.0, vec![1.0, 0.0]));
        assert_eq!(collapsed.to_string(), "100 % confident (100 0 by class)");
    }
}
