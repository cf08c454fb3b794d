//! What the Rust peers share: the command line, the file with the initial weights and the batch, and the timing, as
//! `pytorch.py` does it. Each peer takes this file in as a module and gives `main` a function that builds a step.
//!
//!     PEER MODEL WEIGHTS.safetensors [--threads N] [--seconds S] [--device D] [--inference]
//!
//! README.md says what is asked and answered. The kernels (`matmul_512`, `conv3x3_64_56`, ...) read no file: their "loss" is one number of the result.

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Steps that are not timed, as in wgrad's turns.
const WARM_UP: usize = 3;

/// The command line.
pub struct Args {
    pub model: String,
    weights: PathBuf,
    threads: usize,
    seconds: f64,
    pub device: String,
    /// Forward passes in evaluation in place of training steps.
    pub inference: bool,
}

/// A step that is ready to run: each call takes one and gives its loss.
pub struct Work {
    /// What computes.
    pub device: String,
    pub step: Box<dyn FnMut() -> Result<f32>>,
}

/// Why a peer cannot run a model.
#[derive(Debug)]
pub struct Unable(pub String);

impl std::fmt::Display for Unable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unable {}

/// Measures what `build` gives.
pub fn main(build: fn(&Args) -> Result<Work>) -> ExitCode {
    match Args::parse().and_then(|args| measure(&args, build)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::from(if e.is::<Unable>() { 3 } else { 1 })
        }
    }
}

impl Args {
    fn parse() -> Result<Args> {
        let mut words = std::env::args().skip(1);
        let mut free = vec![];
        let mut args = Args {
            model: String::new(),
            weights: PathBuf::new(),
            threads: 1,
            seconds: 5.0,
            device: "cpu".into(),
            inference: false,
        };
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--") else {
                free.push(word);
                continue;
            };
            if option == "inference" {
                args.inference = true;
                continue;
            }
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match option {
                "threads" => args.threads = value.parse()?,
                "seconds" => args.seconds = value.parse()?,
                "device" => args.device = value,
                _ => bail!("no option {word}"),
            }
        }
        let [model, weights] = <[String; 2]>::try_from(free).map_err(|_| anyhow!("MODEL and WEIGHTS expected"))?;
        (args.model, args.weights) = (model, weights.into());
        Ok(args)
    }

    /// The file's tensors.
    pub fn tensors(&self) -> Result<Tensors> {
        Tensors::read(&self.weights).with_context(|| format!("cannot read {}", self.weights.display()))
    }

    /// The error that the peer cannot run this model.
    pub fn unable<T>(&self, why: &str) -> Result<T> {
        Err(Unable(format!("{}: {why}", self.model)).into())
    }
}

fn measure(args: &Args, build: fn(&Args) -> Result<Work>) -> Result<()> {
    // SAFETY: no other thread runs yet. All three take their number of CPU threads from here.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", args.threads.to_string()) };
    let mut work = build(args)?;
    let mut losses = vec![(work.step)()?];
    let started = std::env::var("WGRAD_BENCH_STARTED").ok().and_then(|s| s.parse::<f64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    // Not given where a person runs the peer: no time is as good as none.
    let first_step_s = started.map_or(0.0, |s| now - s);
    for _ in 1..WARM_UP {
        losses.push((work.step)()?);
    }
    let mut step_ms = vec![];
    let (start, cpu) = (Instant::now(), cpu_time());
    while step_ms.len() < 4 || start.elapsed().as_secs_f64() < args.seconds {
        let step = Instant::now();
        losses.push((work.step)()?);
        step_ms.push(step.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_ms = (cpu_time() - cpu) * 1e3 / step_ms.len() as f64;
    ensure!(losses.iter().all(|l| l.is_finite()), "the loss is not finite: {losses:?}");
    let result = serde_json::json!({
        "device": work.device, "first_step_s": first_step_s, "step_ms": step_ms, "cpu_ms": cpu_ms, "losses": losses,
        "peak_rss_mb": peak_rss_mb(),
    });
    println!("{result}");
    Ok(())
}

/// Tensors by name: weights under PyTorch's names, in its layouts, and the batch.
pub struct Tensors(BTreeMap<String, Words>);

/// Shape, type and elements of a tensor; only types of four bytes come.
type Words = (Vec<usize>, Dtype, Vec<[u8; 4]>);

impl Tensors {
    fn read(path: &std::path::Path) -> Result<Tensors> {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let words = |(name, view): (String, safetensors::tensor::TensorView)| {
            let four = |b: &[u8]| <[u8; 4]>::try_from(b).unwrap_or_default();
            let words = view.data().chunks_exact(4).map(four).collect();
            (name, (view.shape().to_vec(), view.dtype(), words))
        };
        Ok(Tensors(file.tensors().into_iter().map(words).collect()))
    }

    fn get(&self, name: &str, dtype: Dtype) -> Result<(Vec<usize>, &[[u8; 4]])> {
        let (shape, is, words) = self.0.get(name).with_context(|| format!("the file has no {name}"))?;
        ensure!(*is == dtype, "{name} has {is:?}, not {dtype:?}");
        Ok((shape.clone(), words))
    }

    /// The shape and the numbers of an f32 tensor.
    pub fn f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let (shape, words) = self.get(name, Dtype::F32)?;
        Ok((shape, words.iter().map(|w| f32::from_le_bytes(*w)).collect()))
    }

    /// The shape and the numbers of a u32 tensor.
    pub fn u32(&self, name: &str) -> Result<(Vec<usize>, Vec<u32>)> {
        let (shape, words) = self.get(name, Dtype::U32)?;
        Ok((shape, words.iter().map(|w| u32::from_le_bytes(*w)).collect()))
    }

    /// Weights and statistics: names, shapes and numbers.
    pub fn weights(&self) -> impl Iterator<Item = (&str, Vec<usize>, Vec<f32>)> {
        let names =
            self.0.iter().filter(|(n, (_, d, _))| *n != "images" && !n.starts_with("optimizer.") && *d == Dtype::F32);
        names.map(|(name, (shape, _, words))| {
            (name.as_str(), shape.clone(), words.iter().map(|w| f32::from_le_bytes(*w)).collect())
        })
    }

    /// The learning rate.
    pub fn rate(&self) -> Result<f64> {
        let (_, rate) = self.f32("optimizer.lr")?;
        // As it was written in wgrad's bench, before it became an f32.
        Ok(rate.first().context("the learning rate is empty")?.to_string().parse()?)
    }
}

/// The kernels of the bench, by name.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// A product of two square matrices.
    Matmul(usize),
    /// 3x3, padding 1; with both gradients, for a gradient of ones, or without.
    Conv { gradients: bool },
}

/// Images of the convolution, its channels on both sides, and its height and width.
pub const CONV: [usize; 3] = [8, 64, 56];

impl Kernel {
    pub fn named(name: &str) -> Option<Kernel> {
        match name {
            "conv3x3_64_56" => Some(Kernel::Conv { gradients: false }),
            "conv3x3_64_56_grads" => Some(Kernel::Conv { gradients: true }),
            _ => name.strip_prefix("matmul_")?.parse().ok().map(Kernel::Matmul),
        }
    }
}

/// Numbers in [-1, 1) without a pattern, as wgrad's bench makes them, from this seed.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut word = seed;
    let mut next = || {
        word = word.wrapping_mul(1664525).wrapping_add(1013904223);
        (word >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The greatest resident set of this process so far, in MB; 0 where the system does not say.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// The processor time of all threads so far, in seconds; 0 where the system does not say.
fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets: fields 3 and on; 14 and 15 are user and system time, in hundredths of a second.
    let fields = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
    let ticks = |i: usize| fields.get(i - 3).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(14) + ticks(15)) / 100.0
}
