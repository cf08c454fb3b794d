//! Fused attention against attention composed of products and a softmax:
//! `cargo run --release -p wgrad-graph --example attention -- software 512`.

use std::error::Error;
use std::time::Instant;
use wgrad_graph::{Attention, DType, Data, Device, Program, State, Tensor, Updates, gradients};

/// The best of some runs, in seconds, and the memory planned.
fn time(device: &Device, length: usize, fused: bool, backward: bool) -> Result<(f64, usize), Box<dyn Error>> {
    let shape = [1, 8, length, 64];
    let [q, k, v] = ["q", "k", "v"].map(|name| Tensor::input(name, shape, DType::F32));
    let options = Attention { causal: std::env::args().any(|a| a == "causal"), ..Attention::default() };
    let o = if fused { q.attention(&k, &v, &options) } else { q.attention_plain(&k, &v, &options).0 };
    let mut outputs = vec![o.clone()];
    if backward {
        outputs = gradients(&(&o * &q).sum_all(), &[&q, &k, &v]);
    }
    let program = Program::compile(device, &outputs.iter().collect::<Vec<_>>(), &Updates::new())?;
    let mut state = State::init(device, &program, 0)?;
    let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect();
    let inputs = ["q", "k", "v"].map(|name| (name, Data::from(&data)));
    let mut best = f64::MAX;
    for run in 0..6 {
        let start = Instant::now();
        program.run(&mut state, &inputs)?.f32(0)?;
        if run > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok((best, program.summary().temporary_bytes))
}

fn main() -> Result<(), Box<dyn Error>> {
    let choice = std::env::args().nth(1).unwrap_or_else(|| "auto".into());
    let length = std::env::args().nth(2).map_or(Ok(512), |n| n.parse())?;
    let device = Device::open(choice.parse()?)?;
    println!("{}, 8 heads of {length} x 64", device.adapter());
    for (what, backward) in [("forward", false), ("forward and backward", true)] {
        let (plain, plain_bytes) = time(&device, length, false, backward)?;
        let (fused, fused_bytes) = time(&device, length, true, backward)?;
        println!(
            "{what}: plain {:.1} ms, {:.1} MB; fused {:.1} ms, {:.1} MB; {:.2} times as fast",
            plain * 1e3,
            plain_bytes as f64 / 1e6,
            fused * 1e3,
            fused_bytes as f64 / 1e6,
            plain / fused
        );
    }
    Ok(())
}
