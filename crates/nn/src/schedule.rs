//! Learning rates over time.

use std::f64::consts::PI;

/// The learning rate as a function of time, counted in steps or epochs as the caller likes. Formulas as in
/// `torch.optim.lr_scheduler`.
///
/// ```
/// use wgrad_nn::Schedule;
/// let schedule = Schedule::cosine(0.1, 1000).warm_up(100, 0.01);
/// assert_eq!(schedule.lr_at(0), 0.001);
/// assert_eq!(schedule.lr_at(100), 0.1);
/// assert_eq!(schedule.lr_at(5000), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Always `lr`.
    Constant {
        /// The rate.
        lr: f64,
    },
    /// `lr * gamma^(t / size)`, the quotient rounded down (`StepLR`).
    Step {
        /// The first rate.
        lr: f64,
        /// Time between changes.
        size: u64,
        /// The factor of each change.
        gamma: f64,
    },
    /// `lr * gamma^n` with `n` the number of milestones reached (`MultiStepLR`).
    MultiStep {
        /// The first rate.
        lr: f64,
        /// When the rate changes.
        milestones: Vec<u64>,
        /// The factor of each change.
        gamma: f64,
    },
    /// `min_lr + (lr - min_lr) * (1 + cos(pi * t / total)) / 2` (`CosineAnnealingLR`). It stays at `min_lr` after `total`,
    /// where PyTorch's goes up again.
    Cosine {
        /// The first rate.
        lr: f64,
        /// The last rate.
        min_lr: f64,
        /// When the last rate is reached.
        total: u64,
    },
    /// The first rate of `then` times a factor that goes from `start` to 1 on a straight line (`LinearLR`), then `then`
    /// from its beginning (`SequentialLR`).
    WarmUp {
        /// How long it takes.
        length: u64,
        /// The factor at time 0.
        start: f64,
        /// What follows.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// Always `lr`.
    pub fn constant(lr: f64) -> Schedule {
        Schedule::Constant { lr }
    }

    /// `lr`, times `gamma` after every `size`.
    pub fn step(lr: f64, size: u64, gamma: f64) -> Schedule {
        Schedule::Step { lr, size, gamma }
    }

    /// `lr`, times `gamma` at each milestone.
    pub fn multi_step(lr: f64, milestones: impl Into<Vec<u64>>, gamma: f64) -> Schedule {
        Schedule::MultiStep { lr, milestones: milestones.into(), gamma }
    }

    /// From `lr` to 0 along half a cosine.
    pub fn cosine(lr: f64, total: u64) -> Schedule {
        Schedule::cosine_to(lr, 0.0, total)
    }

    /// From `lr` to `min_lr` along half a cosine.
    pub fn cosine_to(lr: f64, min_lr: f64, total: u64) -> Schedule {
        Schedule::Cosine { lr, min_lr, total }
    }

    /// This schedule after a linear warm-up of `length` that begins at `start` times its first rate.
    pub fn warm_up(self, length: u64, start: f64) -> Schedule {
        Schedule::WarmUp { length, start, then: Box::new(self) }
    }

    /// The rate at time `t`.
    pub fn lr_at(&self, t: u64) -> f64 {
        match self {
            Schedule::Constant { lr } => *lr,
            // A size of 0 would mean a change at no distance; there is none then.
            Schedule::Step { lr, size, gamma } => lr * gamma.powf(t.checked_div(*size).unwrap_or(0) as f64),
            Schedule::MultiStep { lr, milestones, gamma } => {
                lr * gamma.powf(milestones.iter().filter(|&&m| m <= t).count() as f64)
            }
            Schedule::Cosine { min_lr, total, .. } if t >= *total => *min_lr,
            Schedule::Cosine { lr, min_lr, total } => {
                min_lr + (lr - min_lr) * (1.0 + (PI * t as f64 / *total as f64).cos()) / 2.0
            }
            Schedule::WarmUp { length, start, then } if t < *length => {
                then.lr_at(0) * (start + (1.0 - start) * t as f64 / *length as f64)
            }
            Schedule::WarmUp { length, then, .. } => then.lr_at(t - length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        assert_eq!(Schedule::step(0.5, 0, 0.1).lr_at(7), 0.5);
        assert_eq!(Schedule::cosine_to(1.0, 0.25, 0).lr_at(0), 0.25);
        assert_eq!(Schedule::constant(0.1).warm_up(0, 0.5).lr_at(0), 0.1);
        assert_eq!(Schedule::constant(0.1).lr_at(u64::MAX), 0.1);
    }
}
