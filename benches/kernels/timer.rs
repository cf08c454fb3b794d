//! Times one program on a device, without uploads and readbacks: what it reads and writes is state.

use crate::shared::clock::{Timed, repeat};
use anyhow::Result;
use std::time::Instant;
use wgrad::prelude::*;

/// Samples are at least this long, so that clocks and fences do not show.
const SAMPLE_MS: f64 = 5.0;

/// A tensor with numbers in [-1, 1) that stays on the device.
pub fn leaf(name: impl Into<String>, shape: &[usize], dtype: DType) -> Tensor {
    let init = match dtype {
        DType::U32 => wgrad::graph::Init::Constant(1.0),
        _ => wgrad::graph::Init::Uniform(-1.0, 1.0),
    };
    Tensor::state(name, shape, dtype, init)
}

/// Updates that keep these values on the device.
pub fn kept(values: &[Tensor]) -> Updates {
    let mut updates = Updates::new();
    for (i, value) in values.iter().enumerate() {
        let place =
            Tensor::state(format!("out.{i}"), value.shape().to_vec(), value.dtype(), wgrad::graph::Init::Constant(0.0));
        updates.assign(&place, value);
    }
    updates
}

/// What the timer found.
pub struct Found {
    /// Of one run.
    pub timed: Timed,
    /// Launches of one run.
    pub dispatches: usize,
    /// Bytes that have to be read and written at least once: the state, as far as it is input, and what is written of it.
    pub bytes: f64,
}

/// Times runs of a program that only writes state.
pub fn time(device: &Device, updates: &Updates, seconds: f64) -> Result<Found> {
    let program = Program::compile(device, &[], updates)?;
    let mut state = State::init(device, &program, 1)?;
    let fence = Program::compile(device, &[&Tensor::scalar(1.0)], &Updates::new())?;
    let mut fence_state = State::init(device, &fence, 1)?;
    let mut run = |times: usize| -> Result<()> {
        for _ in 0..times {
            program.run(&mut state, &[])?;
        }
        // Its output waits for all that was submitted before.
        fence.run(&mut fence_state, &[])?.scalar(0)?;
        Ok(())
    };
    run(1)?;
    let start = Instant::now();
    run(1)?;
    let once = start.elapsed().as_secs_f64() * 1e3;
    let times = (SAMPLE_MS / once).ceil().clamp(1.0, 1000.0) as usize;
    let mut timed = repeat(seconds, || run(times))?;
    timed.ms.iter_mut().for_each(|ms| *ms /= times as f64);
    timed.cpu_ms /= times as f64;
    let size = |name: &str| {
        let of =
            |(n, shape, t): (&str, &[usize], DType)| (n == name).then(|| shape.iter().product::<usize>() * t.size());
        state.tensors().find_map(of).unwrap_or(0)
    };
    let read: usize = state.tensors().filter(|(n, ..)| !n.starts_with("out.")).map(|(n, ..)| size(n)).sum();
    let written: usize = program.written().map(size).sum();
    Ok(Found { timed, dispatches: program.summary().launches, bytes: (read + written) as f64 })
}
