//! What an LSTM over many steps costs: to build, to compile, in launches and pipelines, and to run.
//!
//!     cargo run --release -p wgrad-nn --example recurrent_speed -- [cpu|software|auto] [steps...]

use std::time::Instant;
use wgrad_graph::{DType, Data, Device, Program, State, Tensor};
use wgrad_nn::{Cell, Recurrent, Scope, optim::Sgd, scan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let device = Device::open(arguments.next().unwrap_or_else(|| "cpu".into()).parse()?)?;
    let steps: Vec<usize> = arguments.map(|a| a.parse()).collect::<Result<_, _>>()?;
    let (batch, size) = (16, 64);
    for time in if steps.is_empty() { vec![10, 50, 100] } else { steps } {
        for by_hand in [false, true] {
            let start = Instant::now();
            let x = Tensor::input("x", [time, batch, size], DType::F32);
            let scope = Scope::train();
            let lstm = Recurrent::new(Cell::Lstm, size, size);
            let output = if by_hand { cell_by_cell(&scope, &x) } else { lstm.run(&scope, &x, &[], None).output };
            let loss = output.square().mean_all();
            let step = Sgd::new(0.1).minimize(&scope, &loss);
            let built = start.elapsed();
            let start = Instant::now();
            let program = Program::compile(&device, &[&loss], &step)?;
            let compiled = start.elapsed();
            let summary = program.summary();
            let mut state = State::init(&device, &program, 0)?;
            let data = vec![0.1f32; time * batch * size];
            let start = Instant::now();
            program.run(&mut state, &[("x", Data::from(&data))])?.scalar(0)?;
            let first = start.elapsed();
            let start = Instant::now();
            for _ in 0..5 {
                program.run(&mut state, &[("x", Data::from(&data))])?.scalar(0)?;
            }
            println!(
                "{time} steps{}: built {built:.1?}, compiled {compiled:.1?}, {} launches, {:.1} MB, first run {first:.1?}, \
                 then {:.1?}",
                if by_hand { " by scan" } else { "" },
                summary.launches,
                summary.temporary_bytes as f64 / 1e6,
                start.elapsed() / 5
            );
        }
    }
    Ok(())
}

/// The same by the general loop.
fn cell_by_cell(scope: &Scope, x: &Tensor) -> Tensor {
    let [time, batch, size] = x.dims();
    let cell = wgrad_nn::RecurrentCell::new(Cell::Lstm, size, size);
    let zeros = vec![Tensor::zeros([batch, size], DType::F32); 2];
    let (_, outputs) = scan(time, &zeros, None, |t, states| {
        let next = cell.forward(scope, &x.slice(0, t..t + 1).reshape([batch, size]), states);
        let h = next[0].clone();
        (next, h)
    });
    outputs
}
