//! The U-Net of the zoo, padded, 31 million parameters, on 64x64 images of two classes.

use super::{Input, Model};
use wgrad::prelude::*;
use wgrad::zoo::UNet;

/// A U-Net and its batch.
pub struct Segmenting {
    /// Images.
    pub batch: usize,
}

const SIDE: usize = 64;

impl Model for Segmenting {
    fn batch(&self) -> Vec<Input> {
        let labels = Input::indices("labels", [self.batch, SIDE, SIDE], 2);
        vec![Input::noise("images", [self.batch, 3, SIDE, SIDE]), labels]
    }

    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)> {
        let scope = Scope::train();
        let loss = self.infer(&scope, batch).cross_entropy(&batch[1]);
        let updates = Adam::new(self.rate()).minimize(&scope, &loss);
        vec![(loss, updates)]
    }

    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor {
        UNet::padded(3, 2).forward(scope, &batch[0])
    }

    fn rate(&self) -> f64 {
        1e-4
    }
}
