//! Models, each built from [`wgrad_nn`] layers, with the parameter names of the ecosystem's published checkpoints.

pub mod bert;
mod error;
pub mod explain;
pub mod gan;
pub mod gpt;
pub mod registry;
pub mod resnet;
pub mod transformer;
pub mod unet;
pub mod vit;
pub mod yolo;

pub use bert::{Bert, BertClassifier, BertPreTraining};
pub use error::ZooError;
pub use gpt::Gpt;
pub use resnet::ResNet;
pub use transformer::Transformer;
pub use unet::UNet;
pub use vit::Vit;
pub use yolo::{Darknet53, Yolo};
