//! Tests of the wgpu backend: every kernel's shaders, and every kernel's results against a naive f64 reference.
//!
//! They run on the adapter that `WGRAD_TEST_DEVICE` names (as `--device` does: `gpu`, `software`, part of a name); by
//! default on a real GPU, else on a software adapter. Without any they fail, unless `WGRAD_TEST_DEVICE=cpu`.

mod attention;
mod common;
mod contractions;
mod index;
mod maps;
mod memory;
mod parity;
mod reduces;
mod reference;
mod rows;
mod sample;
mod shaders;
mod tuning;
