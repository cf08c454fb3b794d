//! Building and compiling a training step takes time in proportion to the number of layers.

use std::time::Instant;
use wgrad_graph::{DType, Device, Program, Tensor};
use wgrad_nn::optim::Adam;
use wgrad_nn::{BatchNorm2d, Cell, Conv2d, Layer, LayerNorm, Linear, MultiheadAttention, Recurrent, Scope};

/// Seconds of processor time of this thread so far; of any clock where the system does not say. Unlike the process's time, it is
/// counted in nanoseconds, and another test does not add to it.
fn seconds(start: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()) {
        Some(ns) => ns / 1e9,
        None => start.elapsed().as_secs_f64(),
    }
}

/// Compiling four times as many layers takes about four times as long. A quadratic part would take it to sixteen; caches that
/// more layers do not fit, to five or six. Others on the machine disturb this, so the best of several tries counts.
fn assert_linear(count: usize, compile: impl Fn(usize)) {
    let start = Instant::now();
    let timed = |count: usize| {
        let before = seconds(start);
        compile(count);
        seconds(start) - before
    };
    timed(count / 4); // what is done once in a process
    let mut tries = vec![];
    for _ in 0..6 {
        let (few, many) = (timed(count), timed(4 * count));
        tries.push(many / few);
        if many < 8.0 * few {
            return;
        }
    }
    panic!("four times {count} layers took so many times as long: {tries:.1?}");
}

fn compile(x: Tensor, count: usize, layer: impl Fn(&Scope, &Tensor) -> Tensor) {
    let scope = Scope::train();
    let y = (0..count).fold(x, |x, i| layer(&scope.enter(&i.to_string()), &x));
    let loss = y.square().mean_all();
    let updates = Adam::new(1e-3).minimize(&scope, &loss);
    Program::compile(&Device::cpu(), &[&loss], &updates).unwrap();
}

#[test]
fn convolutions_and_norms() {
    assert_linear(250, |count| {
        compile(Tensor::input("x", [2, 4, 4, 4], DType::F32), count, |scope, x| {
            let conv = Conv2d::new(4, 4, 3).padding(1).bias(false).forward(&scope.enter("conv"), x);
            (BatchNorm2d::new(4).forward(&scope.enter("norm"), &conv) + x).relu()
        });
    });
}

#[test]
fn transformer_blocks() {
    assert_linear(40, |count| {
        compile(Tensor::input("x", [2, 8, 16], DType::F32), count, |scope, x| {
            let normed = LayerNorm::new([16]).forward(&scope.enter("norm1"), x);
            let x = MultiheadAttention::new(16, 2).forward(&scope.enter("attention"), &normed) + x;
            let normed = LayerNorm::new([16]).forward(&scope.enter("norm2"), &x);
            let wide = Linear::new(16, 32).forward(&scope.enter("fc1"), &normed).gelu();
            Linear::new(32, 16).forward(&scope.enter("fc2"), &wide) + x
        });
    });
}

#[test]
fn recurrent_steps() {
    assert_linear(60, |count| {
        compile(Tensor::input("x", [count, 2, 4], DType::F32), 1, |scope, x| {
            Recurrent::new(Cell::Lstm, 4, 4).run(scope, x, &[], None).output
        });
    });
}
