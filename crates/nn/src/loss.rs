//! Losses and metrics. Cross-entropy is [`Tensor::cross_entropy`].

use wgrad_graph::{DType, Tensor, fail};

/// What becomes of the losses of single elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Nothing: the loss has the arguments' shape.
    None,
}

impl Reduction {
    #[track_caller]
    fn apply(self, losses: Tensor, dtype: DType) -> Tensor {
        let result = match self {
            Reduction::Mean => losses.mean_all(),
            Reduction::Sum => losses.sum_all(),
            Reduction::None => losses,
        };
        result.cast(dtype)
    }
}

/// Squared error `(prediction - target)^2`, as `torch.nn.functional.mse_loss`.
///
/// # Panics
/// If the shapes differ. They are not broadcast: `[N, 1]` against `[N]` would silently compare all with all.
#[track_caller]
pub fn mse(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    check_same("mse", prediction, target);
    reduction.apply((prediction.in_f32() - target.in_f32()).square(), prediction.dtype())
}

/// Absolute error `|prediction - target|`, as `torch.nn.functional.l1_loss`; the gradient is 0 where they are equal.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn l1(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    check_same("l1", prediction, target);
    reduction.apply((prediction.in_f32() - target.in_f32()).abs(), prediction.dtype())
}

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

#[track_caller]
fn check_same(op: &str, a: &Tensor, b: &Tensor) {
    if a.shape() != b.shape() {
        fail(op, format!("the prediction is {:?}, the target {:?}", a.shape(), b.shape()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, checked, reference::evaluate};

    #[test]
    fn values() {
        let (a, b) = (Tensor::input("a", [2, 2], DType::F32), Tensor::input("b", [2, 2], DType::F32));
        let leaves = HashMap::from([
            ("a".to_string(), Array::new([2, 2], vec![1.0, 2.0, 3.0, 4.0])),
            ("b".to_string(), Array::new([2, 2], vec![1.0, 0.0, 6.0, 4.0])),
        ]);
        let outputs = [mse(&a, &b, Reduction::Mean), l1(&a, &b, Reduction::Sum), l1(&a, &b, Reduction::None)];
        let values = evaluate(&outputs.each_ref(), &leaves);
        assert_eq!(values[0].data, [13.0 / 4.0]);
        assert_eq!(values[1].data, [5.0]);
        assert_eq!(values[2].data, [0.0, 2.0, 3.0, 0.0]);
    }

    #[test]
    fn shapes_are_not_broadcast() {
        let (a, b) = (Tensor::input("a", [3, 1], DType::F32), Tensor::input("b", [3], DType::F32));
        assert!(checked(|| mse(&a, &b, Reduction::Mean)).is_err());
        assert!(checked(|| correct(&a, &b)).is_err());
    }

    #[test]
    fn counts_right_answers() {
        let (x, y) = (Tensor::input("x", [3, 2], DType::F32), Tensor::input("y", [3], DType::U32));
        let leaves = HashMap::from([
            ("x".to_string(), Array::new([3, 2], vec![0.1, 0.2, 3.0, -1.0, 0.0, 5.0])),
            ("y".to_string(), Array::new([3], vec![1.0, 1.0, 1.0])),
        ]);
        assert_eq!(evaluate(&[&correct(&x, &y)], &leaves)[0].data, [2.0]);
    }
}
