//! Lists of launches, made ready once and run many times.

use super::{Gpu, GpuBuffer, GpuReadback};
use crate::{Adapter, Cost, DeviceError, Launch, Operand, Pass, Slice};
use std::collections::HashMap;
use std::sync::Arc;

/// Launches with their pipelines and bind groups.
pub(crate) struct GpuSequence {
    pub(super) steps: Vec<Step>,
    /// Name and cost of each launch, for profiles.
    pub(super) launches: Vec<(String, Cost)>,
    /// See [`crate::Device::barriers`].
    pub barriers: usize,
}

/// One dispatch.
pub(super) struct Step {
    pub launch: usize,
    pub pipeline: Arc<wgpu::ComputePipeline>,
    pub bind_group: wgpu::BindGroup,
    pub groups: [u32; 3],
}

impl Gpu {
    /// Compiles, uploads the parameters and binds the memory of all launches.
    ///
    /// `adapter` is this one, with the forms of kernels that the launches were planned for; `keep` says whether the pipelines
    /// are kept for others.
    pub fn prepare(&self, launches: Vec<Launch>, adapter: &Adapter, keep: bool) -> Result<GpuSequence, DeviceError> {
        let passes = self.passes(&launches, adapter)?;
        let texts: Vec<&Pass> = passes.iter().map(|(_, p)| p).collect();
        let pipelines = if keep { self.pipelines(&texts)? } else { self.pipelines_for_once(&texts)? };
        let (params, places) = self.upload_params(&passes)?;
        let mut steps = Vec::with_capacity(passes.len());
        for (((i, pass), pipeline), (offset, bytes)) in passes.iter().zip(pipelines).zip(places) {
            let bind_group = self.bind(&launches[*i], pass, &params, offset, bytes)?;
            steps.push(Step { launch: *i, pipeline, bind_group, groups: pass.groups });
        }
        let barriers = barriers(&launches, &passes);
        let launches = launches.iter().map(|l| (l.kernel.name(), l.kernel.cost())).collect();
        Ok(GpuSequence { steps, launches, barriers })
    }

    /// Compiles all launches' pipelines, and binds nothing.
    pub fn compile(&self, launches: &[Launch], adapter: &Adapter) -> Result<(), DeviceError> {
        let passes = self.passes(launches, adapter)?;
        self.pipelines(&passes.iter().map(|(_, p)| p).collect::<Vec<_>>()).map(drop)
    }

    /// The passes of all launches, each with its launch's number.
    fn passes(&self, launches: &[Launch], adapter: &Adapter) -> Result<Vec<(usize, Pass)>, DeviceError> {
        self.link.faults.check()?;
        let mut passes: Vec<(usize, Pass)> = vec![];
        for (i, launch) in launches.iter().enumerate() {
            if launch.outputs.iter().all(|o| o.bytes == 0) {
                continue;
            }
            for mut pass in launch.kernel.passes(adapter, &launch.aliases) {
                self.check_pass(launch, &pass)?;
                if reads_what_it_writes(launch, &pass) {
                    open_for_writing(&mut pass);
                }
                passes.push((i, pass));
            }
        }
        Ok(passes)
    }

    /// Refuses what the adapter cannot do, before wgpu does so less clearly.
    fn check_pass(&self, launch: &Launch, pass: &Pass) -> Result<(), DeviceError> {
        let what = || format!("{} ({})", launch.label, pass.label);
        let lacks =
            |feature: String| DeviceError::Unsupported { device: self.adapter.name.clone(), feature, what: what() };
        if pass.bindings.len() > self.adapter.max_storage_buffers {
            return Err(lacks(format!("room for {} storage buffers in one kernel", pass.bindings.len())));
        }
        if !self.adapter.f16 && pass.wgsl.starts_with("enable f16;") {
            return Err(lacks("f16 in shaders".into()));
        }
        for binding in &pass.bindings {
            let slice = operand(launch, binding.operand);
            let limit = self.adapter.max_binding;
            if slice.bytes > limit {
                let device = self.adapter.name.clone();
                return Err(DeviceError::TooLarge { device, what: what(), bytes: slice.bytes, limit });
            }
        }
        Ok(())
    }

    /// Puts the parameters of all passes into one uniform buffer; returns where those of each are.
    fn upload_params(&self, passes: &[(usize, Pass)]) -> Result<(wgpu::Buffer, Vec<(u64, u64)>), DeviceError> {
        let alignment = self.limits.min_uniform_buffer_offset_alignment as usize;
        let mut bytes: Vec<u8> = vec![];
        let mut places = Vec::with_capacity(passes.len());
        for (_, pass) in passes {
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            let offset = bytes.len();
            bytes.extend_from_slice(bytemuck::cast_slice(&pass.params));
            bytes.resize((offset + 16).max(bytes.len().next_multiple_of(16)), 0);
            places.push((offset as u64, (bytes.len() - offset) as u64));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.create_buffer("kernel parameters", bytes.len().max(16), usage)?;
        self.link.queue.write_buffer(&buffer, 0, &bytes);
        Ok((buffer, places))
    }

    fn bind(
        &self,
        launch: &Launch,
        pass: &Pass,
        params: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<wgpu::BindGroup, DeviceError> {
        let entry = |binding: usize, buffer, offset, bytes| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: std::num::NonZeroU64::new(bytes),
            }),
        };
        let mut entries = vec![entry(0, params, offset, bytes)];
        for (i, binding) in pass.bindings.iter().enumerate() {
            let slice = operand(launch, binding.operand);
            let buffer = &slice.buffer.gpu().raw;
            // An empty binding is illegal, and nothing of it is used: any bytes of the buffer will do.
            let (offset, bytes) = match slice.bytes {
                0 => (0, buffer.size().min(self.adapter.max_binding as u64)),
                n => (slice.offset as u64, n.next_multiple_of(4) as u64),
            };
            entries.push(entry(i + 1, buffer, offset, bytes));
        }
        let writes: Vec<bool> = pass.bindings.iter().map(|b| b.write).collect();
        let layout = self.layout(&writes)?;
        self.count_created(1);
        self.scoped(&launch.label, 0, || {
            self.link.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout.bind_group,
                entries: &entries,
            })
        })
    }

    /// Submits the whole sequence in one compute pass, with the copying of `read` to the host, and does not wait for it.
    pub fn run(&self, sequence: &GpuSequence, read: &[Slice]) -> Result<Vec<GpuReadback>, DeviceError> {
        if sequence.steps.is_empty() && read.is_empty() {
            return self.link.faults.check().map(|()| vec![]);
        }
        let steps = |encoder: &mut wgpu::CommandEncoder| {
            if !sequence.steps.is_empty() {
                record(&mut encoder.begin_compute_pass(&Default::default()), &sequence.steps);
            }
        };
        self.submit_reading(steps, read)
    }
}

/// Records dispatches, setting a pipeline only where it changes.
pub(super) fn record(pass: &mut wgpu::ComputePass, steps: &[Step]) {
    let mut last: Option<&Arc<wgpu::ComputePipeline>> = None;
    for step in steps {
        if !last.is_some_and(|p| Arc::ptr_eq(p, &step.pipeline)) {
            pass.set_pipeline(&step.pipeline);
            last = Some(&step.pipeline);
        }
        pass.set_bind_group(0, &step.bind_group, &[]);
        pass.dispatch_workgroups(step.groups[0], step.groups[1], step.groups[2]);
    }
}

fn operand(launch: &Launch, operand: Operand) -> &Slice {
    match operand {
        Operand::Input(i) => &launch.inputs[i],
        Operand::Output(o) => &launch.outputs[o],
        Operand::Scratch => launch.scratch.as_ref().expect("the launch has the scratch memory that its kernel wants"),
    }
}

/// Dispatches that wait for those before them: wgpu puts a barrier where a buffer is written that was used, or used that was
/// written; not between reads.
fn barriers(launches: &[Launch], passes: &[(usize, Pass)]) -> usize {
    let mut written: HashMap<*const GpuBuffer, bool> = HashMap::new();
    let waits = |(launch, pass): &(usize, Pass)| {
        let mut wait = false;
        for b in &pass.bindings {
            let buffer: *const GpuBuffer = operand(&launches[*launch], b.operand).buffer.gpu();
            wait |= written.insert(buffer, b.write).is_some_and(|before| before || b.write);
        }
        wait
    };
    passes.iter().map(waits).filter(|&w| w).count()
}

/// Whether one buffer object is bound both for reading and for writing, be it at different places.
fn reads_what_it_writes(launch: &Launch, pass: &Pass) -> bool {
    let buffer = |b: &crate::PassBinding| &operand(launch, b.operand).buffer;
    let (writes, reads): (Vec<_>, Vec<_>) = pass.bindings.iter().partition(|b| b.write);
    reads.iter().any(|r| writes.iter().any(|w| buffer(r).same(buffer(w))))
}

/// Declares every binding `read_write`. wgpu tracks usage by buffer object, not by range, so that tensors which share a
/// buffer with an output cannot be bound as `read`.
fn open_for_writing(pass: &mut Pass) {
    pass.wgsl = pass.wgsl.replace("var<storage, read>", "var<storage, read_write>");
    pass.bindings.iter_mut().for_each(|b| b.write = true);
}
