//! What the tests of this crate share.
#![allow(dead_code)] // not every test uses all of it

use std::collections::BTreeMap;
use std::sync::OnceLock;
use wgrad_graph::{Device, DeviceChoice, Tensor};

/// One device for the whole process: drivers dislike many.
pub fn gpu() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let choice = std::env::var("WGRAD_TEST_DEVICE").unwrap_or_default();
            match choice.as_str() {
                "cpu" => None,
                "" => {
                    let found = Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software));
                    Some(found.expect("no GPU and no software GPU (install lavapipe, or set WGRAD_TEST_DEVICE=cpu)"))
                }
                name => Some(Device::open(name.parse().expect("any text is a choice")).expect("WGRAD_TEST_DEVICE")),
            }
        })
        .as_ref()
}

/// Numbers in [0, 1) that look random: splitmix64.
pub struct Numbers(pub u64);

impl Numbers {
    #[allow(clippy::should_implement_trait)] // it never ends
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    }
}

/// The leaves that some tensors need, by name: in a fixed order, so that a failure can be repeated.
pub fn leaves_of(outputs: &[Tensor]) -> BTreeMap<String, Tensor> {
    let (mut found, mut seen, mut stack) = (BTreeMap::new(), std::collections::HashSet::new(), outputs.to_vec());
    while let Some(t) = stack.pop() {
        if seen.insert(t.id()) {
            if let Some(name) = t.name() {
                found.insert(name.to_string(), t.clone());
            }
            stack.extend(t.inputs().iter().cloned());
        }
    }
    found
}
