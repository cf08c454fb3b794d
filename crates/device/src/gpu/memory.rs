//! Buffers, uploads and readbacks.

use super::{Gpu, Link, lock};
use crate::{DeviceError, Slice};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// The smallest buffer: a binding must not be empty, and a vec4 has to fit.
const MIN_BYTES: usize = 64;
/// Bytes uploaded in one piece, each through a staging buffer of its own.
const WRITE_CHUNK: usize = 16 << 20;
/// Staged bytes after which an upload waits for the device to take them.
const WRITE_OUTSTANDING: usize = 64 << 20;
/// Bytes of staging buffers kept for later readbacks, and for later uploads.
const POOL_BYTES: usize = 64 << 20;

/// Memory on the GPU.
pub(crate) struct GpuBuffer {
    pub(super) raw: wgpu::Buffer,
}

impl GpuBuffer {
    pub fn bytes(&self) -> usize {
        self.raw.size() as usize
    }
}

impl Gpu {
    /// Allocates zeroed memory (wgpu clears it at first use).
    pub fn alloc(&self, bytes: usize, what: &str) -> Result<GpuBuffer, DeviceError> {
        self.link.faults.check()?;
        let size = bytes.max(MIN_BYTES).next_multiple_of(4);
        // Asked before wgpu is: past a limit some drivers lose the device instead of failing the call.
        if size as u64 > self.limits.max_buffer_size {
            let limit = self.limits.max_buffer_size as usize;
            return Err(DeviceError::TooLarge { device: self.adapter.name.clone(), what: what.into(), bytes, limit });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let raw = self.create_buffer(what, size, usage)?;
        Ok(GpuBuffer { raw })
    }

    pub(super) fn create_buffer(
        &self,
        what: &str,
        size: usize,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, DeviceError> {
        self.create(what, size, usage, false)
    }

    fn create(
        &self,
        what: &str,
        size: usize,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<wgpu::Buffer, DeviceError> {
        self.count_created(1);
        self.scoped(what, size, || {
            self.link.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size: size as u64,
                usage,
                mapped_at_creation,
            })
        })
    }

    /// Copies `data` to `offset`, in order with the submissions around it: into mapped memory now, from there with the next
    /// submission. Whatever the device is doing meanwhile goes on.
    pub fn write(&self, to: &GpuBuffer, offset: usize, data: &[u8]) -> Result<(), DeviceError> {
        self.link.faults.check()?;
        let mut in_flight = lock(&self.in_flight);
        for (i, chunk) in data.chunks(WRITE_CHUNK).enumerate() {
            let waiting: usize = in_flight.uploads.iter().map(|u| u.bytes).sum();
            if waiting >= WRITE_OUTSTANDING {
                let submission = self.submit_locked(&mut in_flight, |_| ())?;
                self.link.wait_for(Some(submission))?;
            }
            let from = self.staged(chunk)?;
            let bytes = chunk.len().next_multiple_of(4);
            in_flight.uploads.push(Upload { from, to: to.raw.clone(), offset: offset + i * WRITE_CHUNK, bytes });
        }
        self.link.faults.check()
    }

    /// A staging buffer that begins with `data`, and zeros up to a whole word.
    fn staged(&self, data: &[u8]) -> Result<wgpu::Buffer, DeviceError> {
        let bytes = data.len().next_multiple_of(4);
        let buffer = match self.uploads.take(bytes) {
            Some(buffer) => buffer,
            None => {
                let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
                self.create("an upload", StagingPool::class(bytes), usage, true)?
            }
        };
        let mut view = buffer
            .slice(..bytes as u64)
            .get_mapped_range_mut()
            .map_err(|e| DeviceError::Validation { what: "an upload".into(), reason: e.to_string() })?;
        let whole = data.len() & !3;
        view.slice(..whole).copy_from_slice(&data[..whole]);
        if whole < data.len() {
            let mut last = [0; 4];
            last[..data.len() - whole].copy_from_slice(&data[whole..]);
            view.slice(whole..).copy_from_slice(&last);
        }
        drop(view);
        buffer.unmap();
        Ok(buffer)
    }

    /// Starts to copy slices to the host.
    pub fn read_later(&self, from: &[Slice]) -> Result<Vec<GpuReadback>, DeviceError> {
        self.submit_reading(|_| (), from)
    }

    /// Records commands and the copying of slices to the host, and submits both at once.
    pub(super) fn submit_reading(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
        from: &[Slice],
    ) -> Result<Vec<GpuReadback>, DeviceError> {
        let mut staged = Vec::with_capacity(from.len());
        for s in from {
            let size = s.bytes.next_multiple_of(4);
            staged.push(if size == 0 {
                None
            } else if let Some(buffer) = self.staging.take(size) {
                Some(buffer)
            } else {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                Some(self.create_buffer("a readback", StagingPool::class(size), usage)?)
            });
        }
        let submission = self.submit(|encoder| {
            record(encoder);
            for (s, to) in from.iter().zip(&staged) {
                if let Some(to) = to {
                    let size = s.bytes.next_multiple_of(4) as u64;
                    encoder.copy_buffer_to_buffer(&s.buffer.gpu().raw, s.offset as u64, to, 0, size);
                }
            }
        })?;
        let readback = |(s, buffer): (&Slice, Option<wgpu::Buffer>)| GpuReadback {
            link: self.link.clone(),
            pool: self.staging.clone(),
            submission: submission.clone(),
            buffer,
            bytes: s.bytes,
        };
        Ok(from.iter().zip(staged).map(readback).collect())
    }
}

/// Data on its way to the device.
pub(super) struct Upload {
    from: wgpu::Buffer,
    to: wgpu::Buffer,
    offset: usize,
    bytes: usize,
}

impl Upload {
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.copy_buffer_to_buffer(&self.from, 0, &self.to, self.offset as u64, self.bytes as u64);
    }

    /// Gives the staging buffer back to `pool`, mapped, once the device has read it.
    pub fn recall(self, pool: &Arc<StagingPool>) {
        let (buffer, pool) = (self.from.clone(), Arc::downgrade(pool));
        self.from.slice(..).map_async(wgpu::MapMode::Write, move |mapped| {
            if let (Ok(()), Some(pool)) = (mapped, pool.upgrade()) {
                pool.give(buffer);
            }
        });
    }
}

/// Staging buffers not in use, by size.
#[derive(Default)]
pub(super) struct StagingPool {
    free: Mutex<BTreeMap<usize, Vec<wgpu::Buffer>>>,
}

impl StagingPool {
    /// The size of buffer that serves a readback of `bytes`: few sizes, so that buffers are found again.
    fn class(bytes: usize) -> usize {
        let bytes = bytes.max(MIN_BYTES);
        if bytes <= 1 << 20 { bytes.next_power_of_two() } else { bytes.next_multiple_of(1 << 20) }
    }

    fn take(&self, bytes: usize) -> Option<wgpu::Buffer> {
        lock(&self.free).get_mut(&Self::class(bytes))?.pop()
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let mut free = lock(&self.free);
        let held: usize = free.iter().map(|(size, buffers)| size * buffers.len()).sum();
        let size = buffer.size() as usize;
        if held + size <= POOL_BYTES {
            free.entry(size).or_default().push(buffer);
        }
    }
}

/// A copy to the host under way. Its staging buffer returns to the pool when this is consumed or dropped.
pub(crate) struct GpuReadback {
    link: Link,
    pool: Arc<StagingPool>,
    submission: wgpu::SubmissionIndex,
    buffer: Option<wgpu::Buffer>,
    bytes: usize,
}

impl GpuReadback {
    /// The bytes, once the device has written them.
    pub fn wait(mut self) -> Result<Vec<u8>, DeviceError> {
        let Some(buffer) = self.buffer.take() else { return Ok(vec![]) };
        let refused = |reason: String| DeviceError::Validation { what: "a readback".into(), reason };
        let size = self.bytes.next_multiple_of(4) as u64;
        let (done, mapped) = mpsc::channel();
        buffer.slice(..size).map_async(wgpu::MapMode::Read, move |r| {
            let _ = done.send(r); // nobody waits any more after an error
        });
        self.link.wait_for(Some(self.submission.clone()))?;
        loop {
            match mapped.recv_timeout(Duration::from_millis(1)) {
                Ok(Ok(())) => break,
                Ok(Err(e)) => return Err(refused(e.to_string())),
                // Either the submission was done before the map was asked for, or another thread that polls has taken the
                // answer and is about to hand it over.
                Err(mpsc::RecvTimeoutError::Timeout) => self.link.wait_for(None)?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(refused("the buffer was never mapped".into()));
                }
            }
        }
        let view = buffer.slice(..size).get_mapped_range().map_err(|e| refused(e.to_string()))?;
        let bytes = view[..self.bytes].to_vec();
        drop(view);
        buffer.unmap();
        self.pool.give(buffer);
        Ok(bytes)
    }
}

impl Drop for GpuReadback {
    fn drop(&mut self) {
        // The copy may still run; whatever uses the buffer next is ordered after it.
        if let Some(buffer) = self.buffer.take() {
            self.pool.give(buffer);
        }
    }
}
