//! The wgpu backend: Vulkan, Metal and DX12.

pub(crate) mod attention;
pub(crate) mod codegen;
pub(crate) mod contraction;
mod disk;
mod memory;
mod open;
mod pipeline;
mod profile;
mod sequence;
mod tuned;

pub(crate) use memory::{GpuBuffer, GpuReadback};
pub(crate) use sequence::GpuSequence;
pub use tuned::Tuned;

use crate::{Adapter, DeviceError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Submissions that may be under way at once. More would only let the queue, and the staging memory it holds, grow.
const IN_FLIGHT: usize = 3;

/// An open wgpu device.
pub(crate) struct Gpu {
    adapter: Adapter,
    limits: wgpu::Limits,
    link: Link,
    pipelines: pipeline::Cache,
    disk: Option<disk::DiskCache>,
    /// The fastest forms found so far, by this process and those before it.
    tuned: Mutex<Tuned>,
    tuned_file: Option<tuned::TunedFile>,
    /// Buffers for readbacks, and mapped ones for uploads.
    staging: Arc<memory::StagingPool>,
    uploads: Arc<memory::StagingPool>,
    /// The lock also orders recording, writing and submitting: some drivers do not survive several threads on one queue.
    in_flight: Mutex<InFlight>,
    /// GPU objects (buffers, bind groups, pipelines, query sets) made so far; tests watch that a loop makes none.
    created: AtomicUsize,
    /// Submissions so far; tests watch that a step makes one.
    submitted: AtomicUsize,
}

/// What the device has been given and may not have done yet.
#[derive(Default)]
struct InFlight {
    submissions: VecDeque<wgpu::SubmissionIndex>,
    /// What the next submission begins with.
    uploads: Vec<memory::Upload>,
}

/// What a readback needs to outlive the call that made it: the handles, and where errors are gathered.
#[derive(Clone)]
struct Link {
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    timeout: Duration,
}

/// Errors that wgpu reported outside of any call's error scope, kept for the next call to return.
#[derive(Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    error: Mutex<Option<DeviceError>>,
}

impl Faults {
    /// The stored error, if any. A lost device stays lost; any other error is reported once.
    fn check(&self) -> Result<(), DeviceError> {
        if let Some(reason) = lock(&self.lost).clone() {
            return Err(DeviceError::Lost(reason));
        }
        match lock(&self.error).take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
}

/// Locks a mutex whose data stays valid even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Link {
    /// Waits for a submission (the latest if `None`), and tells what went wrong so far.
    fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), DeviceError> {
        let wait = wgpu::PollType::Wait { submission_index: submission, timeout: Some(self.timeout) };
        let polled = self.device.poll(wait);
        self.faults.check()?;
        match polled {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(DeviceError::Timeout(self.timeout.as_secs())),
            Err(e) => Err(DeviceError::Validation { what: "a wait".into(), reason: e.to_string() }),
        }
    }
}

impl Gpu {
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Waits until all work is done.
    pub fn wait(&self) -> Result<(), DeviceError> {
        let mut in_flight = lock(&self.in_flight);
        self.link.wait_for(None)?;
        in_flight.submissions.clear();
        Ok(())
    }

    /// The fastest forms of kernels found so far.
    pub fn tuned(&self) -> Tuned {
        lock(&self.tuned).clone()
    }

    /// Adds to the fastest forms, here and on disk, and returns them all.
    pub fn add_tuned(&self, found: Vec<(String, String)>) -> Tuned {
        if let (false, Some(file)) = (found.is_empty(), &self.tuned_file) {
            file.store(&found);
        }
        let mut tuned = lock(&self.tuned);
        *tuned = tuned.with(found);
        tuned.clone()
    }

    /// How many GPU objects were made since the device was opened.
    pub fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// How many submissions there were.
    pub fn submitted(&self) -> usize {
        self.submitted.load(Ordering::Relaxed)
    }

    fn count_created(&self, n: usize) {
        self.created.fetch_add(n, Ordering::Relaxed);
    }

    /// Records commands, submits them, and waits for the oldest submission if too many are under way.
    fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<wgpu::SubmissionIndex, DeviceError> {
        self.link.faults.check()?;
        self.submit_locked(&mut lock(&self.in_flight), record)
    }

    fn submit_locked(
        &self,
        in_flight: &mut InFlight,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex, DeviceError> {
        let mut encoder = self.link.device.create_command_encoder(&Default::default());
        let uploads = std::mem::take(&mut in_flight.uploads);
        uploads.iter().for_each(|u| u.record(&mut encoder));
        record(&mut encoder);
        let submission = self.link.queue.submit([encoder.finish()]);
        self.submitted.fetch_add(1, Ordering::Relaxed);
        uploads.into_iter().for_each(|u| u.recall(&self.uploads));
        self.link.faults.check()?;
        in_flight.submissions.push_back(submission.clone());
        if in_flight.submissions.len() > IN_FLIGHT {
            let oldest = in_flight.submissions.pop_front();
            self.link.wait_for(oldest)?;
        }
        Ok(submission)
    }

    /// Runs `make` and turns an error of wgpu into the value.
    fn scoped<T>(&self, what: &str, bytes: usize, make: impl FnOnce() -> T) -> Result<T, DeviceError> {
        let device = &self.link.device;
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = make();
        // Natively these futures are ready at once.
        let errors = [
            pollster::block_on(internal.pop()),
            pollster::block_on(memory.pop()),
            pollster::block_on(validation.pop()),
        ];
        match errors.into_iter().flatten().next() {
            Some(e) => Err(self.error(e, what, bytes)),
            None => {
                self.link.faults.check()?;
                Ok(made)
            }
        }
    }

    fn error(&self, e: wgpu::Error, what: &str, bytes: usize) -> DeviceError {
        match e {
            wgpu::Error::OutOfMemory { .. } => {
                DeviceError::OutOfMemory { device: self.adapter.name.clone(), bytes, what: what.into() }
            }
            other => DeviceError::Validation { what: what.into(), reason: other.to_string() },
        }
    }
}
