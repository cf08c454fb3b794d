//! Cross-entropy from logits and negative log-likelihood from log-probabilities, as PyTorch's `cross_entropy` and
//! `nll_loss` define them.

use crate::ops::reduction::Reduction;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Options of [`Tensor::cross_entropy_with`] and [`Tensor::nll_loss`].
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes, from 0 to 1.
    pub label_smoothing: f32,
    /// A class number that marks places which count neither in the loss nor in the mean.
    pub ignore: Option<u32>,
    /// How much each class counts: `[C]`. With class numbers the mean is then a weighted one: divided by the sum of the
    /// weights of the targets.
    pub weight: Option<Tensor>,
    /// What becomes of the losses of single places.
    pub reduction: Reduction,
}

impl Tensor {
    /// Mean cross-entropy of logits [N, C, ...] against class numbers [N, ...] (u32) or against distributions
    /// [N, C, ...] (f32).
    #[track_caller]
    pub fn cross_entropy(&self, target: &Tensor) -> Tensor {
        self.cross_entropy_with(target, &CrossEntropy::default())
    }

    /// Cross-entropy with options. With class numbers the mean is over the places that are not ignored (NaN if there are
    /// none, as in PyTorch); with distributions it is over all of them. A class number beyond C is reported when outputs
    /// are read.
    #[track_caller]
    pub fn cross_entropy_with(&self, target: &Tensor, options: &CrossEntropy) -> Tensor {
        let e = options.label_smoothing;
        if self.rank() < 2 || !(0.0..=1.0).contains(&e) {
            crate::fail("cross_entropy", format!("logits {:?}, label smoothing {e}", self.shape()));
        }
        let classes = self.shape()[1];
        if target.dtype() == self.dtype() && target.shape() == self.shape() {
            check_weight("cross_entropy", self, options);
            if options.ignore.is_some() {
                crate::fail("cross_entropy", "ignore needs class numbers, but the target is a distribution");
            }
            // Smoothing a distribution: (1 - e) * t + e / C.
            let t = target.in_f32();
            let t = t.mul_scalar(1.0 - e as f64) + t.lit(e as f64 / classes as f64);
            let terms = self.in_f32().log_softmax(1) * t;
            let terms = options.weight.as_ref().map_or(terms.clone(), |w| terms * along_classes(self, w));
            return options.reduction.apply(-terms.sum(&[1])).cast(self.dtype());
        }
        likelihood("cross_entropy", &self.in_f32().log_softmax(1), target, options).cast(self.dtype())
    }

    /// Negative log-likelihood of class numbers [N, ...] (u32), given log-probabilities [N, C, ...]: cross-entropy without
    /// the softmax.
    ///
    /// # Panics
    /// If shapes or types do not fit, or label smoothing is asked for.
    #[track_caller]
    pub fn nll_loss(&self, target: &Tensor, options: &CrossEntropy) -> Tensor {
        if self.rank() < 2 || options.label_smoothing != 0.0 {
            let e = options.label_smoothing;
            crate::fail("nll_loss", format!("log-probabilities {:?}, label smoothing {e}", self.shape()));
        }
        likelihood("nll_loss", &self.in_f32(), target, options).cast(self.dtype())
    }
}

fn along_classes(x: &Tensor, w: &Tensor) -> Tensor {
    let mut wide = vec![1; x.rank()];
    wide[1] = x.shape()[1];
    w.in_f32().reshape(wide)
}

#[track_caller]
fn check_weight(op: &str, x: &Tensor, options: &CrossEntropy) {
    if let Some(w) = &options.weight
        && (w.shape() != &x.shape()[1..2] || !w.dtype().is_float())
    {
        crate::fail(op, format!("of {:?}: the class weights are {} {:?}", x.shape(), w.dtype(), w.shape()));
    }
}

/// The loss of class numbers, given log-probabilities in f32.
#[track_caller]
fn likelihood(op: &'static str, log_p: &Tensor, target: &Tensor, options: &CrossEntropy) -> Tensor {
    let (e, classes) = (options.label_smoothing as f64, log_p.shape()[1]);
    let mut places = log_p.shape().to_vec();
    places.remove(1);
    if target.dtype() != DType::U32 || target.shape() != places {
        let soft = if op == "nll_loss" { String::new() } else { format!(" or {} {:?}", log_p.dtype(), log_p.shape()) };
        crate::fail(
            op,
            format!(
                "{:?} want a target u32 {places:?}{soft}, not {} {:?}",
                log_p.shape(),
                target.dtype(),
                target.shape()
            ),
        );
    }
    check_weight(op, log_p, options);
    let named = match options.ignore {
        None => target.clone(),
        Some(class) => target.equal(&Tensor::scalar(class)).select(&target.lit(0.0), target),
    };
    let named = named.checked_index(op, classes);
    let is_class = Tensor::iota(log_p.shape(), 1).equal(&named.unsqueeze(1));
    let zero = log_p.lit(0.0);
    let pick = |t: &Tensor| is_class.select(t, &zero).sum(&[1]);
    let weight = options.weight.as_ref().map(|w| along_classes(log_p, w));
    let weighted = weight.as_ref().map_or(log_p.clone(), |w| log_p * w);
    let mut loss = -pick(&weighted);
    if e != 0.0 {
        loss = loss.mul_scalar(1.0 - e) - weighted.sum(&[1]).mul_scalar(e / classes as f64);
    }
    let counted = options.ignore.map(|class| target.not_equal(&Tensor::scalar(class)));
    if let Some(counted) = &counted {
        loss = counted.select(&loss, &zero);
    }
    if options.reduction != Reduction::Mean || (counted.is_none() && weight.is_none()) {
        return options.reduction.apply(loss);
    }
    let mut share = weight.map_or(Tensor::ones(places, log_p.dtype()), |w| pick(&w));
    if let Some(counted) = &counted {
        share = counted.select(&share, &zero);
    }
    loss.sum_all() / share.sum_all()
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
    let weighted = |op: &'static str, text: &str, logits: &[usize], o: CrossEntropy| {
        let mut places = logits.to_vec();
        let c = places.remove(1);
        OpCase::new(op, format!("{op} weighted {text} {logits:?}"), &[logits, &places, &[c]], move |x| {
            let options = CrossEntropy { weight: Some(x[2].clone()), ..o.clone() };
            let target = classes(&x[1], c as f32);
            if op == "nll_loss" { x[0].nll_loss(&target, &options) } else { x[0].cross_entropy_with(&target, &options) }
        })
        .domain(0.1, 1.0)
    };
    let plain = CrossEntropy::default;
    let smoothed = |label_smoothing| CrossEntropy { label_smoothing, ..CrossEntropy::default() };
    let ignored = |class| CrossEntropy { ignore: Some(class), ..plain() };
    vec![
        case("plain", &[5, 7], plain()),
        case("plain", &[2, 3, 4, 5], plain()),
        case("smoothed", &[6, 5], smoothed(0.1)),
        case("ignored", &[9, 4], ignored(1)),
        case("smoothed and ignored", &[9, 4, 3], CrossEntropy { ignore: Some(2), ..smoothed(0.2) }),
        case("each", &[5, 3], CrossEntropy { reduction: Reduction::None, ..ignored(0) }),
        case("sum", &[1, 6, 2], CrossEntropy { reduction: Reduction::Sum, ..smoothed(0.5) }),
        weighted("cross_entropy", "mean", &[9, 4], CrossEntropy { ignore: Some(2), ..smoothed(0.2) }),
        weighted("cross_entropy", "each", &[4, 3, 2], CrossEntropy { reduction: Reduction::None, ..plain() }),
        weighted("nll_loss", "mean", &[7, 5], ignored(3)),
        weighted("nll_loss", "sum", &[2, 3, 2], CrossEntropy { reduction: Reduction::Sum, ..plain() }),
        weighted("nll_loss", "each", &[4, 1], CrossEntropy { reduction: Reduction::None, ..plain() }),
        OpCase::new("cross_entropy", "cross_entropy, distributions", &[&[4, 6], &[4, 6]], move |x| {
            x[0].cross_entropy_with(&x[1].softmax(1), &smoothed(0.1))
        }),
        OpCase::new("cross_entropy", "cross_entropy, weighted distributions", &[&[2, 3, 5], &[2, 3, 5], &[3]], |x| {
            let options = CrossEntropy { weight: Some(x[2].clone()), ..CrossEntropy::default() };
            x[0].cross_entropy_with(&x[1].softmax(1), &options)
        }),
    ]
}
