//! Models, each built from [`wgrad_nn`] layers, with the parameter names of the ecosystem's published checkpoints.

mod error;
pub mod resnet;

pub use error::ZooError;
pub use resnet::ResNet;
