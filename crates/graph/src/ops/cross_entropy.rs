//! Cross-entropy from logits, as PyTorch's `cross_entropy` defines it.

use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Options of [`Tensor::cross_entropy_with`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes, from 0 to 1.
    pub label_smoothing: f32,
    /// A class number that marks places which count neither in the loss nor in the mean.
    pub ignore: Option<u32>,
}

impl Tensor {
    /// Mean cross-entropy of logits [N, C, ...] against class numbers [N, ...] (u32) or against distributions
    /// [N, C, ...] (f32).
    #[track_caller]
    pub fn cross_entropy(&self, target: &Tensor) -> Tensor {
        self.cross_entropy_with(target, &CrossEntropy::default())
    }

    /// Mean cross-entropy with options. With class numbers the mean is over the places that are not ignored (NaN if
    /// there are none, as in PyTorch); with distributions it is over all of them.
    #[track_caller]
    pub fn cross_entropy_with(&self, target: &Tensor, options: &CrossEntropy) -> Tensor {
        let (losses, counted) = self.cross_entropy_in_f32(target, options);
        let n = match counted {
            Some(counted) => counted.cast(losses.dtype()).sum_all(),
            None => losses.lit(losses.count() as f64),
        };
        (losses.sum_all() / n).cast(self.dtype())
    }

    /// The loss of each place, and whether it counts (where places can be ignored).
    #[track_caller]
    pub fn cross_entropy_each(&self, target: &Tensor, options: &CrossEntropy) -> (Tensor, Option<Tensor>) {
        let (losses, counted) = self.cross_entropy_in_f32(target, options);
        (losses.cast(self.dtype()), counted)
    }

    /// The loss of each place before it is rounded to f16.
    #[track_caller]
    fn cross_entropy_in_f32(&self, target: &Tensor, options: &CrossEntropy) -> (Tensor, Option<Tensor>) {
        let e = options.label_smoothing;
        if self.rank() < 2 || !(0.0..=1.0).contains(&e) {
            crate::fail("cross_entropy", format!("logits {:?}, label smoothing {e}", self.shape()));
        }
        let classes = self.shape()[1];
        let mut places = self.shape().to_vec();
        places.remove(1);
        let log_p = self.in_f32().log_softmax(1);
        let smooth = |nll: Tensor| {
            if e == 0.0 {
                return nll;
            }
            nll.mul_scalar(1.0 - e as f64) - log_p.mean(&[1]).mul_scalar(e as f64)
        };
        if target.dtype() == DType::U32 && target.shape() == places {
            let named = match options.ignore {
                None => target.clone(),
                Some(class) => target.equal(&Tensor::scalar(class)).select(&target.lit(0.0), target),
            };
            let named = named.checked_index("cross_entropy", classes);
            let is_class = Tensor::iota(self.shape(), 1).equal(&named.unsqueeze(1));
            let loss = smooth(-is_class.select(&log_p, &log_p.lit(0.0)).sum(&[1]));
            match options.ignore {
                None => (loss, None),
                Some(class) => {
                    let counted = target.not_equal(&Tensor::scalar(class));
                    (counted.select(&loss, &loss.lit(0.0)), Some(counted))
                }
            }
        } else if target.dtype() == self.dtype() && target.shape() == self.shape() {
            if options.ignore.is_some() {
                crate::fail("cross_entropy", "ignore needs class numbers, but the target is a distribution");
            }
            // Smoothing a distribution: (1 - e) * t + e / C.
            let t = target.in_f32();
            let t = t.mul_scalar(1.0 - e as f64) + t.lit(e as f64 / classes as f64);
            (-(log_p * t).sum(&[1]), None)
        } else {
            crate::fail(
                "cross_entropy",
                format!(
                    "logits {:?} want a target u32 {places:?} or {} {:?}, not {} {:?}",
                    self.shape(),
                    self.dtype(),
                    self.shape(),
                    target.dtype(),
                    target.shape()
                ),
            )
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // Class numbers made from floats, since test inputs are floats.
    let classes = |x: &Tensor, c: f32| (x * c).floor().clamp(0.0, c - 1.0).stop_gradient().cast(DType::U32);
    let case = |text: &str, logits: &[usize], o: CrossEntropy| {
        let mut places = logits.to_vec();
        let c = places.remove(1) as f32;
        OpCase::new("cross_entropy", format!("cross_entropy {text} {logits:?}"), &[logits, &places], move |x| {
            x[0].cross_entropy_with(&classes(&x[1], c), &o)
        })
        .domain(0.0, 1.0)
    };
    vec![
        case("plain", &[5, 7], CrossEntropy::default()),
        case("plain", &[2, 3, 4, 5], CrossEntropy::default()),
        case("smoothed", &[6, 5], CrossEntropy { label_smoothing: 0.1, ignore: None }),
        case("ignored", &[9, 4], CrossEntropy { label_smoothing: 0.0, ignore: Some(1) }),
        case("smoothed and ignored", &[9, 4, 3], CrossEntropy { label_smoothing: 0.2, ignore: Some(2) }),
        OpCase::new("cross_entropy", "cross_entropy, distributions", &[&[4, 6], &[4, 6]], |x| {
            x[0].cross_entropy_with(&x[1].softmax(1), &CrossEntropy { label_smoothing: 0.1, ignore: None })
        }),
    ]
}
