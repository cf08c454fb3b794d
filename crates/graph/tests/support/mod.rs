//! What the tests of this crate share.
#![allow(dead_code)] // not every test uses all of it

use std::sync::OnceLock;
use wgrad_graph::{Device, DeviceChoice};

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
