//! Losses of distributions and of masks.

use super::{Reduction, check_least, number, pair_cases, same};
use wgrad_graph::{OpCase, Tensor, fail};

/// Kullback-Leibler divergence of log-probabilities x from a target distribution t, element by element: `t * (log(t) - x)`,
/// 0 where t is 0; with `log_target` the target is given as its logarithm: `e^t * (t - x)`. As
/// `torch.nn.functional.kl_div`; the divergence of a sample is its sum, so [`Reduction::BatchMean`] is the mean wanted.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn kl_div(log_prediction: &Tensor, target: &Tensor, log_target: bool, reduction: Reduction) -> Tensor {
    let ([log_prediction, target], dtype) = &same("kl_div", log_prediction, target);
    let losses = if log_target {
        target.exp() * (target - log_prediction)
    } else {
        let some = target.gt(&number(target, 0.0));
        // 1 where it does not count, so that nothing there is NaN.
        let log = some.select(target, &number(target, 1.0)).log();
        target * (log - log_prediction)
    };
    reduction.apply(losses).cast(*dtype)
}

/// Options of [`dice`].
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    /// What is added above and below; keeps empty masks defined.
    pub smooth: f32,
    /// Whether the elements below are squared (Milletari et al., 2016).
    pub squared: bool,
    /// The axes that are summed over: all from this one on. 1 gives a loss for each sample, 2 one for each sample and
    /// channel.
    pub from_axis: usize,
}

impl Default for Dice {
    fn default() -> Self {
        Dice { smooth: 1.0, squared: false, from_axis: 1 }
    }
}

/// Soft Dice loss of predictions p in [0, 1] and targets t: `1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)`.
/// [`Reduction::None`] keeps the axes before `from_axis`.
///
/// # Panics
/// If the shapes differ, there is nothing to sum over, or `smooth` is negative.
#[track_caller]
pub fn dice(prediction: &Tensor, target: &Tensor, options: &Dice, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("dice", prediction, target);
    check_least("dice", "smooth", options.smooth, 0.0);
    if options.from_axis >= prediction.rank() {
        fail("dice", format!("{:?} has no axes from {} on to sum over", prediction.shape(), options.from_axis));
    }
    let axes: Vec<isize> = (options.from_axis as isize..prediction.rank() as isize).collect();
    let size = |x: &Tensor| if options.squared { x.square().sum(&axes) } else { x.sum(&axes) };
    let both = (prediction * target).sum(&axes) * 2.0 + options.smooth;
    reduction.apply(1.0 - both / (size(prediction) + size(target) + options.smooth)).cast(*dtype)
}

pub(super) fn cases() -> Vec<OpCase> {
    const SHAPES: [&[usize]; 3] = [&[3, 5], &[7], &[2, 1, 3]];
    let masks = |shape: &[usize], options: Dice, reduction: Reduction| {
        OpCase::new("dice", format!("dice {shape:?} {options:?} {reduction:?}"), &[shape, shape], move |x| {
            dice(&x[0], &x[1], &options, reduction)
        })
        .domain(0.05, 1.0)
    };
    let plain = Dice::default();
    let mut all = [
        pair_cases("kl_div", SHAPES, |x, r| kl_div(&x[0], &x[1].exp(), false, r)),
        pair_cases("kl_div", SHAPES, |x, r| kl_div(&x[0], &x[1], true, r)),
    ]
    .concat();
    all.extend([
        OpCase::new("kl_div", "kl_div, batch mean", &[&[4, 3], &[4, 3]], |x| {
            kl_div(&x[0].log_softmax(1), &x[1].softmax(1), false, Reduction::BatchMean)
        }),
        masks(&[3, 5], plain, Reduction::Mean),
        masks(&[2, 3, 4], Dice { from_axis: 2, squared: true, ..plain }, Reduction::None),
        masks(&[2, 1, 2, 3], Dice { smooth: 0.1, ..plain }, Reduction::Sum),
        masks(&[7], Dice { from_axis: 0, ..plain }, Reduction::None),
    ]);
    all
}
