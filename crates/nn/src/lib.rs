//! Layers, initialisers, losses, optimisers and schedules.
//!
//! A layer is a small description of itself; calling it builds expressions. What lasts (parameters, running statistics)
//! is declared through a [`Scope`], which gives every tensor the name that PyTorch would give it:
//!
//! ```
//! use wgrad_graph::{DType, Tensor};
//! use wgrad_nn::{Layer, Linear, Relu, Scope, Sequential, optim::Sgd};
//!
//! let model = Sequential::new().then(Linear::new(784, 100)).then(Relu).then(Linear::new(100, 10));
//! let images = Tensor::input("images", [32, 784], DType::F32);
//! let labels = Tensor::input("labels", [32], DType::U32);
//!
//! let scope = Scope::train();
//! let loss = model.forward(&scope, &images).cross_entropy(&labels);
//! let step = Sgd::new(0.1).momentum(0.9).minimize(&scope, &loss);
//!
//! let names: Vec<String> = scope.params().iter().map(|p| p.name().unwrap().to_string()).collect();
//! assert_eq!(names, ["0.weight", "0.bias", "2.weight", "2.bias"]);
//! assert!(step.states().any(|s| s.name() == Some("0.weight")));
//! ```

mod adaptive_pool;
mod attention;
mod batch_norm;
mod conv;
mod dropout;
pub mod gan;
pub mod init;
mod layer;
mod layer_norm;
mod linear;
pub mod loss;
pub mod optim;
mod pool;
mod recurrent;
mod reparametrize;
mod schedule;
mod scope;
mod sequential;
mod simple;
mod sizes;
mod upsample;

pub use adaptive_pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d,
    AdaptivePool, SpatialPyramidPool,
};
pub use attention::MultiheadAttention;
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Convolution};
pub use dropout::Dropout;
pub use gan::Gan;
pub use init::WeightInit;
pub use layer::Layer;
pub use layer_norm::{
    GroupNorm, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm, LocalResponseNorm, RmsNorm,
};
pub use linear::Linear;
pub use loss::Reduction;
pub use pool::{
    AvgPool1d, AvgPool2d, AvgPool3d, AvgPooling, GlobalAvgPool, GlobalMaxPool, LpPool, LpPool1d, LpPool2d, LpPool3d,
    MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
};
pub use recurrent::{Cell, Recurrent, RecurrentCell, Sequences, scan};
pub use reparametrize::{SpectralNorm, WeightNorm};
pub use schedule::Schedule;
pub use scope::{GENERATOR, Scope};
pub use sequential::Sequential;
pub use simple::{Flatten, Relu};
pub use sizes::Sizes;
pub use upsample::Upsample;

/// Test cases of what this crate computes beside [`wgrad_graph::registry`]: losses and recurrent layers.
pub fn registry() -> Vec<wgrad_graph::OpCase> {
    [loss::cases(), recurrent::cases()].concat()
}
