//! Models, each built from [`wgrad_nn`] layers, with the parameter names of the ecosystem's published checkpoints.

pub mod bert;
mod error;
pub mod gpt;
pub mod resnet;
pub use yolo::{Darknet53, Yolo};
