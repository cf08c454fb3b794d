//! The CPU backend: for tests, and for people without a GPU.

pub(crate) mod attention;
mod bands;
mod broadcast;
pub(crate) mod contraction;
mod exp;
pub(crate) mod fold;
mod hoist;
pub(crate) mod index;
pub(crate) mod interpret;
mod math;
mod ops;
pub(crate) mod recurrence;
mod rows;
mod shifted;
mod source;
mod target;
mod tile;
mod walk;
pub(crate) mod walks;
mod work;

use crate::{Adapter, AdapterKind, DeviceError, Launch};
use rayon::prelude::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Mutex;

/// Memory of the CPU backend: zeroed, aligned to a cache line, and shared between kernels by raw pointers because one
/// kernel may read and write the same place. [`crate::Device`] runs kernels one after another; within a kernel, threads
/// write disjoint ranges.
pub(crate) struct Memory {
    ptr: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory is plain bytes; who accesses it when is ruled by the device, as said above.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(bytes: usize, what: &str) -> Result<Memory, DeviceError> {
        let oom = || DeviceError::OutOfMemory { device: "cpu".into(), bytes, what: what.into() };
        // Whole words, as on a GPU: an odd number of f16 elements ends in the middle of one.
        let layout = Layout::from_size_align(bytes.max(64).next_multiple_of(4), 64).map_err(|_| oom())?;
        // SAFETY: the layout's size is not zero.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(oom)?;
        Ok(Memory { ptr, layout })
    }

    pub fn bytes(&self) -> usize {
        self.layout.size()
    }

    pub fn write(&self, offset: usize, data: &[u8]) {
        assert!(offset + data.len() <= self.bytes());
        // SAFETY: the range was just checked; no kernel runs while the host writes.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.ptr.as_ptr().add(offset), data.len()) }
    }

    pub fn read(&self, offset: usize, bytes: usize) -> Vec<u8> {
        assert!(offset + bytes <= self.bytes());
        // SAFETY: the range was just checked; no kernel runs while the host reads.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().add(offset), bytes).to_vec() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

/// The buffers of one launch, as a kernel's CPU twin sees them.
pub struct CpuIo {
    inputs: Vec<(*mut u8, usize)>,
    outputs: Vec<(*mut u8, usize)>,
    /// Held while an output is being filled.
    filling: Mutex<()>,
}

// SAFETY: kernels split outputs into disjoint ranges between threads.
unsafe impl Sync for CpuIo {}

impl CpuIo {
    pub(crate) fn new(launch: &Launch) -> CpuIo {
        let view = |s: &crate::Slice| {
            let memory = s.buffer.cpu();
            assert!(s.offset + s.bytes <= memory.bytes());
            // SAFETY: within the allocation.
            (unsafe { memory.ptr.as_ptr().add(s.offset) }, s.bytes)
        };
        CpuIo {
            inputs: launch.inputs.iter().map(view).collect(),
            outputs: launch.outputs.iter().map(view).collect(),
            filling: Mutex::new(()),
        }
    }

    /// The elements of input `i`, for kernels that never work in place.
    ///
    /// # Panics
    /// If an output lies over the input ([`crate::Kernel::may_alias`] allowed it).
    pub fn elements<T: bytemuck::Pod>(&self, i: usize) -> &[T] {
        let (start, bytes) = self.inputs[i];
        let at = start as usize;
        let over = self.outputs.iter().any(|&(o, n)| at < o as usize + n && (o as usize) < at + bytes);
        assert!(!over, "input {i} shares its memory with an output");
        // SAFETY: the launch's own memory, aligned for any element, which nothing writes while the kernel runs.
        unsafe { std::slice::from_raw_parts(start.cast(), bytes / size_of::<T>()) }
    }

    /// Sets each element of output `o` to `value` of its position, in parallel.
    ///
    /// # Panics
    /// If `value` itself fills an output.
    pub fn fill<T: bytemuck::Pod + Send>(&self, o: usize, value: impl Fn(usize) -> T + Sync) {
        let alone = self.filling.try_lock().expect("one output is filled at a time");
        let (start, bytes) = self.outputs[o];
        // SAFETY: the launch's own memory, aligned for any element; nobody else is given it while this runs, as no output
        // lies over another.
        let elements = unsafe { std::slice::from_raw_parts_mut(start.cast::<T>(), bytes / size_of::<T>()) };
        elements.par_iter_mut().with_min_len(1024).enumerate().for_each(|(p, x)| *x = value(p));
        drop(alone);
    }

    /// Start and length (in elements of `T`) of an input. The memory may be written by this same kernel through an
    /// aliased output, so it is not handed out as a slice.
    pub fn input<T>(&self, i: usize) -> (*const T, usize) {
        (self.inputs[i].0.cast(), self.inputs[i].1 / size_of::<T>())
    }

    /// Start and length (in elements of `T`) of an output. Threads must write disjoint parts.
    pub fn output<T>(&self, o: usize) -> (*mut T, usize) {
        (self.outputs[o].0.cast(), self.outputs[o].1 / size_of::<T>())
    }
}

pub(crate) fn adapter() -> Adapter {
    let threads = rayon::current_num_threads();
    Adapter {
        name: format!("cpu, {threads} thread{}", if threads == 1 { "" } else { "s" }),
        driver: String::new(),
        backend: "cpu".into(),
        kind: AdapterKind::Cpu,
        max_binding: isize::MAX as usize,
        max_storage_buffers: 64,
        alignment: 256,
        f16: true,
        timestamps: true,
        subgroup: 0,
        matrices: Default::default(),
        tuned: Default::default(),
    }
}
