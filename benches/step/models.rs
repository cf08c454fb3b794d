//! What is measured.

use anyhow::Result;
use wgrad::nn::Layer;
use wgrad::zoo::ResNet;

/// The models by name.
pub const NAMES: [&str; 3] = ["resnet20", "resnet18", "resnet50"];

/// A model with the batch that it trains on.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name, here and in `benches/peers`.
    pub name: &'static str,
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Images in a batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Model {
    /// The model of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Model, String> {
        let model = |name, image, batch, classes| Model { name, image, batch, classes };
        Ok(match name {
            "resnet20" => model("resnet20", [1, 28, 28], 64, 10),
            "resnet18" => model("resnet18", [3, 224, 224], 8, 1000),
            "resnet50" => model("resnet50", [3, 224, 224], 1, 1000),
            _ => return Err(format!("there are {}", NAMES.join(", "))),
        })
    }

    /// The network. Blocks of the large ones start as the identity: at batch sizes this small their losses would part from
    /// the peers' by rounding alone within three steps.
    ///
    /// # Errors
    /// None for the names above.
    pub fn network(&self) -> Result<impl Layer + use<>> {
        Ok(match self.name {
            "resnet20" => ResNet::cifar(20, self.classes)?,
            "resnet18" => ResNet::imagenet(18, self.classes)?.zero_init_residual(true),
            _ => ResNet::imagenet(50, self.classes)?.zero_init_residual(true),
        }
        .in_channels(self.image[0]))
    }

    /// A line that says what a step works on.
    pub fn describe(&self) -> String {
        let [c, h, w] = self.image;
        format!("{} {}x{c}x{h}x{w}", self.name, self.batch)
    }
}
