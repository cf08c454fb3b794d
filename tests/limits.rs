//! What is too large, too small or too many: right results, or an error that names the culprit.

mod support;

use support::{cpu, devices, gpu, numbers};
use wgrad::device::DeviceError;
use wgrad::graph::{Error, Init};
use wgrad::prelude::*;

/// Runs expressions without state once.
fn run(device: &Device, outputs: &[&Tensor], inputs: &[(&str, Data)]) -> Vec<Vec<f32>> {
    let program = Program::compile(device, outputs, &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let mut got = program.run(&mut state, inputs).unwrap();
    (0..outputs.len()).map(|i| got.f32(i).unwrap()).collect()
}

fn remainder(x: &Tensor, by: u32) -> Tensor {
    let by = Tensor::scalar(by);
    x - (x / &by) * &by
}

/// One dimension of a dispatch ends at 65535 workgroups, of 256 threads at most: 16.8 million. (Software adapters take few
/// workgroups for a map, whatever its size.)
#[test]
fn more_elements_than_one_dimension_of_workgroups() {
    // Not a multiple of anything.
    const N: usize = 20_000_003;
    let index = Tensor::iota([N], 0);
    // Exact in f32, and different for neighbours.
    let y = remainder(&index, 4096).cast(DType::F32) * 2.0 + 1.0;
    for device in devices() {
        let got = &run(device, &[&y], &[])[0];
        let wrong = got.iter().enumerate().find(|&(i, &g)| g != (i % 4096) as f32 * 2.0 + 1.0);
        assert_eq!((got.len(), wrong), (N, None), "{device:?}");
    }
}

/// A fold of each of 5 million rows, and the product of 100 000 small matrices: beyond the limit on every adapter.
#[test]
fn more_results_than_one_dimension_of_workgroups() {
    const ROWS: usize = 5_000_011;
    let index = Tensor::iota([ROWS, 3], 0);
    let sums = remainder(&index, 1024).cast(DType::F32).sum(&[1]);
    const BATCH: usize = 100_003;
    let (a, b) = (Tensor::input("a", [BATCH, 2, 3], DType::F32), Tensor::input("b", [BATCH, 3, 2], DType::F32));
    let products = a.matmul(&b);
    let (x, y) = (numbers(BATCH * 6, 1), numbers(BATCH * 6, 2));
    for device in devices() {
        let got = &run(device, &[&sums], &[])[0];
        let wrong = got.iter().enumerate().find(|&(i, &g)| g != (i % 1024) as f32 * 3.0);
        assert_eq!((got.len(), wrong), (ROWS, None), "{device:?}");

        let got = &run(device, &[&products], &[("a", Data::from(&x)), ("b", Data::from(&y))])[0];
        for (i, &g) in got.iter().enumerate() {
            let (n, r, c) = (i / 4, i / 2 % 2, i % 2);
            let expected: f32 = (0..3).map(|k| x[n * 6 + r * 3 + k] * y[n * 6 + k * 2 + c]).sum();
            assert!((g - expected).abs() < 1e-5, "{device:?}: element {i} is {g}, not {expected}");
        }
    }
}

fn too_large(result: Result<(), Error>, what: &str, limit: usize) {
    match result {
        Err(Error::Device(DeviceError::TooLarge { what: named, bytes, limit: told, .. })) => {
            assert!(named.contains(what), "\"{named}\" does not name {what}");
            assert!(bytes > limit && told == limit, "{bytes} bytes, limit {told}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn what_cannot_be_bound_is_refused_by_name() {
    let Some(device) = gpu() else { return };
    let limit = device.adapter().max_binding;
    let count = limit / 4 + 1;
    let compile = |t: &Tensor| Program::compile(device, &[t], &Updates::new());
    let x = Tensor::input("photographs", [count], DType::F32);
    too_large(compile(&x.sum_all()).map(drop), "photographs", limit);

    // Stored, since both a fold and an output want it.
    let middle = Tensor::iota([count], 0).cast(DType::F32).sin();
    too_large(compile(&middle).map(drop), "limits.rs", limit);

    let weights = Tensor::state("embedding.weight", [count], DType::F32, Init::Constant(0.0));
    too_large(compile(&weights.sum_all()).map(drop), "embedding.weight", limit);

    // The device works on.
    assert_eq!(run(device, &[&Tensor::iota([4], 0).cast(DType::F32).sum_all()], &[]), [[6.0]]);
}

#[test]
fn tensors_without_elements() {
    let x = Tensor::input("x", [0, 3], DType::F32);
    let w = Tensor::input("w", [3, 2], DType::F32);
    let rows = x.matmul(&w).relu();
    let sums = rows.sum(&[0]) + 1.0;
    // An inner size of 0.
    let zeros = x.transpose(0, 1).matmul(&Tensor::input("y", [0, 2], DType::F32));
    let joined = Tensor::concat(&[&x, &w.transpose(0, 1)], 0);
    let grad = gradients(&(&rows.square().sum_all() + joined.sum_all()), &[&x, &w]);
    let images = Tensor::input("images", [0, 2, 5, 5], DType::F32);
    let kernel = Tensor::input("kernel", [4, 2, 3, 3], DType::F32);
    let conv = images.conv(&kernel, &wgrad::graph::ConvOptions::new(2).padding(1));
    let conv_grad = gradients(&conv.square().sum_all(), &[&kernel]);
    let outputs = [&rows, &sums, &zeros, &joined, &grad[0], &grad[1], &conv, &conv_grad[0]];
    let (six, weights) = ([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], numbers(72, 3));
    let none: &[f32] = &[];
    let inputs = [
        ("x", Data::from(none)),
        ("y", Data::from(none)),
        ("images", Data::from(none)),
        ("w", Data::from(&six[..])),
        ("kernel", Data::from(&weights)),
    ];
    for device in devices() {
        let got = run(device, &outputs, &inputs);
        let expected: [&[f32]; 8] =
            [&[], &[1.0; 2], &[0.0; 6], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0], &[], &[1.0; 6], &[], &[0.0; 72]];
        for (i, (g, e)) in got.iter().zip(expected).enumerate() {
            assert_eq!(g, e, "{device:?}: output {i}");
        }
    }
}

/// A batch of no images goes through a whole model.
#[test]
fn a_batch_without_examples() {
    let model = wgrad::zoo::ResNet::cifar(20, 10).unwrap().width(4);
    let images = Tensor::input("images", [0, 3, 8, 8], DType::F32);
    let logits = model.forward(&Scope::eval(), &images);
    for device in devices() {
        assert_eq!(run(device, &[&logits], &[("images", Data::from(&[0f32; 0][..]))]), [[0f32; 0]], "{device:?}");
    }
}

/// The environment variable that has `vast_program` take memory.
const VAST: &str = "WGRAD_TEST_VAST";

/// Refused when it is compiled, by an error and not by a panic or by the system. On the CPU: lavapipe takes any number of
/// allocations, and fails when they are used.
#[test]
#[cfg(target_os = "linux")]
fn a_program_that_does_not_fit() {
    // A process with 4 GB of addresses: this machine may have more memory, or promise what it has not.
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 4000000; exec \"$0\" --exact --nocapture vast_program"])
        .arg(std::env::current_exe().unwrap())
        .env(VAST, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("out of memory on cpu: 268435456 bytes for mul [67108864] at tests/limits.rs"), "{text}");
}

/// What `a_program_that_does_not_fit` runs in a process of its own: a program that needs 10 GB.
#[test]
fn vast_program() {
    if std::env::var_os(VAST).is_none() {
        return;
    }
    let index = Tensor::iota([1 << 26], 0).cast(DType::F32);
    let pieces: Vec<Tensor> = (0..40).map(|i| &index * i as f32).collect();
    match Program::compile(cpu(), &pieces.iter().collect::<Vec<_>>(), &Updates::new()) {
        Err(Error::Device(e @ DeviceError::OutOfMemory { .. })) => println!("{e}"),
        other => panic!("{:?}", other.map(drop)),
    }
}
