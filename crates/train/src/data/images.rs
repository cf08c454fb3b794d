//! Labelled images as a loader's examples.

use std::sync::Arc;

use super::augment::{Augment, Normalize};
use super::dataset::ImageDataset;
use super::source::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::Stream;

/// An [`ImageDataset`] as a [`Source`]: "images" [C, H, W], augmented and normalised, and "labels" [].
pub struct ImageSource {
    dataset: Arc<dyn ImageDataset>,
    augment: Augment,
    tables: Vec<[f32; 256]>,
}

impl ImageSource {
    /// The images of `dataset`, changed at random as `augment` says, with their values scaled by `normalize`.
    ///
    /// # Errors
    /// When `normalize` has another number of channels.
    pub fn new(dataset: Arc<dyn ImageDataset>, augment: Augment, normalize: &Normalize) -> Result<Self, DataError> {
        let [channels, ..] = dataset.shape();
        if normalize.mean.len() != channels || normalize.std.len() != channels {
            let given = normalize.mean.len();
            let reason = format!("images of {channels} channels cannot be normalised by the statistics of {given}");
            return Err(DataError::Invalid { name: dataset.name().into(), reason });
        }
        Ok(Self { dataset, augment, tables: normalize.tables() })
    }

    /// The images as they are, for judging.
    ///
    /// # Errors
    /// When `normalize` has another number of channels.
    pub fn plain(dataset: Arc<dyn ImageDataset>, normalize: &Normalize) -> Result<Self, DataError> {
        Self::new(dataset, Augment::default(), normalize)
    }
}

impl Source for ImageSource {
    fn name(&self) -> &str {
        self.dataset.name()
    }

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::f32("images", self.dataset.shape()), Field::u32("labels", [])]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let shape = self.dataset.shape();
        let mut image = vec![0; shape.iter().product()];
        out.u32("labels")[0] = self.dataset.read(index, &mut image)?;
        self.augment.apply(&image, shape, &self.tables, stream, out.f32("images"));
        Ok(())
    }

    fn describe(&self) -> String {
        let [channels, height, width] = self.dataset.shape();
        format!("{channels}x{height}x{width}, {} classes", self.dataset.classes())
    }
}
