//! Images whose objects are outlined: generated cells, pictures with masks, and how tiles are cut from them.

mod cells;
mod folders;
mod lattice;
mod overlay;
mod tiles;
mod weights;

pub use cells::Cells;
pub use folders::open_masks;
pub use overlay::overlay;
pub use tiles::{IGNORE, Tiles, Warp};
pub use weights::{WeightMap, separated};

use crate::error::DataError;

/// An image with a number for each of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlined {
    /// Height and width.
    pub size: [usize; 2],
    /// The image's values, channels first.
    pub image: Vec<u8>,
    /// Each pixel's object, counted from 1, or 0 for the background.
    pub objects: Vec<u16>,
}

impl Outlined {
    /// The image as a network takes it: mean 0 and standard deviation 1.
    pub fn normalized(&self) -> Vec<f32> {
        let (mean, scale) = self.level();
        self.image.iter().map(|&v| (f32::from(v) - mean) * scale).collect()
    }

    /// Mean, and what the difference to it is multiplied by so that the standard deviation becomes 1.
    fn level(&self) -> (f32, f32) {
        let count = self.image.len().max(1) as f64;
        let sum: u64 = self.image.iter().map(|&v| u64::from(v)).sum();
        let squares: u64 = self.image.iter().map(|&v| u64::from(v).pow(2)).sum();
        let mean = sum as f64 / count;
        let variance = (squares as f64 / count - mean * mean).max(0.0);
        // An image of one brightness is left at that: all 0.
        (mean as f32, if variance > 0.0 { (1.0 / variance.sqrt()) as f32 } else { 1.0 })
    }
}

/// Images with outlined objects, read one at a time, from any thread.
pub trait OutlinedSet: Send + Sync {
    /// What the data set is called.
    fn name(&self) -> &str;
    /// How many images there are.
    fn len(&self) -> usize;
    /// Channels of every image.
    fn channels(&self) -> usize;
    /// Height and width of image `index`.
    fn size(&self, index: usize) -> [usize; 2];
    /// Image `index`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, index: usize) -> Result<Outlined, DataError>;

    /// Whether there are no images at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images with outlined objects in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlinedImages {
    name: String,
    channels: usize,
    images: Vec<Outlined>,
}

impl OutlinedImages {
    /// All images of a set, so that generated ones are made once.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of(set: &dyn OutlinedSet) -> Result<OutlinedImages, DataError> {
        let images = (0..set.len()).map(|i| set.get(i)).collect::<Result<_, _>>()?;
        Ok(OutlinedImages { name: set.name().into(), channels: set.channels(), images })
    }
}

impl OutlinedSet for OutlinedImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn size(&self, index: usize) -> [usize; 2] {
        self.images[index].size
    }

    fn get(&self, index: usize) -> Result<Outlined, DataError> {
        Ok(self.images[index].clone())
    }
}
