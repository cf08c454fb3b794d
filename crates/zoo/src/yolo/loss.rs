//! What the detector is trained on.

use super::predictions::Predictions;
use super::truth::Truth;
use wgrad_graph::{DType, Tensor};
use wgrad_nn::Reduction;
use wgrad_nn::loss::{Bce, bce_with_logits};

/// The loss of YOLOv3, as Darknet computes it: sums over all grids, boxes and classes, and the mean over the images.
///
/// - **Box**, of those that have an object: the binary cross-entropy of x and y against the place in the cell, and half the
///   squared error of width and height before the exponential, both times 2 - w h. (The paper speaks of squared errors; the
///   gradient that Darknet takes of x and y, truth minus sigmoid, is the cross-entropy's.)
/// - **Objectness**: binary cross-entropy against 1 for boxes that have an object and 0 for others. Boxes without one that
///   overlap some object by more than [`YoloLoss::ignore`] do not count.
/// - **Class**, of those that have an object: binary cross-entropy of each class.
#[derive(Clone, Debug)]
pub struct YoloLoss {
    ignore: f32,
}

/// The loss and its parts, each a number.
#[derive(Clone, Debug)]
pub struct Losses {
    /// Their sum.
    pub total: Tensor,
    /// Places and sizes.
    pub boxes: Tensor,
    /// Whether there is something.
    pub objectness: Tensor,
    /// What it is.
    pub class: Tensor,
}

impl Default for YoloLoss {
    fn default() -> Self {
        Self { ignore: 0.7 }
    }
}

impl YoloLoss {
    /// The IoU above which a box without an object does not count: 0.7 as in yolov3.cfg, unless said otherwise; the paper and
    /// some of Darknet's other files have 0.5.
    pub fn ignore(mut self, iou: f32) -> Self {
        self.ignore = iou;
        self
    }

    /// The loss of predictions against the truth.
    #[track_caller]
    pub fn forward(&self, predictions: &Predictions, truth: &Truth) -> Losses {
        let [batch, count, width] = predictions.raw.dims();
        let assigned = truth.assign(predictions);
        let kept = &assigned.kept;
        let bce = |logits: &Tensor, target: &Tensor| bce_with_logits(logits, target, &Bce::default(), Reduction::None);

        // The responsible boxes, as rows of all boxes of the batch.
        let image = Tensor::iota(assigned.index.shape(), 0) * Tensor::scalar(count as u32);
        let rows = predictions.raw.reshape([batch * count, width]).embedding(&(&assigned.index + image), None);
        let value = |i: usize| rows.narrow(2, i, 1).squeeze(2);

        let [x, y] = &assigned.offsets;
        let [w, h] = &assigned.sizes;
        let place = bce(&value(0), x) + bce(&value(1), y);
        let size = ((value(2) - w).square() + (value(3) - h).square()) * 0.5;
        let boxes = (kept * &assigned.weight * (place + size)).sum_all();

        let classes = width - 5;
        let class = bce(&rows.narrow(2, 5, classes), &truth.classes.one_hot(classes)).sum(&[2]);
        let class = (kept * class).sum_all();

        let own = Tensor::iota([1, count, 1], 1).equal(&assigned.index.unsqueeze(1));
        let has_object = own.logical_and(&Tensor::scalar(0.0).lt(kept).unsqueeze(1)).any(&[2]);
        let target = has_object.cast(DType::F32);
        let near = Tensor::scalar(self.ignore).lt(&best_overlap(predictions, truth)).cast(DType::F32);
        let counts = target.maximum(&(1.0 - near));
        let logits = predictions.raw.narrow(2, 4, 1).squeeze(2);
        let objectness = (counts * bce(&logits, &target)).sum_all();

        let mean = |sum: Tensor| sum * (1.0 / batch.max(1) as f32);
        let (boxes, objectness, class) = (mean(boxes), mean(objectness), mean(class));
        Losses { total: &boxes + &objectness + &class, boxes, objectness, class }
    }
}

/// [N, B]: the greatest IoU of each predicted box with an object of its image; 0 without objects. No gradient flows.
fn best_overlap(predictions: &Predictions, truth: &Truth) -> Tensor {
    let [height, width] = predictions.image.map(|n| n as f32);
    // Sides along an axis: of predictions [N, B, 1], of objects [N, 1, M].
    let predicted = predictions.boxes.stop_gradient();
    let sides = |axis: usize, extent: f32| {
        let of = |boxes: &Tensor, scale: f32, at: usize| {
            let (centre, size) = (boxes.narrow(2, axis, 1) * scale, boxes.narrow(2, axis + 2, 1) * scale);
            let [centre, size] = [centre, size].map(|t| t.squeeze(2).unsqueeze(at));
            [&centre - &size * 0.5, &centre + &size * 0.5, size]
        };
        let ([a0, a1, a], [b0, b1, b]) = (of(&predicted, 1.0, 2), of(&truth.boxes, extent, 1));
        let shared = (a1.minimum(&b1) - a0.maximum(&b0)).maximum(&Tensor::scalar(0.0));
        (shared, a, b)
    };
    let ((wide, aw, bw), (high, ah, bh)) = (sides(0, width), sides(1, height));
    let shared = wide * high;
    let joint = aw * ah + bw * bh - &shared;
    (shared / joint.maximum(&Tensor::scalar(1e-9))).max(&[2])
}
