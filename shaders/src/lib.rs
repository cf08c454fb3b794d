//! The WGSL shaders of wgrad, as plain files.
//!
//! None is complete alone: the host puts a generated preamble (bindings, constants, small functions) before it, and
//! never edits its text. The head comment of each file says what the preamble must define.

/// Functions that generated kernels call: random numbers, casts, careful versions of some of WGSL's own functions.
pub const MATH: &str = include_str!("../math.wgsl");

/// The tiled contraction (matrix product, convolution and its gradients) for GPUs.
pub const CONTRACTION: &str = include_str!("../contraction.wgsl");

/// How the tiles of [`CONTRACTION`] and [`CONTRACTION_MATRIX`] are loaded.
pub const CONTRACTION_LOAD: &str = include_str!("../contraction_load.wgsl");

/// The tiled contraction by cooperative matrices.
pub const CONTRACTION_MATRIX: &str = include_str!("../contraction_matrix.wgsl");

/// Cooperative matrices by plain loops, for tests.
pub const CONTRACTION_MATRIX_EMULATED: &str = include_str!("../contraction_matrix_emulated.wgsl");

/// Contractions of few rows and columns, an element an invocation.
pub const CONTRACTION_DIRECT: &str = include_str!("../contraction_direct.wgsl");
/// A workgroup an element: matrix-vector products.
pub const CONTRACTION_ROW: &str = include_str!("../contraction_row.wgsl");

/// The tiled contraction for GPUs that are run by a CPU, by subgroups of 8 lanes.
pub const CONTRACTION_LANES: &str = include_str!("../contraction_lanes.wgsl");

/// The tiled contraction for other GPUs that are run by a CPU.
pub const CONTRACTION_SOFTWARE: &str = include_str!("../contraction_software.wgsl");

/// The second pass of a contraction whose inner axis was split.
pub const CONTRACTION_SUM: &str = include_str!("../contraction_sum.wgsl");

/// Sort, first pass: short runs.
pub const SORT_RUNS: &str = include_str!("../sort_runs.wgsl");

/// Sort, further passes: pairs of runs become one.
pub const SORT_MERGE: &str = include_str!("../sort_merge.wgsl");

/// Places in sorted rows.
pub const SEARCH: &str = include_str!("../search.wgsl");

/// Folds of long segments' parts, for [`SEGMENTS`].
pub const SEGMENT_PARTS: &str = include_str!("../segment_parts.wgsl");

/// Folds of segments of rows.
pub const SEGMENTS: &str = include_str!("../segments.wgsl");

/// Recurrences: what chunks do, for [`RECURRENCE_CARRY`].
pub const RECURRENCE_PARTS: &str = include_str!("../recurrence_parts.wgsl");

/// Recurrences: the states between chunks, for [`RECURRENCE`].
pub const RECURRENCE_CARRY: &str = include_str!("../recurrence_carry.wgsl");

/// Recurrences along an axis.
pub const RECURRENCE: &str = include_str!("../recurrence.wgsl");

/// What all shaders of attention share.
pub const ATTENTION: &str = include_str!("../attention.wgsl");

/// Attention's tiles of scores for GPUs.
pub const ATTENTION_TILE: &str = include_str!("../attention_tile.wgsl");

/// Attention's tiles of scores for GPUs that are run by a CPU.
pub const ATTENTION_TILE_SOFTWARE: &str = include_str!("../attention_tile_software.wgsl");

/// What the shaders of attention's gradients share.
pub const ATTENTION_WALK: &str = include_str!("../attention_walk.wgsl");

/// Attention for GPUs.
pub const ATTENTION_FORWARD: &str = include_str!("../attention_forward.wgsl");

/// Attention for GPUs that are run by a CPU.
pub const ATTENTION_FORWARD_SOFTWARE: &str = include_str!("../attention_forward_software.wgsl");

/// Attention's gradients for GPUs.
pub const ATTENTION_BACKWARD: &str = include_str!("../attention_backward.wgsl");

/// Attention's gradients for GPUs that are run by a CPU.
pub const ATTENTION_BACKWARD_SOFTWARE: &str = include_str!("../attention_backward_software.wgsl");
