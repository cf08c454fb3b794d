//! Losses and metrics, as functions of a prediction and a target. Cross-entropy and negative log-likelihood are
//! [`Tensor::cross_entropy`], [`Tensor::cross_entropy_with`] and [`Tensor::nll_loss`].
//!
//! Names, formulas and gradients at edges are those of `torch.nn.functional`. Prediction and target have one shape, unless
//! said otherwise: they are not broadcast, since `[N, 1]` against `[N]` would silently compare all with all. Targets that
//! are floats have gradients like any other argument.

mod adversarial;
mod binary;
mod margin;
mod overlap;
mod pairs;
mod regression;
mod segmentation;

pub use adversarial::{Adversarial, between, gradient_penalty};
pub use binary::{Bce, Focal, bce, bce_with_logits, focal, sigmoid_focal};
pub use margin::{MultiMargin, hinge, hinge_embedding, margin_ranking, multi_margin, soft_margin, squared_hinge};
pub use overlap::{Dice, dice, kl_div};
pub use pairs::{TripletMargin, contrastive, cosine_embedding, triplet_margin};
pub use regression::{GaussianNll, PoissonNll, gaussian_nll, huber, l1, log_cosh, mse, poisson_nll, smooth_l1};
pub use segmentation::{Segmentation, class_dice, overlap_counts, pixel_cross_entropy, segmentation};
pub use wgrad_graph::Reduction;

use wgrad_graph::{DType, OpCase, Tensor, fail};

/// How many of the logits [N, C, ...] have their greatest value at the class that `labels` (u32, [N, ...]) names, as f32
/// (exact up to 2^24). Divided by the number of labels it is the accuracy.
#[track_caller]
pub fn correct(logits: &Tensor, labels: &Tensor) -> Tensor {
    let mut places = logits.shape().to_vec();
    if logits.rank() >= 2 {
        places.remove(1);
    }
    if logits.rank() < 2 || labels.shape() != places || labels.dtype() != DType::U32 {
        let given = format!("logits {:?}, labels {} {:?}", logits.shape(), labels.dtype(), labels.shape());
        fail("correct", format!("logits [N, C, ...] and labels u32 [N, ...] expected, not {given}"));
    }
    logits.argmax(&[1]).equal(labels).cast(DType::F32).sum_all()
}

/// How many of the logits [N, C] have fewer than `k` that are greater than the one at the class that `labels` (u32, `[N]`) names,
/// as f32: with `k` = 5 and divided by the number of labels, the top-5 accuracy. Of equal logits all count as right.
#[track_caller]
pub fn correct_in_top(logits: &Tensor, labels: &Tensor, k: usize) -> Tensor {
    if logits.rank() != 2 || labels.shape() != &logits.shape()[..1] || labels.dtype() != DType::U32 || k == 0 {
        let given = format!("logits {:?}, labels {} {:?}, k = {k}", logits.shape(), labels.dtype(), labels.shape());
        fail("correct_in_top", format!("logits [N, C], labels u32 [N] and k of at least 1 expected, not {given}"));
    }
    let right = logits.gather(1, &labels.unsqueeze(1)).broadcast_to(logits.shape());
    let above = logits.gt(&right).cast(DType::F32).sum(&[1]);
    above.lt(&Tensor::scalar(k as f32)).cast(DType::F32).sum_all()
}

/// Prediction and target in f32, and the type that the result is to have: losses of f16 are rounded once, at the end.
///
/// # Panics
/// If they are not floats of one shape and type.
#[track_caller]
fn same(op: &str, prediction: &Tensor, target: &Tensor) -> ([Tensor; 2], DType) {
    check_named(op, prediction, "the target", target);
    ([prediction.in_f32(), target.in_f32()], prediction.dtype())
}

#[track_caller]
fn check_named(op: &str, a: &Tensor, what: &str, b: &Tensor) {
    if (a.shape(), a.dtype()) != (b.shape(), b.dtype()) || !a.dtype().is_float() {
        fail(op, format!("the prediction is {} {:?}, {what} {} {:?}", a.dtype(), a.shape(), b.dtype(), b.shape()));
    }
}

/// Checks that an option is a number of at least `least`.
#[track_caller]
fn check_least(op: &str, option: &str, value: f32, least: f32) {
    if !(least..=f32::MAX).contains(&value) {
        fail(op, format!("{option} = {value}, but at least {least} is needed"));
    }
}

/// A number in this tensor's type.
fn number(like: &Tensor, value: f64) -> Tensor {
    Tensor::full(vec![], wgrad_graph::Scalar::new(like.dtype(), value))
}

/// max(x, 0) with the gradient of PyTorch's `clamp_min`: 1 at 0, where relu has 0.
fn above_zero(x: &Tensor) -> Tensor {
    let zero = number(x, 0.0);
    x.ge(&zero).select(x, &zero)
}

pub(crate) fn cases() -> Vec<OpCase> {
    [regression::cases(), binary::cases(), margin::cases(), pairs::cases(), overlap::cases(), segmentation::cases()]
        .concat()
}

/// Cases of a loss of two arguments of one shape, under each reduction.
fn pair_cases(
    op: &'static str,
    shapes: [&[usize]; 3],
    loss: impl Fn(&[Tensor], Reduction) -> Tensor + Send + Sync + Clone + 'static,
) -> Vec<OpCase> {
    let reductions = [Reduction::Mean, Reduction::Sum, Reduction::None];
    (reductions.into_iter().zip(shapes))
        .map(|(reduction, shape)| {
            let loss = loss.clone();
            OpCase::new(op, format!("{op} {shape:?} {reduction:?}"), &[shape, shape], move |x| loss(x, reduction))
        })
        .collect()
}

#[cfg(test)]
mod tests;
