//! Time to build and compile a training step of many layers (convolution, batch norm, addition, relu; or blocks of a transformer).
//! It should grow in proportion.
//!
//!     cargo run --release -p wgrad-nn --example compile_speed [transformer] [layers...]

use std::time::Instant;

use wgrad_graph::{DType, Device, Program, Tensor};
use wgrad_nn::{BatchNorm2d, Conv2d, Layer, LayerNorm, Linear, MultiheadAttention, Scope, optim::Adam};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open("cpu".parse()?)?;
    let (kinds, given): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a == "transformer");
    let transformer = !kinds.is_empty();
    let given: Vec<usize> = given.iter().map(|a| a.parse()).collect::<Result<_, _>>()?;
    let counts = if given.is_empty() { vec![250, 500, 1000, 2000] } else { given };
    println!("{:>7} {:>10} {:>10} {:>10} {:>10}", "layers", "forward s", "backward s", "compile s", "launches");
    for n in counts {
        let start = Instant::now();
        let scope = Scope::train();
        let x = Tensor::input("x", [2, 8, 8, 8], DType::F32);
        let y = (0..n).fold(x, |x, i| block(&scope.enter(&i.to_string()), &x, transformer));
        let loss = y.square().mean_all();
        let forward = start.elapsed().as_secs_f64();
        let updates = Adam::new(1e-3).minimize(&scope, &loss);
        let backward = start.elapsed().as_secs_f64() - forward;
        let program = Program::compile(&device, &[&loss], &updates)?;
        let compile = start.elapsed().as_secs_f64() - forward - backward;
        println!("{n:>7} {forward:>10.3} {backward:>10.3} {compile:>10.3} {:>10}", program.summary().launches);
    }
    Ok(())
}

fn block(scope: &Scope, x: &Tensor, transformer: bool) -> Tensor {
    if !transformer {
        let conv = Conv2d::new(8, 8, 3).padding(1).bias(false).forward(&scope.enter("conv"), x);
        return (BatchNorm2d::new(8).forward(&scope.enter("norm"), &conv) + x).relu();
    }
    let x = x.reshape([2, 8, 64]);
    let normed = LayerNorm::new([64]).forward(&scope.enter("norm1"), &x);
    let x = MultiheadAttention::new(64, 2).forward(&scope.enter("attention"), &normed) + x;
    let normed = LayerNorm::new([64]).forward(&scope.enter("norm2"), &x);
    let wide = Linear::new(64, 64).forward(&scope.enter("fc1"), &normed).gelu();
    (Linear::new(64, 64).forward(&scope.enter("fc2"), &wide) + x).reshape([2, 8, 8, 8])
}
