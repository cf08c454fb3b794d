//! Pipelines and layouts, shared by all sequences of a device.

use super::{Gpu, lock};
use crate::{DeviceError, Pass};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// What was compiled so far.
#[derive(Default)]
pub(super) struct Cache {
    /// Keyed by whether each storage buffer is written.
    layouts: Mutex<HashMap<Vec<bool>, Arc<Layout>>>,
    /// Keyed by the whole WGSL text.
    pipelines: Mutex<HashMap<String, Arc<wgpu::ComputePipeline>>>,
}

/// The layouts of a binding pattern.
pub(super) struct Layout {
    pub bind_group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Gpu {
    /// The layout for a uniform buffer at binding 0 and storage buffers after it.
    pub(super) fn layout(&self, writes: &[bool]) -> Result<Arc<Layout>, DeviceError> {
        if let Some(layout) = lock(&self.pipelines.layouts).get(writes) {
            return Ok(layout.clone());
        }
        let buffer = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![buffer(0, wgpu::BufferBindingType::Uniform)];
        for (i, &write) in writes.iter().enumerate() {
            entries.push(buffer(i + 1, wgpu::BufferBindingType::Storage { read_only: !write }));
        }
        self.count_created(2);
        let device = &self.link.device;
        let layout = Arc::new(self.scoped("a binding layout", 0, || {
            let bind_group =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&bind_group)],
                immediate_size: 0,
            });
            Layout { bind_group, pipeline }
        })?);
        lock(&self.pipelines.layouts).insert(writes.to_vec(), layout.clone());
        Ok(layout)
    }

    /// Compiles the passes that were not compiled before, side by side, and returns the pipeline of each.
    pub(super) fn pipelines(&self, passes: &[&Pass]) -> Result<Vec<Arc<wgpu::ComputePipeline>>, DeviceError> {
        let mut missing = HashSet::new();
        let new: Vec<&Pass> = {
            let known = lock(&self.pipelines.pipelines);
            passes.iter().copied().filter(|p| !known.contains_key(&p.wgsl) && missing.insert(&p.wgsl)).collect()
        };
        let compiled: Vec<_> =
            new.par_iter().map(|p| Ok((p.wgsl.clone(), self.compile_pass(p, true)?))).collect::<Result<_, _>>()?;
        if let (false, Some(disk)) = (compiled.is_empty(), &self.disk) {
            disk.save();
        }
        let mut known = lock(&self.pipelines.pipelines);
        known.extend(compiled);
        Ok(passes.iter().map(|p| known[&p.wgsl].clone()).collect())
    }

    /// Compiles passes without keeping their pipelines; equal passes share one.
    pub(super) fn pipelines_for_once(&self, passes: &[&Pass]) -> Result<Vec<Arc<wgpu::ComputePipeline>>, DeviceError> {
        let mut made: HashMap<&str, Arc<wgpu::ComputePipeline>> = HashMap::new();
        for pass in passes {
            if !made.contains_key(pass.wgsl.as_str()) {
                made.insert(&pass.wgsl, self.compile_pass(pass, false)?);
            }
        }
        Ok(passes.iter().map(|p| made[p.wgsl.as_str()].clone()).collect())
    }

    /// How many there are by now.
    pub fn pipelines_compiled(&self) -> usize {
        lock(&self.pipelines.pipelines).len()
    }

    fn compile_pass(&self, pass: &Pass, keep: bool) -> Result<Arc<wgpu::ComputePipeline>, DeviceError> {
        let writes: Vec<bool> = pass.bindings.iter().map(|b| b.write).collect();
        let layout = self.layout(&writes)?;
        // Every shader is generated here and guards its own accesses; the checks cost up to a third of the speed.
        let checks = if cfg!(debug_assertions) {
            wgpu::ShaderRuntimeChecks::checked()
        } else {
            wgpu::ShaderRuntimeChecks::unchecked()
        };
        let device = &self.link.device;
        self.count_created(2);
        let pipeline = self.scoped(&pass.label, 0, || {
            let source = wgpu::ShaderSource::Wgsl(pass.wgsl.as_str().into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&pass.label), source };
            // SAFETY: the shaders keep within their bindings and their loops end; tests run them with checks on.
            let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&pass.label),
                layout: Some(&layout.pipeline),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every shader writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.disk.as_ref().filter(|_| keep).map(|d| &d.cache),
            })
        })?;
        Ok(Arc::new(pipeline))
    }
}
