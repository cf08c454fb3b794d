//! What surrounds a model while it is trained: the training loop, data sets and their batches, checkpoints, metrics,
//! progress, and the command line that the examples share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`trainer`] | the training loop: a [`Trainer`] takes a model from data to checkpoint |
//! | [`session`] | a run's state on the device, with its directory |
//! | [`data`] | data sets, augmentation, and batches prepared in the background |
//! | [`detection`] | boxes: overlap, suppression, letterbox, anchors, average precision |
//! | [`generative`] | GANs: their training, samples as pictures, Frechet distance and other scores |
//! | [`rng`] | random numbers that depend on seed and place only |
//! | [`checkpoint`] | named tensors in safetensors files |
//! | [`tensors`] | from a device's state to named tensors, and back |
//! | [`run_dir`] | a run's output directory: checkpoint and what resuming needs, crash-safe |
//! | [`metrics`] | running means and `metrics.jsonl` |
//! | [`overlap`] | intersection over union and dice, exact over a data set |
//! | [`picture`] | pictures: samples, boxes and masks as PNG files; PNG and JPEG read |
//! | [`progress`] | bars or plain lines |
//! | [`profile`] | the table of kernels |
//! | [`tokenizer`] | texts as numbers |
//! | [`options`] | the shared command line |
//! | [`error`] | what can go wrong |

mod atomic;
pub mod checkpoint;
pub mod data;
pub mod detection;
pub mod error;
pub mod generative;
pub mod metrics;
pub mod options;
pub mod overlap;
pub mod picture;
pub mod profile;
pub mod progress;
pub mod rng;
pub mod run_dir;
pub mod session;
pub mod tensors;
#[cfg(test)]
mod testing;
pub mod tokenizer;
pub mod trainer;

pub use checkpoint::{LoadReport, TensorData, TensorMap};
pub use error::{DataError, TrainError, exit_with};
pub use generative::GanTask;
pub use metrics::{MetricsLog, Part, Record, Running, Scores};
pub use options::{Dump, RunOptions};
pub use overlap::Overlap;
pub use picture::Picture;
pub use progress::Progress;
pub use run_dir::{Manifest, RunDir, Saved};
pub use session::Session;
pub use trainer::{Classifier, Report, Segmenter, Task, Trainer};
