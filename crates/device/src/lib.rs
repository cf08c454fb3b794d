//! Devices: adapters, buffers, kernels, and the two backends (wgpu and CPU).
//!
//! A device knows nothing of graphs. It is given [`Kernel`]s with [`Slice`]s of buffers to read and write
//! ([`Launch`]), prepares a list of them once ([`Device::prepare`]) and runs it many times ([`Device::run`]).

mod access;
mod adapter;
mod cpu;
mod device;
mod dtype;
mod error;
pub mod expr;
mod gpu;
mod kernel;
pub mod kernels;
mod philox;
pub mod special;
mod tune;

pub use access::{Access, Affine, Coord, row_major_strides};
pub use adapter::{Adapter, AdapterKind, DeviceChoice, Matrices};
pub use cpu::CpuIo;
pub use device::{Buffer, Device, KernelTime, Launch, Readback, Sequence, Slice};
pub use dtype::DType;
pub use error::DeviceError;
pub use expr::{Binary, Expr, ExprId, ExprNode, Unary};
pub use gpu::Tuned;
pub use kernel::{Choices, Cost, Kernel, Operand, Pass, PassBinding, fold_groups};
pub use philox::philox;
