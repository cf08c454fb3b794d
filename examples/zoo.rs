//! Lists every model of the zoo: parameters, work, memory, source. Nothing is run; programs are planned only.
//!
//! ```sh
//! cargo run --release --example zoo
//! cargo run --release --example zoo -- resnet     # those with this in their name
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::exit_with;
use wgrad::zoo::registry::{self, Model};

/// Lists the models, with what they need.
#[derive(Parser)]
#[command(name = "zoo")]
struct Args {
    /// Only models with this in their name
    #[arg(value_name = "PART", default_value = "")]
    part: String,

    /// The device to plan for: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let device = Device::open(args.device.parse()?)?;
    let models = registry::models()?;
    let chosen: Vec<&Model> = models.iter().filter(|model| model.name.contains(&args.part)).collect();
    anyhow::ensure!(!chosen.is_empty(), "no model has {:?} in its name", args.part);
    let mut out = io::stdout().lock();
    writeln!(out, "GFLOP: of one example, forward. Training memory: a batch with all that lasts, by Adam in f32.\n")?;
    let head = ("model", "parameters", "input", "GFLOP", "batch", "training memory", "source");
    let (name, parameters, input, flops, batch, memory, source) = head;
    writeln!(out, "{name:<32} {parameters:>13}  {input:<18} {flops:>8} {batch:>6} {memory:>15}  {source}")?;
    for model in chosen {
        let [parameters, flops, memory] = measure(&device, model)?;
        let (name, input, batch, source) = (&model.name, &model.input, model.batch, model.source);
        writeln!(out, "{name:<32} {parameters:>13}  {input:<18} {flops:>8} {batch:>6} {memory:>15}  {source}")?;
    }
    Ok(())
}

/// Parameters, GFLOP and training memory, as text.
fn measure(device: &Device, model: &Model) -> anyhow::Result<[String; 3]> {
    let scope = Scope::eval();
    let output = checked(|| model.forward(&scope, 1))?;
    let flops = Program::plan_only(device, &[&output], &Updates::new())?.flops;
    let train = Scope::train();
    let (loss, updates) = checked(|| {
        let loss = model.loss(&train, model.batch);
        let updates = Adam::new(1e-3).minimize(&train, &loss);
        (loss, updates)
    })?;
    let memory = match Program::plan_only(device, &[&loss], &updates) {
        Ok(plan) => format!("{:.2} GB", (plan.state_bytes + plan.input_bytes + plan.temporary_bytes) as f64 / 1e9),
        // Its largest tensor is more than the device can bind at once.
        Err(_) => "too large".into(),
    };
    Ok([train.param_count().to_string(), format!("{:.3}", flops / 1e9), memory])
}
