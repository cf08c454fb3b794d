//! What a loader needs of a data set, and the data set that lies in memory.

use std::sync::Arc;

use crate::error::DataError;

/// Labelled images of one size, read one at a time, from any thread.
pub trait ImageDataset: Send + Sync {
    /// What the data set is called.
    fn name(&self) -> &str;
    /// How many examples there are.
    fn len(&self) -> usize;
    /// Channels, height and width of every image.
    fn shape(&self) -> [usize; 3];
    /// Labels are below this.
    fn classes(&self) -> usize;
    /// Writes image `index` into `image` (as long as the product of `shape`, CHW) and gives its label.
    ///
    /// # Errors
    /// When the example cannot be read.
    fn read(&self, index: usize, image: &mut [u8]) -> Result<u32, DataError>;

    /// Whether there are no examples at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Labelled images in memory, checked when made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    name: String,
    images: Vec<u8>,
    shape: [usize; 3],
    labels: Vec<u32>,
    class_names: Vec<String>,
}

/// The two parts of a data set.
#[derive(Clone, Debug)]
pub struct Split {
    /// What the model learns from.
    pub train: Arc<ImageSet>,
    /// What it is judged by.
    pub test: Arc<ImageSet>,
}

impl ImageSet {
    /// A data set of `images` (N, C, H, W, one byte a value) of the given `shape` (C, H, W), with a label for each and
    /// a name for each class.
    ///
    /// # Errors
    /// When the numbers of images and labels differ, a label has no class, or the sizes make no sense.
    pub fn new(
        name: impl Into<String>,
        images: Vec<u8>,
        shape: [usize; 3],
        labels: Vec<u32>,
        class_names: Vec<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(0);
        if size == 0 || !images.len().is_multiple_of(size) {
            let reason = format!("{} bytes are not whole images of shape {shape:?}", images.len());
            return Err(DataError::Invalid { name, reason });
        }
        let count = images.len() / size;
        if count != labels.len() {
            return Err(DataError::Counts { name, images: count, labels: labels.len() });
        }
        if u32::try_from(count).is_err() {
            return Err(DataError::Invalid { name, reason: format!("{count} images are more than 2^32 - 1") });
        }
        let classes = class_names.len();
        if let Some(index) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(DataError::Label { name, index, label: labels[index], classes });
        }
        Ok(Self { name, images, shape, labels, class_names })
    }

    /// All images, (N, C, H, W).
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// All labels.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// What each class is called.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Image `index`, (C, H, W).
    ///
    /// # Panics
    /// When there is no such image, as indexing a slice does.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.images[index * size..][..size]
    }
}

impl ImageDataset for ImageSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn classes(&self) -> usize {
        self.class_names.len()
    }

    fn read(&self, index: usize, image: &mut [u8]) -> Result<u32, DataError> {
        image.copy_from_slice(self.image(index));
        Ok(self.labels[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(images: usize, shape: [usize; 3], labels: Vec<u32>, classes: usize) -> Result<ImageSet, DataError> {
        let bytes = (0..images).map(|i| i as u8).collect();
        ImageSet::new("toy", bytes, shape, labels, (0..classes).map(|c| c.to_string()).collect())
    }

    #[test]
    fn gives_back_what_it_was_made_of() {
        let set = make(12, [1, 2, 2], vec![0, 1, 2], 3).unwrap();
        let mut image = [0; 4];
        assert_eq!(set.read(2, &mut image).unwrap(), 2);
        assert_eq!(image, [8, 9, 10, 11]);
        assert_eq!((set.len(), set.shape(), set.classes(), set.is_empty()), (3, [1, 2, 2], 3, false));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(matches!(make(12, [1, 2, 2], vec![0, 1], 3), Err(DataError::Counts { images: 3, labels: 2, .. })));
        let error = make(12, [1, 2, 2], vec![0, 3, 1], 3).unwrap_err();
        assert!(matches!(error, DataError::Label { index: 1, label: 3, classes: 3, .. }), "{error}");
        assert!(matches!(make(13, [1, 2, 2], vec![0; 3], 3), Err(DataError::Invalid { .. })));
        assert!(matches!(make(12, [1, 0, 2], vec![], 3), Err(DataError::Invalid { .. })));
        assert!(matches!(make(12, [usize::MAX, 2, 2], vec![], 3), Err(DataError::Invalid { .. })));
    }
}
