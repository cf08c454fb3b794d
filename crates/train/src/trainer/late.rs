//! Results that are read a few steps late, so that nobody waits for the device.

use std::collections::VecDeque;
use std::time::Instant;

use super::programs::Named;

/// How many steps may be on their way. The device always has work, and a diverged run is noticed soon.
pub(super) const DEPTH: usize = 4;

/// A step whose results may still be on their way.
pub(super) struct Step {
    /// Its number, from one.
    pub number: u64,
    /// Its learning rate.
    pub lr: f64,
    /// Its examples.
    pub examples: usize,
    /// When it was given to the device. Results come in bursts, so their own time would tell nothing of the speed.
    pub at: Instant,
    /// What each phase gave.
    pub outputs: Vec<Named>,
}

/// The steps whose results were not read yet, oldest first.
#[derive(Default)]
pub(super) struct Late {
    queue: VecDeque<Step>,
}

impl Late {
    /// Adds a step.
    pub fn push(&mut self, step: Step) {
        self.queue.push_back(step);
    }

    /// The oldest step, if it is time to read it.
    pub fn due(&mut self) -> Option<Step> {
        if self.queue.len() > DEPTH { self.queue.pop_front() } else { None }
    }

    /// The oldest step, whether it is time or not.
    pub fn any(&mut self) -> Option<Step> {
        self.queue.pop_front()
    }
}
