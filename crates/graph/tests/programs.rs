//! Compiled programs against the f64 reference: every case of the registry, values and gradients, fused and not, with
//! memory poisoned between uses.
//!
//! Runs on the adapter that `WGRAD_TEST_DEVICE` names (`auto`, `software`, `cpu`, ...), by default on a GPU or else
//! on a software one, and on the CPU backend always.

mod support;

use std::collections::HashMap;
use support::{Numbers, gpu, leaves_of};
use wgrad_graph::reference::evaluate;
use wgrad_graph::{
    Array, CompileOptions, ConvOptions, DType, Data, Device, OpCase, Program, State, Tensor, Updates, Window,
    gradients, registry,
};

/// Value, loss and gradients of a case, used mid-graph.
fn outputs(case: &OpCase) -> Vec<Tensor> {
    let inputs: Vec<Tensor> =
        case.inputs.iter().enumerate().map(|(i, s)| Tensor::input(format!("x{i}"), s.clone(), DType::F32)).collect();
    let scaled: Vec<Tensor> = inputs.iter().map(|x| x * 0.75).collect();
    let y = (case.build)(&scaled);
    let weights = Tensor::input("weights", y.shape(), DType::F32);
    let loss = ((&y * 0.5).sin() * weights).sum_all();
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let mut all = vec![y, loss.clone()];
    all.extend(gradients(&loss, &refs));
    all
}

fn check(device: &Device, case: &OpCase, options: &CompileOptions) -> Result<(), String> {
    let outputs = outputs(case);
    let mut numbers = Numbers(case.name.len() as u64 + 11);
    let (mut exact, mut given) = (HashMap::new(), vec![]);
    for (name, t) in leaves_of(&outputs) {
        if t.op().name() == "state" {
            exact.insert(name, Array::from_fn(t.shape(), |_| 0.25));
            continue;
        }
        let (lo, hi) = if name.starts_with('x') { case.domain } else { (0.2, 1.0) };
        let data: Vec<f32> = (0..t.count()).map(|_| ((lo + (hi - lo) * numbers.next()) / 0.75) as f32).collect();
        exact.insert(name.clone(), Array::new(t.shape(), data.iter().map(|&x| x as f64).collect()));
        given.push((name, data));
    }
    let refs: Vec<&Tensor> = outputs.iter().collect();
    let expected = evaluate(&refs, &exact);
    let program = Program::compile_with(device, &refs, &Updates::new(), options).map_err(|e| e.to_string())?;
    let mut state = State::init(device, &program, 1).map_err(|e| e.to_string())?;
    let inputs: Vec<(&str, Data)> = given
        .iter()
        .filter(|(n, _)| program.input_shapes().any(|(name, ..)| name == n))
        .map(|(n, d)| (n.as_str(), Data::from(d)))
        .collect();
    // Twice: a second run must not see what the first one left.
    for _ in 0..2 {
        let mut got = program.run(&mut state, &inputs).map_err(|e| e.to_string())?;
        for (i, expected) in expected.iter().enumerate() {
            let got = got.f32(i).map_err(|e| e.to_string())?;
            assert_eq!(got.len(), expected.data.len());
            // Rounding errors scale with the largest terms.
            let scale = 1.0 + expected.data.iter().fold(0f64, |m, x| m.max(x.abs()));
            let grows = (case.inputs.iter().flatten().product::<usize>() as f64).sqrt().clamp(1.0, 30.0);
            for (j, (&g, &e)) in got.iter().zip(&expected.data).enumerate() {
                let off = (g as f64 - e).abs();
                if off > case.tolerance * scale * grows || off.is_nan() {
                    return Err(format!("output {i}[{j}]: {g}, not {e}"));
                }
            }
        }
    }
    Ok(())
}

fn check_all(device: &Device, options: &CompileOptions) {
    let filter = std::env::var("WGRAD_TEST_OP").unwrap_or_default();
    let cases: Vec<OpCase> = registry().into_iter().filter(|c| c.name.contains(&filter)).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check(device, c, options).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(!cases.is_empty());
    assert!(failures.is_empty(), "{} of {} on {device:?}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Shapes that fill blocks, tiles and vectors and leave a rest, which the registry's small cases do not.
fn wide_cases() -> Vec<OpCase> {
    type Build = fn(&[Tensor]) -> Tensor;
    let case = |name: &str, inputs: &[&[usize]], build: Build| OpCase {
        op: "wide",
        name: name.into(),
        inputs: inputs.iter().map(|s| s.to_vec()).collect(),
        domain: (0.2, 1.0),
        build: std::sync::Arc::new(build),
        tolerance: 2e-5,
        differences: true,
    };
    let norm: Build = |x| {
        let mean = x[0].mean_keepdim(&[0, 2]);
        let centred = &x[0] - &mean;
        let variance = centred.square().mean_keepdim(&[0, 2]);
        (&(&centred / &(&variance + 1e-3).sqrt()) * &x[1] + &x[2]).relu()
    };
    let conv: Build = |x| x[0].conv(&x[1], &ConvOptions::new(2).padding(1));
    let strided: Build = |x| x[0].conv(&x[1], &ConvOptions::new(2).padding(1).stride(2));
    vec![
        case("norm of long rows", &[&[3, 5, 300], &[1, 5, 1], &[1, 5, 1]], norm),
        case("norm of rows longer than a block", &[&[2, 3, 1100], &[1, 3, 1], &[1, 3, 1]], norm),
        case("norm of short rows", &[&[9, 7, 49], &[1, 7, 1], &[1, 7, 1]], norm),
        case("along both axes", &[&[40, 150], &[150], &[40, 1]], |x| (&(&x[0] * &x[1]) + &x[2]).exp()),
        case("softmax", &[&[5, 333]], |x| x[0].softmax(1)),
        case("transposed", &[&[130, 140]], |x| &x[0].permute(&[1, 0]) * 2.0 + x[0].slice(1, 0..130).slice(0, 0..1)),
        case("every third", &[&[4, 500]], |x| x[0].slice_step(1, 2, 160, 3).sqrt()),
        case("padded", &[&[3, 250]], |x| x[0].pad(1, 13, 7, 0.0).square()),
        case("joined", &[&[3, 200], &[3, 150]], |x| Tensor::concat(&[&x[0], &x[1]], 1).tanh()),
        case("pooled", &[&[2, 3, 30, 140]], |x| {
            x[0].max_pool(&[Window { size: 3, stride: 2, dilation: 1, padding: (1, 1) }; 2])
        }),
        case("wide convolution", &[&[3, 4, 12, 40], &[7, 4, 3, 3]], conv),
        case("square convolution", &[&[20, 3, 14, 14], &[10, 3, 3, 3]], conv),
        case("small convolution", &[&[33, 5, 7, 7], &[9, 5, 3, 3]], conv),
        case("strided convolution", &[&[5, 6, 28, 28], &[9, 6, 3, 3]], strided),
    ]
}

fn check_wide(device: &Device) {
    let options = CompileOptions { fuse: true, poison: true };
    let failures: Vec<String> = wide_cases()
        .iter()
        .filter_map(|c| check(device, c, &options).err().map(|e| format!("{}: {e}", c.name)))
        .collect();
    assert!(failures.is_empty(), "{device:?}:\n{}", failures.join("\n"));
}

#[test]
fn wide_shapes() {
    check_wide(&Device::cpu());
    if let Some(device) = gpu() {
        check_wide(device);
    }
}

#[test]
fn fused_on_the_cpu() {
    check_all(&Device::cpu(), &CompileOptions { fuse: true, poison: true });
}

#[test]
fn op_by_op_on_the_cpu() {
    check_all(&Device::cpu(), &CompileOptions { fuse: false, poison: true });
}

#[test]
fn fused_on_the_gpu() {
    if let Some(device) = gpu() {
        check_all(device, &CompileOptions { fuse: true, poison: true });
    }
}

/// f16 tensors in memory: given, stored between kernels, reduced, kept as state, read back.
fn half_precision(device: &Device) {
    let x = Tensor::input("x", [3, 37], DType::F16);
    let kept = Tensor::state("kept", [3, 37], DType::F16, wgrad_graph::Init::Constant(0.5));
    let y = &x * &kept + 1.0;
    let sums = y.sum(&[1]).cast(DType::F32);
    let mut updates = Updates::new();
    updates.assign(&kept, &y);
    let program = Program::compile(device, &[&y, &sums], &updates).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let data: Vec<half::f16> = (0..111).map(|i| half::f16::from_f32(i as f32 / 16.0 - 3.0)).collect();
    let mut out = program.run(&mut state, &[("x", Data::from(&data))]).unwrap();
    // Each operation rounds to f16, as storing it would.
    let round = |v: f32| half::f16::from_f32(v).to_f32();
    let expected: Vec<f32> = data.iter().map(|v| round(round(v.to_f32() * 0.5) + 1.0)).collect();
    assert_eq!(out.f32(0).unwrap(), expected, "{device:?}");
    for (i, s) in out.f32(1).unwrap().into_iter().enumerate() {
        let exact: f32 = expected[i * 37..(i + 1) * 37].iter().sum();
        assert!((s - exact).abs() <= 2e-3 * exact.abs(), "{device:?}: {s} {exact}");
    }
    let bytes = state.bytes("kept").unwrap();
    let stored: Vec<f32> = bytes.chunks(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
    assert_eq!(stored, expected, "{device:?}");
}

#[test]
fn half_precision_is_stored_as_such() {
    half_precision(&Device::cpu());
    if let Some(device) = gpu() {
        half_precision(device);
    }
}
