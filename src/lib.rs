//! Trains neural networks on any GPU that Vulkan, Metal or DX12 can reach, and on the CPU with the same results.
//!
//! This package is a facade: each part is a crate of its own, re-exported here.
//!
//! ```
//! use wgrad::prelude::*;
//! use wgrad::zoo::ResNet;
//!
//! let device = Device::open(DeviceChoice::Cpu)?;
//! let model = ResNet::cifar(20, 10)?.in_channels(1).width(4);
//! let images = Tensor::input("images", [8, 1, 8, 8], DType::F32);
//! let labels = Tensor::input("labels", [8], DType::U32);
//!
//! let scope = Scope::train();
//! let loss = model.forward(&scope, &images).cross_entropy(&labels);
//! let step = Sgd::new(0.1).momentum(0.9).weight_decay(5e-4).minimize(&scope, &loss);
//! let program = Program::compile(&device, &[&loss], &step)?;
//! println!("{}", program.summary()); // work and memory, before anything runs
//!
//! let mut state = State::init(&device, &program, 0)?;
//! let (images, labels) = (vec![0.5f32; 8 * 64], vec![3u32; 8]);
//! for _ in 0..3 {
//!     let mut outputs = program.run(&mut state, &[("images", (&images).into()), ("labels", (&labels).into())])?;
//!     println!("loss {}", outputs.scalar(0)?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`train::Trainer`] does all of that, with data, evaluation, checkpoints and metrics: `examples/resnet.rs` shows how.

/// Adapters, buffers, kernels, and the two backends.
pub use wgrad_device as device;
/// Tensors as expressions, their gradients, and the compiler that makes programs of them.
pub use wgrad_graph as graph;
/// Layers, initialisers, losses, optimisers and schedules.
pub use wgrad_nn as nn;
/// Data sets, loaders, the training loop, metrics and checkpoints.
pub use wgrad_train as train;
/// Models.
pub use wgrad_zoo as zoo;

/// What most programs need: `use wgrad::prelude::*;`
pub mod prelude {
    #[doc(no_inline)]
    pub use wgrad_graph::{DType, Data, Device, DeviceChoice, Program, State, Tensor, Updates, checked, gradients};
    #[doc(no_inline)]
    pub use wgrad_nn::optim::{Adam, AdamW, RmsProp, Sgd};
    #[doc(no_inline)]
    pub use wgrad_nn::{
        AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Layer, Linear, MaxPool2d, Relu, Schedule,
        Scope, Sequential,
    };
    #[doc(no_inline)]
    pub use wgrad_train::{Classifier, RunOptions, Trainer};
}
