//! What the first step of a small model costs on a device, part by part. With empty caches (a software adapter's compiler keeps its
//! own) it is the time to compile every kernel:
//!
//!     MESA_SHADER_CACHE_DIR=$(mktemp -d) WGRAD_PIPELINE_CACHE=off \
//!         cargo run --release -p wgrad-zoo --example cold_start -- software [bert|gpt|vit|resnet20] [kernels]
//!
//! `kernels` lists the launches by the time that each took when it was first run.

use std::time::Instant;
use wgrad_graph::{DType, Data, Device, Program, State, Tensor, Updates};
use wgrad_nn::{Layer, Scope, optim::AdamW};
use wgrad_zoo::bert::{Bert, BertPreTraining, Tokens};
use wgrad_zoo::{Gpt, ResNet, Vit};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let start = Instant::now();
    let mut arguments = std::env::args().skip(1);
    let device = Device::open(arguments.next().unwrap_or_else(|| "software".into()).parse()?)?;
    let rest: Vec<String> = arguments.collect();
    let model = rest.iter().find(|a| *a != "kernels").map_or("bert", String::as_str);
    let opened = start.elapsed();
    let (loss, updates) = build(model)?;
    let program = Program::compile(&device, &[&loss], &updates)?;
    let compiled = start.elapsed();
    let mut state = State::init(&device, &program, 0)?;
    let inputs: Vec<(String, usize, DType)> =
        program.input_shapes().map(|(n, shape, dtype)| (n.to_string(), shape.iter().product(), dtype)).collect();
    let (words, floats): (Vec<u32>, Vec<f32>) = (vec![1; 1 << 16], vec![0.5; 1 << 16]);
    let inputs: Vec<(&str, Data)> = inputs
        .iter()
        .map(|(name, count, dtype)| match dtype {
            DType::F32 => (name.as_str(), Data::F32(&floats[..*count])),
            _ => (name.as_str(), Data::U32(&words[..*count])),
        })
        .collect();
    let (mut outputs, mut times) = program.run_profiled(&mut state, &inputs)?;
    let loss = outputs.scalar(0)?;
    let first = start.elapsed();
    println!(
        "{model}: {} launches; opened {:.2} s, compiled {:.2} s, first step {:.2} s, in all {:.2} s; peak {:.0} MB; loss {loss}",
        times.len(),
        opened.as_secs_f64(),
        (compiled - opened).as_secs_f64(),
        (first - compiled).as_secs_f64(),
        first.as_secs_f64(),
        peak_mb(),
    );
    if rest.iter().any(|a| a == "kernels") {
        times.sort_by_key(|t| std::cmp::Reverse(t.time));
        for t in times.iter().filter(|t| t.time.as_millis() > 1) {
            println!("{:>9.1} ms  {}", t.time.as_secs_f64() * 1e3, t.name);
        }
    }
    Ok(())
}

/// The loss and the updates of a training step at test size.
fn build(model: &str) -> Result<(Tensor, Updates), Failure> {
    let words = |name: &str, shape: &[usize]| Tensor::input(name, shape, DType::U32);
    let scope = Scope::train();
    let loss = match model {
        "bert" => {
            let sequence = |name: &str| words(name, &[6, 20]);
            let tokens = Tokens::new(&sequence("ids")).segments(&sequence("segments")).mask(&sequence("mask"));
            let bert = Bert::new(60, 24, 2, 2)?.inner(32).positions(20).dropout(0.1);
            let heads = BertPreTraining::new(bert).predict(&scope, &tokens, &words("positions", &[6, 3]));
            heads.loss(&words("labels", &[6, 3]), &words("next", &[6]))
        }
        "gpt" => Gpt::new(8, 12, 2, 2, 16)?.loss(&scope, &words("tokens", &[8, 12]), &words("targets", &[8, 12])),
        "vit" | "resnet20" => {
            let images = |size| Tensor::input("images", [8, 1, size, size], DType::F32);
            let logits = match model {
                "vit" => Vit::new(12, 3, 6)?
                    .in_channels(1)
                    .layers(2)
                    .width(24, 2)
                    .inner(32)
                    .dropout(0.1)
                    .forward(&scope, &images(12)),
                _ => ResNet::cifar(20, 6)?.in_channels(1).width(4).forward(&scope, &images(16)),
            };
            logits.cross_entropy(&words("labels", &[8]))
        }
        other => return Err(format!("{other:?} is none of bert, gpt, vit, resnet20").into()),
    };
    let updates = AdamW::new(3e-3).clip_norm(1.0).minimize(&scope, &loss);
    Ok((loss, updates))
}

/// The greatest resident set so far, in MB; 0 where the system does not say.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}
