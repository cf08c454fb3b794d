//! Which device to use, and what it can do.

use crate::Tuned;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Which device a program should run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU backend.
    Auto,
    /// A real GPU; an error if there is none.
    Gpu,
    /// A software GPU (lavapipe, WARP); an error if there is none.
    Software,
    /// The CPU backend.
    Cpu,
    /// The first adapter whose name contains this, in any case.
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = Infallible;

    fn from_str(s: &str) -> Result<Self, Infallible> {
        Ok(match s.to_ascii_lowercase().as_str() {
            "auto" => DeviceChoice::Auto,
            "gpu" => DeviceChoice::Gpu,
            "software" => DeviceChoice::Software,
            "cpu" => DeviceChoice::Cpu,
            _ => DeviceChoice::Named(s.to_string()),
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Gpu => "gpu",
            DeviceChoice::Software => "software",
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Named(name) => name,
        })
    }
}

/// What kind of hardware runs the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// The CPU backend: no shaders.
    Cpu,
    /// Shaders run by a CPU (lavapipe, WARP): wants large register tiles and no barriers.
    Software,
    /// A GPU that shares memory with the CPU.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU behind a virtual machine, or of unknown kind.
    Other,
}

/// Whether subgroups can multiply square matrices of f16, summed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrices {
    /// They cannot.
    #[default]
    None,
    /// The hardware does, with matrices of this size (16, or 8 on Apple's).
    Hardware(usize),
    /// Loops do: a test of everything else.
    #[doc(hidden)]
    Emulated(usize),
}

/// What a device is and what its kernels may use.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The adapter's name, as the driver gives it.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// `cpu`, or the graphics interface: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// What runs the kernels.
    pub kind: AdapterKind,
    /// Bytes that one storage binding may cover.
    pub max_binding: usize,
    /// Storage buffers that one shader may bind.
    pub max_storage_buffers: usize,
    /// Alignment in bytes of the offset of a binding.
    pub alignment: usize,
    /// Whether shaders may hold f16 values in buffers.
    pub f16: bool,
    /// Whether kernels can be timed on the device.
    pub timestamps: bool,
    /// Lanes of a subgroup, if shaders may use subgroups and all have the same number; else 0.
    pub subgroup: usize,
    /// Cooperative matrices: f16 operands, f32 sums.
    pub matrices: Matrices,
    /// Which forms of kernels were found to be the fastest.
    pub tuned: Tuned,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.backend)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        f.write_str(")")
    }
}
