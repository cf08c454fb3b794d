//! Losses of how near vectors are.

use super::{Reduction, above_zero, check_least, check_named, number};
use wgrad_graph::{OpCase, Tensor, fail};

/// Checks vectors [..., D] of one shape, and a number for each.
#[track_caller]
fn check_vectors(op: &str, x1: &Tensor, x2: &Tensor, target: Option<&Tensor>) {
    check_named(op, x1, "the other", x2);
    if x1.rank() == 0 {
        fail(op, "vectors [..., D] expected, not scalars");
    }
    let lead = &x1.shape()[..x1.rank() - 1];
    if let Some(t) = target
        && (t.shape() != lead || t.dtype() != x1.dtype())
    {
        fail(
            op,
            format!(
                "vectors {:?} want a target {} {lead:?}, not {} {:?}",
                x1.shape(),
                x1.dtype(),
                t.dtype(),
                t.shape()
            ),
        );
    }
}

/// With the cosine c of the angle between vectors along the last axis: `1 - c` where the target is 1, `max(0, c - margin)`
/// where it is -1. The target has the vectors' shape without the last axis. As
/// `torch.nn.functional.cosine_embedding_loss` (default margin 0), which adds 1e-12 to the squared lengths.
///
/// # Panics
/// If shapes do not fit, or the margin is not in [-1, 1].
#[track_caller]
pub fn cosine_embedding(x1: &Tensor, x2: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
    check_vectors("cosine_embedding", x1, x2, Some(target));
    if !(-1.0..=1.0).contains(&margin) {
        fail("cosine_embedding", format!("margin = {margin}, but a cosine is -1 to 1"));
    }
    let dtype = &x1.dtype();
    let [x1, x2, target] = &[x1, x2, target].map(Tensor::in_f32);
    let square = |x: &Tensor| x.square().sum(&[-1]) + 1e-12;
    let cosine = (x1 * x2).sum(&[-1]) / (square(x1) * square(x2)).sqrt();
    let (one, zero) = (number(target, 1.0), number(target, 0.0));
    let apart = target.equal(&-&one).select(&above_zero(&(&cosine - margin)), &zero);
    reduction.apply(target.equal(&one).select(&(1.0 - cosine), &apart)).cast(*dtype)
}

/// Contrastive loss (Hadsell et al., 2006) of vectors along the last axis, with their distance d: `t * d^2 / 2 + (1 - t) *
/// max(0, margin - d)^2 / 2`, where the target t is 1 for pairs that belong together and 0 for others. (The paper's Y is
/// the other way round.) The gradient of equal vectors is 0.
///
/// # Panics
/// If shapes do not fit, or the margin is negative.
#[track_caller]
pub fn contrastive(x1: &Tensor, x2: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
    check_vectors("contrastive", x1, x2, Some(target));
    check_least("contrastive", "margin", margin, 0.0);
    let dtype = &x1.dtype();
    let [x1, x2, target] = &[x1, x2, target].map(Tensor::in_f32);
    let difference = x1 - x2;
    let near = difference.square().sum(&[-1]);
    let far = (margin - difference.norm(2.0, &[-1])).relu().square();
    reduction.apply((target * near + (1.0 - target) * far) * 0.5).cast(*dtype)
}

/// Options of [`triplet_margin`].
#[derive(Clone, Copy, Debug)]
pub struct TripletMargin {
    /// By how much the negative is to be farther than the positive.
    pub margin: f32,
    /// The norm.
    pub p: f32,
    /// What is added to each difference, so that a distance of 0 has a gradient.
    pub eps: f32,
    /// Whether to take the negative's distance from the positive where that is less (Balntas et al., 2016).
    pub swap: bool,
}

impl Default for TripletMargin {
    fn default() -> Self {
        TripletMargin { margin: 1.0, p: 2.0, eps: 1e-6, swap: false }
    }
}

/// Triplet loss of vectors along the last axis: `max(0, d(anchor, positive) - d(anchor, negative) + margin)`, with
/// [`Tensor::pairwise_distance`]. As `torch.nn.functional.triplet_margin_loss`.
///
/// # Panics
/// If the shapes differ, the margin is not above 0, or p is not above 0.
#[track_caller]
pub fn triplet_margin(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    options: &TripletMargin,
    reduction: Reduction,
) -> Tensor {
    let op = "triplet_margin";
    check_vectors(op, anchor, positive, None);
    check_vectors(op, anchor, negative, None);
    let TripletMargin { margin, p, eps, swap } = *options;
    check_least(op, "margin", margin, f32::MIN_POSITIVE);
    if p.is_nan() || p <= 0.0 {
        fail(op, format!("p = {p}, but a number above 0 is needed"));
    }
    let dtype = &anchor.dtype();
    let [anchor, positive, negative] = &[anchor, positive, negative].map(Tensor::in_f32);
    let near = anchor.pairwise_distance(positive, p, eps);
    let mut far = anchor.pairwise_distance(negative, p, eps);
    if swap {
        far = far.minimum(&positive.pairwise_distance(negative, p, eps));
    }
    reduction.apply(above_zero(&(near - far + margin))).cast(*dtype)
}

pub(super) fn cases() -> Vec<OpCase> {
    let signs = |x: &Tensor| x.stop_gradient().sign();
    let cosine = |shape: &[usize], margin: f32, reduction: Reduction| {
        let lead = &shape[..shape.len() - 1];
        let name = format!("cosine_embedding {shape:?} {margin} {reduction:?}");
        OpCase::new("cosine_embedding", name, &[shape, shape, lead], move |x| {
            cosine_embedding(&x[0], &x[1], &signs(&x[2]), margin, reduction)
        })
    };
    let contrast = |shape: &[usize], margin: f32, reduction: Reduction| {
        let lead = &shape[..shape.len() - 1];
        let name = format!("contrastive {shape:?} {margin} {reduction:?}");
        OpCase::new("contrastive", name, &[shape, shape, lead], move |x| {
            contrastive(&x[0], &x[1], &x[2], margin, reduction)
        })
    };
    let triplet = |shape: &[usize], options: TripletMargin, reduction: Reduction| {
        let name = format!("triplet_margin {shape:?} {options:?} {reduction:?}");
        OpCase::new("triplet_margin", name, &[shape, shape, shape], move |x| {
            triplet_margin(&x[0], &x[1], &x[2], &options, reduction)
        })
    };
    let plain = TripletMargin::default();
    vec![
        cosine(&[5, 4], 0.0, Reduction::Mean),
        cosine(&[2, 3, 2], -0.3, Reduction::None),
        cosine(&[7], 0.2, Reduction::Sum),
        contrast(&[5, 4], 1.0, Reduction::Mean),
        contrast(&[2, 3, 2], 2.0, Reduction::None),
        contrast(&[3, 1], 0.7, Reduction::Sum),
        triplet(&[5, 4], plain, Reduction::Mean),
        triplet(&[2, 3, 2], TripletMargin { swap: true, margin: 0.5, ..plain }, Reduction::None),
        triplet(&[4, 3], TripletMargin { p: 3.0, margin: 2.0, ..plain }, Reduction::Sum),
    ]
}
