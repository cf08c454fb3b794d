//! WGSL for maps, reductions, rows and epilogues.
//!
//! The structure of an expression is baked into the text; sizes, strides, offsets and constants are parameters. So
//! kernels of equal structure have equal texts, whatever their sizes, and share a pipeline.

mod expr;
mod fold;
mod map;
mod reduce;
mod rows;
mod shader;

pub(crate) use expr::{Emitter, Source};
pub(crate) use map::map_passes;
pub(crate) use reduce::{reduce_passes, reduce_scratch};
pub(crate) use rows::{longest_row, row_passes};
pub(crate) use shader::{Divisor, Shader, load, store, workgroup_size};
