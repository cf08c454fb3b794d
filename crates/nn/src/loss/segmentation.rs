//! Losses and counts of images whose every pixel has a class.

use super::{Dice, Reduction, dice};
use wgrad_graph::{CrossEntropy, DType, OpCase, Tensor, fail};

/// Options of [`segmentation`].
#[derive(Clone, Copy, Debug)]
pub struct Segmentation {
    /// How much the cross-entropy counts.
    pub cross_entropy: f32,
    /// How much [`class_dice`] counts.
    pub dice: f32,
    /// What [`class_dice`] adds above and below.
    pub smooth: f32,
    /// The label of pixels that do not count.
    pub ignore: Option<u32>,
}

impl Default for Segmentation {
    /// The cross-entropy alone.
    fn default() -> Self {
        Segmentation { cross_entropy: 1.0, dice: 0.0, smooth: 1.0, ignore: None }
    }
}

/// Cross-entropy of each pixel, with weights if there are some ([`pixel_cross_entropy`]), and [`class_dice`], in the shares that
/// the options say.
///
/// # Panics
/// If shapes or types do not fit, or neither part counts.
#[track_caller]
pub fn segmentation(logits: &Tensor, labels: &Tensor, weights: Option<&Tensor>, options: &Segmentation) -> Tensor {
    let ones = || Tensor::ones(labels.shape(), logits.dtype());
    let weights = || weights.cloned().unwrap_or_else(ones);
    let cross_entropy = || pixel_cross_entropy(logits, labels, &weights(), options.ignore);
    let dice = || class_dice(logits, labels, options.ignore, options.smooth);
    match (options.cross_entropy != 0.0, options.dice != 0.0) {
        (true, true) => cross_entropy() * options.cross_entropy + dice() * options.dice,
        (true, false) => cross_entropy() * options.cross_entropy,
        (false, true) => dice() * options.dice,
        (false, false) => fail("segmentation", "neither the cross-entropy nor the dice loss counts"),
    }
}

/// Mean of `weights * cross-entropy` over the pixels, for logits [N, C, ...], labels u32 [N, ...] and weights [N, ...]: the
/// energy of Ronneberger et al. (2015). Unlike with weights of classes, the sum is divided by the number of pixels and not by
/// the sum of the weights, so that a heavy pixel does not lighten the others. Pixels whose label is `ignore` count neither way.
///
/// # Panics
/// If shapes or types do not fit.
#[track_caller]
pub fn pixel_cross_entropy(logits: &Tensor, labels: &Tensor, weights: &Tensor, ignore: Option<u32>) -> Tensor {
    check("pixel_cross_entropy", logits, labels);
    if weights.shape() != labels.shape() || !weights.dtype().is_float() {
        let given = format!("{} {:?}", weights.dtype(), weights.shape());
        fail("pixel_cross_entropy", format!("a weight for each of the labels {:?}, not {given}", labels.shape()));
    }
    let options = CrossEntropy { ignore, reduction: Reduction::None, ..CrossEntropy::default() };
    let losses = logits.in_f32().cross_entropy_with(labels, &options) * weights.in_f32();
    let mean = match ignore {
        None => losses.mean_all(),
        Some(label) => {
            let counted = labels.not_equal(&Tensor::scalar(label)).cast(DType::F32).sum_all();
            losses.sum_all() / counted.maximum(&Tensor::scalar(1f32))
        }
    };
    mean.cast(logits.dtype())
}

/// Mean over the classes of the soft [`dice`] loss between the softmax of logits [N, C, ...] and labels u32 [N, ...]. The sums of
/// a class go over the whole batch, so an image without it is no special case. Pixels whose label is `ignore` do not count.
///
/// # Panics
/// If shapes or types do not fit, or `smooth` is negative.
#[track_caller]
pub fn class_dice(logits: &Tensor, labels: &Tensor, ignore: Option<u32>, smooth: f32) -> Tensor {
    check("class_dice", logits, labels);
    let (mut softmax, mut target) = (logits.in_f32().softmax(1), is_class(labels, logits.shape()).cast(DType::F32));
    if let Some(label) = ignore {
        let counted = labels.not_equal(&Tensor::scalar(label)).cast(DType::F32).unsqueeze(1);
        (softmax, target) = (softmax * &counted, target * &counted);
    }
    let classes_first: Vec<usize> = [1, 0].into_iter().chain(2..logits.rank()).collect();
    let [p, t] = [softmax, target].map(|x| x.permute(&classes_first));
    dice(&p, &t, &Dice { smooth, ..Dice::default() }, Reduction::Mean).cast(logits.dtype())
}

/// For each class, how many pixels have it both by the logits [N, C, ...] and by the labels (u32, [N, ...]), how many by the
/// logits, and how many by the labels: f32 [3, C], exact up to 2^24. Pixels whose label is no class (C or more) do not count.
///
/// Sums of these over a data set give its figures: intersection over union is `both / (logits + labels - both)`, dice is
/// `2 * both / (logits + labels)`.
#[track_caller]
pub fn overlap_counts(logits: &Tensor, labels: &Tensor) -> Tensor {
    check("overlap_counts", logits, labels);
    let classes = logits.shape()[1];
    let known = labels.lt(&Tensor::scalar(classes as u32)).unsqueeze(1);
    let predicted = is_class(&logits.argmax(&[1]), logits.shape()).logical_and(&known);
    let labelled = is_class(labels, logits.shape());
    let axes: Vec<isize> = (0..logits.rank() as isize).filter(|&axis| axis != 1).collect();
    let count = |x: &Tensor| x.cast(DType::F32).sum(&axes).reshape([1, classes]);
    Tensor::concat(&[&count(&predicted.logical_and(&labelled)), &count(&predicted), &count(&labelled)], 0)
}

/// Whether each place of `shape` [N, C, ...] is the class that `labels` [N, ...] names.
fn is_class(labels: &Tensor, shape: &[usize]) -> Tensor {
    Tensor::iota(shape, 1).equal(&labels.unsqueeze(1))
}

#[track_caller]
fn check(op: &str, logits: &Tensor, labels: &Tensor) {
    let mut places = logits.shape().to_vec();
    if logits.rank() >= 2 {
        places.remove(1);
    }
    if logits.rank() < 2 || !logits.dtype().is_float() || labels.shape() != places || labels.dtype() != DType::U32 {
        let given = format!("{} {:?} and {} {:?}", logits.dtype(), logits.shape(), labels.dtype(), labels.shape());
        fail(op, format!("logits [N, C, ...] and labels u32 [N, ...] expected, not {given}"));
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    // Labels made from floats, since test inputs are floats; 3 of them for 2 classes.
    let labels = |x: &Tensor| (x * 3.0).floor().clamp(0.0, 2.0).stop_gradient().cast(DType::U32);
    let [a, b] = [&[2, 3, 4, 5][..], &[2, 4, 5]];
    let all = Segmentation { cross_entropy: 0.7, dice: 1.5, smooth: 0.5, ignore: None };
    let ignoring = Segmentation { ignore: Some(1), ..all };
    let case = |op, text: &str, f: fn(&[Tensor], Tensor) -> Tensor| {
        OpCase::new(op, format!("{op} {text}"), &[a, b, b], move |x| f(x, labels(&x[1]))).domain(0.0, 1.0)
    };
    let mut cases = vec![
        case("pixel_cross_entropy", "all", |x, y| pixel_cross_entropy(&x[0], &y, &x[2], None)),
        case("pixel_cross_entropy", "some ignored", |x, y| pixel_cross_entropy(&x[0], &y, &x[2], Some(2))),
        case("class_dice", "all", |x, y| class_dice(&x[0], &y, None, 1.0)),
        case("class_dice", "some ignored", |x, y| class_dice(&x[0], &y, Some(0), 0.0)),
        case("overlap_counts", "all", |x, y| overlap_counts(&x[0], &y)).no_gradient("counts are flat"),
        case("overlap_counts", "some without a class", |x, y| overlap_counts(&x[0].slice(1, 0..2), &y))
            .no_gradient("counts are flat"),
    ];
    for (text, options) in [("all", all), ("some ignored", ignoring)] {
        let f = move |x: &[Tensor]| segmentation(&x[0], &labels(&x[1]), Some(&x[2]), &options);
        cases.push(OpCase::new("segmentation", format!("segmentation {text}"), &[a, b, b], f).domain(0.0, 1.0));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, checked, reference::evaluate};

    fn values(outputs: &[&Tensor], logits: &[f64], labels: &[f64]) -> Vec<Vec<f64>> {
        let leaves = HashMap::from([
            ("x".to_string(), Array::new([1, logits.len() / labels.len(), labels.len()], logits.to_vec())),
            ("y".to_string(), Array::new([1, labels.len()], labels.to_vec())),
        ]);
        evaluate(outputs, &leaves).into_iter().map(|a| a.data).collect()
    }

    fn leaves(classes: usize, pixels: usize) -> (Tensor, Tensor) {
        (Tensor::input("x", [1, classes, pixels], DType::F32), Tensor::input("y", [1, pixels], DType::U32))
    }

    #[test]
    fn counts_by_hand() {
        let (x, y) = leaves(2, 5);
        // By the logits: 0 0 1 1 1 (a tie goes to the first class); the last pixel has no class.
        let logits = [1.0, 0.5, -1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 2.0];
        let got = values(&[&overlap_counts(&x, &y)], &logits, &[0.0, 1.0, 1.0, 0.0, 9.0]);
        assert_eq!(got, [[1.0, 1.0, 2.0, 2.0, 2.0, 2.0]]);
    }

    #[test]
    fn weights_and_ignored_pixels() {
        let (x, y) = leaves(2, 3);
        let weights = Tensor::full([1, 3], 2.0f32);
        let all = pixel_cross_entropy(&x, &y, &weights, None);
        let some = pixel_cross_entropy(&x, &y, &weights, Some(1));
        let none = pixel_cross_entropy(&x, &y, &weights, Some(0)) + class_dice(&x, &y, Some(0), 1.0);
        let logits = [0.0, 30.0, 0.0, 0.0, 0.0, 0.0];
        let got = values(&[&all, &some], &logits, &[0.0, 1.0, 0.0]);
        let ln2 = std::f64::consts::LN_2;
        assert!((got[0][0] - (4.0 * ln2 + 60.0) / 3.0).abs() < 1e-9 && (got[1][0] - 2.0 * ln2).abs() < 1e-9, "{got:?}");
        // Nothing left to count: no loss, and no NaN.
        assert_eq!(values(&[&none], &logits, &[0.0; 3]), [[0.0]]);
    }

    #[test]
    fn dice_of_a_sure_prediction() {
        let (x, y) = leaves(3, 4);
        let loss = class_dice(&x, &y, None, 0.0);
        let mut logits = [0.0; 12];
        // Classes 0 0 1 2 for labels 0 1 1 2: dice 2/3, 2/3 and 1.
        [0, 1, 6, 11].iter().for_each(|&i| logits[i] = 200.0);
        let got = values(&[&loss], &logits, &[0.0, 1.0, 1.0, 2.0]);
        assert!((got[0][0] - 2.0 / 9.0).abs() < 1e-9, "{got:?}");
    }

    #[test]
    fn errors_say_what_is_expected() {
        let (x, y) = leaves(2, 3);
        let weights = Tensor::ones([3], DType::F32);
        let error = checked(|| pixel_cross_entropy(&x, &y, &weights, None)).unwrap_err().to_string();
        assert!(error.contains("a weight for each of the labels [1, 3], not f32 [3]"), "{error}");
        assert!(checked(|| class_dice(&x, &x, None, 1.0)).is_err());
        let nothing = Segmentation { cross_entropy: 0.0, ..Segmentation::default() };
        assert!(checked(|| segmentation(&x, &y, None, &nothing)).is_err());
    }
}
