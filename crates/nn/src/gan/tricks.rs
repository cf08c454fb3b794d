//! What keeps the two networks of a GAN from losing each other.

use crate::Scope;
use wgrad_graph::{DType, Init, Tensor, fail};

/// Changes to what the discriminator sees and is told. All off by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Tricks {
    /// What real labels fall short of 1.
    pub smoothing: f32,
    /// The probability of a wrong label.
    pub flips: f32,
    /// Standard deviation, and the steps in which it falls to 0.
    pub noise: Option<(f32, usize)>,
    /// How many generated examples are kept.
    pub replay: Option<usize>,
}

/// Where the tricks keep what lasts.
const PATH: &str = "tricks";
/// Steps of the discriminator so far (f32: exact up to 2^24).
const STEPS: &str = "steps";

impl Tricks {
    /// Refuses options that make no sense.
    #[track_caller]
    pub fn check(&self) {
        let share = |option: &str, value: f32, most: f32| {
            if !(0.0..=most).contains(&value) {
                fail("Gan", format!("{option} = {value}, but 0 to {most} is needed"));
            }
        };
        share("label_smoothing", self.smoothing, 1.0);
        share("flip_labels", self.flips, 1.0);
        if let Some((deviation, steps)) = self.noise {
            share("instance_noise", deviation, f32::MAX);
            if steps == 0 {
                fail("Gan", "instance_noise falls over 0 steps, but at least 1 is needed");
            }
        }
    }

    /// Whether anything depends on how many steps there were.
    fn counts(&self) -> bool {
        self.noise.is_some() || self.replay.is_some()
    }

    fn steps(&self, scope: &Scope) -> Tensor {
        scope.enter(PATH).buffer(STEPS, &[], DType::F32, Init::Constant(0.0))
    }

    /// Counts a step of the discriminator.
    pub fn count(&self, scope: &Scope) {
        if self.counts() {
            let next = self.steps(scope) + 1.0;
            scope.enter(PATH).update(STEPS, &next);
        }
    }

    /// The labels that real and generated examples get.
    pub fn labels(&self, scope: &Scope, n: usize) -> (Tensor, Tensor) {
        let (yes, no) = (Tensor::full([n], 1.0 - self.smoothing), Tensor::full([n], 0f32));
        if self.flips == 0.0 {
            return (yes, no);
        }
        let flipped = || {
            let (generator, stream) = scope.rng();
            generator.random_bernoulli(&Tensor::full([n], self.flips), stream)
        };
        (flipped().select(&no, &yes), flipped().select(&yes, &no))
    }

    /// Examples as the discriminator sees them.
    pub fn noisy(&self, scope: &Scope, examples: &Tensor) -> Tensor {
        let Some((deviation, steps)) = self.noise else { return examples.clone() };
        let left = (1.0 - self.steps(scope) * (1.0 / steps as f32)).maximum(&Tensor::scalar(0f32));
        let (generator, stream) = scope.rng();
        examples + generator.random_normal(examples.shape(), stream) * (left * deviation)
    }

    /// Generated examples with their labels, the second half exchanged for earlier ones, in whose place it is kept. As long as
    /// nothing is kept, they stay.
    #[track_caller]
    pub fn replayed(&self, scope: &Scope, fake: Tensor, labels: Option<Tensor>) -> (Tensor, Option<Tensor>) {
        let Some(capacity) = self.replay else { return (fake, labels) };
        let n = fake.shape()[0];
        let half = n / 2;
        if half == 0 || capacity < half || i32::try_from(capacity).is_err() {
            fail("Gan", format!("a replay of {capacity}, but {half} of a batch of {n} are to be kept in a step"));
        }
        let steps = self.steps(scope).cast(DType::U32);
        let size = Tensor::scalar(capacity as u32);
        let kept = (&steps * &Tensor::scalar(half as u32)).minimum(&size);
        let (generator, stream) = scope.rng();
        let drawn = generator.random_uniform([half], stream) * kept.cast(DType::F32);
        // Rounding may take a product up to `kept` itself.
        let last = kept.maximum(&Tensor::scalar(1u32)) - Tensor::scalar(1u32);
        let drawn = drawn.floor().cast(DType::U32).minimum(&last);
        let any = kept.gt(&Tensor::scalar(0u32));

        // A ring: place p was written in this step if it is less than half a batch after the ring's start.
        let start = (steps * Tensor::scalar(half as u32)).rem(&size);
        let behind = (Tensor::iota([capacity], 0) + &size - start).rem(&size);
        let written = behind.lt(&Tensor::scalar(half as u32));
        let from = behind.minimum(&Tensor::scalar(half as u32 - 1));

        let exchange = |name: &str, fresh: &Tensor| {
            let scope = scope.enter(PATH);
            let shape = [&[capacity], &fresh.shape()[1..]].concat();
            let store = scope.buffer(name, &shape, fresh.dtype(), Init::Constant(0.0));
            let (stay, leave) = (fresh.slice(0, 0..n - half), fresh.slice(0, n - half..n));
            let wide = |mask: &Tensor, like: &Tensor| {
                let ones = vec![1; like.rank() - 1];
                mask.reshape([&[mask.count()], &ones[..]].concat()).broadcast_to(like.shape())
            };
            let earlier = any.broadcast_to(leave.shape()).select(&store.index_select(0, &drawn), &leave);
            let next = wide(&written, &store).select(&leave.index_select(0, &from), &store);
            scope.update(name, &next);
            Tensor::concat(&[&stay, &earlier], 0)
        };
        (exchange("replay", &fake), labels.map(|labels| exchange("replay_labels", &labels)))
    }
}
