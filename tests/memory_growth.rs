//! Memory does not grow with steps. A process of its own, with this test alone, since it watches the whole process.

#![cfg(target_os = "linux")]

mod support;

use support::{Step, devices};
use wgrad::prelude::*;
use wgrad::zoo::ResNet;

/// Resident memory of this process, in kB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_steps() {
    for device in devices() {
        let step = Step::new(&ResNet::cifar(20, 10).unwrap().width(4), [4, 3, 8, 8], 10, 0.01);
        let program = Program::compile(device, &[&step.loss], &step.updates).unwrap();
        let mut state = State::init(device, &program, 0).unwrap();
        let mut steps = |n: usize| (0..n).map(|i| step.run(&program, &mut state, i)).sum::<f32>();
        // Pools fill, threads start.
        assert!(steps(30).is_finite());
        let (before, objects) = (resident(), device.objects_created());
        assert!(steps(200).is_finite());
        let grown = resident().saturating_sub(before);
        // Less than one parameter's worth in each step: the state has 70 kB.
        assert!(grown < 1024, "{device:?}: {grown} kB in 200 steps");
        assert_eq!(device.objects_created(), objects, "{device:?}: GPU objects were made in the loop");
    }
}
