//! Training programs for a few steps on both backends.

use super::{cpu, gpu};
use std::path::PathBuf;
use wgrad::prelude::*;

/// Steps of a short training.
pub const STEPS: usize = 20;
/// How far losses may be apart, relative to 1 + the loss.
const TOLERANCE: f32 = 1e-3;

/// Elements of an input.
pub enum Values {
    /// For an f32 input.
    F32(Vec<f32>),
    /// For a u32 input.
    U32(Vec<u32>),
}

impl Values {
    /// As a program takes them.
    pub fn data(&self) -> Data<'_> {
        match self {
            Values::F32(values) => values.into(),
            Values::U32(values) => values.into(),
        }
    }
}

/// What the inputs are in a step, by name.
pub type Feed = dyn Fn(usize) -> Vec<(&'static str, Values)>;

/// One or more programs over one state, run one after the other in each step.
pub struct Training {
    /// Loss and updates of each.
    pub programs: Vec<(Tensor, Updates)>,
    /// Their inputs; each takes those that it knows.
    pub feed: Box<Feed>,
}

impl Training {
    /// One program.
    pub fn new(
        loss: Tensor,
        updates: Updates,
        feed: impl Fn(usize) -> Vec<(&'static str, Values)> + 'static,
    ) -> Training {
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
            let inputs: Vec<(&str, Data)> =
                values.iter().filter(|(name, _)| wanted(name)).map(|(name, v)| (*name, v.data())).collect();
            p.run(&mut state, &inputs).unwrap().scalar(0).unwrap()
        };
        (0..STEPS).map(|i| programs.iter().map(|p| step(i, p)).collect()).collect()
    }

    /// Trains on both backends, and compares. Returns the CPU's losses.
    pub fn check(&self) -> Vec<Vec<f32>> {
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
    pub fn learns(&self, share: f32) {
        let losses = self.check();
        let (first, last) = (losses[0][0], losses[STEPS - 1][0]);
        assert!(last < first * share, "{first} to {last}: {losses:?}");
    }

    /// As `check`, and the CPU's losses are those of the recorded curve `tests/curves/{name}.json`, which a run with
    /// `WGRAD_RECORD=1` writes.
    pub fn follows(&self, name: &str) {
        let losses = self.check();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/curves/{name}.json"));
        if std::env::var_os("WGRAD_RECORD").is_some() {
            let lines: Vec<String> = losses.iter().map(|l| serde_json::to_string(l).unwrap()).collect();
            std::fs::write(&path, format!("[\n  {}\n]\n", lines.join(",\n  "))).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let recorded: Vec<Vec<f32>> = serde_json::from_str(&text).unwrap();
        assert_eq!((recorded.len(), recorded[0].len()), (losses.len(), losses[0].len()), "{name}");
        for (i, (l, r)) in losses.iter().flatten().zip(recorded.iter().flatten()).enumerate() {
            // Other processors round otherwise, and 20 steps carry that on.
            assert!((l - r).abs() <= 2e-3 * (0.05 + r.abs()), "{name}: loss {i} is {l}, recorded {r}");
        }
    }
}
