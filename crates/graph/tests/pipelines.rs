//! When pipelines are compiled. Alone in its file: other tests of a process would compile theirs at the same time.

mod support;

use support::gpu;
use wgrad_graph::{DType, Data, Init, Program, State, Tensor, Updates, gradients};

/// No pipeline is left for the first run to compile, whatever shares memory with what.
#[test]
fn pipelines_are_compiled_with_the_program() {
    let Some(device) = gpu() else { return };
    let x = Tensor::input("x", [3, 11], DType::F32);
    let states = ["a", "b", "c"].map(|n| Tensor::state(n, [11, 7], DType::F32, Init::Uniform(-1.0, 1.0)));
    let packed: Vec<&Tensor> = states[..2].iter().collect();
    let loss = states.iter().fold(x.sum_all(), |sum, s| sum + x.matmul(s).square().mean_all().tan());
    let grads = gradients(&loss, &packed);
    let mut updates = Updates::new();
    updates.assign_pack(&packed, &(Tensor::pack(&packed) - Tensor::pack(&grads.iter().collect::<Vec<_>>()) * 0.125));
    updates.assign(&states[2], &states[2].tan());
    let before = device.pipelines_compiled();
    let program = Program::compile(device, &[&loss], &updates).unwrap();
    let compiled = device.pipelines_compiled();
    assert!(compiled > before);
    let mut state = State::init(device, &program, 1).unwrap();
    program.run(&mut state, &[("x", Data::F32(&[0.5; 33]))]).unwrap().scalar(0).unwrap();
    assert_eq!(device.pipelines_compiled(), compiled, "compiled when first run");
}
