//! Compiled programs against the f64 reference: every case of the registry, values and gradients, fused and not, with
//! memory poisoned between uses.
//!
//! Runs on the adapter that `WGRAD_TEST_DEVICE` names (`auto`, `software`, `cpu`, ...), by default on a GPU or else
//! on a software one, and on the CPU backend always.

mod support;

use support::gpu;
use wgrad_graph::contract::check_program;
use wgrad_graph::{
    CompileOptions, ConvOptions, DType, Data, Device, OpCase, Program, State, Tensor, Updates, Window, checkpoint,
    gradients, registry,
};

fn check_all(device: &Device, options: &CompileOptions) {
    let filter = std::env::var("WGRAD_TEST_OP").unwrap_or_default();
    let cases: Vec<OpCase> = registry().into_iter().filter(|c| c.name.contains(&filter)).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check_program(device, c, options).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(!cases.is_empty());
    assert!(failures.is_empty(), "{} of {} on {device:?}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Shapes that fill blocks, tiles and vectors and leave a rest, which the registry's small cases do not.
fn wide_cases() -> Vec<OpCase> {
    type Build = fn(&[Tensor]) -> Tensor;
    let case = |name: &str, inputs: &[&[usize]], build: Build| {
        OpCase::new("wide", name, inputs, build).domain(0.2, 1.0).tolerance(2e-5)
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
    let options = CompileOptions { fuse: true, poison: true, recompute: true };
    let failures: Vec<String> = wide_cases()
        .iter()
        .filter_map(|c| check_program(device, c, &options).err().map(|e| format!("{}: {e}", c.name)))
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
    check_all(&Device::cpu(), &CompileOptions { fuse: true, poison: true, recompute: true });
}

#[test]
fn op_by_op_on_the_cpu() {
    check_all(&Device::cpu(), &CompileOptions { fuse: false, poison: true, recompute: true });
}

#[test]
fn fused_on_the_gpu() {
    if let Some(device) = gpu() {
        check_all(device, &CompileOptions { fuse: true, poison: true, recompute: true });
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

/// Nothing is read out of bounds, and reading any output says what happened, where, and how often.
fn index_out_of_range(device: &Device) {
    let x = Tensor::input("x", [4, 3], DType::F32);
    let labels = Tensor::input("labels", [4], DType::U32);
    let loss = x.cross_entropy(&labels);
    let other = &x * 2.0;
    let program = Program::compile(device, &[&loss, &other], &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let x = vec![0.5f32; 12];
    let mut run =
        |labels: &[u32]| program.run(&mut state, &[("x", Data::from(&x)), ("labels", labels.into())]).unwrap();
    let mut good = run(&[0, 1, 2, 0]);
    assert_eq!(good.len(), 2);
    assert!((good.scalar(0).unwrap() - 3f32.ln()).abs() < 1e-6);
    let mut bad = run(&[0, 3, 2, u32::MAX]);
    for output in [1, 0] {
        let e = bad.f32(output).unwrap_err().to_string();
        assert!(e.starts_with("cross_entropy at ") && e.ends_with("2 indices in the data are not below 3"), "{e}");
        assert!(e.contains("programs.rs"), "{e}");
    }
    assert!(run(&[2, 2, 2, 2]).scalar(0).is_ok());
}

#[test]
fn an_index_out_of_range_is_reported() {
    index_out_of_range(&Device::cpu());
    if let Some(device) = gpu() {
        index_out_of_range(device);
    }
}

/// A deep chain: marked blocks keep one value each, and the results are the same.
fn recomputation(device: &Device) {
    let depth = 12;
    let net = |marked: bool| {
        let x = Tensor::input("x", [64, 32], DType::F32);
        let w = Tensor::input("w", [32, 32], DType::F32);
        let block = |h: &Tensor| (0..4).fold(h.clone(), |h, _| h.matmul(&w).tanh());
        let y = (0..depth).fold(x, |h, _| if marked { checkpoint(|| block(&h)) } else { block(&h) });
        let loss = y.square().sum_all();
        let mut all = gradients(&loss, &[&w]);
        all.push(loss);
        let refs: Vec<&Tensor> = all.iter().collect();
        Program::compile(device, &refs, &Updates::new()).unwrap()
    };
    let run = |program: &Program| {
        let mut state = State::init(device, program, 0).unwrap();
        let x: Vec<f32> = (0..64 * 32).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
        let w: Vec<f32> = (0..32 * 32).map(|i| ((i * 53 % 97) as f32 / 100.0) - 0.48).collect();
        let mut out = program.run(&mut state, &[("x", Data::from(&x)), ("w", Data::from(&w))]).unwrap();
        (out.f32(0).unwrap(), out.scalar(1).unwrap())
    };
    let (plain, marked) = (net(false), net(true));
    let ((a, loss_a), (b, loss_b)) = (run(&plain), run(&marked));
    assert_eq!(loss_a, loss_b);
    // Only the order differs in which the blocks' gradients are added.
    let scale = a.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(scale > 1e-6 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5 * scale), "{scale}");
    let (plain, marked) = (plain.summary(), marked.summary());
    assert_eq!(plain.recomputed, None);
    let saved = marked.recomputed.expect("parts are marked");
    assert_eq!(saved.parts, depth);
    assert_eq!(saved.saved_bytes, plain.temporary_bytes as i64 - marked.temporary_bytes as i64);
    // 48 values are kept without marks; with marks 12 and one block's 4, and some in passing.
    assert!(marked.temporary_bytes * 2 < plain.temporary_bytes, "{marked}\n{plain}");
    assert!(saved.added_flops > 0.0 && marked.to_string().contains("12 parts save"), "{marked}");
}

#[test]
fn recomputation_saves_memory() {
    recomputation(&Device::cpu());
    if let Some(device) = gpu() {
        recomputation(device);
    }
}
