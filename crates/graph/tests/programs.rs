//! Compiled programs against the f64 reference: every case of the registry, values and gradients, fused and not, with
//! memory poisoned between uses.
//!
//! Runs on the adapter that `WGRAD_TEST_DEVICE` names (`auto`, `software`, `cpu`, ...), by default on a GPU or else
//! on a software one, and on the CPU backend always.

mod support;

use support::gpu;
use wgrad_graph::contract::{Half, check_half, check_program};
use wgrad_graph::{
    Attention, CompileOptions, ConvOptions, DType, Data, Device, DropWeights, Dump, OpCase, Program, State, Tensor,
    Updates, Window, checked, checkpoint, gradients, registry,
};

fn check_all(device: &Device, options: &CompileOptions) {
    let filter = std::env::var("WGRAD_TEST_OP").unwrap_or_default();
    let cases: Vec<OpCase> = registry().into_iter().filter(|c| c.name.contains(&filter)).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check_program(device, c, options).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(!cases.is_empty());
    assert!(failures.is_empty(), "{} of {} on {device:?}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Causal attention with the fourth argument as its bias.
fn biased_attention(x: &[Tensor]) -> Tensor {
    x[0].attention(&x[1], &x[2], &Attention { causal: true, bias: Some(x[3].clone()), ..Attention::default() })
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
        case("attention", &[&[2, 3, 150, 40], &[2, 1, 130, 40], &[2, 1, 130, 35]], |x| {
            let options = Attention { left: Some(70), right: Some(33), ..Attention::default() };
            (&x[0] * 2.0).attention(&x[1], &x[2], &options)
        }),
        case(
            "attention with a bias",
            &[&[1, 2, 69, 5], &[1, 2, 67, 5], &[1, 2, 67, 3], &[1, 2, 69, 67]],
            biased_attention,
        ),
        case(
            "attention with a bias for each key",
            &[&[2, 1, 69, 5], &[2, 1, 67, 5], &[2, 1, 67, 3], &[1, 1, 1, 67]],
            biased_attention,
        ),
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

fn check_all_in_f16(device: &Device) {
    let filter = std::env::var("WGRAD_TEST_OP").unwrap_or_default();
    let tried = |c: &OpCase| c.name.contains(&filter) && matches!(c.half, Half::Within(_));
    let cases: Vec<OpCase> = registry().into_iter().filter(tried).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check_half(device, c).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(failures.is_empty(), "{} of {} on {device:?}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn f16_on_the_cpu() {
    check_all_in_f16(&Device::cpu());
}

#[test]
fn f16_on_the_gpu() {
    if let Some(device) = gpu().filter(|d| d.adapter().f16) {
        check_all_in_f16(device);
    }
}

/// Sums are formed in f32, and so are the statistics of norms and losses: what fits f16 does not overflow on the way, and
/// loses no digits.
fn sums_in_f32(device: &Device) {
    let n = 10_000;
    let ones = Tensor::input("ones", [n], DType::F16);
    let large = Tensor::input("large", [3, 64], DType::F16);
    let (left, right) = (ones.reshape([1, n]), ones.reshape([n, 1]));
    let outputs = [
        ones.sum(&[0]),
        left.matmul(&right).reshape([]),
        ones.mean(&[0]),
        // The sum is far beyond f16, the squares farther.
        large.mean_all(),
        large.variance(&[1]).mean_all(),
        large.softmax(1).sum_all(),
        large.batch_norm_train(&Tensor::ones([64], DType::F16), &Tensor::zeros([64], DType::F16), 1e-5).mean.mean_all(),
    ];
    let expected = [10_000.0, 10_000.0, 1.0, 60_000.0, 0.0, 3.0, 60_000.0];
    let program = Program::compile(device, &outputs.each_ref(), &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let ones = vec![half::f16::ONE; n];
    let large = vec![half::f16::from_f32(60_000.0); 192];
    let mut out = program.run(&mut state, &[("ones", (&ones).into()), ("large", (&large).into())]).unwrap();
    for (i, expected) in expected.into_iter().enumerate() {
        let got = out.scalar(i).unwrap();
        assert!((got - expected).abs() <= 1e-3 * expected, "output {i} on {device:?}: {got}, not {expected}");
    }
}

#[test]
fn f16_is_summed_in_f32() {
    sums_in_f32(&Device::cpu());
    if let Some(device) = gpu().filter(|d| d.adapter().f16) {
        sums_in_f32(device);
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
    if let Some(device) = gpu().filter(|d| d.adapter().f16) {
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
    // Each part is copied once: a view of each of its two arguments.
    assert_eq!(marked.dump(Dump::Graph).matches("= Again").count(), 2 * depth);
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

/// The forward and backward pass of a long sequence, its memory as planned: nothing of the size of the scores.
#[test]
fn attention_needs_memory_for_its_arguments_only() {
    let shape = [1, 8, 4096, 64];
    let [q, k, v] = ["q", "k", "v"].map(|n| Tensor::input(n, shape, DType::F32));
    let o = q.attention(&k, &v, &Attention { causal: true, ..Attention::default() });
    let weights = Tensor::input("weights", shape, DType::F32);
    let mut outputs = vec![o.clone()];
    outputs.extend(gradients(&(&o * &weights).sum_all(), &[&q, &k, &v]));
    let outputs: Vec<&Tensor> = outputs.iter().collect();
    let device = Device::cpu();
    let program = Program::compile(&device, &outputs, &Updates::new()).unwrap();
    let summary = program.summary();
    let tensor = 4 * shape.iter().product::<usize>();
    // q, k, v and what weighs the result; the result; three gradients.
    let needed = (4 + 1 + 3) * tensor;
    let planned = summary.input_bytes + summary.temporary_bytes;
    assert!(planned <= 2 * needed, "{planned} bytes planned for {needed}\n{summary}");
    let text = summary.to_string();
    assert!(text.contains("attention"), "{text}");
    // The result's gradient goes to the kernels as it is; what the sums of rows need is all there is beside them.
    assert!(summary.launches <= 8, "{}", program.dump(Dump::Kernels));
    // All scores of one head would be larger than any piece.
    assert!(summary.largest[0].0 < 4 * 4096 * 4096, "{text}");
}

/// What drops is the same on every backend, in the gradients as in the result.
fn dropped(device: &Device) -> (Vec<bool>, Vec<bool>) {
    // Values are unit vectors, so the result is the matrix of weights; each query's gradient, with respect to the values,
    // shows what came through.
    let n = 37;
    let q = Tensor::input("q", [2, 2, n, 3], DType::F32);
    let unit = |shape: [usize; 4]| {
        let same = Tensor::iota(shape, 2).equal(&Tensor::iota(shape, 3));
        same.select(&Tensor::scalar(1.0f32), &Tensor::scalar(0.0f32))
    };
    let v = Tensor::input("v", [2, 2, n, n], DType::F32);
    let word = |i: usize, v: u32| Tensor::full([1], v).pad(0, i, 3 - i, 0.0);
    let generator = word(0, 99) + word(1, 0xffff_0000) + word(2, 3);
    let dropout = Some(DropWeights { p: 0.3, generator, stream: 11 });
    let o = q.attention(&q, &v, &Attention { dropout, ..Attention::default() });
    // The loss picks the diagonal of o, whose gradient with respect to v is the transposed matrix of weights.
    let grads = gradients(&(&o * unit([2, 2, n, n])).sum_all(), &[&v]);
    let program = Program::compile(device, &[&o, &grads[0]], &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let data: Vec<f32> = (0..4 * n * 3).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect();
    let units: Vec<f32> = (0..4 * n * n).map(|i| (i / n % n == i % n) as u32 as f32).collect();
    let mut out = program.run(&mut state, &[("q", Data::from(&data)), ("v", Data::from(&units))]).unwrap();
    let zero = |x: Vec<f32>| x.into_iter().map(|x| x == 0.0).collect::<Vec<_>>();
    (zero(out.f32(0).unwrap()), zero(out.f32(1).unwrap()))
}

/// Inputs, kernels and the copying of outputs; and once it runs, nothing is made.
#[test]
fn a_step_is_one_submission() {
    let Some(device) = gpu() else { return };
    let x = Tensor::input("x", [64, 8], DType::F32);
    let y = x.matmul(&x.transpose(0, 1)).exp().sum_all();
    let program = Program::compile(device, &[&y], &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let data = vec![0.1f32; 512];
    let mut step = || program.run(&mut state, &[("x", Data::from(&data))]).unwrap();
    (0..8).for_each(|_| drop(step()));
    // Other tests share the device.
    let counts = || {
        let (submissions, objects) = (device.submissions(), device.objects_created());
        drop(step());
        (device.submissions() - submissions, device.objects_created() - objects)
    };
    let least = std::iter::repeat_with(counts).take(200).min();
    assert_eq!(least, Some((1, 0)));
}

#[test]
fn attention_drops_the_same_everywhere() {
    let n = 37;
    let (forward, backward) = dropped(&Device::cpu());
    for i in 0..forward.len() {
        let transposed = i / (n * n) * n * n + i % n * n + i / n % n;
        assert_eq!(forward[i], backward[transposed], "{i}");
    }
    let share = forward.iter().filter(|&&d| d).count() as f64 / forward.len() as f64;
    assert!((share - 0.3).abs() < 0.03, "{share}");
    if let Some(device) = gpu() {
        assert!(dropped(device) == (forward, backward), "{device:?}");
    }
}

#[test]
fn attention_errors_name_the_argument() {
    let t = |shape: &[usize]| Tensor::input("x", shape, DType::F32);
    let (q, k) = (t(&[2, 4, 5, 8]), t(&[2, 2, 6, 8]));
    let with = |f: &dyn Fn() -> Tensor| checked(f).unwrap_err().to_string();
    let base = Attention::default;
    let u32s = |shape: &[usize]| Tensor::input("m", shape, DType::U32);
    for (error, part) in [
        (with(&|| t(&[4, 5, 8]).attention(&k, &k, &base())), "q is f32 [4, 5, 8]"),
        (with(&|| q.attention(&t(&[2, 2, 6, 7]), &k, &base())), "q [2, 4, 5, 8] and k [2, 2, 6, 7]"),
        (with(&|| q.attention(&k, &t(&[2, 2, 7, 8]), &base())), "k [2, 2, 6, 8] and v [2, 2, 7, 8]"),
        (with(&|| q.attention(&t(&[2, 3, 6, 8]), &t(&[2, 3, 6, 8]), &base())), "4 heads of q"),
        (with(&|| q.attention(&k, &k, &Attention { mask: Some(u32s(&[2, 5])), ..base() })), "mask is u32 [2, 5]"),
        (with(&|| q.attention(&k, &k, &Attention { lengths: Some(u32s(&[3])), ..base() })), "lengths is u32 [3]"),
        (with(&|| q.attention(&k, &k, &Attention { bias: Some(t(&[2, 4, 5])), ..base() })), "bias is f32 [2, 4, 5]"),
        (
            with(&|| q.attention(&k, &k, &Attention { bias: Some(t(&[1, 3, 5, 6])), ..base() })),
            "bias is f32 [1, 3, 5, 6]",
        ),
        (
            with(&|| {
                let dropout = Some(DropWeights { p: 1.5, generator: u32s(&[4]), stream: 0 });
                q.attention(&k, &k, &Attention { dropout, ..base() })
            }),
            "dropout 1.5",
        ),
    ] {
        assert!(error.starts_with("attention: ") && error.contains(part), "{error}");
        assert!(error.contains("programs.rs"), "{error}");
    }
}
