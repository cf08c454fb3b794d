//! YOLOv3 with Darknet-53 and 80 classes on 224x224 images, eight objects in each, and Darknet's loss.

use super::{Input, Model};
use wgrad::prelude::*;
use wgrad::zoo::Yolo;
use wgrad::zoo::yolo::{Truth, YoloLoss};

/// A YOLOv3 and its batch.
pub struct Detecting {
    /// Images.
    pub batch: usize,
}

const SIDE: usize = 224;
const OBJECTS: usize = 8;

impl Model for Detecting {
    fn batch(&self) -> Vec<Input> {
        // Centres within the image, sides from a twentieth of it to three quarters.
        let side = |i: usize, v: f32| if i % 4 < 2 { 0.5 + 0.45 * v } else { 0.4 + 0.35 * v };
        vec![
            Input::noise("images", [self.batch, 3, SIDE, SIDE]),
            Input::floats("boxes", [self.batch, OBJECTS, 4], side),
            Input::indices("classes", [self.batch, OBJECTS], 80),
        ]
    }

    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)> {
        let scope = Scope::train();
        let truth = Truth { boxes: batch[1].clone(), classes: batch[2].clone() };
        let loss = YoloLoss::default().forward(&Yolo::v3(80).forward(&scope, &batch[0]), &truth).total;
        let updates = Adam::new(self.rate()).minimize(&scope, &loss);
        vec![(loss, updates)]
    }

    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor {
        Yolo::v3(80).forward(scope, &batch[0]).raw
    }

    /// At 1e-4 PyTorch's third loss depends on its number of threads by about 1e-3, the tolerance.
    fn rate(&self) -> f64 {
        1e-5
    }
}
