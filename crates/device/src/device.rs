//! The device handle: one face for both backends.

use crate::cpu::{self, Memory};
use crate::gpu::{self, Gpu};
use crate::{Adapter, AdapterKind, Cost, CpuIo, DeviceChoice, DeviceError, Kernel};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A device that kernels run on. Cheap to clone; the device closes when the last handle and buffer are gone.
#[derive(Clone)]
pub struct Device {
    backend: Backend,
    adapter: Arc<Adapter>,
    why: Arc<str>,
    /// See [`Device::with_tuning`].
    tunes: bool,
}

#[derive(Clone)]
enum Backend {
    Cpu,
    Gpu(Arc<Gpu>),
}

/// Memory on a device. Cheap to clone (a handle); freed when the last handle goes.
#[derive(Clone)]
pub struct Buffer(Storage);

#[derive(Clone)]
enum Storage {
    Cpu(Arc<Memory>),
    Gpu(Arc<gpu::GpuBuffer>),
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Storage::Cpu(m) => m.bytes(),
            Storage::Gpu(b) => b.bytes(),
        }
    }

    /// The whole buffer as a slice.
    pub fn slice(&self) -> Slice {
        Slice { buffer: self.clone(), offset: 0, bytes: self.bytes() }
    }

    /// Whether both handles name the same memory.
    pub fn same(&self, other: &Buffer) -> bool {
        match (&self.0, &other.0) {
            (Storage::Cpu(a), Storage::Cpu(b)) => Arc::ptr_eq(a, b),
            (Storage::Gpu(a), Storage::Gpu(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(crate) fn gpu(&self) -> &gpu::GpuBuffer {
        match &self.0 {
            Storage::Gpu(b) => b,
            Storage::Cpu(_) => panic!("a CPU buffer was given to a GPU device"),
        }
    }

    pub(crate) fn cpu(&self) -> &Memory {
        match &self.0 {
            Storage::Cpu(m) => m,
            Storage::Gpu(_) => panic!("a GPU buffer was given to the CPU backend"),
        }
    }
}

/// Part of a buffer.
#[derive(Clone)]
pub struct Slice {
    /// The buffer.
    pub buffer: Buffer,
    /// First byte; a multiple of [`Adapter::alignment`].
    pub offset: usize,
    /// Length in bytes.
    pub bytes: usize,
}

/// A kernel with the memory it works on.
#[derive(Clone)]
pub struct Launch {
    /// What to run.
    pub kernel: Arc<dyn Kernel>,
    /// What it reads.
    pub inputs: Vec<Slice>,
    /// What it writes.
    pub outputs: Vec<Slice>,
    /// For each output, the input whose memory it shares.
    pub aliases: Vec<Option<usize>>,
    /// Memory of at least [`Kernel::scratch`] bytes, if it wants any.
    pub scratch: Option<Slice>,
    /// What the user would call it, for error messages.
    pub label: String,
}

/// A list of launches, made ready: pipelines compiled, bind groups made.
pub struct Sequence(Prepared);

enum Prepared {
    Cpu(Vec<Launch>),
    Gpu(gpu::GpuSequence),
}

/// A copy from the device that may still be under way.
pub struct Readback(Pending);

enum Pending {
    Ready(Vec<u8>),
    Gpu(gpu::GpuReadback),
}

impl Readback {
    /// The bytes; waits until the device has written them.
    pub fn wait(self) -> Result<Vec<u8>, DeviceError> {
        match self.0 {
            Pending::Ready(bytes) => Ok(bytes),
            Pending::Gpu(r) => r.wait(),
        }
    }
}

/// What one kernel took in a profiled run.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// The kernel's name.
    pub name: String,
    /// Time on the device.
    pub time: Duration,
    /// The work it did.
    pub cost: Cost,
}

impl Device {
    /// Opens the device that `choice` selects.
    ///
    /// # Errors
    /// [`DeviceError::NoAdapter`] if nothing matches, [`DeviceError::Open`] if the driver refuses.
    pub fn open(choice: DeviceChoice) -> Result<Device, DeviceError> {
        let on_cpu = |why: &str| {
            let adapter = Arc::new(cpu::adapter());
            Device { backend: Backend::Cpu, adapter, why: why.into(), tunes: false }
        };
        if choice == DeviceChoice::Cpu {
            return Ok(on_cpu("as asked"));
        }
        match Gpu::open(&choice) {
            Ok(gpu) => {
                let adapter = Arc::new(gpu.adapter().clone());
                let why = if choice == DeviceChoice::Auto { "the first real GPU found" } else { "as asked" };
                Ok(Device { backend: Backend::Gpu(Arc::new(gpu)), adapter, why: why.into(), tunes: false })
            }
            Err(DeviceError::NoAdapter { found, .. }) if choice == DeviceChoice::Auto => Ok(on_cpu(&format!(
                "no GPU found{}",
                if found.is_empty() || found == "none" {
                    String::new()
                } else {
                    format!("; only {found}, used when asked for with --device software")
                }
            ))),
            Err(e) => Err(e),
        }
    }

    /// The CPU backend, which is always there.
    pub fn cpu() -> Device {
        Device::open(DeviceChoice::Cpu).expect("the CPU backend always opens")
    }

    /// What the device is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Why this device was chosen, for the one line that says so.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether this is the CPU backend.
    pub fn is_cpu(&self) -> bool {
        self.adapter.kind == AdapterKind::Cpu
    }

    /// Allocates zeroed memory of at least `bytes` bytes; `what` names it in errors.
    pub fn alloc(&self, bytes: usize, what: &str) -> Result<Buffer, DeviceError> {
        Ok(Buffer(match &self.backend {
            Backend::Cpu => Storage::Cpu(Arc::new(Memory::new(bytes, what)?)),
            Backend::Gpu(gpu) => Storage::Gpu(Arc::new(gpu.alloc(bytes, what)?)),
        }))
    }

    /// Copies `data` to the start of `to`, in order with the runs around it.
    ///
    /// # Panics
    /// If `data` is longer than the slice.
    pub fn write(&self, to: &Slice, data: &[u8]) -> Result<(), DeviceError> {
        assert!(data.len() <= to.bytes, "{} bytes written to a slice of {}", data.len(), to.bytes);
        match &self.backend {
            Backend::Cpu => {
                to.buffer.cpu().write(to.offset, data);
                Ok(())
            }
            Backend::Gpu(gpu) => gpu.write(to.buffer.gpu(), to.offset, data),
        }
    }

    /// Reads a slice, waiting for all work given to the device before.
    pub fn read(&self, from: &Slice) -> Result<Vec<u8>, DeviceError> {
        self.read_later(std::slice::from_ref(from))?.pop().expect("one slice, one readback").wait()
    }

    /// Starts to copy slices to the host; the copies see all work given to the device before.
    pub fn read_later(&self, from: &[Slice]) -> Result<Vec<Readback>, DeviceError> {
        match &self.backend {
            Backend::Cpu => {
                Ok(from.iter().map(|s| Readback(Pending::Ready(s.buffer.cpu().read(s.offset, s.bytes)))).collect())
            }
            Backend::Gpu(gpu) => Ok(gpu.read_later(from)?.into_iter().map(|r| Readback(Pending::Gpu(r))).collect()),
        }
    }

    /// Compiles the launches' pipelines, side by side, for a later [`Device::prepare`] of the same launches with other memory: which
    /// of their slices share a buffer matters, and how long they are, but not which buffers these are.
    ///
    /// # Errors
    /// If the device cannot run one of them.
    pub fn compile(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        match &self.backend {
            Backend::Cpu => Ok(()),
            Backend::Gpu(gpu) => gpu.compile(launches, &self.adapter),
        }
    }

    /// Compiles the launches' pipelines and binds their memory, so that [`Device::run`] only has to submit.
    pub fn prepare(&self, launches: Vec<Launch>) -> Result<Sequence, DeviceError> {
        Ok(Sequence(match &self.backend {
            Backend::Cpu => Prepared::Cpu(launches),
            Backend::Gpu(gpu) => Prepared::Gpu(gpu.prepare(launches, &self.adapter, true)?),
        }))
    }

    /// As [`Device::prepare`], without keeping the pipelines for others.
    pub(crate) fn prepare_once(&self, launches: Vec<Launch>) -> Result<Sequence, DeviceError> {
        match &self.backend {
            Backend::Cpu => self.prepare(launches),
            Backend::Gpu(gpu) => Ok(Sequence(Prepared::Gpu(gpu.prepare(launches, &self.adapter, false)?))),
        }
    }

    /// Another handle of the same device, that plans for this adapter.
    pub(crate) fn as_on(&self, adapter: Adapter) -> Device {
        Device { adapter: Arc::new(adapter), ..self.clone() }
    }

    pub(crate) fn set_tuning(&mut self, on: bool) {
        self.tunes = on;
    }

    /// What remembers the fastest forms, if this handle tunes.
    pub(crate) fn tuning(&self) -> Option<&Gpu> {
        match &self.backend {
            Backend::Gpu(gpu) if self.tunes => Some(gpu),
            _ => None,
        }
    }

    /// Runs a sequence. On a GPU this returns once the work is submitted.
    pub fn run(&self, sequence: &Sequence) -> Result<(), DeviceError> {
        match (&self.backend, &sequence.0) {
            (Backend::Cpu, Prepared::Cpu(launches)) => {
                // On one of the pool's threads: from outside, each launch would wait for it asleep.
                rayon::scope(|_| launches.iter().for_each(run_on_cpu));
                Ok(())
            }
            (Backend::Gpu(gpu), Prepared::Gpu(s)) => gpu.run(s, &[]).map(drop),
            _ => panic!("a sequence was run on another device than it was prepared for"),
        }
    }

    /// Runs a sequence and starts to copy slices to the host, as [`Device::run`] and [`Device::read_later`] do, but in one
    /// submission.
    pub fn run_and_read(&self, sequence: &Sequence, from: &[Slice]) -> Result<Vec<Readback>, DeviceError> {
        match (&self.backend, &sequence.0) {
            (Backend::Gpu(gpu), Prepared::Gpu(s)) => {
                Ok(gpu.run(s, from)?.into_iter().map(|r| Readback(Pending::Gpu(r))).collect())
            }
            _ => {
                self.run(sequence)?;
                self.read_later(from)
            }
        }
    }

    /// Runs a sequence kernel by kernel and measures each; slower than [`Device::run`].
    pub fn run_profiled(&self, sequence: &Sequence) -> Result<Vec<KernelTime>, DeviceError> {
        match (&self.backend, &sequence.0) {
            (Backend::Cpu, Prepared::Cpu(launches)) => {
                let timed = |l: &Launch| {
                    let start = Instant::now();
                    run_on_cpu(l);
                    KernelTime { name: l.kernel.name(), time: start.elapsed(), cost: l.kernel.cost() }
                };
                Ok(rayon::scope(|_| launches.iter().map(timed).collect()))
            }
            (Backend::Gpu(gpu), Prepared::Gpu(s)) => gpu.run_profiled(s),
            _ => panic!("a sequence was run on another device than it was prepared for"),
        }
    }

    /// GPU objects (buffers, bind groups, pipelines) made so far. A training loop must not make any.
    #[doc(hidden)]
    pub fn objects_created(&self) -> usize {
        match &self.backend {
            Backend::Cpu => 0,
            Backend::Gpu(gpu) => gpu.created(),
        }
    }

    /// Pipelines compiled so far. A program's are compiled with it, not when it runs.
    #[doc(hidden)]
    pub fn pipelines_compiled(&self) -> usize {
        match &self.backend {
            Backend::Cpu => 0,
            Backend::Gpu(gpu) => gpu.pipelines_compiled(),
        }
    }

    /// Submissions to the GPU so far. A training step makes one.
    #[doc(hidden)]
    pub fn submissions(&self) -> usize {
        match &self.backend {
            Backend::Cpu => 0,
            Backend::Gpu(gpu) => gpu.submitted(),
        }
    }

    /// How many dispatches of a sequence have to wait for earlier ones, as wgpu tracks it.
    #[doc(hidden)]
    pub fn barriers(&self, sequence: &Sequence) -> usize {
        match &sequence.0 {
            Prepared::Cpu(_) => 0,
            Prepared::Gpu(s) => s.barriers,
        }
    }

    /// Waits until the device has finished all work.
    pub fn wait(&self) -> Result<(), DeviceError> {
        match &self.backend {
            Backend::Cpu => Ok(()),
            Backend::Gpu(gpu) => gpu.wait(),
        }
    }
}

fn run_on_cpu(l: &Launch) {
    l.kernel.run_cpu(&CpuIo::new(l));
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.adapter)
    }
}
