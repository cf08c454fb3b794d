//! Losses of being on the right side by a margin.

use super::{Reduction, above_zero, check_named, number, pair_cases, same};
use wgrad_graph::{DType, OpCase, Tensor, fail};

/// Hinge loss `max(0, 1 - t * x)` for targets t of -1 and 1. The gradient at the edge is 0.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn hinge(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("hinge", prediction, target);
    reduction.apply((1.0 - prediction * target).relu()).cast(*dtype)
}

/// The square of [`hinge`]: `max(0, 1 - t * x)^2`.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn squared_hinge(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("squared_hinge", prediction, target);
    reduction.apply((1.0 - prediction * target).relu().square()).cast(*dtype)
}

/// `log(1 + e^(-t * x))` for targets t of -1 and 1. As `torch.nn.functional.soft_margin_loss`, without its overflow.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn soft_margin(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    let ([prediction, target], dtype) = &same("soft_margin", prediction, target);
    reduction.apply(-(prediction * target).logsigmoid()).cast(*dtype)
}

/// For distances x and targets t of 1 (close) and -1 (apart): x where t is 1, `max(0, margin - x)` where it is -1. As
/// `torch.nn.functional.hinge_embedding_loss`, whose default margin is 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn hinge_embedding(distance: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
    let ([distance, target], dtype) = &same("hinge_embedding", distance, target);
    let (one, zero) = (number(target, 1.0), number(target, 0.0));
    let apart = target.equal(&one).select(&zero, &above_zero(&(margin - distance)));
    reduction.apply(target.equal(&-one).select(&zero, distance) + apart).cast(*dtype)
}

/// `max(0, -t * (x1 - x2) + margin)`: x1 is to be the greater where t is 1, x2 where it is -1. As
/// `torch.nn.functional.margin_ranking_loss`, whose default margin is 0; at the edge the gradient is that of the inside.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn margin_ranking(x1: &Tensor, x2: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
    check_named("margin_ranking", x1, "the other", x2);
    let ([x1, target], dtype) = &same("margin_ranking", x1, target);
    let x2 = &x2.in_f32();
    reduction.apply(above_zero(&(target * (x2 - x1) + margin))).cast(*dtype)
}

/// Options of [`multi_margin`].
#[derive(Clone, Debug)]
pub struct MultiMargin {
    /// The exponent: 1 or 2.
    pub p: u32,
    /// By how much the right class is to lead.
    pub margin: f32,
    /// How much each class counts as a target: `[C]`.
    pub weight: Option<Tensor>,
}

impl Default for MultiMargin {
    fn default() -> Self {
        MultiMargin { p: 1, margin: 1.0, weight: None }
    }
}

/// Multi-class hinge loss of scores [N, C] against class numbers u32 `[N]`: `sum over c != t of
/// weight[t] * max(0, margin - x[t] + x[c])^p / C`. As `torch.nn.functional.multi_margin_loss`. A class number beyond C is reported when outputs are read.
///
/// # Panics
/// If shapes or types do not fit, or p is neither 1 nor 2.
#[track_caller]
pub fn multi_margin(scores: &Tensor, target: &Tensor, options: &MultiMargin, reduction: Reduction) -> Tensor {
    let op = "multi_margin";
    if scores.rank() != 2 || target.shape() != &scores.shape()[..1] || target.dtype() != DType::U32 {
        let given = format!("scores {:?}, target {} {:?}", scores.shape(), target.dtype(), target.shape());
        fail(op, format!("scores [N, C] and a target u32 [N] expected, not {given}"));
    }
    if options.p != 1 && options.p != 2 {
        fail(op, format!("p = {}, but 1 or 2 is needed", options.p));
    }
    let (scores, dtype) = (&scores.in_f32(), &scores.dtype());
    let classes = scores.shape()[1];
    let named = target.checked_index(op, classes).unsqueeze(1);
    let is_target = Tensor::iota(scores.shape(), 1).equal(&named);
    let zero = number(scores, 0.0);
    let pick = |t: &Tensor| is_target.select(t, &zero).sum_keepdim(&[1]);
    let mut over = (scores - pick(scores) + options.margin).relu();
    if options.p == 2 {
        over = over.square();
    }
    if let Some(w) = &options.weight {
        if w.shape() != [classes] || !w.dtype().is_float() {
            fail(op, format!("{classes} classes, but the weight is {} {:?}", w.dtype(), w.shape()));
        }
        over = over * pick(&w.in_f32().unsqueeze(0));
    }
    reduction.apply(is_target.select(&zero, &over).sum(&[1]).mul_scalar(1.0 / classes as f64)).cast(*dtype)
}

pub(super) fn cases() -> Vec<OpCase> {
    const SHAPES: [&[usize]; 3] = [&[3, 5], &[7], &[2, 1, 3]];
    // Targets of -1 and 1, made from floats that have no gradient.
    fn signs(x: &Tensor) -> Tensor {
        x.stop_gradient().sign()
    }
    let class = |x: &Tensor, c: f32| (x * c).floor().clamp(0.0, c - 1.0).stop_gradient().cast(DType::U32);
    let multi = |n: usize, c: usize, p: u32, margin: f32, reduction: Reduction| {
        let name = format!("multi_margin [{n}, {c}] {p} {margin} {reduction:?}");
        OpCase::new("multi_margin", name, &[&[n, c], &[n], &[c]], move |x| {
            let options = MultiMargin { p, margin, weight: Some(x[2].clone()) };
            multi_margin(&(&x[0] * 2.0), &class(&x[1], c as f32), &options, reduction)
        })
        .domain(0.05, 1.0)
    };
    let ranking = |shape: &'static [usize], margin: f32| {
        OpCase::new("margin_ranking", format!("margin_ranking {shape:?} {margin}"), &[shape, shape, shape], move |x| {
            margin_ranking(&x[0], &x[1], &signs(&x[2]), margin, Reduction::Mean)
        })
    };
    [
        pair_cases("hinge", SHAPES, |x, r| hinge(&(&x[0] * 2.0), &signs(&x[1]), r)),
        pair_cases("squared_hinge", SHAPES, |x, r| squared_hinge(&(&x[0] * 2.0), &signs(&x[1]), r)),
        pair_cases("soft_margin", SHAPES, |x, r| soft_margin(&(&x[0] * 3.0), &signs(&x[1]), r)),
        pair_cases("hinge_embedding", SHAPES, |x, r| hinge_embedding(&x[0].exp(), &signs(&x[1]), 1.3, r)),
        vec![
            ranking(&[5], 0.3),
            ranking(&[3, 1], -0.2),
            ranking(&[2, 2, 3], 0.0),
            multi(5, 4, 1, 1.0, Reduction::Mean),
            multi(3, 2, 2, 0.5, Reduction::None),
            multi(1, 7, 2, 1.5, Reduction::Sum),
            multi(4, 1, 1, 1.0, Reduction::None),
        ],
    ]
    .concat()
}
