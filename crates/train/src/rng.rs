//! Random numbers that depend on where they are used and on nothing else.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) is a function from a counter and
//! a key to four random words. Keyed by the seed, and counted by epoch and example, it gives each example the same
//! random numbers whichever thread prepares it, and whether or not the run was interrupted.

use wgrad_graph::philox;

/// What a stream is for. Streams of different purposes never meet, even for the same epoch and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The order of examples in an epoch.
    Shuffle = 1,
    /// Augmentation of one example.
    Augment = 2,
    /// Splitting a data set.
    Split = 3,
    /// Making up one example.
    Generate = 4,
}

/// The random words of one (seed, purpose, epoch, index).
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of this seed, purpose, epoch and index. Epochs and indices count modulo 2^28 and 2^32.
    pub fn new(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> Self {
        let place = (purpose as u32) << 28 | (epoch as u32 & 0x0FFF_FFFF);
        Self { key: [seed as u32, (seed >> 32) as u32], counter: [0, 0, index as u32, place], block: [0; 4], used: 4 }
    }

    /// The next random word.
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox(self.key, self.counter);
            self.counter[0] = self.counter[0].wrapping_add(1);
            if self.counter[0] == 0 {
                self.counter[1] = self.counter[1].wrapping_add(1);
            }
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// A whole number below `bound`, each with the same probability (Lemire's method, with rejection). `bound` of 0
    /// counts as 1.
    pub fn below(&mut self, bound: u32) -> u32 {
        let bound = bound.max(1);
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.word()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A number from `lo` up to, but not, `hi`, each with the same probability. (Rounding may give `hi` where it is much
    /// larger than the difference.)
    pub fn uniform(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * ((self.word() >> 8) as f32 / (1 << 24) as f32)
    }

    /// A number of the normal distribution with mean 0 and standard deviation 1 (Box and Muller's method).
    pub fn normal(&mut self) -> f32 {
        // Never 0, so that the logarithm is finite.
        let distance = (f64::from(self.word()) + 1.0) / 4_294_967_296.0;
        let angle = f64::from(self.word()) / 4_294_967_296.0;
        ((-2.0 * distance.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
    }

    /// Brings `items` into a random order (Fisher-Yates), each order with the same probability.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let bound = u32::try_from(i + 1).unwrap_or(u32::MAX);
            items.swap(i, self.below(bound) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_places_differ() {
        let first = |seed, purpose, epoch, index| Stream::new(seed, purpose, epoch, index).word();
        let base = first(1, Purpose::Augment, 2, 3);
        assert_eq!(base, first(1, Purpose::Augment, 2, 3));
        for other in [
            first(2, Purpose::Augment, 2, 3),
            first(1 << 32 | 1, Purpose::Augment, 2, 3),
            first(1, Purpose::Shuffle, 2, 3),
            first(1, Purpose::Augment, 3, 3),
            first(1, Purpose::Augment, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn words_do_not_repeat_within_a_stream() {
        let mut stream = Stream::new(7, Purpose::Shuffle, 0, 0);
        let words: std::collections::BTreeSet<u32> = (0..1000).map(|_| stream.word()).collect();
        assert!(words.len() > 995, "{} distinct words of 1000", words.len());
    }

    #[test]
    fn below_is_even() {
        let mut stream = Stream::new(11, Purpose::Shuffle, 0, 0);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        // Standard deviation is 91: five of them on either side.
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 460), "{counts:?}");
        // Without rejection, a bound of three quarters of the range would give multiples of three every other time.
        let multiples = (0..60_000).filter(|_| stream.below(3 << 30).is_multiple_of(3)).count();
        assert!(multiples.abs_diff(20_000) < 600, "{multiples} multiples of three");
        assert_eq!(stream.below(1), 0);
        assert_eq!(stream.below(0), 0);
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut stream = Stream::new(13, Purpose::Generate, 0, 0);
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
        };
        let uniform: Vec<f64> = (0..40_000).map(|_| f64::from(stream.uniform(-1.0, 2.0))).collect();
        assert!(uniform.iter().all(|v| (-1.0..2.0).contains(v)));
        let (mean, variance) = moments(&uniform);
        assert!((mean - 0.5).abs() < 0.02 && (variance - 0.75).abs() < 0.02, "{mean} {variance}");
        let normal: Vec<f64> = (0..40_000).map(|_| f64::from(stream.normal())).collect();
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let beyond = normal.iter().filter(|v| v.abs() > 2.0).count();
        assert!(beyond.abs_diff(1820) < 210, "{beyond} of 40000 beyond two standard deviations");
    }

    #[test]
    fn shuffle_reaches_every_order_evenly() {
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..12_000 {
            let mut items = [0, 1, 2];
            Stream::new(5, Purpose::Shuffle, 0, index).shuffle(&mut items);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| n.abs_diff(2000) < 205), "{counts:?}");
    }
}
