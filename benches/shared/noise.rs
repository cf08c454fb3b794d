//! Inputs: numbers without a pattern, the same in every process.

/// A linear congruential generator; its upper bits are used.
pub struct Noise(u32);

impl Noise {
    /// Other numbers for another name.
    pub fn new(name: &str) -> Noise {
        Noise(name.bytes().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193)))
    }

    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        self.0 >> 8
    }

    /// In [-1, 1).
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.bits() as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Below `limit`.
    pub fn indices(&mut self, count: usize, limit: usize) -> Vec<u32> {
        (0..count).map(|_| ((u64::from(self.bits()) * limit as u64) >> 24) as u32).collect()
    }
}
