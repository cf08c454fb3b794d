//! The task of giving each pixel its class.

use wgrad_graph::{Tensor, Updates};
use wgrad_nn::loss::{Segmentation, overlap_counts, segmentation};
use wgrad_nn::{Layer, Scope};

use super::evaluation::Evaluation;
use super::task::{Headline, Inputs, Task, Values};
use crate::data::segmentation::{IGNORE, overlay};
use crate::error::TrainError;
use crate::metrics::Scores;
use crate::overlap::Overlap;
use crate::picture::{BLACK, Picture};

type Optimize = dyn Fn(&Scope, &Tensor) -> Updates + Send + Sync;

/// Trains a function from "images" [N, C, H, W] to logits [N, classes, H', W'], by [`segmentation`] with the labels and weights
/// that [`Tiles`](crate::data::segmentation::Tiles) gives. The result may be smaller than the image: it is about its middle.
///
/// Scores: `loss`; `iou` and `dice`, means over the classes but the first, the background; `pixels`, the share of pixels whose
/// class is right. Each evaluation writes a picture of the first tiles to `epoch-N.png` in the run's directory: the outlines of
/// what is true green, of what is predicted red.
pub struct Segmenter {
    model: Box<dyn Layer>,
    optimizer: Box<Optimize>,
    classes: usize,
    loss: Segmentation,
    pictures: usize,
}

impl Segmenter {
    /// A task for this many classes. `optimizer` gives the updates that one step makes to bring down the loss.
    pub fn new(
        model: impl Layer + 'static,
        classes: usize,
        optimizer: impl Fn(&Scope, &Tensor) -> Updates + Send + Sync + 'static,
    ) -> Self {
        Self {
            model: Box::new(model),
            optimizer: Box::new(optimizer),
            classes,
            loss: Segmentation { ignore: Some(IGNORE), ..Segmentation::default() },
            pictures: 12,
        }
    }

    /// How much cross-entropy and dice count in the loss: the cross-entropy alone unless said otherwise.
    pub fn loss(mut self, cross_entropy: f32, dice: f32) -> Self {
        self.loss = Segmentation { cross_entropy, dice, ..self.loss };
        self
    }

    /// How many tiles the picture shows; 0 for none.
    pub fn pictures(mut self, tiles: usize) -> Self {
        self.pictures = tiles;
        self
    }

    /// Logits and loss.
    fn forward(&self, scope: &Scope, batch: &Inputs) -> (Tensor, Tensor) {
        let logits = self.model.forward(scope, &batch.get("images"));
        let loss = segmentation(&logits, &batch.get("labels"), Some(&batch.get("weights")), &self.loss);
        (logits, loss)
    }
}

impl Task for Segmenter {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let (_, loss) = self.forward(scope, batch);
        let updates = (self.optimizer)(scope, &loss);
        (vec![("loss", loss)], updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let (logits, loss) = self.forward(scope, batch);
        let counts = overlap_counts(&logits, &batch.get("labels"));
        vec![("loss", loss), ("counts", counts), ("answers", logits.argmax(&[1]))]
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let (mut overlap, mut tiles) = (Overlap::new(self.classes), vec![]);
        let mut scores = run.each(|batch, outputs| {
            overlap.add(&outputs.f32("counts")?);
            let wanted = (self.pictures - tiles.len()).min(batch.len());
            if wanted > 0 {
                let answers = outputs.u32("answers")?;
                let shape = |name: &str| batch.shapes().into_iter().find(|(n, ..)| *n == name).map_or(vec![], |f| f.1);
                let (image, place) = (shape("images"), shape("labels"));
                tiles.extend((0..wanted).map(|i| {
                    let part = |values: &[u32]| values[i * place[1] * place[2]..][..place[1] * place[2]].to_vec();
                    let pixels: usize = image[1..].iter().product();
                    let values = &batch.f32("images")[i * pixels..][..pixels];
                    let (labels, answers) = (part(batch.u32("labels")), part(&answers));
                    overlay(values, [image[1], image[2], image[3]], &labels, &answers, [place[1], place[2]])
                }));
            }
            Ok(())
        })?;
        scores.set("iou", overlap.mean(1, Overlap::iou));
        scores.set("dice", overlap.mean(1, Overlap::dice));
        scores.set("pixels", overlap.accuracy());
        if !tiles.is_empty() {
            let picture = Picture::grid(&tiles, 4, 4, BLACK);
            picture.save(run.out_dir().join(format!("epoch-{:03}.png", run.epoch())))?;
        }
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::higher("iou", "iou")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::segmentation::{Cells, Tiles, Warp};
    use crate::data::{Loader, LoaderOptions};
    use crate::picture::{GREEN, RED};
    use crate::testing::TempDir;
    use crate::trainer::Trainer;
    use std::sync::Arc;
    use wgrad_graph::Device;
    use wgrad_nn::{Conv2d, optim::Adam};

    fn share_of_cells(loader: &Loader) -> f64 {
        let batches: Vec<_> = loader.epoch(0, 0).unwrap().map(|b| b.unwrap().u32("labels").to_vec()).collect();
        let labels: Vec<u32> = batches.concat().into_iter().filter(|&l| l != IGNORE).collect();
        labels.iter().filter(|&&l| l == 1).count() as f64 / labels.len() as f64
    }

    /// A convolution learns to tell bright from dark; scores and picture are there, also where tiles stick out.
    #[test]
    fn learns_counts_and_draws() {
        let dir = TempDir::new("segmenter");
        let set = Arc::new(Cells::new(3, 0, 6, 40).unwrap());
        let train = Tiles::random(set.clone(), [24, 20], 8, Warp::of_tile(24)).unwrap();
        let train = Loader::new(train, LoaderOptions::train(8, 1)).unwrap();
        let test = Loader::new(Tiles::all(set, [24, 20]).unwrap(), LoaderOptions::test(5)).unwrap();
        let task =
            Segmenter::new(Conv2d::new(1, 2, 5), 2, |s, l| Adam::new(0.02).minimize(s, l)).loss(1.0, 0.5).pictures(7);
        let report = Trainer::new(&Device::cpu(), "toy", task)
            .epochs(12)
            .output(dir.path())
            .quiet(true)
            .fit(&train, &test)
            .unwrap();
        let score = |name: &str| report.test.get(name).unwrap();
        // Better than calling every pixel a cell, whose intersection over union is the share of cells.
        let (iou, share) = (score("iou"), share_of_cells(&test));
        assert!(iou > share + 0.1 && score("pixels") > 1.0 - share, "{}; {share} of the pixels are cells", report.test);
        assert!((score("dice") - 2.0 * iou / (1.0 + iou)).abs() < 1e-9);
        assert!(report.to_string().contains("\niou 0."), "{report}");
        let picture = Picture::load(dir.path().join("epoch-012.png")).unwrap();
        assert_eq!((picture.width(), picture.height()), (4 * 40 + 3 * 4, 2 * 40 + 4));
        assert!(
            picture.pixels().chunks_exact(3).any(|p| p == GREEN) && picture.pixels().chunks_exact(3).any(|p| p == RED)
        );
    }
}
