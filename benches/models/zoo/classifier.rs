//! Networks from images to classes: a perceptron, a small convolutional one, and residual networks.

use super::{Input, Model};
use anyhow::Result;
use wgrad::prelude::*;
use wgrad::zoo::ResNet;

/// A network, its images, and how it learns.
pub struct Classifier {
    network: Box<dyn Layer>,
    /// Extents of the batch.
    images: Vec<usize>,
    classes: usize,
    adam: bool,
}

/// The model of this name. Blocks of the large residual networks start as the identity: at batch sizes this small their losses
/// would part from the peers' by rounding alone within three steps.
pub fn named(name: &str, batch: usize) -> Result<Classifier> {
    let large = |depth| Ok::<_, anyhow::Error>(ResNet::imagenet(depth, 1000)?.zero_init_residual(true));
    let network: Box<dyn Layer> = match name {
        "mlp" => Box::new(Sequential::new().then(Linear::new(784, 128)).then(Relu).then(Linear::new(128, 10))),
        "mnist_cnn" => {
            let conv = |inputs, outputs| Conv2d::new(inputs, outputs, 3).padding(1);
            let features = Sequential::new().then(conv(1, 16)).then(Relu).then(MaxPool2d::new(2));
            let features = features.then(conv(16, 32)).then(Relu).then(MaxPool2d::new(2)).then(Flatten);
            Box::new(features.then(Linear::new(1568, 128)).then(Relu).then(Linear::new(128, 10)))
        }
        "resnet20" => Box::new(ResNet::cifar(20, 10)?.in_channels(1)),
        "resnet18" => Box::new(large(18)?),
        _ => Box::new(large(50)?),
    };
    let (images, classes) = match name {
        "mlp" => (vec![batch, 784], 10),
        "mnist_cnn" | "resnet20" => (vec![batch, 1, 28, 28], 10),
        _ => (vec![batch, 3, 224, 224], 1000),
    };
    Ok(Classifier { network, images, classes, adam: name.starts_with('m') })
}

impl Model for Classifier {
    fn batch(&self) -> Vec<Input> {
        let labels = Input::indices("labels", [self.images[0]], self.classes);
        vec![Input::noise("images", self.images.clone()), labels]
    }

    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)> {
        let scope = Scope::train();
        let loss = self.network.forward(&scope, &batch[0]).cross_entropy(&batch[1]);
        let updates = match self.adam {
            true => Adam::new(self.rate()).minimize(&scope, &loss),
            false => Sgd::new(self.rate()).momentum(0.9).weight_decay(5e-4).minimize(&scope, &loss),
        };
        vec![(loss, updates)]
    }

    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor {
        self.network.forward(scope, &batch[0])
    }

    fn rate(&self) -> f64 {
        1e-3
    }
}
