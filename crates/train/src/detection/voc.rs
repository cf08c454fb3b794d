//! Average precision as the Pascal VOC challenges define it.

use super::average_precision::{Judged, MeanPrecision, curve, envelope, mean_of};
use super::boxes::{Detection, Object};

/// How the area under the curve of precision over recall is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The mean of the greatest precision at recall 0, 0.1, ... 1 or more: VOC until 2009.
    ElevenPoints,
    /// The area under the envelope: VOC since 2010.
    AllPoints,
}

/// Gathers detections picture by picture, then gives average precisions.
///
/// As the development kit does it: detections of a class, from the surest down over all pictures, each belong to the
/// object of their picture that they overlap most. That is a hit if the overlap is at least `iou` and nothing has hit the
/// object before; objects marked as ignored ("difficult") and what belongs to them do not count.
#[derive(Clone, Debug)]
pub struct VocMetrics {
    iou: f64,
    /// For each class: objects that count, and detections with picture number, so that they can be ranked.
    classes: Vec<(usize, Vec<Judged>)>,
}

impl VocMetrics {
    /// For this many classes; VOC's `iou` is 0.5.
    pub fn new(classes: usize, iou: f64) -> Self {
        Self { iou, classes: vec![(0, Vec::new()); classes] }
    }

    /// Adds a picture. Classes that there are not, and detections whose score is NaN, count for nothing.
    pub fn add(&mut self, detections: &[Detection], objects: &[Object]) {
        for (class, (count, judged)) in self.classes.iter_mut().enumerate() {
            let objects: Vec<&Object> = objects.iter().filter(|o| o.class == class).collect();
            *count += objects.iter().filter(|o| !o.ignored).count();
            let mut own: Vec<&Detection> =
                detections.iter().filter(|d| d.class == class && !d.score.is_nan()).collect();
            own.sort_by(|a, b| b.score.total_cmp(&a.score));
            let mut hit = vec![false; objects.len()];
            for detection in own {
                // The first of those that it overlaps most.
                let overlaps = objects.iter().map(|o| o.rect.iou(&detection.rect)).enumerate();
                let best = overlaps.fold((usize::MAX, 0.0), |best, next| if next.1 > best.1 { next } else { best });
                let belongs = best.0 < objects.len() && best.1 >= self.iou;
                if belongs && objects[best.0].ignored {
                    continue;
                }
                let correct = belongs && !std::mem::replace(&mut hit[best.0], true);
                judged.push(Judged { score: detection.score, correct });
            }
        }
    }

    /// The average precision of each class, and their mean.
    pub fn average_precision(&self, interpolation: Interpolation) -> MeanPrecision {
        let one = |(objects, judged): &(usize, Vec<Judged>)| {
            (*objects > 0).then(|| {
                let (recall, mut precision) = curve(&mut judged.clone(), *objects);
                envelope(&mut precision);
                match interpolation {
                    Interpolation::ElevenPoints => {
                        // np.arange(0, 1.1, 0.1) has 0.30000000000000004 for 0.3; so does the reference.
                        let at =
                            |i: usize| recall.iter().position(|&r| r >= i as f64 * 0.1).map_or(0.0, |p| precision[p]);
                        (0..11).map(at).sum::<f64>() / 11.0
                    }
                    Interpolation::AllPoints => {
                        let before = std::iter::once(&0.0).chain(&recall);
                        recall.iter().zip(before).zip(&precision).map(|((r, b), p)| (r - b) * p).sum()
                    }
                }
            })
        };
        let classes: Vec<Option<f64>> = self.classes.iter().map(one).collect();
        MeanPrecision { mean: mean_of(classes.iter().copied()), classes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::boxes::Rect;
    use super::*;

    #[test]
    fn a_hand_counted_case() {
        let at = |left: f32| Rect::from_corner(left, 0.0, 10.0, 10.0);
        let find = |left: f32, score: f32| Detection { rect: at(left), class: 0, score };
        let mut metrics = VocMetrics::new(2, 0.5);
        // Two objects; hit, miss, hit again (too late), hit of the second: precisions 1, 1/2, 1/3, 2/4.
        metrics.add(
            &[find(0.0, 0.9), find(500.0, 0.8), find(1.0, 0.7), find(100.0, 0.6), find(3.0, f32::NAN)],
            &[Object::new(at(0.0), 0), Object::new(at(100.0), 0)],
        );
        // What lies on an ignored object counts neither way.
        let crowd = Object { ignored: true, ..Object::new(at(0.0), 0) };
        metrics.add(&[find(0.0, 0.95), find(1.0, 0.94)], &[crowd]);
        let all = metrics.average_precision(Interpolation::AllPoints);
        assert_eq!((all.mean, &all.classes[..]), (Some(0.75), &[Some(0.75), None][..]));
        // Recall up to 0.5 has precision 1 (six points), beyond it 0.5 (five).
        let eleven = metrics.average_precision(Interpolation::ElevenPoints).mean.unwrap();
        assert!((eleven - 8.5 / 11.0).abs() < 1e-12, "{eleven}");
        assert_eq!(VocMetrics::new(2, 0.5).average_precision(Interpolation::AllPoints).mean, None);
    }
}
