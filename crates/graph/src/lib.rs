//! Tensors as expressions, their gradients, and the compiler that turns a whole training step into kernels.

mod autodiff;
mod compile;
pub mod contract;
mod error;
pub mod op;
mod ops;
mod program;
pub mod reference;
mod shape;
mod state;
mod tensor;
mod updates;

pub use autodiff::{gradients, gradients_of, hessian, hvp, jacobian, jvp, vjp};
pub use compile::{CompileOptions, Dump};
pub use contract::OpCase;
pub use error::{Error, ShapeError, checked, fail};
pub use op::Array;
pub use ops::checkpoint::checkpoint;
pub use ops::conv::ConvOptions;
pub use ops::cross_entropy::CrossEntropy;
pub use ops::embedding::{Bag, EmbeddingBag};
pub use ops::grid_sample::{GridSample, SampleMode, SamplePadding};
pub use ops::interpolate::Interpolation;
pub use ops::leaf::{Init, Scalar};
pub use ops::norm::Normalised;
pub use ops::pad_mode::PadMode;
pub use ops::pool::AvgPool;
pub use ops::recurrence::Scan;
pub use ops::roi::RoiAlign;
pub use ops::taps::Window;
pub use ops::{NAMES, registry};
pub use program::{Data, Outputs, Program, Recomputed, Summary};
pub use state::State;
pub use tensor::Tensor;
pub use updates::Updates;
pub use wgrad_device::{DType, Device, DeviceChoice, DeviceError, philox};
