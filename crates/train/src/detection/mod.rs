//! Boxes around objects: how they overlap, are filtered, fitted into a model's input, and judged.
//!
//! All boxes are in pixels from the picture's top left corner, continuous: a box around the first pixel alone is
//! (0, 0) to (1, 1).

mod anchors;
mod average_precision;
mod boxes;
mod coco;
mod draw;
mod letterbox;
mod nms;
mod voc;

pub use anchors::{Anchors, anchors};
pub use average_precision::{Judged, MeanPrecision, mean_of};
pub use boxes::{Detection, Object, Rect};
pub use coco::{CocoMetrics, CocoScores};
pub use draw::annotated;
pub use letterbox::Letterbox;
pub use nms::{Suppression, suppress};
pub use voc::{Interpolation, VocMetrics};
