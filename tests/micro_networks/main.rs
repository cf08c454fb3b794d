//! Small networks of many kinds, written with the library as a user would, trained for 20 steps on both backends: the same
//! losses, and they fall.

#[path = "../support/mod.rs"]
mod support;

mod adversarial;
mod graphs;
mod images;
mod memory;
mod sequences;

use support::{cpu, gpu};
use wgrad::prelude::*;

const STEPS: usize = 20;
/// How far losses may be apart, relative to 1 + the loss.
const TOLERANCE: f32 = 1e-3;

/// Elements of an input.
enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

/// What the inputs are in a step, by name.
type Feed = dyn Fn(usize) -> Vec<(&'static str, Values)>;

/// One or more programs over one state, run one after the other in each step.
struct Training {
    programs: Vec<(Tensor, Updates)>,
    feed: Box<Feed>,
}

impl Training {
    fn new(loss: Tensor, updates: Updates, feed: impl Fn(usize) -> Vec<(&'static str, Values)> + 'static) -> Training {
        Training { programs: vec![(loss, updates)], feed: Box::new(feed) }
    }

    /// The losses of each step.
    fn losses(&self, device: &Device) -> Vec<Vec<f32>> {
        let compile = |(loss, updates): &(Tensor, Updates)| Program::compile(device, &[loss], updates).unwrap();
        let programs: Vec<Program> = self.programs.iter().map(compile).collect();
        let mut state = State::init(device, &programs[0], 3).unwrap();
        programs[1..].iter().for_each(|p| state.add(p).unwrap());
        let mut step = |i: usize, p: &Program| {
            let values = (self.feed)(i);
            let wanted = |name: &str| p.input_shapes().any(|(n, ..)| n == name);
            let inputs: Vec<(&str, Data)> = values
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, v)| match v {
                    Values::F32(v) => (*name, Data::from(v)),
                    Values::U32(v) => (*name, Data::from(v)),
                })
                .collect();
            p.run(&mut state, &inputs).unwrap().scalar(0).unwrap()
        };
        (0..STEPS).map(|i| programs.iter().map(|p| step(i, p)).collect()).collect()
    }

    /// Trains on both backends, and compares. Returns the CPU's losses.
    fn check(&self) -> Vec<Vec<f32>> {
        let expected = self.losses(cpu());
        if let Some(gpu) = gpu() {
            for (i, (g, e)) in self.losses(gpu).iter().zip(&expected).enumerate() {
                let close = g.iter().zip(e).all(|(g, e)| (g - e).abs() <= TOLERANCE * (1.0 + e.abs()));
                assert!(close, "step {i}: {g:?} on {gpu:?}, {e:?} on the CPU");
            }
        }
        assert!(expected.iter().flatten().all(|l| l.is_finite()), "{expected:?}");
        expected
    }

    /// As `check`, and the loss falls to `share` of what it was.
    fn learns(&self, share: f32) {
        let losses = self.check();
        let (first, last) = (losses[0][0], losses[STEPS - 1][0]);
        assert!(last < first * share, "{first} to {last}: {losses:?}");
    }
}
