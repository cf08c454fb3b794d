//! From stored bytes to what a model sees: random crop and flip, then normalisation.

use super::dataset::{ImageDataset, ImageSet};
use crate::rng::Stream;

/// Mean and standard deviation of each channel, of values scaled to 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Normalize {
    /// Leaves values as they are, in 0..1.
    pub fn none(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// Measures the images of a set: the training part, usually. The sums are exact, so the result does not depend on
    /// the order of the images.
    pub fn measured(set: &ImageSet) -> Self {
        let [channels, height, width] = set.shape();
        let mut normalize = Self::none(channels);
        let count = (set.len() * height * width) as f64;
        if count == 0.0 {
            return normalize;
        }
        for channel in 0..channels {
            let (mut sum, mut squares) = (0u64, 0u64);
            for plane in set.images().chunks_exact(height * width).skip(channel).step_by(channels) {
                for &value in plane {
                    sum += u64::from(value);
                    squares += u64::from(value) * u64::from(value);
                }
            }
            let mean = sum as f64 / count;
            let variance = (squares as f64 / count - mean * mean).max(0.0);
            normalize.mean[channel] = (mean / 255.0) as f32;
            // A channel of one value only is left at its size rather than divided by nothing.
            normalize.std[channel] = if variance > 0.0 { (variance.sqrt() / 255.0) as f32 } else { 1.0 };
        }
        normalize
    }

    /// For each channel, what each of the 256 byte values becomes.
    pub(super) fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
        self.mean.iter().zip(&self.std).map(table).collect()
    }
}

/// Random changes that keep a picture's meaning. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Mirrors left and right, for one image in two.
    pub flip: bool,
    /// Pads each side with this many zero pixels and cuts a piece of the old size at a random place: black pixels, as
    /// torchvision's `RandomCrop(size, padding)` before `Normalize`.
    pub crop_padding: usize,
}

/// One image's draw of an [`Augment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Draw {
    flip: bool,
    /// How far the picture moves down and right; negative is up and left.
    shift: [isize; 2],
}

impl Augment {
    /// Flips, and crops after padding with `crop_padding` pixels: the usual recipe for small natural images.
    pub fn flip_and_crop(crop_padding: usize) -> Self {
        Self { flip: true, crop_padding }
    }

    fn draw(&self, stream: &mut Stream) -> Draw {
        // The same number of words for every setting: turning the flip on does not change the crops.
        let flip = stream.below(2) == 1;
        let bound = u32::try_from(self.crop_padding.saturating_mul(2).saturating_add(1)).unwrap_or(u32::MAX);
        let mut offset = || stream.below(bound) as isize - self.crop_padding as isize;
        Draw { shift: [offset(), offset()], flip: flip && self.flip }
    }

    /// Writes the image into `out`, changed by what `stream` draws and normalised by `tables`.
    pub(super) fn apply(
        &self,
        image: &[u8],
        [channels, height, width]: [usize; 3],
        tables: &[[f32; 256]],
        stream: &mut Stream,
        out: &mut [f32],
    ) {
        let Draw { flip, shift: [down, right] } = self.draw(stream);
        for channel in 0..channels {
            let table = &tables[channel];
            let source = &image[channel * height * width..][..height * width];
            let target = &mut out[channel * height * width..][..height * width];
            for y in 0..height {
                let from_y = y as isize - down;
                let row = &mut target[y * width..][..width];
                if from_y < 0 || from_y >= height as isize {
                    row.fill(table[0]);
                    continue;
                }
                let from = &source[from_y as usize * width..][..width];
                for (x, value) in row.iter_mut().enumerate() {
                    let x = if flip { width - 1 - x } else { x };
                    // A negative column wraps to a huge one: both ends are missed by the same test.
                    let pixel = from.get((x as isize - right) as usize).copied().unwrap_or(0);
                    *value = table[pixel as usize];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn stream(index: usize) -> Stream {
        Stream::new(3, Purpose::Augment, 0, index)
    }

    fn augmented(augment: Augment, image: &[u8], shape: [usize; 3], index: usize) -> Vec<u8> {
        let tables = vec![std::array::from_fn(|v| v as f32); shape[0]];
        let mut out = vec![-1.0; image.len()];
        augment.apply(image, shape, &tables, &mut stream(index), &mut out);
        out.iter().map(|&v| v as u8).collect()
    }

    #[test]
    fn nothing_changes_by_default() {
        let image: Vec<u8> = (0..24).collect();
        for index in 0..20 {
            assert_eq!(augmented(Augment::default(), &image, [2, 3, 4], index), image);
        }
    }

    #[test]
    fn flips_half_of_the_images() {
        let image: Vec<u8> = (0..12).collect();
        let mirrored = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9];
        let augment = Augment { flip: true, crop_padding: 0 };
        let mut flipped = 0;
        for index in 0..1000 {
            let out = augmented(augment, &image, [2, 2, 3], index);
            assert!(out == image || out == mirrored);
            flipped += usize::from(out == mirrored);
        }
        assert!((420..580).contains(&flipped), "{flipped} of 1000 flipped");
    }

    #[test]
    fn crops_every_place_of_the_padded_image_evenly() {
        let (height, width, pad) = (2usize, 3usize, 1usize);
        let image = [1u8, 2, 3, 4, 5, 6];
        // The padded image, and every window of it.
        let padded = |y: usize, x: usize| {
            let inside = (pad..height + pad).contains(&y) && (pad..width + pad).contains(&x);
            if inside { image[(y - pad) * width + x - pad] } else { 0 }
        };
        let mut counts = std::collections::BTreeMap::new();
        for (top, left) in (0..3).flat_map(|t| (0..3).map(move |l| (t, l))) {
            let window: Vec<u8> =
                (0..height).flat_map(|y| (0..width).map(move |x| padded(top + y, left + x))).collect();
            counts.insert(window, 0);
        }
        assert_eq!(counts.len(), 9);
        let augment = Augment { flip: false, crop_padding: pad };
        for index in 0..9000 {
            let out = augmented(augment, &image, [1, height, width], index);
            *counts.get_mut(&out).expect("the crop is a window of the padded image") += 1;
        }
        assert!(counts.values().all(|n| (840..1160).contains(n)), "{counts:?}");
    }

    #[test]
    fn padding_larger_than_the_image_is_harmless() {
        let augment = Augment { flip: true, crop_padding: 10 };
        for index in 0..100 {
            assert!(augmented(augment, &[9; 4], [1, 2, 2], index).iter().all(|&v| v == 0 || v == 9));
        }
    }

    #[test]
    fn measures_each_channel() {
        // Channel 0 is 0 and 255 in turn, channel 1 always 51.
        let set = ImageSet::new("toy", vec![0, 255, 51, 51, 255, 0, 51, 51], [2, 1, 2], vec![0, 0], vec!["a".into()]);
        let normalize = Normalize::measured(&set.unwrap());
        assert_eq!(normalize, Normalize { mean: vec![0.5, 0.2], std: vec![0.5, 1.0] });
        let tables = normalize.tables();
        assert_eq!((tables[0][0], tables[0][255], tables[1][51]), (-1.0, 1.0, 0.0));
    }

    #[test]
    fn normalised_training_set_has_mean_zero_and_variance_one() {
        let bytes: Vec<u8> = (0..4000u32).map(|i| (i * i % 251) as u8).collect();
        let set = ImageSet::new("toy", bytes, [1, 20, 20], vec![0; 10], vec!["a".into()]).unwrap();
        let tables = Normalize::measured(&set).tables();
        let values: Vec<f64> = set.images().iter().map(|&v| f64::from(tables[0][v as usize])).collect();
        let mean = values.iter().sum::<f64>() / 4000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }
}
