//! Batches, prepared in the background.
//!
//! Which examples a batch holds, and how they are augmented, is a function of the seed, the epoch and the batch's
//! place in it: not of threads, of timing, or of where the run was interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use wgrad_graph::{DType, Data};

use super::source::{Example, Field, Source, Values, place};
use crate::error::DataError;
use crate::rng::{Purpose, Stream};

/// How many batches are prepared ahead of the one in use.
const AHEAD: usize = 2;

/// What a [`Loader`] does with a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Examples in a batch.
    pub batch_size: usize,
    /// Decides every order and every augmentation.
    pub seed: u64,
    /// Takes the examples of each epoch in another order.
    pub shuffle: bool,
    /// Leaves out the last batch where it is smaller than the others.
    pub drop_last: bool,
}

impl LoaderOptions {
    /// For learning: in random order, whole batches only.
    pub fn train(batch_size: usize, seed: u64) -> Self {
        Self { batch_size, seed, shuffle: true, drop_last: true }
    }

    /// For judging: every example once, in order; the last batch may be smaller.
    pub fn test(batch_size: usize) -> Self {
        Self { batch_size, seed: 0, shuffle: false, drop_last: false }
    }
}

/// Prepared examples. Its buffers go back to the loader when it is dropped.
#[derive(Debug)]
pub struct Batch {
    /// The batch's place in its epoch, from 0.
    pub index: usize,
    fields: Arc<[Field]>,
    values: Vec<Values>,
    len: usize,
    home: Sender<Vec<Values>>,
}

impl Batch {
    /// Examples in this batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none; loaders give no such batch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each field's name, its shape with the batch in front, and its type.
    pub fn shapes(&self) -> Vec<(&'static str, Vec<usize>, DType)> {
        shapes(&self.fields, self.len)
    }

    /// The f32 field `name` of all examples.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn f32(&self, name: &str) -> &[f32] {
        match &self.values[place(&self.fields, name).0] {
            Values::F32(values) => values,
            Values::U32(_) => panic!("the field \"{name}\" is of u32"),
        }
    }

    /// The u32 field `name` of all examples.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn u32(&self, name: &str) -> &[u32] {
        match &self.values[place(&self.fields, name).0] {
            Values::U32(values) => values,
            Values::F32(_) => panic!("the field \"{name}\" is of f32"),
        }
    }

    /// All fields, as a program takes them.
    pub fn inputs(&self) -> Vec<(&str, Data<'_>)> {
        self.fields.iter().zip(&self.values).map(|(field, values)| (field.name, values.data())).collect()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Nobody there to take them: they are freed.
        let _ = self.home.send(std::mem::take(&mut self.values));
    }
}

fn shapes(fields: &[Field], examples: usize) -> Vec<(&'static str, Vec<usize>, DType)> {
    fields.iter().map(|f| (f.name, [&[examples], &f.shape[..]].concat(), f.dtype)).collect()
}

/// Makes batches of a data set, epoch by epoch.
#[derive(Clone)]
pub struct Loader {
    job: Arc<Job>,
}

/// All that the background thread needs.
struct Job {
    source: Arc<dyn Source>,
    fields: Arc<[Field]>,
    options: LoaderOptions,
}

impl Loader {
    /// A loader over `source`.
    ///
    /// # Errors
    /// When not even one batch can be made: a batch size of 0, no examples, or fewer than a batch where the last batch
    /// is left out.
    pub fn new(source: impl Source + 'static, options: LoaderOptions) -> Result<Self, DataError> {
        Self::shared(Arc::new(source), options)
    }

    /// A loader over a source that others use as well.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn shared(source: Arc<dyn Source>, options: LoaderOptions) -> Result<Self, DataError> {
        let (examples, size) = (source.len(), options.batch_size);
        let reason = if size == 0 {
            "a batch size of 0 trains nothing".into()
        } else if examples == 0 {
            "there are no examples".into()
        } else if u32::try_from(examples).is_err() {
            format!("{examples} examples are more than 2^32 - 1")
        } else if options.drop_last && size > examples {
            format!("a batch of {size} is larger than the {examples} examples: choose a smaller batch size")
        } else {
            let fields = source.fields().into();
            return Ok(Self { job: Arc::new(Job { source, fields, options }) });
        };
        Err(DataError::Invalid { name: source.name().into(), reason })
    }

    /// Batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (examples, size) = (self.job.source.len(), self.job.options.batch_size);
        if self.job.options.drop_last { examples / size } else { examples.div_ceil(size) }
    }

    /// Examples that an epoch's batches hold together.
    pub fn examples_per_epoch(&self) -> usize {
        let (examples, size) = (self.job.source.len(), self.job.options.batch_size);
        if self.job.options.drop_last { examples / size * size } else { examples }
    }

    /// What was asked of this loader.
    pub fn options(&self) -> &LoaderOptions {
        &self.job.options
    }

    /// The data set.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.job.source
    }

    /// Each field's name, its shape in a whole batch, and its type.
    pub fn shapes(&self) -> Vec<(&'static str, Vec<usize>, DType)> {
        shapes(&self.job.fields, self.job.options.batch_size.min(self.job.source.len()))
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
        let mut order: Vec<u32> = (0..self.source.len() as u32).collect();
        if self.options.shuffle {
            Stream::new(self.options.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
        }
        order
    }

    fn work(&self, epoch: usize, indices: std::ops::Range<usize>, batches: &SyncSender<Result<Batch, DataError>>) {
        let (home, returned) = channel();
        // A data set of the user's own may panic: that is handed over as an error, as any other failure.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let order = self.order(epoch);
            for index in indices {
                let buffers = returned.try_recv().unwrap_or_default();
                let batch = self.batch(epoch, index, &order, buffers, home.clone());
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
        old: Vec<Values>,
        home: Sender<Vec<Values>>,
    ) -> Result<Batch, DataError> {
        let first = index * self.options.batch_size;
        let chosen = &order[first..order.len().min(first + self.options.batch_size)];
        let mut old = old.into_iter();
        let mut values: Vec<Values> =
            self.fields.iter().map(|field| Values::zeros(field, chosen.len(), old.next())).collect();
        for (row, &example) in chosen.iter().enumerate() {
            let mut stream = Stream::new(self.options.seed, Purpose::Augment, epoch, example as usize);
            let mut out = Example { fields: &self.fields, values: &mut values, row };
            self.source.read(example as usize, &mut stream, &mut out)?;
        }
        Ok(Batch { index, fields: self.fields.clone(), values, len: chosen.len(), home })
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
