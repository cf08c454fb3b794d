//! Choosing among the forms of kernels by timing them on the device.

use crate::{Adapter, Choices, Device, DeviceError, Launch, Sequence, Slice, philox};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often each form is timed, with how many launches at once; the least time counts. After [`ENOUGH`], two rounds do.
const ROUNDS: usize = 5;
const LAUNCHES: usize = 3;
const ENOUGH: Duration = Duration::from_secs(1);
/// Forms that first take this many times as long as the best are left.
const HOPELESS: u32 = 3;
/// The part of the usual form's time that another has to stay below: less would be noise.
const GAIN: f64 = 0.97;

impl Device {
    /// A handle whose programs' kernels are timed in all their forms ([`crate::Kernel::choices`]) when they are compiled, where
    /// that was not done before. What is found is kept in a file for this adapter and driver, beside the compiled pipelines,
    /// and later runs use it with or without tuning. Forms differ in the order of sums, and so in the last bits.
    /// Does nothing on the CPU backend.
    pub fn with_tuning(mut self, on: bool) -> Device {
        self.set_tuning(on);
        self
    }

    /// A handle that knows the fastest form of each of the launches' kernels, after timing those that nobody timed before; `None`
    /// if this handle knows them all, or does not tune. Kernels that were planned for this handle (their scratch memory) have to
    /// be planned anew for the other.
    ///
    /// Of the launches' slices only the sizes matter.
    ///
    /// # Errors
    /// If the device fails. A form that has no room, or that the device refuses, is not chosen.
    pub fn tuned(&self, launches: &[Launch]) -> Result<Option<Device>, DeviceError> {
        let Some(gpu) = self.tuning() else { return Ok(None) };
        let mut problems: BTreeMap<String, (&Launch, Choices)> = BTreeMap::new();
        for launch in launches {
            let choices = launch.kernel.choices(self.adapter());
            if let Some(c) = choices.filter(|c| self.adapter().tuned.get(&c.problem).is_none()) {
                problems.entry(c.problem.clone()).or_insert((launch, c));
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        let known = gpu.tuned();
        let mut found = vec![];
        for (problem, (launch, choices)) in problems.into_iter().filter(|(p, _)| known.get(p).is_none()) {
            found.push((problem, self.fastest(launch, choices)?));
        }
        Ok(Some(self.as_on(Adapter { tuned: gpu.add_tuned(found), ..self.adapter().clone() })))
    }

    /// The form of a launch's kernel that takes the least time, with random numbers as inputs.
    fn fastest(&self, launch: &Launch, choices: Choices) -> Result<String, DeviceError> {
        let usual = choices.forms[0].clone();
        let Some(memory) = room(self.memory(launch))? else { return Ok(usual) };
        let mut trials: Vec<(String, Sequence, Duration)> = vec![];
        for form in choices.forms {
            let tuned = self.adapter().tuned.with([(choices.problem.clone(), form.clone())]);
            let device = self.as_on(Adapter { tuned, ..self.adapter().clone() });
            if let Some(sequence) = room(device.trial(launch, &memory))? {
                trials.push((form, sequence, Duration::MAX));
            } else if form == usual {
                return Ok(usual);
            }
        }
        // The first runs only warm up, and tell which forms need not be timed.
        for (_, sequence, time) in &mut trials {
            *time = self.least_time(sequence)?;
        }
        let bound = trials.iter().map(|t| t.2).min().unwrap_or_default() * HOPELESS;
        trials.retain(|(form, _, time)| *time <= bound || *form == usual);
        trials.iter_mut().for_each(|t| t.2 = Duration::MAX);
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round >= 2 && start.elapsed() > ENOUGH {
                break;
            }
            for (_, sequence, time) in &mut trials {
                *time = self.least_time(sequence)?.min(*time);
            }
        }
        let of_usual = trials[0].2;
        let (best, _, time) = trials.into_iter().min_by_key(|t| t.2).expect("the usual form is among them");
        // Where a clock is too coarse there is nothing to choose by.
        let better = !time.is_zero() && time.as_secs_f64() < GAIN * of_usual.as_secs_f64();
        Ok(if better { best } else { usual })
    }

    fn least_time(&self, sequence: &Sequence) -> Result<Duration, DeviceError> {
        Ok(self.run_profiled(sequence)?.iter().map(|t| t.time).min().unwrap_or_default())
    }

    /// Memory for a launch's inputs, filled, and outputs.
    fn memory(&self, launch: &Launch) -> Result<[Vec<Slice>; 2], DeviceError> {
        let slice = |like: &Slice| {
            let buffer = self.alloc(like.bytes.max(4), "tuning")?;
            Ok(Slice { buffer, offset: 0, bytes: like.bytes })
        };
        let inputs = launch.inputs.iter().map(slice).collect::<Result<Vec<_>, DeviceError>>()?;
        let outputs = launch.outputs.iter().map(slice).collect::<Result<_, DeviceError>>()?;
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| t.subsec_nanos());
        for (i, input) in inputs.iter().enumerate() {
            self.write(input, &noise([seed, i as u32], input.bytes))?;
        }
        Ok([inputs, outputs])
    }

    /// A few times the same launch, in the form that this handle's adapter names.
    fn trial(&self, launch: &Launch, [inputs, outputs]: &[Vec<Slice>; 2]) -> Result<Sequence, DeviceError> {
        let scratch = match launch.kernel.scratch(self.adapter()) {
            0 => None,
            bytes => Some(self.alloc(bytes, "tuning")?.slice()),
        };
        let (inputs, outputs) = (inputs.clone(), outputs.clone());
        let aliases = vec![None; outputs.len()];
        self.prepare_once(vec![Launch { inputs, outputs, aliases, scratch, ..launch.clone() }; LAUNCHES])
    }
}

/// What there was room for, and what the device could do; other errors are errors.
fn room<T>(made: Result<T, DeviceError>) -> Result<Option<T>, DeviceError> {
    use DeviceError::{OutOfMemory, TooLarge, Unsupported, Validation};
    match made {
        Ok(made) => Ok(Some(made)),
        Err(OutOfMemory { .. } | TooLarge { .. } | Unsupported { .. } | Validation { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Bytes that are random numbers of either sign between 2^-7 and 2, read as f32 or as f16.
fn noise(key: [u32; 2], bytes: usize) -> Vec<u8> {
    let fours = (0..bytes.div_ceil(16) as u32).flat_map(|i| philox(key, [i, 0, 0, 0]));
    let mut all: Vec<u8> = fours.flat_map(|word| (word & 0x83ff_83ff | 0x3c00_3c00).to_le_bytes()).collect();
    all.truncate(bytes);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_of_ordinary_numbers() {
        let bytes = noise([1, 2], 4002);
        assert_eq!(bytes.len(), 4002);
        let ordinary = |x: f32| (1.0 / 128.0..2.0).contains(&x.abs());
        let floats = bytes[..4000].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        assert!(floats.clone().all(ordinary) && floats.clone().any(|x| x < 0.0) && floats.clone().any(|x| x > 0.0));
        assert!(bytes.chunks_exact(2).all(|b| ordinary(half::f16::from_le_bytes([b[0], b[1]]).to_f32())));
        assert_ne!(bytes, noise([1, 3], 4002));
    }
}
