//! The device under test, and running one kernel on it.

use std::sync::{Arc, OnceLock};
use wgrad_device::{Adapter, AdapterKind, Cost, CpuIo, Device, DeviceChoice, Kernel, Launch, Matrices, Pass};

/// The device under test; one for the whole process. `None` if the environment says that there is none to be tested.
pub fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let open = || {
        let choice = std::env::var("WGRAD_TEST_DEVICE").unwrap_or_else(|_| "auto".into());
        match choice.parse().expect("any text is a choice") {
            DeviceChoice::Cpu => None,
            DeviceChoice::Auto => {
                let found = Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software));
                Some(found.expect("the tests need a GPU or lavapipe; WGRAD_TEST_DEVICE=cpu leaves them out"))
            }
            other => Some(Device::open(other).expect("the adapter that WGRAD_TEST_DEVICE names")),
        }
    };
    DEVICE.get_or_init(open).as_ref()
}

/// A kernel in the form that it takes on another kind of adapter.
#[derive(Debug)]
pub struct AsOn(pub Arc<dyn Kernel>, pub AdapterKind, pub Matrices);

impl AsOn {
    fn adapter(&self, real: &Adapter) -> Adapter {
        Adapter { kind: self.1, matrices: self.2, ..real.clone() }
    }
}

impl Kernel for AsOn {
    fn name(&self) -> String {
        self.0.name()
    }
    fn run_cpu(&self, io: &CpuIo) {
        self.0.run_cpu(io);
    }
    fn passes(&self, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
        self.0.passes(&self.adapter(adapter), aliases)
    }
    fn scratch(&self, adapter: &Adapter) -> usize {
        self.0.scratch(&self.adapter(adapter))
    }
    fn cost(&self) -> Cost {
        self.0.cost()
    }
}

/// A launch with fresh memory: inputs filled, outputs of the given sizes, or over the inputs that `aliases` names.
pub fn launch(
    device: &Device,
    kernel: Arc<dyn Kernel>,
    inputs: &[Vec<u8>],
    outputs: &[usize],
    aliases: &[Option<usize>],
) -> Launch {
    let slice = |bytes: usize| {
        let mut slice = device.alloc(bytes, "a test").unwrap().slice();
        slice.bytes = bytes;
        slice
    };
    let inputs: Vec<_> = inputs
        .iter()
        .map(|data| {
            let slice = slice(data.len());
            device.write(&slice, data).unwrap();
            slice
        })
        .collect();
    let aliases: Vec<_> = (0..outputs.len()).map(|o| aliases.get(o).copied().flatten()).collect();
    let outputs = outputs
        .iter()
        .zip(&aliases)
        .map(|(&bytes, alias)| match alias {
            Some(i) => inputs[*i].clone(),
            None => slice(bytes),
        })
        .collect();
    let scratch = match kernel.scratch(device.adapter()) {
        0 => None,
        bytes => Some(slice(bytes)),
    };
    Launch { label: kernel.name(), kernel, inputs, outputs, aliases, scratch }
}

/// Runs one kernel and reads its outputs.
pub fn run(
    device: &Device,
    kernel: Arc<dyn Kernel>,
    inputs: &[Vec<u8>],
    outputs: &[usize],
    aliases: &[Option<usize>],
) -> Vec<Vec<u8>> {
    let launch = launch(device, kernel, inputs, outputs, aliases);
    let outputs = launch.outputs.clone();
    let sequence = device.prepare(vec![launch]).unwrap();
    device.run(&sequence).unwrap();
    outputs.iter().map(|o| device.read(o).unwrap()).collect()
}

/// Random numbers good enough for test data.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
    pub fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }
    /// In [-2, 2).
    pub fn float(&mut self) -> f32 {
        (self.next() >> 7) as f32 / (1 << 22) as f32 - 2.0
    }
}
