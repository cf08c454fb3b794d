//! What the cross-crate tests share: devices, numbers, and training steps.

#![allow(dead_code)] // each test file uses a part

pub mod cli;
pub mod training;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use training::{Feed, Values};
use wgrad::prelude::*;

/// The CPU backend.
pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu)
}

/// The GPU that `WGRAD_TEST_DEVICE` names: by default any, else a software one; none if it is `cpu`. One for the whole
/// process, since drivers dislike many.
///
/// # Panics
/// If there is none.
pub fn gpu() -> Option<&'static Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let open = || match std::env::var("WGRAD_TEST_DEVICE").as_deref().unwrap_or_default() {
        "cpu" => None,
        "" => {
            let found = Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software));
            Some(found.expect("no GPU and no software GPU (install lavapipe, or set WGRAD_TEST_DEVICE=cpu)"))
        }
        name => Some(Device::open(name.parse().expect("any text is a choice")).expect("WGRAD_TEST_DEVICE")),
    };
    GPU.get_or_init(open).as_ref()
}

/// Both, or the CPU alone.
pub fn devices() -> Vec<&'static Device> {
    std::iter::once(cpu()).chain(gpu()).collect()
}

/// `count` numbers in [-1, 1) that look random, another list for each seed.
pub fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let mut word = (seed as u32).wrapping_mul(2654435761).wrapping_add(1);
    let mut next = || {
        word = word.wrapping_mul(1664525).wrapping_add(1013904223);
        (word >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A training step: loss, updates, and its batches.
pub struct Step {
    pub loss: Tensor,
    pub updates: Updates,
    feed: Box<Feed>,
}

impl Step {
    /// Of a classifier of images: SGD with momentum and weight decay on the cross entropy.
    pub fn new(model: &impl Layer, images: [usize; 4], classes: usize, rate: f64) -> Step {
        let x = Tensor::input("images", images, DType::F32);
        let labels = Tensor::input("labels", [images[0]], DType::U32);
        let scope = Scope::train();
        let loss = model.forward(&scope, &x).cross_entropy(&labels);
        Step::of(&scope, loss, rate, move |i| {
            let labels = (0..images[0]).map(|n| ((n * 7 + i) % classes) as u32).collect();
            let pixels = numbers(images.iter().product(), i);
            vec![("images", Values::F32(pixels)), ("labels", Values::U32(labels))]
        })
    }

    /// Of any loss; `feed` gives the batch of each step.
    pub fn of(
        scope: &Scope,
        loss: Tensor,
        rate: f64,
        feed: impl Fn(usize) -> Vec<(&'static str, Values)> + 'static,
    ) -> Step {
        let updates = Sgd::new(rate).momentum(0.9).weight_decay(5e-4).minimize(scope, &loss);
        Step { loss, updates, feed: Box::new(feed) }
    }

    /// Takes step number `i`, on a batch of its own, and gives the loss.
    pub fn run(&self, program: &Program, state: &mut State, i: usize) -> f32 {
        let values = (self.feed)(i);
        let inputs: Vec<(&str, Data)> = values.iter().map(|(name, v)| (*name, v.data())).collect();
        program.run(state, &inputs).unwrap().scalar(0).unwrap()
    }
}

/// All f32 tensors of a state, by name.
pub fn tensors(state: &State) -> BTreeMap<String, Vec<f32>> {
    let names = state.tensors().filter(|(.., dtype)| *dtype == DType::F32).map(|(name, ..)| name.to_string());
    names.map(|n| (n.clone(), state.f32(&n).unwrap())).collect()
}

/// The greatest difference between two lists, relative to the greatest number in `expected`. NaN if there is one in it.
pub fn distance(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    // f32::max would drop NaN.
    let max = |m: f32, x: f32| if x > m || x.is_nan() { x } else { m };
    let off = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, max);
    let scale = expected.iter().map(|e| e.abs()).fold(0.0, max);
    if off == 0.0 { 0.0 } else { off / scale }
}
