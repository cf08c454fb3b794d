//! The 8x8 handwritten digits, embedded: real images with nothing to download.
//!
//! The test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI machine learning
//! repository, 1998): 1797 digits of 13 writers, brightness 0 to 16. The bytes come with the `smartcore` crate.

use std::sync::Arc;

use super::dataset::{ImageSet, Split};
use crate::error::DataError;
use crate::rng::{Purpose, Stream};

const CLASSES: usize = 10;
const TEST_EXAMPLES: usize = 360;

/// The digits, split into 1437 to learn from and 360 to be judged by. The split is always the same, and has each class
/// in both parts in proportion.
///
/// # Errors
/// When the embedded data is not what it should be.
pub fn digits() -> Result<Split, DataError> {
    let embedded = smartcore::dataset::digits::load_dataset();
    let size = embedded.num_features;
    let invalid = |reason: String| DataError::Invalid { name: "digits".into(), reason };
    if size != 64 || embedded.data.len() != embedded.target.len() * size {
        return Err(invalid(format!("{} features of {} digits", embedded.data.len(), embedded.target.len())));
    }
    // Brightness 16 becomes 255, so that digits look to a model as other 8-bit images do.
    let pixels: Vec<u8> = embedded.data.iter().map(|v| (v * 255.0 / 16.0).round() as u8).collect();
    let labels: Vec<u32> = embedded.target.iter().map(|&v| v as u32).collect();

    let test = test_part(&labels);
    let part = |of_test: bool| {
        let chosen: Vec<usize> = (0..labels.len()).filter(|&i| test[i] == of_test).collect();
        let images = chosen.iter().flat_map(|&i| &pixels[i * size..][..size]).copied().collect();
        let labels = chosen.iter().map(|&i| labels[i]).collect();
        ImageSet::new("digits", images, [1, 8, 8], labels, (0..CLASSES).map(|c| c.to_string()).collect())
    };
    Ok(Split { train: Arc::new(part(false)?), test: Arc::new(part(true)?) })
}

/// Which examples are for testing: from each class its share, chosen at random.
fn test_part(labels: &[u32]) -> Vec<bool> {
    let mut test = vec![false; labels.len()];
    let (mut seen, mut taken) = (0, 0);
    for class in 0..CLASSES {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] as usize == class).collect();
        Stream::new(0, Purpose::Split, 0, class).shuffle(&mut members);
        // Rounding is carried from class to class, so that the parts add up.
        seen += members.len();
        let share = (seen * TEST_EXAMPLES + labels.len() / 2) / labels.len() - taken;
        taken += share;
        for &member in &members[..share.min(members.len())] {
            test[member] = true;
        }
    }
    test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageDataset;

    #[test]
    fn parts_have_their_sizes_and_every_class() {
        let split = digits().unwrap();
        assert_eq!((split.train.len(), split.test.len()), (1437, 360));
        for class in 0..10 {
            let count = split.test.labels().iter().filter(|&&label| label == class).count();
            assert!((33..=39).contains(&count), "{count} test digits of class {class}");
        }
        assert_eq!(split.train.images().iter().max(), Some(&255));
        assert_eq!(split.train.images().iter().min(), Some(&0));
    }

    #[test]
    fn parts_hold_each_digit_once_and_are_always_the_same() {
        let (a, b) = (digits().unwrap(), digits().unwrap());
        assert_eq!(a.train, b.train);
        assert_eq!(a.test, b.test);
        let embedded = smartcore::dataset::digits::load_dataset();
        let sum: f64 = embedded.data.iter().map(|&v| f64::from((v * 255.0 / 16.0).round())).sum();
        let found: u64 = [&a.train, &a.test].iter().flat_map(|set| set.images()).map(|&v| u64::from(v)).sum();
        assert_eq!(found as f64, sum);
    }

    /// A nearest-neighbour classifier tells the digits apart, so images and labels belong together.
    #[test]
    fn labels_belong_to_their_images() {
        let split = digits().unwrap();
        let right = (0..split.test.len()).filter(|&i| {
            let distance = |j: &usize| -> u32 {
                let pairs = split.test.image(i).iter().zip(split.train.image(*j));
                pairs.map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum()
            };
            let nearest = (0..split.train.len()).min_by_key(distance).unwrap();
            split.train.labels()[nearest] == split.test.labels()[i]
        });
        assert!(right.count() >= 350);
    }
}
