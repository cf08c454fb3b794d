//! Losses of numbers.

use super::{Reduction, check_least, number, pair_cases, same};
use wgrad_graph::{OpCase, Tensor, fail};

/// Squared error `(prediction - target)^2`, as `torch.nn.functional.mse_loss`.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn mse(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("mse", prediction, target);
    reduction.apply((prediction - target).square()).cast(*dtype)
}

/// Absolute error `|prediction - target|`, as `torch.nn.functional.l1_loss`; the gradient is 0 where they are equal.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn l1(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("l1", prediction, target);
    reduction.apply((prediction - target).abs()).cast(*dtype)
}

/// Huber's loss: with `d = |prediction - target|`, `d^2 / 2` up to `delta` (1 in PyTorch) and `delta * (d - delta / 2)`
/// beyond. As `torch.nn.functional.huber_loss`.
///
/// # Panics
/// If the shapes differ, or `delta` is not above 0.
#[track_caller]
pub fn huber(prediction: &Tensor, target: &Tensor, delta: f32, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("huber", prediction, target);
    check_least("huber", "delta", delta, f32::MIN_POSITIVE);
    let d = prediction - target;
    let size = d.abs();
    let near = size.le(&number(&d, delta as f64));
    reduction.apply(near.select(&(d.square() * 0.5), &((size - 0.5 * delta) * delta))).cast(*dtype)
}

/// Smooth L1 (Girshick, 2015): with `d = |prediction - target|`, `d^2 / (2 * beta)` below `beta` (1 in PyTorch) and `d -
/// beta / 2` beyond; `beta` 0 is [`l1`]. As `torch.nn.functional.smooth_l1_loss`.
///
/// # Panics
/// If the shapes differ, or `beta` is negative.
#[track_caller]
pub fn smooth_l1(prediction: &Tensor, target: &Tensor, beta: f32, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("smooth_l1", prediction, target);
    check_least("smooth_l1", "beta", beta, 0.0);
    if beta == 0.0 {
        return reduction.apply((prediction - target).abs()).cast(*dtype);
    }
    let d = prediction - target;
    let size = d.abs();
    let near = size.lt(&number(&d, beta as f64));
    reduction.apply(near.select(&(d.square() * (0.5 / beta)), &(size - 0.5 * beta))).cast(*dtype)
}

/// `log(cosh(prediction - target))`, computed as `|d| + log(1 + e^(-2|d|)) - log(2)`, which does not overflow. The gradient
/// is tanh(d).
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn log_cosh(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("log_cosh", prediction, target);
    let d = prediction - target;
    let size = d.abs();
    let value = &size - (&size * 2.0).logsigmoid() - std::f32::consts::LN_2;
    reduction.apply(value.with_gradient(&[&d], |_, d, g| vec![Some(g * d[0].tanh())])).cast(*dtype)
}

/// Options of [`poisson_nll`].
#[derive(Clone, Copy, Debug)]
pub struct PoissonNll {
    /// Whether the prediction is the logarithm of the rate.
    pub log_input: bool,
    /// Whether to add Stirling's approximation of log(target!) for targets above 1.
    pub full: bool,
    /// What is added to a rate before its logarithm.
    pub eps: f32,
}

impl Default for PoissonNll {
    fn default() -> Self {
        PoissonNll { log_input: true, full: false, eps: 1e-8 }
    }
}

/// Negative log-likelihood of counts from a Poisson distribution: `e^x - t * x`, or `x - t * log(x + eps)` for a rate x;
/// `full` adds `t * log(t) - t + log(2 * pi * t) / 2` where t is above 1. As `torch.nn.functional.poisson_nll_loss`.
///
/// # Panics
/// If the shapes differ, or `eps` is negative.
#[track_caller]
pub fn poisson_nll(prediction: &Tensor, target: &Tensor, options: &PoissonNll, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("poisson_nll", prediction, target);
    check_least("poisson_nll", "eps", options.eps, 0.0);
    let mut loss = match options.log_input {
        true => prediction.exp() - target * prediction,
        false => prediction - target * (prediction + options.eps).log(),
    };
    if options.full {
        let one = number(target, 1.0);
        let large = target.gt(&one);
        // 1 where it does not count, so that nothing there is NaN.
        let t = large.select(target, &one);
        let stirling = &t * t.log() - &t + (&t * std::f32::consts::TAU).log() * 0.5;
        loss = loss + large.select(&stirling, &number(target, 0.0));
    }
    reduction.apply(loss).cast(*dtype)
}

/// Options of [`gaussian_nll`].
#[derive(Clone, Copy, Debug)]
pub struct GaussianNll {
    /// Whether to add log(2 * pi) / 2.
    pub full: bool,
    /// The least variance.
    pub eps: f32,
}

impl Default for GaussianNll {
    fn default() -> Self {
        GaussianNll { full: false, eps: 1e-6 }
    }
}

/// Negative log-likelihood of numbers from normal distributions with the predicted means and variances: `(log(v) +
/// (prediction - target)^2 / v) / 2` with `v = max(variance, eps)`. The gradient with respect to the variance is that of
/// v, in PyTorch too. The variance has the prediction's shape, or extents of 1 in their stead, or its shape without the
/// last axis. As `torch.nn.functional.gaussian_nll_loss`.
///
/// # Panics
/// If the shapes do not fit, or `eps` is not above 0.
#[track_caller]
pub fn gaussian_nll(
    prediction: &Tensor,
    target: &Tensor,
    variance: &Tensor,
    options: &GaussianNll,
    reduction: Reduction,
) -> Tensor {
    let ([prediction, target], dtype) = &same("gaussian_nll", prediction, target);
    check_least("gaussian_nll", "eps", options.eps, f32::MIN_POSITIVE);
    let shape = prediction.shape();
    let variance = match shape.split_last() {
        Some((_, lead)) if variance.shape() == lead && lead != shape => variance.in_f32().unsqueeze(lead.len()),
        _ => variance.in_f32(),
    };
    let fits = variance.rank() == shape.len() && variance.shape().iter().zip(shape).all(|(&v, &n)| v == n || v == 1);
    if !fits || !variance.dtype().is_float() {
        let given = format!("{} {:?}", variance.dtype(), variance.shape());
        fail("gaussian_nll", format!("the prediction is {:?}, the variance {given}", prediction.shape()));
    }
    let v = variance.maximum(&number(&variance, options.eps as f64)).straight_through(&variance);
    let mut loss = (v.log() + (prediction - target).square() / &v) * 0.5;
    if options.full {
        loss = loss + 0.5 * std::f32::consts::TAU.ln();
    }
    reduction.apply(loss).cast(*dtype)
}

pub(super) fn cases() -> Vec<OpCase> {
    const SHAPES: [&[usize]; 3] = [&[3, 5], &[7], &[2, 1, 3]];
    let shifted = |x: &[Tensor]| (&x[0] * 2.0, &x[1] * 2.0);
    let counts = |log_input, full| {
        pair_cases("poisson_nll", SHAPES, move |x, r| {
            let options = PoissonNll { log_input, full, eps: 1e-3 };
            poisson_nll(&(&x[0] + 0.1), &(&x[1] * 1.7), &options, r)
        })
        .into_iter()
        .map(move |c| OpCase { name: format!("{} log {log_input}, full {full}", c.name), ..c.domain(0.7, 2.0) })
        .collect::<Vec<_>>()
    };
    let gaussian = |shape: &[usize], variance: &[usize], full: bool| {
        let name = format!("gaussian_nll {shape:?} {variance:?} full {full}");
        OpCase::new("gaussian_nll", name, &[shape, shape, variance], move |x| {
            gaussian_nll(&x[0], &x[1], &x[2], &GaussianNll { full, eps: 0.1 }, Reduction::None)
        })
        .domain(0.2, 1.5)
    };
    let mut all = [
        pair_cases("mse", SHAPES, |x, r| mse(&x[0], &x[1], r)),
        pair_cases("l1", SHAPES, |x, r| l1(&x[0], &x[1], r)),
        pair_cases("huber", SHAPES, move |x, r| {
            let (a, b) = shifted(x);
            huber(&a, &b, 0.7, r)
        }),
        pair_cases("smooth_l1", SHAPES, move |x, r| {
            let (a, b) = shifted(x);
            smooth_l1(&a, &b, 0.4, r)
        }),
        pair_cases("log_cosh", SHAPES, |x, r| log_cosh(&x[0], &x[1], r)),
        counts(true, false),
        counts(false, true),
        vec![gaussian(&[3, 4], &[3, 4], false), gaussian(&[3, 4], &[3], true), gaussian(&[2, 3], &[2, 1], false)],
    ]
    .concat();
    all.extend([
        OpCase::new("mse", "mse of a transpose", &[&[4, 3], &[3, 4]], |x| {
            mse(&x[0].transpose(0, 1), &x[1], Reduction::BatchMean)
        }),
        OpCase::new("mse", "mse of nothing", &[&[0, 3], &[0, 3]], |x| mse(&x[0], &x[1], Reduction::Sum)),
        OpCase::new("smooth_l1", "smooth_l1, beta 0", &[&[5], &[5]], |x| smooth_l1(&x[0], &x[1], 0.0, Reduction::Mean)),
        OpCase::new("log_cosh", "log_cosh of large values", &[&[5], &[5]], |x| {
            log_cosh(&(&x[0] * 1e4), &x[1], Reduction::Mean) * 1e-4
        }),
    ]);
    all
}
