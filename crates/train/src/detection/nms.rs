//! One detection for each object: non-maximum suppression.

use super::boxes::Detection;

/// Which detections compete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// Those of the same class only: a rider does not suppress the horse.
    PerClass,
    /// All of them.
    AllClasses,
}

/// Keeps, from the surest down, each detection that overlaps none of those kept before by more than `iou`, and no more
/// than `limit` of them. Equal scores keep their order; detections whose score is NaN are dropped.
pub fn suppress(detections: &[Detection], iou: f64, kind: Suppression, limit: usize) -> Vec<Detection> {
    let mut sorted: Vec<&Detection> = detections.iter().filter(|d| !d.score.is_nan()).collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for detection in sorted {
        if kept.len() == limit {
            break;
        }
        let rival = |k: &&Detection| kind == Suppression::AllClasses || k.class == detection.class;
        if kept.iter().filter(rival).all(|k| k.rect.iou(&detection.rect) <= iou) {
            kept.push(*detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::boxes::Rect;
    use super::*;

    fn at(left: f32, class: usize, score: f32) -> Detection {
        Detection { rect: Rect::from_corner(left, 0.0, 10.0, 10.0), class, score }
    }

    #[test]
    fn the_surest_of_each_heap_is_kept() {
        // 10 wide boxes moved by 1: IoU 9/11; by 5: 1/3.
        let found = [at(0.0, 0, 0.6), at(1.0, 0, 0.9), at(5.0, 0, 0.5), at(0.5, 1, 0.8), at(50.0, 0, f32::NAN)];
        let scores = |kept: Vec<Detection>| kept.iter().map(|d| d.score).collect::<Vec<_>>();
        assert_eq!(scores(suppress(&found, 0.5, Suppression::PerClass, 100)), [0.9, 0.8, 0.5]);
        assert_eq!(scores(suppress(&found, 0.5, Suppression::AllClasses, 100)), [0.9, 0.5]);
        assert_eq!(scores(suppress(&found, 0.3, Suppression::AllClasses, 100)), [0.9]);
        assert_eq!(scores(suppress(&found, 0.5, Suppression::PerClass, 2)), [0.9, 0.8]);
        assert!(suppress(&[], 0.5, Suppression::PerClass, 2).is_empty());
    }

    #[test]
    fn what_is_suppressed_suppresses_nothing() {
        // A chain: the second falls to the first, so the third stays although it overlaps the second.
        let found = [at(0.0, 0, 0.9), at(4.0, 0, 0.8), at(8.0, 0, 0.7)];
        assert_eq!(suppress(&found, 0.3, Suppression::PerClass, 100), [found[0], found[2]]);
    }
}
