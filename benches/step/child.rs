//! One turn of wgrad.

use crate::measurement::{Measurement, STARTED, cpu_time, now, peak_rss_mb};
use crate::models::Model;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Instant;
use wgrad::nn::optim::LEARNING_RATE;
use wgrad::prelude::*;
use wgrad::train::{TensorData, checkpoint, profile, tensors};

/// Steps that are not timed: the first compiles, and all of them must have the same loss as the peers'.
const WARM_UP: usize = 3;

/// Small enough for the loss to fall in every step, on a batch that never changes.
const RATE: f64 = 1e-3;

/// A training step, ready to run, with its batch.
pub struct Work {
    device: Device,
    program: Program,
    state: State,
    images: Vec<f32>,
    images_shape: [usize; 4],
    labels: Vec<u32>,
}

impl Work {
    /// Compiles the step: SGD with momentum and weight decay on the cross entropy.
    pub fn new(model: &Model, device: &str) -> Result<Work> {
        let device = Device::open(device.parse()?)?;
        let [c, h, w] = model.image;
        let images_shape = [model.batch, c, h, w];
        let images = Tensor::input("images", images_shape, DType::F32);
        let labels = Tensor::input("labels", [model.batch], DType::U32);
        let scope = Scope::train();
        let loss = model.network()?.forward(&scope, &images).cross_entropy(&labels);
        let step = Sgd::new(RATE).momentum(0.9).weight_decay(5e-4).minimize(&scope, &loss);
        let program = Program::compile(&device, &[&loss], &step)?;
        let state = State::init(&device, &program, 1)?;
        Ok(Work {
            images: noise(images.count()),
            images_shape,
            labels: (0..model.batch).map(|i| (i * 7 % model.classes) as u32).collect(),
            device,
            program,
            state,
        })
    }

    /// Measures steps for this long, after saving what the step begins with.
    pub fn turn(mut self, seconds: f64, export: Option<&Path>) -> Result<Measurement> {
        if let Some(path) = export {
            self.export(path)?;
        }
        let mut losses = vec![self.step()?];
        let first_step_s = now() - std::env::var(STARTED).map_or(Ok(f64::NAN), |s| s.parse())?;
        for _ in 1..WARM_UP {
            losses.push(self.step()?);
        }
        let mut step_ms = vec![];
        let (start, cpu) = (Instant::now(), cpu_time());
        while step_ms.len() < 4 || start.elapsed().as_secs_f64() < seconds {
            let step = Instant::now();
            losses.push(self.step()?);
            step_ms.push(step.elapsed().as_secs_f64() * 1e3);
        }
        let cpu_ms = (cpu_time() - cpu) * 1e3 / step_ms.len() as f64;
        ensure!(losses.iter().all(|l| l.is_finite()), "the loss is not finite: {losses:?}");
        let device = self.device.adapter().to_string();
        Ok(Measurement { device, first_step_s, step_ms, cpu_ms, losses, peak_rss_mb: peak_rss_mb() })
    }

    /// Prints what the step is, and the time of each kernel in it.
    pub fn profile(mut self) -> Result<()> {
        println!("{}\n{}", self.device.adapter(), self.program.summary());
        for _ in 0..WARM_UP {
            self.step()?;
        }
        let inputs = [("images", Data::from(&self.images)), ("labels", Data::from(&self.labels))];
        let (_, times) = self.program.run_profiled(&mut self.state, &inputs)?;
        print!("{}", profile::table(&times));
        Ok(())
    }

    /// One step, waited for.
    fn step(&mut self) -> Result<f64> {
        let inputs = [("images", Data::from(&self.images)), ("labels", Data::from(&self.labels))];
        Ok(self.program.run(&mut self.state, &inputs)?.scalar(0)?.into())
    }

    /// Saves weights and statistics under torchvision's names, and the batch.
    fn export(&self, path: &Path) -> Result<()> {
        let names: Vec<&str> = self.state.tensors().map(|(name, ..)| name).collect();
        let names = names.into_iter().filter(|n| !n.starts_with("optimizer."));
        let mut all = tensors::export(&self.state, names)?;
        all.insert("images".into(), TensorData::from_f32(self.images_shape, &self.images));
        all.insert("labels".into(), TensorData::from_u32([self.labels.len()], &self.labels));
        all.insert(LEARNING_RATE.into(), TensorData::from_f32([], &[RATE as f32]));
        Ok(checkpoint::save(path, &all)?)
    }
}

/// Numbers in [-1, 1) without a pattern: a linear congruential generator's upper bits.
fn noise(count: usize) -> Vec<f32> {
    let mut word = 1u32;
    let mut next = || {
        word = word.wrapping_mul(1664525).wrapping_add(1013904223);
        (word >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
