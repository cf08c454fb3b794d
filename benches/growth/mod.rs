//! How cost grows: a step with its batch, compiling with the number of layers, attention's memory with length.

mod plot;

use crate::models;
use crate::shared::report::{Table, short};
use crate::shared::stats::growth;
use anyhow::{Context, Result};
use clap::Args;
use plot::{Line, Panel};
use std::path::PathBuf;
use std::time::Instant;
use wgrad::prelude::*;
use wgrad::zoo::Gpt;

/// Measures how cost grows: a training step with its batch, compiling with the number of layers, attention's memory with the
/// length of texts. The exponent is that of a power law through the upper half of a line's points: 1 is linear.
#[derive(Args)]
pub struct Options {
    /// Where wgrad computes: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,

    /// Short measurements
    #[arg(long)]
    quick: bool,

    /// Draw the lines to this file, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Does what the command line asks for.
///
/// # Errors
/// If a program cannot be compiled or run, or the plot cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let device = Device::open(options.device.parse()?)?;
    println!("{}", device.adapter());
    let panels = [steps(options)?, compiling(&device)?, memory(&device)?];
    for panel in &panels {
        let mut table = Table::new(&["what", &panel.x, &panel.y, "for one"]);
        println!("\n## {}\n", panel.title);
        let mut exponents = String::new();
        for line in &panel.lines {
            for &(x, y) in &line.points {
                table.row([line.name.clone(), format!("{x:.0}"), short(y), short(y / x)]);
            }
            let upper = &line.points[line.points.len() / 2..];
            exponents += &format!("{}: exponent {:.2}\n", line.name, growth(upper));
        }
        print!("{table}\n{exponents}");
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, plot::draw(&panels)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn panel(title: &str, x: &str, y: &str, lines: Vec<Line>) -> Panel {
    Panel { title: title.into(), x: x.into(), y: y.into(), lines }
}

/// Training steps of models at growing batch sizes.
fn steps(options: &Options) -> Result<Panel> {
    let mut lines = vec![];
    for (name, most) in [("mlp", 1024), ("resnet20", 128), ("gpt_small", 64)] {
        let mut points = vec![];
        for batch in (0..).map(|i| 1 << i).take_while(|b| *b <= most) {
            let seconds = if options.quick { 0.1 } else { 1.0 };
            points.push((batch as f64, models::step_ms(name, batch, &options.device, seconds)?));
        }
        lines.push(Line { name: name.into(), points });
    }
    Ok(panel("Training step against batch", "batch", "ms", lines))
}

/// Time to go from nothing to a compiled training step of so many layers: the graph, its gradients, the plan. Pipelines are
/// not in it; equal layers share them.
fn compiling(device: &Device) -> Result<Panel> {
    let perceptron = |scope: &Scope, x: &Tensor| Linear::new(32, 32).forward(scope, x).relu();
    let residual = |scope: &Scope, x: &Tensor| {
        let conv = Conv2d::new(8, 8, 3).padding(1).bias(false).forward(&scope.enter("conv"), x);
        (BatchNorm2d::new(8).forward(&scope.enter("norm"), &conv) + x).relu()
    };
    let layers: [(&str, &[usize], &dyn Layer); 2] =
        [("linear, relu", &[8, 32], &perceptron), ("conv, batch norm, add, relu", &[2, 8, 8, 8], &residual)];
    let mut lines = vec![];
    for (name, shape, layer) in layers {
        let mut points = vec![];
        for count in [10, 30, 100, 300, 1000] {
            let start = Instant::now();
            let scope = Scope::train();
            let x = Tensor::input("x", shape, DType::F32);
            let y = (0..count).fold(x, |x, i| layer.forward(&scope.enter(&i.to_string()), &x));
            let loss = y.square().mean_all();
            let updates = Adam::new(1e-3).minimize(&scope, &loss);
            Program::compile(device, &[&loss], &updates)?;
            points.push((count as f64, start.elapsed().as_secs_f64() * 1e3));
        }
        lines.push(Line { name: name.into(), points });
    }
    Ok(panel("Compile time against layers", "layers", "ms", lines))
}

/// Temporary memory of a training step of a transformer of one block, planned and not run.
fn memory(device: &Device) -> Result<Panel> {
    let mut points = vec![];
    for length in (8..=14).map(|i| 1 << i) {
        let model = Gpt::new(64, length, 1, 8, 512)?.dropout(0.0);
        let ids = |name| Tensor::input(name, [1, length], DType::U32);
        let scope = Scope::train();
        let loss = model.loss(&scope, &ids("tokens"), &ids("targets"));
        let plan = Program::plan_only(device, &[&loss], &Adam::new(1e-3).minimize(&scope, &loss))?;
        points.push((length as f64, plan.temporary_bytes as f64 / (1 << 20) as f64));
    }
    let lines = vec![Line { name: "GPT, 1 block of 8 heads of 64".into(), points }];
    Ok(panel("Temporary memory against length", "tokens", "MB", lines))
}
