//! The contract between the graph and the backends.

use crate::{Access, Adapter, CpuIo};
use std::fmt::Debug;
use std::sync::Arc;

/// A piece of work on buffers. One file in `kernels/` defines one kernel: what it computes, how it is launched on a
/// given adapter, and its CPU twin.
///
/// Sizes are counted in elements, buffers are dense and row-major, and outputs never overlap inputs except where
/// [`Kernel::may_alias`] allows it.
pub trait Kernel: Debug + Send + Sync {
    /// A short name with sizes, for profiles and dumps: `contraction 64x128x32`.
    fn name(&self) -> String;

    /// Runs on the CPU.
    fn run_cpu(&self, io: &CpuIo);

    /// The shader passes that do the same on `adapter`, in order. `aliases[o]` names the input whose storage output `o`
    /// shares, if any; that input must then be accessed through the output's binding.
    fn passes(&self, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass>;

    /// Bytes of scratch memory that [`Kernel::passes`] wants on `adapter`. Not asked for on the CPU backend.
    fn scratch(&self, adapter: &Adapter) -> usize {
        let _ = adapter;
        0
    }

    /// The forms that could be timed on `adapter` to find the fastest: see [`crate::Device::with_tuning`]. None for a kernel
    /// that has one form only. [`Kernel::passes`] and [`Kernel::scratch`] go by what the adapter says was chosen.
    fn choices(&self, adapter: &Adapter) -> Option<Choices> {
        let _ = adapter;
        None
    }

    /// Whether output `output` may be stored over input `input` while the kernel runs.
    fn may_alias(&self, output: usize, input: usize) -> bool {
        let _ = (output, input);
        false
    }

    /// Whether input `input` need not be dense: [`Kernel::read_through`] is asked first.
    fn reads_views(&self, input: usize) -> bool {
        let _ = input;
        false
    }

    /// The same kernel with input `input` read through an access, a function of the input's own index; or `None` if it cannot,
    /// and the input has to be stored densely.
    fn read_through(&self, input: usize, access: &Access) -> Option<Arc<dyn Kernel>> {
        let _ = (input, access);
        None
    }

    /// The work done, for profiles and summaries.
    fn cost(&self) -> Cost;
}

/// Forms that a kernel can take on an adapter, all with the same result but for rounding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Names what decides which form is the fastest: types and sizes, in one line.
    pub problem: String,
    /// What the forms are called, in one line each; the one that is taken without a measurement is the first.
    pub forms: Vec<String>,
}

/// The work of one launch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations (a multiply-add counts as two).
    pub flops: f64,
    /// Bytes that have to be read and written at least once.
    pub bytes: f64,
}

/// One compute dispatch.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Names the pipeline in profiles and error messages.
    pub label: String,
    /// The whole WGSL text: generated preamble, then the shader file. Equal texts share a pipeline. The entry point is
    /// `main`. Binding 0 of group 0 is `var<uniform> params: array<vec4<u32>, N>`; binding `i + 1` is `bindings[i]`.
    pub wgsl: String,
    /// Storage buffers, in binding order.
    pub bindings: Vec<PassBinding>,
    /// The words of `params` (padded to a multiple of four when uploaded). Sizes and strides live here, so that one
    /// pipeline serves many shapes.
    pub params: Vec<u32>,
    /// Workgroups in x, y and z; each at most 65535.
    pub groups: [u32; 3],
}

/// A storage buffer of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassBinding {
    /// Which buffer.
    pub operand: Operand,
    /// Whether the shader declares it `read_write` (else `read`).
    pub write: bool,
}

/// A buffer of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Input number.
    Input(usize),
    /// Output number.
    Output(usize),
    /// The kernel's scratch memory.
    Scratch,
}

/// Splits `n` workgroups over x and y so that neither passes the limit of 65535; the shader recovers the linear number
/// as `id.y * count.x + id.x` and must ignore numbers past the end.
pub fn fold_groups(n: usize) -> [u32; 3] {
    const MAX: usize = 65535;
    let y = n.div_ceil(MAX).max(1);
    [n.div_ceil(y).max(1) as u32, y as u32, 1]
}
