//! Precision and recall of ranked detections: what VOC's and COCO's measures share.

/// A detection after it was compared with the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The detection's score.
    pub score: f32,
    /// Whether it has found an object that nothing surer had found.
    pub correct: bool,
}

/// Recall and precision after each detection, from the surest down. Equal scores keep their order.
pub(super) fn curve(judged: &mut [Judged], objects: usize) -> (Vec<f64>, Vec<f64>) {
    judged.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut correct = 0usize;
    let (mut recall, mut precision) = (Vec::with_capacity(judged.len()), Vec::with_capacity(judged.len()));
    for (rank, detection) in judged.iter().enumerate() {
        correct += usize::from(detection.correct);
        recall.push(correct as f64 / objects as f64);
        precision.push(correct as f64 / (rank + 1) as f64);
    }
    (recall, precision)
}

/// Makes each precision the greatest at its recall or a greater one.
pub(super) fn envelope(precision: &mut [f64]) {
    for i in (1..precision.len()).rev() {
        precision[i - 1] = precision[i - 1].max(precision[i]);
    }
}

/// A mean over classes, and what it is the mean of.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanPrecision {
    /// Of each class; none where the data have no object of it.
    pub classes: Vec<Option<f64>>,
    /// Over the classes that have one; none where no class has.
    pub mean: Option<f64>,
}

/// The mean of those that there are.
pub fn mean_of(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values.into_iter().flatten() {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}
