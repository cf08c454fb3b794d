//! The wgpu backend: Vulkan, Metal and DX12.

pub(crate) mod codegen;
pub(crate) mod contraction;

use crate::{Adapter, DeviceChoice, DeviceError, KernelTime, Launch, Slice};

pub(crate) struct Gpu {
    adapter: Adapter,
}

pub(crate) struct GpuBuffer {
    bytes: usize,
}

impl GpuBuffer {
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

pub(crate) struct GpuSequence {}

pub(crate) struct GpuReadback {}

impl GpuReadback {
    pub fn wait(self) -> Result<Vec<u8>, DeviceError> {
        todo!()
    }
}

impl Gpu {
    pub fn open(_choice: &DeviceChoice) -> Result<Gpu, DeviceError> {
        todo!()
    }
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }
    pub fn alloc(&self, _bytes: usize, _what: &str) -> Result<GpuBuffer, DeviceError> {
        todo!()
    }
    pub fn write(&self, _to: &GpuBuffer, _offset: usize, _data: &[u8]) -> Result<(), DeviceError> {
        todo!()
    }
    pub fn read_later(&self, _from: &[Slice]) -> Result<Vec<GpuReadback>, DeviceError> {
        todo!()
    }
    pub fn prepare(&self, _launches: Vec<Launch>) -> Result<GpuSequence, DeviceError> {
        todo!()
    }
    pub fn run(&self, _s: &GpuSequence) -> Result<(), DeviceError> {
        todo!()
    }
    pub fn run_profiled(&self, _s: &GpuSequence) -> Result<Vec<KernelTime>, DeviceError> {
        todo!()
    }
    pub fn wait(&self) -> Result<(), DeviceError> {
        todo!()
    }
}
