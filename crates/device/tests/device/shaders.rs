//! Every shader that the samples yield, in every variant: valid, translatable to each target, and within the default
//! limits of WebGPU.

use crate::{attention, contractions, index, maps, reduces, rows};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::HashSet;
use std::sync::Arc;
use wgrad_device::kernels::AttentionKernel;
use wgrad_device::{Adapter, AdapterKind, Kernel, Matrices, Pass};

fn adapter(kind: AdapterKind, f16: bool, subgroup: usize) -> Adapter {
    Adapter {
        name: "a test".into(),
        driver: String::new(),
        backend: "vulkan".into(),
        kind,
        max_binding: 128 << 20,
        max_storage_buffers: 8,
        alignment: 256,
        f16,
        timestamps: false,
        subgroup,
        matrices: Matrices::None,
        tuned: Default::default(),
    }
}

fn check(name: &str, pass: &Pass) {
    let module = naga::front::wgsl::parse_str(&pass.wgsl)
        .unwrap_or_else(|e| panic!("{name}: {}\n{}", e.emit_to_string(&pass.wgsl), pass.wgsl));
    let capabilities = Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{name}: {}\n{}", e.emit_to_string(&pass.wgsl), pass.wgsl));
    limits(name, pass, &module);
    spirv(name, &module, &info);
    metal(name, &module, &info);
    hlsl(name, &module, &info);
}

/// The default limits of WebGPU.
fn limits(name: &str, pass: &Pass, module: &naga::Module) {
    let entry = module.entry_points.iter().find(|e| e.name == "main").expect("an entry point called main");
    assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{name}");
    assert!(pass.bindings.len() <= 8, "{name}: {} storage buffers", pass.bindings.len());
    assert!(pass.groups.iter().all(|&g| (1..=65535).contains(&g)), "{name}: {:?} workgroups", pass.groups);
    assert!(pass.params.len() * 4 <= 16 << 10, "{name}: {} parameters", pass.params.len());
    let workgroup: u32 = module
        .global_variables
        .iter()
        .filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup)
        .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
        .sum();
    assert!(workgroup <= 16 << 10, "{name}: {workgroup} bytes of workgroup memory");
    // What the shader declares is what the host binds.
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else { continue };
        if let naga::AddressSpace::Storage { access } = variable.space {
            let write = access.contains(naga::StorageAccess::STORE);
            assert_eq!(pass.bindings[binding.binding as usize - 1].write, write, "{name}: binding {}", binding.binding);
        }
    }
}

fn spirv(name: &str, module: &naga::Module, info: &ModuleInfo) {
    naga::back::spv::write_vec(module, info, &naga::back::spv::Options::default(), None)
        .unwrap_or_else(|e| panic!("{name}, SPIR-V: {e}"));
}

fn metal(name: &str, module: &naga::Module, info: &ModuleInfo) {
    let options = naga::back::msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..Default::default() };
    naga::back::msl::write_string(module, info, &options, &Default::default())
        .unwrap_or_else(|e| panic!("{name}, Metal: {e}"));
}

fn hlsl(name: &str, module: &naga::Module, info: &ModuleInfo) {
    let options = naga::back::hlsl::Options {
        fake_missing_bindings: true,
        shader_model: naga::back::hlsl::ShaderModel::V6_2,
        ..Default::default()
    };
    let mut text = String::new();
    naga::back::hlsl::Writer::new(&mut text, &options, &Default::default())
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{name}, HLSL: {e}"));
}

/// A kernel with its name and its aliases.
type Named = (String, Arc<dyn Kernel>, Vec<Option<usize>>);

/// Every kernel that a test runs.
fn all() -> Vec<Named> {
    let samples = [maps::samples(), reduces::samples(), rows::samples(), contractions::samples()].concat();
    let named = |k: AttentionKernel| (format!("{} {:?}", k.name(), k.part), Arc::new(k) as Arc<dyn Kernel>);
    let others = index::kernels().into_iter().chain(attention::samples().into_iter().map(named));
    let others = others.map(|(name, kernel)| (name, kernel, vec![None]));
    (samples.into_iter())
        .map(|s| {
            let aliases = (0..s.outputs().len()).map(|o| s.aliases.get(o).copied().flatten()).collect();
            (s.name.clone(), s.kernel(), aliases)
        })
        .chain(others)
        .collect()
}

#[test]
fn every_shader_is_valid_on_every_target() {
    let mut seen = HashSet::new();
    for (kind, subgroup) in [(AdapterKind::Software, 0), (AdapterKind::Software, 8), (AdapterKind::Discrete, 32)] {
        for f16 in [true, false] {
            for (name, kernel, aliases) in all() {
                for pass in kernel.passes(&adapter(kind, f16, subgroup), &aliases) {
                    if seen.insert(pass.wgsl.clone()) {
                        check(&format!("{name} ({}, {kind:?})", pass.label), &pass);
                    }
                }
            }
        }
    }
    assert!(seen.len() > 50, "only {} shaders", seen.len());
}

/// Cooperative matrices, for the two kinds of hardware: SPIR-V and Metal's language have them, HLSL has not.
#[test]
fn cooperative_matrices_are_valid() {
    let mut seen = HashSet::new();
    for (size, lanes) in [(16, 32), (16, 64), (8, 32)] {
        let adapter = Adapter { matrices: Matrices::Hardware(size), ..adapter(AdapterKind::Discrete, true, lanes) };
        for sample in contractions::samples().into_iter().filter(|s| s.name.contains("f16")) {
            for pass in sample.kernel().passes(&adapter, &[None]) {
                if !pass.wgsl.contains("wgpu_cooperative_matrix") || !seen.insert(pass.wgsl.clone()) {
                    continue;
                }
                let name = format!("{} ({size}, {lanes})", sample.name);
                let module = naga::front::wgsl::parse_str(&pass.wgsl)
                    .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&pass.wgsl)));
                let capabilities =
                    Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP | Capabilities::COOPERATIVE_MATRIX;
                let info = Validator::new(ValidationFlags::all(), capabilities)
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&pass.wgsl)));
                limits(&name, &pass, &module);
                spirv(&name, &module, &info);
                metal(&name, &module, &info);
            }
        }
    }
    assert!(seen.len() > 6, "only {} shaders", seen.len());
}

#[test]
fn sizes_are_not_in_the_text() {
    for (kind, subgroup) in [(AdapterKind::Software, 0), (AdapterKind::Software, 8), (AdapterKind::Discrete, 32)] {
        let text = |m, n, k| {
            contractions::matmul(m, n, k, false, true).passes(&adapter(kind, true, subgroup), &[])[0].wgsl.clone()
        };
        // Multiples of four are read in fours.
        assert_eq!(text(64, 128, 32), text(100, 132, 96));
        assert_eq!(text(65, 129, 33), text(100, 70, 99));
    }
}
