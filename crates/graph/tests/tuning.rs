//! Programs whose kernels are timed when they are compiled. In a process of its own, whose findings go into a directory of its
//! own.

mod support;

use std::process::Command;
use support::gpu;
use wgrad_graph::{ConvOptions, DType, Data, Init, Program, State, Tensor, Updates, gradients};

#[test]
fn tuned_programs_compute_the_same() {
    let dir = std::env::temp_dir().join(format!("wgrad-tuned-programs-{}", std::process::id()));
    let mut command = Command::new(std::env::current_exe().unwrap());
    let run = command.args(["in_a_process_of_its_own", "--exact", "--ignored"]).env("WGRAD_CACHE_DIR", &dir);
    let output = run.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let _ = std::fs::remove_dir_all(dir); // there is none where there is no GPU
}

#[test]
#[ignore = "a part of the test above"]
fn in_a_process_of_its_own() {
    let Some(device) = gpu() else { return };
    let x = Tensor::input("x", [5, 9, 33, 31], DType::F32);
    let uniform = Init::Uniform(-0.5, 0.5);
    let filter = Tensor::state("filter", [24, 9, 3, 3], DType::F32, uniform.clone());
    let weights = Tensor::state("weights", [24, 300], DType::F32, uniform);
    let y = x.conv(&filter, &ConvOptions::new(2).padding(1)).relu();
    let y = y.permute(&[0, 2, 3, 1]).reshape([5 * 33 * 31, 24]).matmul(&weights);
    let loss = y.square().mean_all();
    let grads = gradients(&loss, &[&filter, &weights]);
    let outputs: Vec<&Tensor> = std::iter::once(&loss).chain(&grads).collect();

    let data: Vec<f32> =
        (0..5 * 9 * 33 * 31u32).map(|i| (i.wrapping_mul(2654435761) >> 8) as f32 / 1e7 - 0.8).collect();
    let results = |device, steps| {
        let program: Program = Program::compile(device, &outputs, &Updates::new()).unwrap();
        let mut state = State::init(device, &program, 3).unwrap();
        let mut run = || program.run(&mut state, &[("x", Data::F32(&data))]).unwrap();
        let mut all = (0..steps).map(|_| run()).last().unwrap();
        let values: Vec<Vec<f32>> = (0..outputs.len()).map(|i| all.f32(i).unwrap()).collect();
        (values, program)
    };
    let (usual, _) = results(device, 1);
    let before = device.pipelines_compiled();
    let (tuned, program) = results(&device.clone().with_tuning(true), 2);
    let problems = program.device().adapter().tuned.clone();
    assert!(!problems.is_empty() && device.adapter().tuned.is_empty());
    // Of the pipelines that were tried only those are kept that the program runs.
    let added = device.pipelines_compiled() - before;
    assert!(added <= 2 * problems.len(), "{added} pipelines for {problems:?}");
    for (usual, tuned) in usual.iter().zip(&tuned) {
        let scale = usual.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (a, b) in usual.iter().zip(tuned) {
            assert!((a - b).abs() <= 1e-4 * scale, "{a} and {b}, of up to {scale}");
        }
    }
    // A new handle of the same device knows what was found; a new device reads it from the file.
    let submitted = device.submissions();
    let again = Program::compile(&device.clone().with_tuning(true), &outputs, &Updates::new()).unwrap();
    assert_eq!(again.device().adapter().tuned, problems);
    assert_eq!(device.submissions(), submitted, "it was timed again");
}
