use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::data::{Augment, ImageDataset, ImageSet, ImageSource, Normalize};

/// `count` images of 1x2x2 whose first pixel is their index, labelled by index modulo 3.
fn toy(count: usize) -> Arc<ImageSet> {
    let images = (0..count).flat_map(|i| [i as u8, 50, 100, 150]).collect();
    let labels = (0..count as u32).map(|i| i % 3).collect();
    Arc::new(ImageSet::new("toy", images, [1, 2, 2], labels, ["a", "b", "c"].map(String::from).to_vec()).unwrap())
}

fn options(batch_size: usize) -> LoaderOptions {
    LoaderOptions::train(batch_size, 42)
}

/// Over augmented images.
fn augmented(images: Arc<dyn ImageDataset>, options: LoaderOptions) -> Result<Loader, DataError> {
    Loader::new(ImageSource::new(images, Augment::flip_and_crop(1), &Normalize::none(1))?, options)
}

/// Over images as they are.
fn plain(images: Arc<dyn ImageDataset>, options: LoaderOptions) -> Loader {
    Loader::new(ImageSource::plain(images, &Normalize::none(1)).unwrap(), options).unwrap()
}

type Contents = (Vec<f32>, Vec<u32>, usize, Vec<usize>);

fn content(batch: &Batch) -> Contents {
    (batch.f32("images").to_vec(), batch.u32("labels").to_vec(), batch.index, batch.shapes()[0].1.clone())
}

fn contents(loader: &Loader, epoch: usize, first: usize, pause: impl Fn(usize) -> u64) -> Vec<Contents> {
    let batches = loader.epoch(epoch, first).unwrap();
    batches
        .map(|batch| {
            let batch = batch.unwrap();
            std::thread::sleep(Duration::from_millis(pause(batch.index)));
            content(&batch)
        })
        .collect()
}

/// A data set that is slow, fails or panics at will.
struct Awkward {
    inner: Arc<ImageSet>,
    read: AtomicUsize,
    act: fn(usize) -> Result<(), DataError>,
}

impl Awkward {
    fn new(count: usize, act: fn(usize) -> Result<(), DataError>) -> Arc<Self> {
        Arc::new(Self { inner: toy(count), read: AtomicUsize::new(0), act })
    }
}

impl ImageDataset for Awkward {
    fn name(&self) -> &str {
        "awkward"
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.inner.shape()
    }
    fn classes(&self) -> usize {
        self.inner.classes()
    }
    fn read(&self, index: usize, image: &mut [u8]) -> Result<u32, DataError> {
        (self.act)(self.read.fetch_add(1, Ordering::SeqCst))?;
        self.inner.read(index, image)
    }
}

#[test]
fn an_epoch_holds_every_example_once() {
    let loader = plain(toy(23), LoaderOptions { drop_last: false, ..options(4) });
    let batches = contents(&loader, 0, 0, |_| 0);
    assert_eq!((batches.len(), loader.batches_per_epoch(), loader.examples_per_epoch()), (6, 6, 23));
    assert_eq!(batches[5].3, [3, 1, 2, 2]);
    let mut seen = Vec::new();
    for (images, labels, ..) in &batches {
        for (image, label) in images.chunks(4).zip(labels) {
            let index = (image[0] * 255.0).round() as u32;
            assert_eq!(*label, index % 3);
            assert!((image[3] - 150.0 / 255.0).abs() < 1e-6);
            seen.push(index);
        }
    }
    assert!(!seen.is_sorted(), "not shuffled");
    seen.sort_unstable();
    assert_eq!(seen, (0..23).collect::<Vec<_>>());
}

#[test]
fn drop_last_leaves_out_the_smaller_batch() {
    let loader = augmented(toy(23), options(4)).unwrap();
    let batches = contents(&loader, 0, 0, |_| 0);
    assert_eq!((batches.len(), loader.batches_per_epoch(), loader.examples_per_epoch()), (5, 5, 20));
    assert!(batches.iter().all(|b| b.3 == [4, 1, 2, 2] && b.1.len() == 4));
}

#[test]
fn testing_keeps_the_order() {
    let loader = plain(toy(10), LoaderOptions::test(4));
    let labels: Vec<u32> = contents(&loader, 3, 0, |_| 0).into_iter().flat_map(|b| b.1).collect();
    assert_eq!(labels, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_sequence_does_not_depend_on_timing_or_thread() {
    let eager = augmented(toy(40), options(3)).unwrap();
    let expected = contents(&eager, 1, 0, |_| 0);
    assert_eq!(contents(&eager, 1, 0, |index| [0, 7, 1][index % 3]), expected);
    let slow = Awkward::new(40, |read| {
        std::thread::sleep(Duration::from_micros((read as u64 * 97) % 700));
        Ok(())
    });
    assert_eq!(contents(&augmented(slow, options(3)).unwrap(), 1, 0, |_| 0), expected);
    // Nor on batches that are kept, so that their buffers do not come back.
    let kept: Vec<Batch> = eager.epoch(1, 0).unwrap().map(Result::unwrap).collect();
    let kept: Vec<Contents> = kept.iter().map(content).collect();
    assert_eq!(kept, expected);
}

#[test]
fn any_position_can_be_taken_up() {
    let loader = augmented(toy(40), options(3)).unwrap();
    let whole = contents(&loader, 5, 0, |_| 0);
    assert_eq!(whole.len(), 13);
    for first in 0..=whole.len() + 1 {
        let rest = contents(&loader, 5, first, |_| 0);
        assert_eq!(rest, whole[first.min(13)..], "from {first}");
    }
}

#[test]
fn epochs_and_seeds_differ() {
    let loader = augmented(toy(40), options(40)).unwrap();
    let other_seed = LoaderOptions { seed: 43, ..options(40) };
    let labels = |loader: &Loader, epoch| contents(loader, epoch, 0, |_| 0).remove(0).1;
    assert_ne!(labels(&loader, 0), labels(&loader, 1));
    assert_ne!(labels(&loader, 0), labels(&augmented(toy(40), other_seed).unwrap(), 0));
    assert_eq!(labels(&loader, 0), labels(&loader.clone(), 0));
}

#[test]
fn an_example_is_augmented_by_its_own_numbers() {
    // All images alike: what differs is their augmentation.
    let images = (0..40).flat_map(|_| [10, 50, 100, 150]).collect();
    let alike = ImageSet::new("alike", images, [1, 2, 2], vec![0; 40], vec!["a".into()]).unwrap();
    let alike: Arc<ImageSet> = Arc::new(alike);
    let images = |batch_size, epoch| -> Vec<Vec<u32>> {
        let options = LoaderOptions { shuffle: false, ..options(batch_size) };
        let batches = contents(&augmented(alike.clone(), options).unwrap(), epoch, 0, |_| 0);
        let images = batches.iter().flat_map(|batch| batch.0.chunks(4));
        images.map(|image| image.iter().map(|v| v.to_bits()).collect()).collect()
    };
    let kinds: std::collections::BTreeSet<_> = images(40, 0).into_iter().collect();
    assert!(kinds.len() > 9, "only {} different images in one batch", kinds.len());
    assert_eq!(images(40, 0), images(8, 0));
    assert_ne!(images(40, 0), images(40, 1));
}

#[test]
fn normalisation_is_applied() {
    let normalize = Normalize { mean: vec![0.5], std: vec![0.25] };
    let loader = Loader::new(ImageSource::plain(toy(1), &normalize).unwrap(), LoaderOptions::test(1)).unwrap();
    let images = contents(&loader, 0, 0, |_| 0).remove(0).0;
    let expected = [0.0f32, 50.0, 100.0, 150.0].map(|v| (v / 255.0 - 0.5) / 0.25);
    assert!(images.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{images:?}");
}

#[test]
fn a_failure_is_handed_over_once() {
    let failing = Awkward::new(40, |read| {
        let reason = "disk on fire".to_string();
        if read < 6 { Ok(()) } else { Err(DataError::Invalid { name: "awkward".into(), reason }) }
    });
    let results: Vec<_> = augmented(failing, options(3)).unwrap().epoch(0, 0).unwrap().collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 2);
    assert_eq!(results.len(), 3);
    assert!(results[2].as_ref().unwrap_err().to_string().contains("disk on fire"));
}

#[test]
fn a_panic_becomes_an_error() {
    let panicking = Awkward::new(40, |read| if read < 4 { Ok(()) } else { panic!("image {read} is odd") });
    let results: Vec<_> = augmented(panicking, options(3)).unwrap().epoch(0, 0).unwrap().collect();
    assert_eq!(results.len(), 2);
    let error = results[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("image 4 is odd"), "{error}");
}

#[test]
fn dropping_ends_the_thread_and_stops_reading() {
    let dataset = Awkward::new(4000, |_| Ok(()));
    let loader = augmented(dataset.clone(), options(1)).unwrap();
    let mut batches = loader.epoch(0, 0).unwrap();
    batches.next().unwrap().unwrap();
    drop(batches); // joins: a thread that did not end would hang the test
    let read = dataset.read.load(Ordering::SeqCst);
    // The one taken, those prepared ahead, and one in the making.
    assert!(read <= 1 + AHEAD + 2, "{read} examples read");
    assert_eq!(Arc::strong_count(&loader.job), 1);
}

#[test]
fn buffers_are_used_again() {
    let loader = augmented(toy(200), options(1)).unwrap();
    let mut places = std::collections::BTreeSet::new();
    for batch in loader.epoch(0, 0).unwrap() {
        places.insert(batch.unwrap().f32("images").as_ptr() as usize);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert!(places.len() <= AHEAD + 3, "{} buffers for 200 batches", places.len());
}

#[test]
fn impossible_requests_are_refused() {
    let reason = |result: Result<Loader, DataError>| match result {
        Err(DataError::Invalid { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    };
    assert!(reason(augmented(toy(10), options(0))).contains("batch size of 0"));
    assert!(reason(augmented(toy(10), options(11))).contains("larger than the 10 examples"));
    let empty = Arc::new(ImageSet::new("none", vec![], [1, 2, 2], vec![], vec![]).unwrap());
    assert!(reason(augmented(empty, LoaderOptions::test(2))).contains("no examples"));
    assert!(ImageSource::plain(toy(10), &Normalize::none(3)).err().unwrap().to_string().contains("1 channels"));
}

/// Fields of other types and shapes, written by name.
#[test]
fn fields_are_told_apart() {
    struct Pairs;
    impl Source for Pairs {
        fn name(&self) -> &str {
            "pairs"
        }
        fn len(&self) -> usize {
            5
        }
        fn fields(&self) -> Vec<Field> {
            vec![Field::u32("tokens", [3]), Field::f32("weight", [])]
        }
        fn read(&self, index: usize, _: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
            out.f32("weight")[0] = index as f32 / 2.0;
            // Only every second example has tokens: what an earlier batch left there must be gone.
            if index % 2 == 0 {
                out.u32("tokens").fill(index as u32 + 1);
            }
            Ok(())
        }
    }
    let loader = Loader::new(Pairs, LoaderOptions::test(1)).unwrap();
    assert_eq!(loader.shapes(), [("tokens", vec![1, 3], DType::U32), ("weight", vec![1], DType::F32)]);
    for (i, batch) in loader.epoch(0, 0).unwrap().enumerate() {
        let batch = batch.unwrap();
        let token = if i % 2 == 0 { i as u32 + 1 } else { 0 };
        assert_eq!((batch.u32("tokens"), batch.f32("weight")), (&[token; 3][..], &[i as f32 / 2.0][..]));
        std::thread::sleep(Duration::from_millis(2)); // its memory comes back
    }
    let batch = loader.epoch(0, 0).unwrap().next().unwrap().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| batch.f32("tokens").len())).is_err());
    assert_eq!(loader.source().describe(), "tokens [3], weight []");
}
