//! Batches, prepared in the background.
//!
//! Which examples a batch holds, and how they are augmented, is a function of the seed, the epoch and the batch's
//! place in it: not of threads, of timing, or of where the run was interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::augment::{Augment, Normalize};
use super::dataset::ImageDataset;
use crate::error::DataError;
use crate::rng::{Purpose, Stream};

/// How many batches are prepared ahead of the one in use.
const AHEAD: usize = 2;

/// What a [`Loader`] does with a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Examples in a batch.
    pub batch_size: usize,
    /// Decides every order and every augmentation.
    pub seed: u64,
    /// Takes the examples of each epoch in another order.
    pub shuffle: bool,
    /// Leaves out the last batch where it is smaller than the others.
    pub drop_last: bool,
    /// Random changes to the images.
    pub augment: Augment,
    /// The scale of the values.
    pub normalize: Normalize,
}

impl LoaderOptions {
    /// For learning: in random order, whole batches only.
    pub fn train(batch_size: usize, seed: u64, augment: Augment, normalize: Normalize) -> Self {
        Self { batch_size, seed, shuffle: true, drop_last: true, augment, normalize }
    }

    /// For judging: every example once, in order, unchanged; the last batch may be smaller.
    pub fn test(batch_size: usize, normalize: Normalize) -> Self {
        Self { batch_size, seed: 0, shuffle: false, drop_last: false, augment: Augment::default(), normalize }
    }
}

/// Prepared examples. Its buffers go back to the loader when it is dropped.
#[derive(Debug)]
pub struct Batch {
    /// The images' values, of `shape`.
    pub images: Vec<f32>,
    /// Their labels.
    pub labels: Vec<u32>,
    /// Batch, channels, height, width.
    pub shape: [usize; 4],
    /// The batch's place in its epoch, from 0.
    pub index: usize,
    home: Sender<Buffers>,
}

type Buffers = (Vec<f32>, Vec<u32>);

impl Batch {
    /// Examples in this batch.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none; loaders give no such batch.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Nobody there to take them: they are freed.
        let _ = self.home.send((std::mem::take(&mut self.images), std::mem::take(&mut self.labels)));
    }
}

/// Makes batches of a data set, epoch by epoch.
#[derive(Clone)]
pub struct Loader {
    job: Arc<Job>,
}

/// All that the background thread needs.
struct Job {
    dataset: Arc<dyn ImageDataset>,
    options: LoaderOptions,
    tables: Vec<[f32; 256]>,
}

impl Loader {
    /// A loader over `dataset`.
    ///
    /// # Errors
    /// When not even one batch can be made: a batch size of 0, no examples, or fewer than a batch where the last batch
    /// is left out; and when `normalize` has another number of channels.
    pub fn new(dataset: Arc<dyn ImageDataset>, options: LoaderOptions) -> Result<Self, DataError> {
        let [channels, ..] = dataset.shape();
        let (examples, size) = (dataset.len(), options.batch_size);
        let reason = if size == 0 {
            "a batch size of 0 trains nothing".into()
        } else if examples == 0 {
            "there are no examples".into()
        } else if options.drop_last && size > examples {
            format!("a batch of {size} is larger than the {examples} examples: choose a smaller batch size")
        } else if options.normalize.mean.len() != channels || options.normalize.std.len() != channels {
            let given = options.normalize.mean.len();
            format!("images of {channels} channels cannot be normalised by the statistics of {given}")
        } else {
            let tables = options.normalize.tables();
            return Ok(Self { job: Arc::new(Job { dataset, options, tables }) });
        };
        Err(DataError::Invalid { name: dataset.name().into(), reason })
    }

    /// Batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (examples, size) = (self.job.dataset.len(), self.job.options.batch_size);
        if self.job.options.drop_last { examples / size } else { examples.div_ceil(size) }
    }

    /// Examples that an epoch's batches hold together.
    pub fn examples_per_epoch(&self) -> usize {
        let (examples, size) = (self.job.dataset.len(), self.job.options.batch_size);
        if self.job.options.drop_last { examples / size * size } else { examples }
    }

    /// What was asked of this loader.
    pub fn options(&self) -> &LoaderOptions {
        &self.job.options
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn ImageDataset> {
        &self.job.dataset
    }

    /// The batches of `epoch`, from batch `first` on: 0 for the whole epoch, more to go on where a run stopped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn epoch(&self, epoch: usize, first: usize) -> Result<Batches, DataError> {
        let (batches, receiver) = sync_channel(AHEAD);
        let job = self.job.clone();
        let last = self.batches_per_epoch();
        let thread = std::thread::Builder::new()
            .name("wgrad-loader".into())
            .spawn(move || job.work(epoch, first..last, &batches))
            .map_err(|source| DataError::Loader { message: source.to_string() })?;
        Ok(Batches { left: last.saturating_sub(first), receiver: Some(receiver), thread: Some(thread) })
    }
}

impl Job {
    /// The order of the examples in an epoch.
    fn order(&self, epoch: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.dataset.len() as u32).collect();
        if self.options.shuffle {
            Stream::new(self.options.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
        }
        order
    }

    fn work(&self, epoch: usize, indices: std::ops::Range<usize>, batches: &SyncSender<Result<Batch, DataError>>) {
        let (home, returned) = channel();
        let mut image = Vec::new();
        // A data set of the user's own may panic: that is handed over as an error, as any other failure.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let order = self.order(epoch);
            for index in indices {
                let buffers = returned.try_recv().unwrap_or_default();
                let batch = self.batch(epoch, index, &order, buffers, &mut image, home.clone());
                let failed = batch.is_err();
                // A loader that was dropped does not listen any more.
                if batches.send(batch).is_err() || failed {
                    return;
                }
            }
        }));
        if let Err(panic) = done {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").into();
            let _ = batches.send(Err(DataError::Loader { message }));
        }
    }

    fn batch(
        &self,
        epoch: usize,
        index: usize,
        order: &[u32],
        (mut images, mut labels): Buffers,
        image: &mut Vec<u8>,
        home: Sender<Buffers>,
    ) -> Result<Batch, DataError> {
        let shape @ [channels, height, width] = self.dataset.shape();
        let size = channels * height * width;
        let first = index * self.options.batch_size;
        let chosen = &order[first..order.len().min(first + self.options.batch_size)];
        image.resize(size, 0);
        labels.clear();
        images.resize(chosen.len() * size, 0.0);
        for (&example, out) in chosen.iter().zip(images.chunks_exact_mut(size)) {
            labels.push(self.dataset.read(example as usize, image)?);
            let mut stream = Stream::new(self.options.seed, Purpose::Augment, epoch, example as usize);
            self.options.augment.apply(image, shape, &self.tables, &mut stream, out);
        }
        Ok(Batch { shape: [chosen.len(), channels, height, width], images, labels, index, home })
    }
}

/// The rest of an epoch. Ends after the first error; dropping it ends the background thread.
pub struct Batches {
    left: usize,
    receiver: Option<Receiver<Result<Batch, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let gone = || DataError::Loader { message: "it ended before the epoch did".into() };
        let batch = self.receiver.as_ref()?.recv().unwrap_or_else(|_| Err(gone()));
        self.left = if batch.is_ok() { self.left - 1 } else { 0 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without a receiver, the thread's next send fails and it ends.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
