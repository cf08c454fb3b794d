//! The kernels, one file each.

mod contraction;
mod map;
mod reduce;

pub use contraction::{Contraction, Epilogue, Reader};
pub use map::Map;
pub use reduce::{Reduce, ReduceOp, Reduction};
