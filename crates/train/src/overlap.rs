//! How well predicted classes of pixels cover the true ones.

/// For each class, the pixels that have it by prediction, in truth, and both, added up over a data set: its figures are exact,
/// whatever the batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap {
    /// Both, predicted, true.
    counts: [Vec<f64>; 3],
}

impl Overlap {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Overlap {
        Overlap { counts: [(); 3].map(|()| vec![0.0; classes]) }
    }

    /// Adds what `wgrad_nn::loss::overlap_counts` gives for a batch: [3, classes].
    ///
    /// # Panics
    /// When there are not three numbers for each class.
    pub fn add(&mut self, counts: &[f32]) {
        let classes = self.classes();
        assert_eq!(counts.len(), 3 * classes, "three numbers for each of {classes} classes");
        for (i, &count) in counts.iter().enumerate() {
            self.counts[i / classes][i % classes] += f64::from(count);
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.counts[0].len()
    }

    /// Intersection over union of a class, also called the Jaccard index; `None` where it was neither predicted nor there.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let [both, predicted, labelled] = [0, 1, 2].map(|i| self.counts[i][class]);
        let either = predicted + labelled - both;
        (either > 0.0).then_some(both / either)
    }

    /// Twice the intersection over the sum of both, which is the F1 score; `None` where the class was neither predicted nor
    /// there.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let [both, predicted, labelled] = [0, 1, 2].map(|i| self.counts[i][class]);
        (predicted + labelled > 0.0).then_some(2.0 * both / (predicted + labelled))
    }

    /// The share of pixels whose class is right; NaN if there were none.
    pub fn accuracy(&self) -> f64 {
        self.counts[0].iter().sum::<f64>() / self.counts[2].iter().sum::<f64>()
    }

    /// The mean of a figure over the classes from `first` on that have one: `mean(1, Overlap::iou)` leaves out the background.
    /// NaN if there are none.
    pub fn mean(&self, first: usize, figure: impl Fn(&Overlap, usize) -> Option<f64>) -> f64 {
        let values: Vec<f64> = (first..self.classes()).filter_map(|class| figure(self, class)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let mut overlap = Overlap::new(3);
        // Two batches; class 2 is never there and never predicted.
        overlap.add(&[5.0, 2.0, 0.0, 6.0, 4.0, 0.0, 7.0, 3.0, 0.0]);
        overlap.add(&[3.0, 2.0, 0.0, 4.0, 2.0, 0.0, 3.0, 3.0, 0.0]);
        assert_eq!((overlap.iou(0), overlap.iou(1), overlap.iou(2)), (Some(8.0 / 12.0), Some(4.0 / 8.0), None));
        assert_eq!((overlap.dice(0), overlap.dice(1), overlap.dice(2)), (Some(0.8), Some(8.0 / 12.0), None));
        assert_eq!(overlap.accuracy(), 12.0 / 16.0);
        assert_eq!(overlap.mean(1, Overlap::iou), 0.5);
        assert!((overlap.mean(0, Overlap::dice) - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert!(Overlap::new(2).mean(0, Overlap::iou).is_nan());
    }
}
