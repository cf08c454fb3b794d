//! The kernels, one file each.

mod attention;
mod contraction;
mod map;
mod recurrence;
mod reduce;
mod rows;
mod search;
pub(crate) mod segments;
mod sort;

pub use attention::{Attention, AttentionDropout, AttentionKernel, AttentionPart, RowPlaces, row_inputs};
pub use contraction::{Contraction, Epilogue, Reader};
pub use map::Map;
pub use recurrence::{Recurrence, Step};
pub use reduce::{Reduce, ReduceOp, Reduction};
pub(crate) use rows::Walk;
pub use rows::{RowOutput, Rows};
pub use search::Search;
pub use segments::{SegmentFold, Segments};
pub use sort::Sort;
