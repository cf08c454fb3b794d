//! The same training, optimised or not, on every backend: whole models from first to last kernel.

mod support;

use std::collections::BTreeMap;
use support::training::Values;
use support::{Step, cpu, distance, gpu, tensors};
use wgrad::graph::CompileOptions;
use wgrad::prelude::*;
use wgrad::zoo::{Gpt, ResNet, Transformer, Vit};

const FUSED: CompileOptions = CompileOptions { fuse: true, poison: false, recompute: true };
const POISONED: CompileOptions = CompileOptions { fuse: true, poison: true, recompute: true };
const OP_BY_OP: CompileOptions = CompileOptions { fuse: false, poison: false, recompute: true };

/// How far a loss may be off, relative to itself, in any of the first ten steps. (Some 2e-6 is usual.)
const LOSS: f32 = 1e-3;

/// How far any element of the state may be off after one step, relative to its tensor's greatest. (Some 5e-6 is usual.)
const STATE: f32 = 1e-4;

const STEPS: usize = 10;

/// Losses of all steps, and the state after the first of them.
struct Trained {
    losses: Vec<f32>,
    state: BTreeMap<String, Vec<f32>>,
}

fn train(device: &Device, step: &Step, options: &CompileOptions, steps: usize) -> Trained {
    let program = Program::compile_with(device, &[&step.loss], &step.updates, options).unwrap();
    let mut state = State::init(device, &program, 7).unwrap();
    let mut losses = vec![step.run(&program, &mut state, 0)];
    let after_first = tensors(&state);
    losses.extend((1..steps).map(|i| step.run(&program, &mut state, i)));
    assert!(losses.iter().all(|l| l.is_finite()), "{losses:?}");
    Trained { losses, state: after_first }
}

/// Losses agree, and after one step every tensor of the state: parameters, statistics, and momentum, which then is the
/// gradient.
fn same(what: &str, got: &Trained, expected: &Trained, tolerance: f32) {
    for (i, (g, e)) in got.losses.iter().zip(&expected.losses).enumerate() {
        assert!((g - e).abs() <= LOSS * e.abs(), "{what}: the loss of step {i} is {g}, not {e}");
    }
    assert!(got.state.keys().eq(expected.state.keys()));
    for (name, e) in &expected.state {
        let off = distance(&got.state[name], e);
        assert!(off <= tolerance, "{what}: {name} is off by {off:e} after one step");
    }
}

fn check(step: &Step, tolerance: f32) {
    let on_cpu = train(cpu(), step, &FUSED, STEPS);
    repeats(cpu(), step, &on_cpu);
    same("CPU, op by op", &train(cpu(), step, &OP_BY_OP, 1), &on_cpu, tolerance);
    if let Some(gpu) = gpu() {
        let on_gpu = train(gpu, step, &FUSED, STEPS);
        same("GPU", &on_gpu, &on_cpu, tolerance);
        repeats(gpu, step, &on_gpu);
        same("GPU, poisoned", &train(gpu, step, &POISONED, 2), &on_cpu, tolerance);
    }
}

/// Trains once more, from compiling on: the same bits.
fn repeats(device: &Device, step: &Step, first: &Trained) {
    let again = train(device, step, &FUSED, 3);
    assert_eq!(again.losses, first.losses[..3], "{device:?}: another run, other losses");
    let bits = |t: &Trained| t.state.values().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&again) == bits(first), "{device:?}: another run, other bits");
}

#[test]
fn cifar_resnet20() {
    let model = ResNet::cifar(20, 10).unwrap().width(4);
    check(&Step::new(&model, [4, 3, 16, 16], 10, 0.01), STATE);
}

/// A low rate: at 0.01 the sign of some unit hangs by a rounding, and `conv1.weight` changed by 2e-7 of itself changes the
/// CPU backend's own loss by 3e-3 in the ninth step.
#[test]
fn imagenet_resnet18() {
    let model = ResNet::imagenet(18, 10).unwrap().width(8);
    check(&Step::new(&model, [4, 3, 64, 64], 10, 0.005), STATE);
}

/// Blocks that start as the identity: else so narrow and deep a network is chaotic, and rounding alone parts its losses.
#[test]
fn imagenet_resnet50() {
    let model = ResNet::imagenet(50, 10).unwrap().width(8).zero_init_residual(true);
    check(&Step::new(&model, [4, 3, 64, 64], 10, 0.01), STATE);
}

/// The usual initial weights, for one step, with one bottleneck a stage: at full depth and this width the gradients cancel to
/// so few digits that PyTorch's own f32 gradients are off by up to a tenth from f64, so nothing could be told from them.
#[test]
fn bottlenecks_as_published() {
    let model = ResNet::imagenet(50, 10).unwrap().width(8).stages(&[1, 1, 1, 1]);
    let step = Step::new(&model, [4, 3, 64, 64], 10, 0.01);
    let on_cpu = train(cpu(), &step, &FUSED, 1);
    same("CPU, op by op", &train(cpu(), &step, &OP_BY_OP, 1), &on_cpu, STATE);
    if let Some(gpu) = gpu() {
        same("GPU", &train(gpu, &step, &FUSED, 1), &on_cpu, STATE);
    }
}

#[test]
fn vision_transformer() {
    let model = Vit::new(12, 4, 10).unwrap().layers(3).width(24, 3).inner(40).dropout(0.1);
    check(&Step::new(&model, [4, 3, 12, 12], 10, 0.01), STATE);
}

/// `count` tokens from 1 to 10, others in each step.
fn tokens(count: usize, step: usize) -> Values {
    Values::U32(support::numbers(count, step).into_iter().map(|x| 1 + ((x * 0.5 + 0.5) * 10.0) as u32).collect())
}

/// With dropout: the same weights are dropped on every backend.
#[test]
fn gpt() {
    let model = Gpt::new(11, 9, 2, 2, 16).unwrap();
    let [now, next] = ["tokens", "targets"].map(|n| Tensor::input(n, [4, 9], DType::U32));
    let scope = Scope::train();
    let loss = model.loss(&scope, &now, &next);
    let feed = |i| vec![("tokens", tokens(36, i)), ("targets", tokens(36, i + 1))];
    check(&Step::of(&scope, loss, 0.05, feed), STATE);
}

#[test]
fn transformer() {
    let model = Transformer::new(11, 11).layers(1).width(16).heads(2).hidden(32).padding(0);
    let [source, target, next] =
        [("source", 9), ("target", 7), ("next", 7)].map(|(n, length)| Tensor::input(n, [4, length], DType::U32));
    let scope = Scope::train();
    let loss = model.loss(&scope, &source, &target, &next, 0.1);
    let feed = |i| vec![("source", tokens(36, i)), ("target", tokens(28, i + 1)), ("next", tokens(28, i + 2))];
    check(&Step::of(&scope, loss, 0.05, feed), STATE);
}

/// The op-by-op programs are other programs.
#[test]
fn fusing_saves_launches() {
    let step = Step::new(&ResNet::cifar(20, 10).unwrap().width(4), [4, 3, 16, 16], 10, 0.01);
    let launches = |options| {
        let program = Program::compile_with(cpu(), &[&step.loss], &step.updates, options).unwrap();
        program.summary().launches
    };
    let (fused, single) = (launches(&FUSED), launches(&OP_BY_OP));
    assert!(fused * 3 < single, "{fused} launches, op by op {single}");
}
