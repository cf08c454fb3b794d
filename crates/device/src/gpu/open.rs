//! Finding and opening an adapter.

use super::{Faults, Gpu, Link, disk, lock, memory, pipeline, tuned};
use crate::{Adapter, AdapterKind, DeviceChoice, DeviceError, Matrices};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The graphics interfaces of this system, the preferred one first.
const BACKENDS: &[wgpu::Backends] = if cfg!(target_vendor = "apple") {
    &[wgpu::Backends::METAL]
} else if cfg!(windows) {
    &[wgpu::Backends::VULKAN, wgpu::Backends::DX12]
} else {
    &[wgpu::Backends::VULKAN]
};

impl Gpu {
    /// Opens the adapter that `choice` selects. `Auto` and `Gpu` never take a software adapter.
    pub fn open(choice: &DeviceChoice) -> Result<Gpu, DeviceError> {
        let all = BACKENDS.iter().fold(wgpu::Backends::empty(), |a, &b| a | b);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: all,
            flags: wgpu::InstanceFlags::empty().with_env(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut found = vec![];
        for &backend in BACKENDS {
            found.extend(pollster::block_on(instance.enumerate_adapters(backend)));
        }
        let infos: Vec<_> = found.iter().map(|a| a.get_info()).collect();
        let names: Vec<_> = infos.iter().map(|i| i.name.clone()).collect();
        let types: Vec<_> = infos.iter().map(|i| (i.name.as_str(), i.device_type)).collect();
        let Some(picked) = pick(choice, &types) else {
            let found = if names.is_empty() { "none".into() } else { names.join(", ") };
            return Err(DeviceError::NoAdapter { choice: choice.to_string(), found });
        };
        Gpu::from_adapter(&found[picked], &infos[picked])
    }

    fn from_adapter(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Result<Gpu, DeviceError> {
        let wanted = wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::PIPELINE_CACHE;
        let mut features = adapter.features() & wanted;
        let matrices = matrices(adapter, info);
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if matrices != Matrices::None {
            features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: cooperative matrices are used in one shader, in uniform control flow and with whole subgroups.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let limits = adapter.limits();
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: features,
            required_limits: limits.clone(),
            experimental_features,
            // Tensors come from few, large allocations of our own.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        }))
        .map_err(|e| DeviceError::Open { adapter: info.name.clone(), reason: e.to_string() })?;

        let faults = Arc::new(Faults::default());
        let seen = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            lock(&seen.lost).get_or_insert(format!("{reason:?}: {message}"));
        });
        let seen = faults.clone();
        let name = info.name.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            let error = match e {
                wgpu::Error::OutOfMemory { .. } => {
                    DeviceError::OutOfMemory { device: name.clone(), bytes: 0, what: "work on the device".into() }
                }
                other => DeviceError::Validation { what: "a command".into(), reason: other.to_string() },
            };
            // The first error is the cause; later ones are its consequences.
            lock(&seen.error).get_or_insert(error);
        }));

        let disk = disk::DiskCache::open(&device, info);
        let tuned_file = tuned::TunedFile::of(info);
        let tuned = tuned_file.as_ref().map(tuned::TunedFile::load).unwrap_or_default();
        let kind = kind(info.device_type);
        // A software adapter is slow and no watchdog resets it, so it may take its time.
        let timeout = Duration::from_secs(if kind == AdapterKind::Software { 600 } else { 60 });
        let adapter = Adapter {
            name: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            backend: info.backend.to_string(),
            kind,
            max_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) as usize & !3,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage as usize,
            alignment: (limits.min_storage_buffer_offset_alignment as usize).max(4),
            f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            subgroup: subgroup(features, info),
            matrices,
            tuned: tuned.clone(),
        };
        Ok(Gpu {
            adapter,
            limits,
            link: Link { device, queue, faults, timeout },
            pipelines: pipeline::Cache::default(),
            disk,
            tuned: Mutex::new(tuned),
            tuned_file,
            staging: Arc::new(memory::StagingPool::default()),
            uploads: Arc::new(memory::StagingPool::default()),
            in_flight: Mutex::default(),
            created: AtomicUsize::new(0),
            submitted: AtomicUsize::new(0),
        })
    }
}

/// See [`Adapter::subgroup`].
fn subgroup(features: wgpu::Features, info: &wgpu::AdapterInfo) -> usize {
    if info.backend == wgpu::Backend::Metal && info.name.starts_with("Apple") {
        // Of these wgpu gives the bounds of all that run Metal; they have always had 32.
        return 32;
    }
    let fixed = info.subgroup_min_size == info.subgroup_max_size;
    if fixed && features.contains(wgpu::Features::SUBGROUP) { info.subgroup_max_size as usize } else { 0 }
}

/// See [`Adapter::matrices`]: 16 x 16, else 8 x 8, where subgroups have 32 or 64 lanes. A software adapter's own tile is faster.
fn matrices(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Matrices {
    use wgpu::CooperativeScalarType::{F16, F32};
    let needed =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    let lanes = subgroup(adapter.features(), info);
    if !adapter.features().contains(needed) || !matches!(lanes, 32 | 64) || info.device_type == wgpu::DeviceType::Cpu {
        return Matrices::None;
    }
    let listed = adapter.cooperative_matrix_properties();
    let has = |&size: &usize| {
        let square = |p: &wgpu::CooperativeMatrixProperties| [p.m_size, p.n_size, p.k_size] == [size as u32; 3];
        listed.iter().any(|p| square(p) && (p.ab_type, p.cr_type) == (F16, F32) && !p.saturating_accumulation)
    };
    [16, 8].into_iter().find(has).map_or(Matrices::None, Matrices::Hardware)
}

fn kind(device_type: wgpu::DeviceType) -> AdapterKind {
    match device_type {
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

/// The position of the adapter to open.
fn pick(choice: &DeviceChoice, adapters: &[(&str, wgpu::DeviceType)]) -> Option<usize> {
    use wgpu::DeviceType::*;
    let first = |wanted: &[wgpu::DeviceType]| adapters.iter().position(|(_, t)| wanted.contains(t));
    match choice {
        DeviceChoice::Auto | DeviceChoice::Gpu => {
            first(&[DiscreteGpu]).or_else(|| first(&[IntegratedGpu])).or_else(|| first(&[VirtualGpu, Other]))
        }
        DeviceChoice::Software => first(&[Cpu]),
        DeviceChoice::Named(part) => {
            let part = part.to_lowercase();
            adapters.iter().position(|(name, _)| name.to_lowercase().contains(&part))
        }
        DeviceChoice::Cpu => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::DeviceType::*;

    #[test]
    fn auto_takes_a_real_gpu_only() {
        let all = [("llvmpipe", Cpu), ("Intel UHD", IntegratedGpu), ("RTX", DiscreteGpu)];
        assert_eq!(pick(&DeviceChoice::Auto, &all), Some(2));
        assert_eq!(pick(&DeviceChoice::Gpu, &all[..2]), Some(1));
        assert_eq!(pick(&DeviceChoice::Gpu, &all[..1]), None);
        assert_eq!(pick(&DeviceChoice::Software, &all), Some(0));
        assert_eq!(pick(&DeviceChoice::Named("uhd".into()), &all), Some(1));
        assert_eq!(pick(&DeviceChoice::Named("arc".into()), &all), None);
    }
}
