//! Generators: their training against discriminators, and how good their samples are.
//!
//! The usual measures rest on a network trained on ImageNet, which says little of grey pictures of clothes. Here a small
//! classifier is trained on the same data ([`Judge`]); its features give the Frechet distance, and its answers tell whether
//! samples look like anything, and whether every class is there.

mod frechet;
mod judge;
mod scores;
mod task;

pub use frechet::Gaussian;
pub use judge::{Judge, Seen};
pub use scores::ClassScores;
pub use task::{GanTask, slerp};
