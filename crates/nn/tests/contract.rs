//! The op contract for this crate's own registry.

mod support;

use support::Backend;
use wgrad_graph::contract::{self, Half};
use wgrad_graph::{CompileOptions, Device, OpCase};
use wgrad_nn::registry;

/// Cases whose name has `WGRAD_TEST_OP` in it, if that is set.
fn all(check: impl Fn(&OpCase) -> Result<(), String>) {
    let filter = std::env::var("WGRAD_TEST_OP").unwrap_or_default();
    let cases: Vec<OpCase> = registry().into_iter().filter(|c| c.name.contains(&filter)).collect();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|c| check(c).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn gradients(order: usize) {
    all(|c| if c.differences { contract::check_gradients(c, order) } else { Ok(()) });
}

#[test]
fn gradients_match_finite_differences() {
    gradients(1);
}

#[test]
fn second_gradients_match_finite_differences() {
    gradients(2);
}

#[test]
fn fused_on_every_backend() {
    for backend in Backend::all() {
        if let Backend::Program(device) = backend {
            all(|c| {
                contract::check_program(
                    device,
                    c,
                    &CompileOptions { fuse: true, poison: true, ..CompileOptions::default() },
                )
            });
        }
    }
}

#[test]
fn half_precision() {
    for backend in Backend::all() {
        if let Backend::Program(device) = backend {
            all(|c| if matches!(c.half, Half::Within(_)) { contract::check_half(device, c) } else { Ok(()) });
        }
    }
}

#[test]
fn op_by_op_on_the_cpu() {
    all(|c| {
        contract::check_program(
            &Device::cpu(),
            c,
            &CompileOptions { fuse: false, poison: true, ..CompileOptions::default() },
        )
    });
}
