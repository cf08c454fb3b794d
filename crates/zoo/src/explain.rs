//! What a classifier looks at.

use wgrad_graph::{Interpolation, Tensor, gradients};

/// Grad-CAM (Selvaraju et al., 2017): where in the image the evidence for `score` is, [N, 1, H, W] in 0..1.
///
/// `features` [N, C, h, w] is a value on the way to `score` (the last stage's, usually), and `score` a scalar: the sum over
/// the batch of each example's logit of the class in question. The map is `relu(sum_c mean(dscore/dfeatures_c) features_c)`,
/// divided by its greatest value in each example and resized to `size` [H, W] bilinearly. An example without any evidence
/// has a map of zeros.
#[track_caller]
pub fn grad_cam(features: &Tensor, score: &Tensor, size: [usize; 2]) -> Tensor {
    let weights = gradients(score, &[features]).remove(0).mean_keepdim(&[2, 3]);
    let map = (weights * features).sum_keepdim(&[1]).relu();
    let map = map.interpolate(&size, Interpolation::Linear { align_corners: false });
    let greatest = map.max_keepdim(&[1, 2, 3]);
    &map / (greatest + 1e-20)
}

/// The logits of these classes (u32, `[N]`), one for each example, summed: what [`grad_cam`] and saliency maps differentiate.
#[track_caller]
pub fn class_score(logits: &Tensor, classes: &Tensor) -> Tensor {
    logits.gather(1, &classes.unsqueeze(1)).sum_all()
}

/// ReLU whose gradient lets positive gradients through only (Springenberg et al., "Striving for simplicity", 2015): a network
/// of these has guided backpropagation as its gradient with respect to the image.
pub fn guided_relu(x: &Tensor) -> Tensor {
    x.relu().with_gradient(&[x], |y, _, g| vec![Some(y.sign() * g.relu())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, DType, reference::evaluate};

    fn leaf(name: &str, shape: &[usize], data: &[f64]) -> (Tensor, (String, Array)) {
        (Tensor::input(name, shape, DType::F32), (name.into(), Array::new(shape, data.to_vec())))
    }

    /// Two channels: the first speaks for the class, the second against it.
    #[test]
    fn evidence_is_where_the_features_are() {
        let (x, value) = leaf("x", &[2, 2, 2, 2], &[0., 4., 0., 2., 0., 0., 9., 0., 0., 0., 0., 0., 1., 1., 1., 1.]);
        let weights = Tensor::iota([2], 0).cast(DType::F32) * -2.0 + 1.0;
        let score = (x.mean(&[2, 3]) * weights).sum_all();
        let map = grad_cam(&x, &score, [2, 2]);
        let leaves = HashMap::from([value]);
        let values = &evaluate(&[&map], &leaves)[0];
        assert_eq!(values.shape, [2, 1, 2, 2]);
        assert_eq!(values.data, [0., 1., 0., 0.5, 0., 0., 0., 0.]);
        assert_eq!(grad_cam(&x, &score, [6, 4]).shape(), [2, 1, 6, 4]);
    }

    /// Of the four combinations of a positive input and a positive gradient, one lets something through.
    #[test]
    fn guided_gradients_are_positive_ones_at_positive_places() {
        let (x, value) = leaf("x", &[4], &[1.5, 1.5, -1.5, -1.5]);
        let (w, other) = leaf("w", &[4], &[2.0, -2.0, 2.0, -2.0]);
        let y = guided_relu(&x);
        let slope = gradients(&(&y * w).sum_all(), &[&x]).remove(0);
        let values = evaluate(&[&y, &slope], &HashMap::from([value, other]));
        assert_eq!(values[0].data, [1.5, 1.5, 0.0, 0.0]);
        assert_eq!(values[1].data, [2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_score_is_of_the_classes_named() {
        let (x, value) = leaf("x", &[2, 3], &[1., 2., 3., 40., 50., 60.]);
        let (y, classes) = (Tensor::input("y", [2], DType::U32), ("y".to_string(), Array::new([2], vec![2.0, 0.0])));
        assert_eq!(evaluate(&[&class_score(&x, &y)], &HashMap::from([value, classes]))[0].data, [43.0]);
    }
}
