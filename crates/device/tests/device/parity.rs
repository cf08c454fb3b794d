//! Every sample kernel on the device, and on the CPU backend, against the reference.

use crate::common::{AsOn, device, run};
use crate::reference::{Value, decode, outputs};
use crate::sample::Sample;
use crate::{contractions, maps, reduces, rows};
use std::sync::Arc;
use wgrad_device::{AdapterKind, Device, Kernel, Matrices};

fn check(device: &Device, sample: &Sample, kernel: Arc<dyn Kernel>) {
    check_within(device, sample, kernel, sample.tolerance);
}

fn check_within(device: &Device, sample: &Sample, kernel: Arc<dyn Kernel>, tolerance: f64) {
    let inputs = sample.inputs();
    let shapes = sample.outputs();
    let bytes: Vec<usize> = shapes.iter().map(|(t, n)| t.size() * n).collect();
    let got = run(device, kernel, &inputs, &bytes, &sample.aliases);
    let want = outputs(sample, &inputs);
    for (o, ((dtype, n), want)) in shapes.iter().zip(want).enumerate() {
        let got = decode(&got[o], *dtype);
        assert_eq!(got.len(), *n);
        for (i, (&got, want)) in got.iter().zip(want).enumerate() {
            let close = match (got, want) {
                (Value::F(a), Value::F(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
                (Value::F(a), Value::F(b)) if a.is_infinite() || b.is_infinite() => a == b,
                (Value::F(a), Value::F(b)) => (a - b).abs() <= tolerance * (1.0 + b.abs()),
                (a, b) => a == b,
            };
            assert!(close, "{}: element {i} of output {o} is {got:?}, wanted {want:?}", sample.name);
        }
    }
}

fn check_all(samples: Vec<Sample>) {
    let Some(device) = device() else { return };
    for sample in samples {
        check(device, &sample, sample.kernel());
    }
}

/// The form for real GPUs, on whatever adapter is there.
fn check_all_as_on_gpu(samples: Vec<Sample>) {
    let Some(device) = device() else { return };
    for sample in samples {
        check(device, &sample, Arc::new(AsOn(sample.kernel(), AdapterKind::Discrete, Matrices::None)));
    }
}

#[test]
fn runs_give_the_same_bits() {
    let Some(device) = device() else { return };
    let split = ["all", "columns, split", "matmul, split", "conv, weight gradient, split", "norm of 4097"];
    let all = [reduces::samples(), contractions::samples(), rows::samples()].concat();
    for sample in all.into_iter().filter(|s| split.contains(&s.name.as_str())) {
        let bytes: Vec<usize> = sample.outputs().iter().map(|(t, n)| t.size() * n).collect();
        let once = || run(device, sample.kernel(), &sample.inputs(), &bytes, &[]);
        assert!(once() == once(), "{}", sample.name);
    }
}

#[test]
fn the_cpu_backend_matches() {
    let device = Device::cpu();
    for sample in [maps::samples(), reduces::samples(), rows::samples(), contractions::samples()].concat() {
        // A product of matrices adds up its sum in one chain, and 1500 terms lose more digits than in parts.
        check_within(&device, &sample, sample.kernel(), 4.0 * sample.tolerance);
    }
}

#[test]
fn maps_match() {
    check_all(maps::samples());
}

#[test]
fn reduces_match() {
    check_all(reduces::samples());
}

#[test]
fn reduces_match_as_on_gpu() {
    check_all_as_on_gpu(reduces::samples());
}

#[test]
fn rows_match() {
    check_all(rows::samples());
}

#[test]
fn rows_match_as_on_gpu() {
    check_all_as_on_gpu(rows::samples());
}

#[test]
fn contractions_match() {
    check_all(contractions::samples());
}

/// The index logic of cooperative matrices, with loops in the hardware's place.
#[test]
fn contractions_match_as_by_matrices() {
    let Some(device) = device() else { return };
    if !device.adapter().f16 || device.adapter().subgroup == 0 {
        return;
    }
    for sample in contractions::samples().into_iter().filter(|s| s.name.contains("f16")) {
        check(device, &sample, Arc::new(AsOn(sample.kernel(), AdapterKind::Discrete, Matrices::Emulated(8))));
    }
}

#[test]
fn contractions_match_as_on_gpu() {
    check_all_as_on_gpu(contractions::samples_of_tiles());
}
