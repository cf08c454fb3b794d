//! Average precision and recall as COCO defines them.

use super::average_precision::{Judged, MeanPrecision, curve, envelope, mean_of};
use super::boxes::{Detection, Object};

/// IoU thresholds: 0.50, 0.55, ... 0.95, as numpy's `linspace` has them.
fn thresholds() -> [f64; 10] {
    std::array::from_fn(|i| if i == 9 { 0.95 } else { 0.5 + i as f64 * ((0.95 - 0.5) / 9.0) })
}

/// Ranges of area (in pixels) that objects are judged in: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// Most detections of a picture and class that count.
const LIMITS: [usize; 3] = [1, 10, 100];

/// COCO's twelve numbers. None where the data have no object that could tell.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoScores {
    /// Mean over classes and IoU thresholds: "AP", the one that counts.
    pub ap: Option<f64>,
    /// At IoU 0.5.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
    /// Of objects below 32 x 32 pixels, up to 96 x 96, and above.
    pub ap_by_area: [Option<f64>; 3],
    /// Mean greatest recall with at most 1, 10 and 100 detections of a picture and class.
    pub ar: [Option<f64>; 3],
    /// With 100, by area.
    pub ar_by_area: [Option<f64>; 3],
}

/// What is known of one class, threshold and range of area.
#[derive(Clone, Debug, Default)]
struct Cell {
    objects: usize,
    /// Each with its rank in its picture: those beyond a limit do not count.
    judged: Vec<(usize, Judged)>,
}

/// Gathers detections picture by picture, then gives average precisions as `pycocotools` does.
///
/// In each picture and class, detections from the surest down take the free object that they overlap most, if by the
/// threshold at least. Objects that are ignored (crowds), or outside the range of area, may be taken too, if there is no
/// other; what takes them does not count. A crowd may be taken any number of times, and overlaps a detection by the share
/// of it that lies inside. Precision is read at 101 recalls.
#[derive(Clone, Debug)]
pub struct CocoMetrics {
    /// By class, area, threshold.
    cells: Vec<[[Cell; 10]; 4]>,
}

impl CocoMetrics {
    /// For this many classes.
    pub fn new(classes: usize) -> Self {
        Self { cells: (0..classes).map(|_| Default::default()).collect() }
    }

    /// Adds a picture. Classes that there are not, and detections whose score is NaN, count for nothing.
    pub fn add(&mut self, detections: &[Detection], objects: &[Object]) {
        for (class, cells) in self.cells.iter_mut().enumerate() {
            let objects: Vec<&Object> = objects.iter().filter(|o| o.class == class).collect();
            let mut found: Vec<&Detection> =
                detections.iter().filter(|d| d.class == class && !d.score.is_nan()).collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(LIMITS[2]);
            let overlap = |d: &Detection, o: &Object| match o.ignored {
                true if d.rect.area() > 0.0 => d.rect.intersection(&o.rect) / d.rect.area(),
                true => 0.0,
                false => d.rect.iou(&o.rect),
            };
            let overlaps: Vec<Vec<f64>> =
                found.iter().map(|d| objects.iter().map(|o| overlap(d, o)).collect()).collect();
            for (by_threshold, area) in cells.iter_mut().zip(AREAS) {
                judge(by_threshold, area, &found, &objects, &overlaps);
            }
        }
    }

    /// Precision and greatest recall of a cell.
    fn score(cell: &Cell, limit: usize) -> Option<(f64, f64)> {
        (cell.objects > 0).then(|| {
            let counted = cell.judged.iter().filter(|(rank, _)| *rank < limit);
            let (recall, mut precision) = curve(&mut counted.map(|(_, j)| *j).collect::<Vec<_>>(), cell.objects);
            envelope(&mut precision);
            let at = |i: usize| {
                let wanted = i as f64 * 0.01; // as numpy's linspace(0, 1, 101), but for its last, exact 1
                let wanted = if i == 100 { 1.0 } else { wanted };
                precision.get(recall.partition_point(|&r| r < wanted)).copied().unwrap_or(0.0)
            };
            ((0..101).map(at).sum::<f64>() / 101.0, recall.last().copied().unwrap_or(0.0))
        })
    }

    /// The average precision of each class over all thresholds, or at one of them (0 is 0.50, 5 is 0.75).
    pub fn average_precision(&self, threshold: Option<usize>) -> MeanPrecision {
        let classes: Vec<Option<f64>> =
            self.cells.iter().map(|cells| self.class_precision(cells, 0, threshold)).collect();
        MeanPrecision { mean: mean_of(classes.iter().copied()), classes }
    }

    fn class_precision(&self, cells: &[[Cell; 10]; 4], area: usize, threshold: Option<usize>) -> Option<f64> {
        let chosen = cells[area].iter().enumerate().filter(|(i, _)| threshold.is_none_or(|t| t == *i));
        mean_of(chosen.map(|(_, cell)| Self::score(cell, LIMITS[2]).map(|s| s.0)))
    }

    /// The twelve numbers.
    pub fn scores(&self) -> CocoScores {
        let precision = |area: usize, threshold: Option<usize>| {
            mean_of(self.cells.iter().map(|cells| self.class_precision(cells, area, threshold)))
        };
        let recall = |area: usize, limit: usize| {
            let cells = self.cells.iter().flat_map(|cells| &cells[area]);
            mean_of(cells.map(|cell| Self::score(cell, limit).map(|s| s.1)))
        };
        CocoScores {
            ap: precision(0, None),
            ap50: precision(0, Some(0)),
            ap75: precision(0, Some(5)),
            ap_by_area: [1, 2, 3].map(|area| precision(area, None)),
            ar: LIMITS.map(|limit| recall(0, limit)),
            ar_by_area: [1, 2, 3].map(|area| recall(area, LIMITS[2])),
        }
    }
}

/// Matches the detections of one picture and class, at every threshold.
fn judge(
    cells: &mut [Cell; 10],
    [least, most]: [f64; 2],
    found: &[&Detection],
    objects: &[&Object],
    overlaps: &[Vec<f64>],
) {
    let outside = |area: f64| area < least || area > most;
    let ignored = |o: &Object| o.ignored || outside(o.area.map_or_else(|| o.rect.area(), f64::from));
    // Those that count are offered first.
    let (mut order, last): (Vec<usize>, Vec<usize>) = (0..objects.len()).partition(|&o| !ignored(objects[o]));
    let counting = order.len();
    order.extend(last);
    for (cell, threshold) in cells.iter_mut().zip(thresholds()) {
        cell.objects += counting;
        let mut taken = vec![false; objects.len()];
        for (rank, detection) in found.iter().enumerate() {
            let mut best = threshold.min(1.0 - 1e-10);
            let mut choice: Option<(usize, bool)> = None;
            for (place, &o) in order.iter().enumerate() {
                let counts = place < counting;
                if choice.is_some_and(|(_, counts)| counts) && !counts {
                    break; // nothing ignored is taken in place of what counts
                }
                if (!taken[o] || objects[o].ignored) && overlaps[rank][o] >= best {
                    best = overlaps[rank][o];
                    choice = Some((o, counts));
                }
            }
            let correct = match choice {
                Some((o, counts)) => {
                    taken[o] = true;
                    if !counts {
                        continue;
                    }
                    true
                }
                None if outside(detection.rect.area()) => continue,
                None => false,
            };
            cell.judged.push((rank, Judged { score: detection.score, correct }));
        }
    }
}
