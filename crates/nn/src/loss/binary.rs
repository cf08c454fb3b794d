//! Losses of probabilities of yes and no, and their focal kin.

use super::{Reduction, check_least, number, pair_cases, same};
use wgrad_graph::{DType, OpCase, Tensor, fail};

/// Options of [`bce`] and [`bce_with_logits`].
#[derive(Clone, Debug, Default)]
pub struct Bce {
    /// What each element's loss is multiplied by; broadcast to the prediction's shape.
    pub weight: Option<Tensor>,
    /// What the loss of positive targets is multiplied by; broadcast to the prediction's shape. For logits only.
    pub pos_weight: Option<Tensor>,
}

impl Bce {
    #[track_caller]
    fn finish(&self, op: &str, loss: Tensor, reduction: Reduction, dtype: DType) -> Tensor {
        let loss = match &self.weight {
            Some(w) => &loss * wide(op, "weight", &loss, w),
            None => loss,
        };
        reduction.apply(loss).cast(dtype)
    }
}

/// A weight stretched to the shape of `like`.
#[track_caller]
fn wide(op: &str, name: &str, like: &Tensor, w: &Tensor) -> Tensor {
    let (shape, own) = (like.shape(), w.shape());
    let fits = own.len() <= shape.len() && own.iter().rev().zip(shape.iter().rev()).all(|(&w, &n)| w == n || w == 1);
    if !fits || !w.dtype().is_float() {
        fail(op, format!("the {name} is {} {own:?}, which does not stretch to {shape:?}", w.dtype()));
    }
    w.in_f32().broadcast_to(shape)
}

/// Binary cross-entropy of probabilities: `-(t * log(p) + (1 - t) * log(1 - p))`, with each logarithm at least -100, as
/// `torch.nn.functional.binary_cross_entropy` has it; the gradient is `(p - t) / max(p * (1 - p), 1e-12)`. Better from
/// logits: [`bce_with_logits`].
///
/// # Panics
/// If shapes differ, or there is a `pos_weight`.
#[track_caller]
pub fn bce(probability: &Tensor, target: &Tensor, options: &Bce, reduction: Reduction) -> Tensor {
    let ([probability, target], dtype) = &same("bce", probability, target);
    if options.pos_weight.is_some() {
        fail("bce", "pos_weight needs logits: bce_with_logits");
    }
    fn logs(p: &Tensor) -> (Tensor, Tensor) {
        // Without a logarithm of 0, which shaders may take for anything.
        let least = number(p, 1e-37);
        let log = |p: &Tensor| p.gt(&least).select(&p.maximum(&least).log(), &number(p, -100.0));
        (log(p), log(&(1.0 - p)))
    }
    let (yes, no) = logs(probability);
    let value = -(target * yes + (1.0 - target) * no);
    let loss = value.with_gradient(&[probability, target], |_, arguments, g| {
        let (p, t) = (&arguments[0], &arguments[1]);
        let spread = (p * (1.0 - p)).maximum(&number(p, 1e-12));
        let (yes, no) = logs(p);
        vec![Some(g * (p - t) / spread), Some(g * (no - yes))]
    });
    options.finish("bce", loss, reduction, *dtype)
}

/// Binary cross-entropy of logits: `(1 - t) * x + w * log(1 + e^-x)` with `w = 1 + (pos_weight - 1) * t`, which is [`bce`]
/// of sigmoid(x) and exact for any x. As `torch.nn.functional.binary_cross_entropy_with_logits`.
///
/// # Panics
/// If shapes differ, or a weight does not stretch to the logits' shape.
#[track_caller]
pub fn bce_with_logits(logits: &Tensor, target: &Tensor, options: &Bce, reduction: Reduction) -> Tensor {
    let ([logits, target], dtype) = &same("bce_with_logits", logits, target);
    let rest = (1.0 - target) * logits;
    let soft = -logits.logsigmoid();
    let loss = match &options.pos_weight {
        None => rest + soft,
        Some(w) => {
            let w = wide("bce_with_logits", "pos_weight", logits, w);
            rest + ((w - 1.0) * target + 1.0) * soft
        }
    };
    options.finish("bce_with_logits", loss, reduction, *dtype)
}

/// `x^gamma` for x in [0, 1], with a finite gradient at 0.
fn focus(x: &Tensor, gamma: f32) -> Tensor {
    match gamma {
        0.0 => x * 0.0 + 1.0,
        1.0 => x.clone(),
        2.0 => x.square(),
        _ if gamma > 1.0 => x.pow(&number(x, gamma as f64)),
        _ => x.clamp(1e-12, f32::MAX).pow(&number(x, gamma as f64)),
    }
}

/// Focal loss of logits against targets of 0 to 1 (Lin et al., 2017): `alpha_t * (1 - p_t)^gamma * bce_with_logits(x, t)`,
/// with `p_t = p * t + (1 - p) * (1 - t)` and `alpha_t = alpha * t + (1 - alpha) * (1 - t)`, or 1 without an alpha. As
/// `torchvision.ops.sigmoid_focal_loss`, whose defaults are alpha 0.25 and gamma 2.
///
/// # Panics
/// If shapes differ, alpha is not in [0, 1], or gamma is negative.
#[track_caller]
pub fn sigmoid_focal(logits: &Tensor, target: &Tensor, alpha: Option<f32>, gamma: f32, reduction: Reduction) -> Tensor {
    let ([logits, target], dtype) = &same("sigmoid_focal", logits, target);
    let losses = bce_with_logits(logits, target, &Bce::default(), Reduction::None);
    check_least("sigmoid_focal", "gamma", gamma, 0.0);
    // 1 - p_t, without a difference of numbers near 1.
    let off = logits.sigmoid() * (1.0 - target) + (-logits).sigmoid() * target;
    let mut loss = losses * focus(&off, gamma);
    if let Some(alpha) = alpha {
        if !(0.0..=1.0).contains(&alpha) {
            fail("sigmoid_focal", format!("alpha = {alpha}, but 0 to 1 is needed"));
        }
        loss = loss * (target * (2.0 * alpha - 1.0) + (1.0 - alpha));
    }
    reduction.apply(loss).cast(*dtype)
}

/// Options of [`focal`].
#[derive(Clone, Debug)]
pub struct Focal {
    /// How much each class counts: `[C]`.
    pub alpha: Option<Tensor>,
    /// How much places that are right already lose weight; 0 is cross-entropy.
    pub gamma: f32,
}

impl Default for Focal {
    fn default() -> Self {
        Focal { alpha: None, gamma: 2.0 }
    }
}

/// Focal loss of logits [N, C, ...] against class numbers u32 [N, ...]: `-alpha[c] * (1 - p_c)^gamma * log(p_c)`, with p the
/// softmax. The mean is over the places.
///
/// # Panics
/// If shapes or types do not fit, or gamma is negative.
#[track_caller]
pub fn focal(logits: &Tensor, target: &Tensor, options: &Focal, reduction: Reduction) -> Tensor {
    let mut places = logits.shape().to_vec();
    if logits.rank() >= 2 {
        places.remove(1);
    }
    if logits.rank() < 2 || target.shape() != places || target.dtype() != DType::U32 {
        let given = format!("logits {:?}, target {} {:?}", logits.shape(), target.dtype(), target.shape());
        fail("focal", format!("logits [N, C, ...] and a target u32 [N, ...] expected, not {given}"));
    }
    check_least("focal", "gamma", options.gamma, 0.0);
    let (logits, dtype) = (&logits.in_f32(), &logits.dtype());
    let classes = logits.shape()[1];
    let named = target.checked_index("focal", classes).unsqueeze(1);
    let is_class = Tensor::iota(logits.shape(), 1).equal(&named);
    let zero = number(logits, 0.0);
    let pick = |t: &Tensor| is_class.select(t, &zero).sum(&[1]);
    let log_p = logits.log_softmax(1);
    // 1 - p_c is what the other classes have.
    let off = is_class.select(&zero, &log_p.exp()).sum(&[1]);
    let mut loss = -(pick(&log_p) * focus(&off, options.gamma));
    if let Some(alpha) = &options.alpha {
        let mut along = vec![1; logits.rank()];
        along[1] = classes;
        if alpha.shape() != [classes] || !alpha.dtype().is_float() {
            fail("focal", format!("{classes} classes, but alpha is {} {:?}", alpha.dtype(), alpha.shape()));
        }
        loss = loss * pick(&alpha.in_f32().reshape(along));
    }
    reduction.apply(loss).cast(*dtype)
}

pub(super) fn cases() -> Vec<OpCase> {
    const SHAPES: [&[usize]; 3] = [&[3, 5], &[7], &[2, 1, 3]];
    let class = |x: &Tensor, c: f32| (x * c).floor().clamp(0.0, c - 1.0).stop_gradient().cast(DType::U32);
    let multi = |logits: &[usize], gamma: f32, reduction: Reduction| {
        let mut places = logits.to_vec();
        let c = places.remove(1);
        let name = format!("focal {logits:?} {gamma} {reduction:?}");
        OpCase::new("focal", name, &[logits, &places, &[c]], move |x| {
            let options = Focal { alpha: Some(x[2].clone()), gamma };
            focal(&(&x[0] * 3.0), &class(&x[1], c as f32), &options, reduction)
        })
        .domain(0.1, 1.0)
    };
    let focal_of = |alpha, gamma| {
        pair_cases("sigmoid_focal", SHAPES, move |x, r| {
            sigmoid_focal(&(&x[0] * 3.0), &(&x[1] * 0.4 + 0.5), alpha, gamma, r)
        })
        .into_iter()
        .map(move |c| OpCase { name: format!("{} {alpha:?} {gamma}", c.name), ..c })
        .collect::<Vec<_>>()
    };
    let mut all = [
        pair_cases("bce", SHAPES, |x, r| bce(&x[0], &x[1], &Bce::default(), r))
            .into_iter()
            .map(|c| c.domain(0.1, 0.9))
            .collect(),
        pair_cases("bce_with_logits", SHAPES, |x, r| bce_with_logits(&(&x[0] * 5.0), &x[1], &Bce::default(), r)),
        focal_of(Some(0.25), 2.0),
        focal_of(None, 0.5),
        focal_of(Some(0.6), 0.0),
        vec![
            multi(&[5, 4], 2.0, Reduction::Mean),
            multi(&[2, 3, 2], 1.5, Reduction::None),
            multi(&[3, 2], 0.0, Reduction::Sum),
        ],
    ]
    .concat();
    all.extend([
        OpCase::new("bce", "bce, weighted", &[&[3, 4], &[3, 4], &[4]], |x| {
            bce(&x[0], &x[1], &Bce { weight: Some(x[2].clone()), pos_weight: None }, Reduction::Mean)
        })
        .domain(0.1, 0.9),
        OpCase::new("bce_with_logits", "bce_with_logits, weighted", &[&[3, 4], &[3, 4], &[4], &[3, 1]], |x| {
            let options = Bce { pos_weight: Some(x[2].clone()), weight: Some(x[3].clone()) };
            bce_with_logits(&x[0], &x[1], &options, Reduction::Mean)
        })
        .domain(0.1, 2.0),
        OpCase::new("bce_with_logits", "bce_with_logits of large values", &[&[7], &[7]], |x| {
            bce_with_logits(&(&x[0] * 1e4), &x[1], &Bce::default(), Reduction::Sum) * 1e-4
        }),
    ]);
    all
}
