//! Data sets and the way from their files to batches.

mod augment;
pub mod copying;
mod dataset;
mod detection;
#[cfg(feature = "digits")]
mod digits;
mod documents;
mod idx;
mod images;
mod loader;
mod masked;
mod mnist;
mod passages;
pub mod segmentation;
mod source;
pub mod text;

use std::path::Path;

pub use augment::{Augment, Normalize};
pub use copying::Copying;
pub use dataset::{ImageDataset, ImageSet, Split};
pub use detection::{
    CocoSet, DetectionAugment, DetectionSet, DetectionSource, DetectionSplit, SHAPES, Scene, Shape, ShapeSet, VocSet,
    detections, open_detection, shapes, write_coco, write_voc,
};
#[cfg(feature = "digits")]
pub use digits::digits;
pub use documents::Documents;
pub use idx::{Idx, read_idx};
pub use images::ImageSource;
pub use loader::{Batch, Batches, Loader, LoaderOptions};
pub use masked::{MaskedPairs, UNPICKED};
pub use mnist::{FASHION_MNIST_DIR, fashion_mnist, mnist};
pub use passages::Passages;
pub use source::{Example, Field, Source};
pub use text::Windows;

use crate::error::DataError;

/// The names that [`open`] knows.
pub const NAMES: &[&str] = &[
    #[cfg(feature = "digits")]
    "digits",
    "fashion-mnist",
    "mnist",
];

/// Opens a data set by the name that `--data` gives, from `dir` where it comes from files.
///
/// # Errors
/// When there is no such name, or the data set's files are missing or unsound.
pub fn open(name: &str, dir: Option<&Path>) -> Result<Split, DataError> {
    match name {
        #[cfg(feature = "digits")]
        "digits" => digits(),
        "fashion-mnist" => fashion_mnist(dir),
        "mnist" => mnist(dir),
        _ => Err(DataError::UnknownSet { name: name.into(), known: NAMES.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = open("cifar", None).unwrap_err().to_string();
        assert!(NAMES.iter().all(|name| error.contains(name)), "{error}");
    }

    #[test]
    fn every_name_is_opened() {
        for name in NAMES {
            let opened = open(name, Some(Path::new("does-not-exist")));
            assert!(!matches!(opened, Err(DataError::UnknownSet { .. })), "{name}");
        }
    }
}
