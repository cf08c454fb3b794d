//! A model's step on a device, ready to run: one turn of wgrad.

use super::measurement::{Measurement, Plan};
use super::zoo::{Input, Model};
use crate::shared::clock::{cpu_time, now, peak_rss_mb, repeat};
use crate::shared::peers::STARTED;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Instant;
use wgrad::nn::optim::LEARNING_RATE;
use wgrad::prelude::*;
use wgrad::train::{TensorData, checkpoint, profile, tensors};

/// Steps that are not timed: the first compiles, and all of them must have the same loss as the peers'.
pub const WARM_UP: usize = 3;

/// A step, ready to run, with its batch.
pub struct Work {
    device: Device,
    programs: Vec<Program>,
    state: State,
    batch: Vec<Input>,
    rate: f64,
    compile_ms: f64,
}

impl Work {
    /// Compiles the model's training step, or what it does when it is used; then the mean size of its output stands for a loss.
    pub fn new(model: &dyn Model, device: &str, tune: bool, inference: bool) -> Result<Work> {
        let device = Device::open(device.parse()?)?.with_tuning(tune);
        let batch = model.batch();
        let inputs: Vec<Tensor> = batch.iter().map(Input::tensor).collect();
        let steps = match inference {
            true => vec![(model.infer(&Scope::eval(), &inputs).abs().mean_all(), Updates::new())],
            false => model.train(&inputs),
        };
        let start = Instant::now();
        let compile = |(loss, updates): &(Tensor, Updates)| Program::compile(&device, &[loss], updates);
        let programs = steps.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;
        let mut state = State::init(&device, &programs[0], 1)?;
        for program in &programs[1..] {
            state.add(program)?;
        }
        Ok(Work { device, programs, state, batch, rate: model.rate(), compile_ms })
    }

    /// Measures steps for this long.
    pub fn turn(mut self, seconds: f64) -> Result<Measurement> {
        let mut losses = vec![self.step()?];
        let first_step_s = now() - std::env::var(STARTED).map_or(Ok(f64::NAN), |s| s.parse())?;
        for _ in 1..WARM_UP {
            losses.push(self.step()?);
        }
        let timed = repeat(seconds, || self.step().map(|loss| losses.push(loss)))?;
        ensure!(losses.iter().all(|l| l.is_finite()), "the loss is not finite: {losses:?}");
        Ok(Measurement {
            device: self.device.adapter().to_string(),
            first_step_s,
            step_ms: timed.ms,
            cpu_ms: timed.cpu_ms,
            losses,
            peak_rss_mb: peak_rss_mb(),
            plan: Some(self.plan()),
        })
    }

    /// Prints what the step is, and the time of each kernel in it.
    pub fn profile(mut self) -> Result<()> {
        println!("{}", self.device.adapter());
        for _ in 0..WARM_UP {
            self.step()?;
        }
        let cpu = cpu_time();
        let mut times = vec![];
        for program in &self.programs {
            println!("{}", program.summary());
            times.extend(program.run_profiled(&mut self.state, &given(program, &self.batch))?.1);
        }
        print!("{}", profile::table(&times));
        println!("processor time: {:.0} ms", (cpu_time() - cpu) * 1e3);
        Ok(())
    }

    /// One step, waited for.
    fn step(&mut self) -> Result<f64> {
        let mut outputs = vec![];
        for program in &self.programs {
            outputs.push(program.run(&mut self.state, &given(program, &self.batch))?);
        }
        let mut sum = 0.0;
        for mut output in outputs {
            sum += f64::from(output.scalar(0)?);
        }
        Ok(sum)
    }

    fn plan(&self) -> Plan {
        let all = || self.programs.iter().map(Program::summary);
        let state: usize = self.state.tensors().map(|(_, shape, t)| shape.iter().product::<usize>() * t.size()).sum();
        let rest: usize = all().map(|s| s.input_bytes + s.temporary_bytes).sum();
        Plan {
            dispatches: all().map(|s| s.launches).sum(),
            planned_mb: (state + rest) as f64 / (1 << 20) as f64,
            gflop: all().map(|s| s.flops).sum::<f64>() / 1e9,
            compile_ms: self.compile_ms,
        }
    }

    /// Saves weights and statistics under the ecosystem's names, the batch, and the learning rate.
    pub fn export(&self, path: &Path) -> Result<()> {
        let names: Vec<&str> = self.state.tensors().map(|(name, ..)| name).collect();
        let kept = |n: &&str| *n != "rng" && !n.split('.').any(|part| part == "optimizer");
        let mut all = tensors::export(&self.state, names.into_iter().filter(kept))?;
        all.extend(self.batch.iter().map(|input| (input.name().to_string(), input.saved())));
        all.insert(LEARNING_RATE.into(), TensorData::from_f32([], &[self.rate as f32]));
        Ok(checkpoint::save(path, &all)?)
    }
}

/// Those of the inputs that the program takes.
fn given<'a>(program: &Program, batch: &'a [Input]) -> Vec<(&'a str, Data<'a>)> {
    let takes = |input: &&Input| program.input_shapes().any(|(name, ..)| name == input.name());
    batch.iter().filter(takes).map(|input| (input.name(), input.data())).collect()
}
