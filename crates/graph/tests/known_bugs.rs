//! Bugs that other frameworks have had, each as a test. Those that have a test elsewhere:
//!
//! - a backward pass that ignores what comes from downstream: `op_rules.rs`, which places every operation mid-graph, and its
//!   `a_wrong_rule_is_caught`;
//! - a fused operation without a backward pass: `programs.rs` runs gradients of every case, fused and not;
//! - tensors without elements, and more than 65535 workgroups: `limits.rs` of the package `wgrad`;
//! - a checkpoint that is applied in part: `a_checkpoint_of_other_tensors_is_refused` and `every_truncation_is_refused` in
//!   `wgrad-train`.

mod support;

use support::gpu;
use wgrad_device::{Adapter, Cost, CpuIo, Kernel, Pass};
use wgrad_graph::contract::{Numbers, check_program};
use wgrad_graph::op::{Lower, Op};
use wgrad_graph::{
    Array, CompileOptions, DType, Data, Device, Init, OpCase, Program, State, Tensor, Updates, checked, gradients,
    registry,
};

fn devices() -> Vec<Device> {
    std::iter::once(Device::cpu()).chain(gpu().cloned()).collect()
}

fn poisoned() -> CompileOptions {
    CompileOptions { poison: true, ..CompileOptions::default() }
}

fn run(device: &Device, outputs: &[&Tensor], inputs: &[(&str, Data)]) -> Vec<Vec<f32>> {
    let program = Program::compile_with(device, outputs, &Updates::new(), &poisoned()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let mut got = program.run(&mut state, inputs).unwrap();
    (0..outputs.len()).map(|i| got.f32(i).unwrap()).collect()
}

fn run_u32(device: &Device, outputs: &[&Tensor]) -> Vec<Vec<u32>> {
    let program = Program::compile_with(device, outputs, &Updates::new(), &poisoned()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let mut got = program.run(&mut state, &[]).unwrap();
    (0..outputs.len()).map(|i| got.u32(i).unwrap()).collect()
}

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    (0..n).map(|_| (numbers.next() * 2.0 - 1.0) as f32).collect()
}

/// Tiles that reach past the end of a matrix write into its next row, or into what lies behind it.
#[test]
fn edge_tiles_stay_inside_the_matrix() {
    let sizes = [(1, 1), (7, 9), (8, 65), (9, 63), (31, 17), (33, 15), (63, 64), (65, 66), (1, 129), (130, 3)];
    let inner = 5;
    for device in devices() {
        for (m, n) in sizes {
            let (a, b) = (Tensor::input("a", [m, inner], DType::F32), Tensor::input("b", [inner, n], DType::F32));
            // Neighbours in one buffer, on both sides.
            let product = a.matmul(&b);
            let pack = Tensor::pack(&[&a.sum(&[1]), &product, &b.sum(&[0])]);
            let parts = pack.unpack(&[&[m], &[m, n], &[n]]);
            let (x, y) = (numbers(m * inner, 1), numbers(inner * n, 2));
            let got = run(&device, &[&parts[0], &parts[1], &parts[2]], &[("a", (&x).into()), ("b", (&y).into())]);
            let at = |i: usize, j: usize| (0..inner).map(|k| x[i * inner + k] * y[k * n + j]).sum::<f32>();
            for (p, g) in got[1].iter().enumerate() {
                assert!((g - at(p / n, p % n)).abs() < 1e-5, "{device:?}: {m}x{n}, element {p}");
            }
            for (i, g) in got[0].iter().enumerate() {
                assert!((g - x[i * inner..][..inner].iter().sum::<f32>()).abs() < 1e-5, "{device:?}: {m}x{n}, before");
            }
            for (j, g) in got[2].iter().enumerate() {
                let sum = (0..inner).map(|k| y[k * n + j]).sum::<f32>();
                assert!((g - sum).abs() < 1e-5, "{device:?}: {m}x{n}, behind");
            }
        }
    }
}

/// A value that the user wants to see is also the argument of something that could overwrite it.
#[test]
fn an_intermediate_value_that_is_an_output_survives() {
    let x = Tensor::input("x", [5, 41], DType::F32);
    let a = x.exp();
    let b = &a * 2.0;
    let c = b.sum(&[1]);
    let d = &b - &c.unsqueeze(1);
    let same = b.reshape([41, 5]);
    let kept = Tensor::state("kept", [5, 41], DType::F32, Init::Constant(1.0));
    let mut updates = Updates::new();
    updates.assign(&kept, &(&kept + &d));
    let data = numbers(205, 3);
    for device in devices() {
        let program = Program::compile_with(&device, &[&a, &b, &c, &d, &same, &kept], &updates, &poisoned()).unwrap();
        let mut state = State::init(&device, &program, 0).unwrap();
        let mut old = vec![1f32; 205];
        for turn in 0..3 {
            let mut got = program.run(&mut state, &[("x", (&data).into())]).unwrap();
            let mut get = |i: usize| got.f32(i).unwrap();
            let (a, b, c, d, same, kept) = (get(0), get(1), get(2), get(3), get(4), get(5));
            assert_eq!(b, same);
            for i in 0..205 {
                let sum: f32 = b[i / 41 * 41..][..41].iter().sum();
                let near = |x: f32, y: f32| (x - y).abs() < 1e-4 * (1.0 + y.abs());
                assert!(near(a[i], data[i].exp()) && near(b[i], 2.0 * data[i].exp()), "{device:?}: {turn}");
                assert!(near(c[i / 41], sum) && near(d[i], b[i] - sum), "{device:?}: {turn}");
                // The state as it was before the update.
                assert!(near(kept[i], old[i]), "{device:?}: {turn}: {} {}", kept[i], old[i]);
                old[i] += d[i];
            }
        }
    }
}

/// An index divided by a float's reciprocal is off by one: of all widths below 100 at 41 first, and at any above 2^21.
#[test]
fn indices_are_divided_exactly() {
    let widths = [3, 7, 10, 41, 47, 55, 97, 641, 1449, 46_341];
    // Just below, and beyond, what an f32 can divide.
    for total in [2_097_151, 2_097_153, 20_000_000] {
        let pieces: Vec<(Tensor, usize, usize)> = widths
            .iter()
            .map(|&w| {
                let rows = total / w;
                // Rows and columns in other places, so that nothing is linear; of a large one the last columns only.
                let t = Tensor::iota([rows * w], 0).reshape([rows, w]).permute(&[1, 0]);
                (t.slice(0, w - w.min(2)..w).slice(1, rows - rows.min(5000)..rows), rows, w)
            })
            .collect();
        for device in devices() {
            let got = run_u32(&device, &pieces.iter().map(|p| &p.0).collect::<Vec<_>>());
            for (got, &(_, rows, w)) in got.iter().zip(&pieces) {
                let count = rows.min(5000);
                let right = (w - w.min(2)..w).flat_map(|c| (rows - count..rows).map(move |r| (r * w + c) as u32));
                assert!(got.iter().copied().eq(right), "{device:?}: {rows} rows of {w}");
            }
        }
    }
    // Whole, as the domain of a kernel.
    let (rows, w) = (51_152, 41);
    let (row, column) = (Tensor::iota([rows, w], 0), Tensor::iota([rows, w], 1));
    let both = (row * Tensor::scalar(64u32) + column).permute(&[1, 0]);
    for device in devices() {
        let got = run_u32(&device, &[&both]);
        let right = (0..w).flat_map(|c| (0..rows).map(move |r| (r * 64 + c) as u32));
        assert!(got[0].iter().copied().eq(right), "{device:?}");
    }
}

/// The Jacobian of softmax is never formed.
#[test]
fn softmax_backward_takes_linear_memory() {
    let (rows, vocabulary) = (3, 8192);
    let x = Tensor::input("x", [rows, vocabulary], DType::F32);
    let w = Tensor::input("w", [rows, vocabulary], DType::F32);
    let labels = Tensor::input("labels", [rows], DType::U32);
    let losses = [(x.softmax(1) * &w).sum_all(), (x.log_softmax(1) * &w).sum_all(), x.cross_entropy(&labels)];
    for loss in losses {
        let grad = gradients(&loss, &[&x]).remove(0);
        let program = Program::compile(&Device::cpu(), &[&loss, &grad], &Updates::new()).unwrap();
        let bytes = program.summary().temporary_bytes;
        assert!(bytes <= 4 * rows * vocabulary * 4, "{bytes} bytes for logits of {}", rows * vocabulary * 4);
    }
}

/// Adds 1, it says; it does nothing.
#[derive(Debug)]
struct Idle;

impl Op for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![Some(grad.clone())])
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].map(|x| x + 1.0)
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(std::sync::Arc::new(Idle))
    }
}

impl Kernel for Idle {
    fn name(&self) -> String {
        "idle".into()
    }
    fn run_cpu(&self, _: &CpuIo) {}
    fn passes(&self, _: &Adapter, _: &[Option<usize>]) -> Vec<Pass> {
        vec![]
    }
    fn cost(&self) -> Cost {
        Cost::default()
    }
}

/// Tests "matched" on an empty dispatch, because zeros were compared with zeros.
#[test]
fn a_kernel_that_does_nothing_is_noticed() {
    let idle = OpCase::new("idle", "idle", &[&[5, 3]], |x| Tensor::apply(Idle, &[&x[0]]));
    let honest = OpCase::new("idle", "not idle", &[&[5, 3]], |x| &x[0] + 1.0);
    for device in devices() {
        check_program(&device, &honest, &poisoned()).unwrap();
        let e = check_program(&device, &idle, &poisoned()).unwrap_err();
        assert!(e.starts_with("output 0[0]: "), "{e}");
    }
    // And the cases of the registry have something to compare, nearly all of them.
    let cases = registry();
    let empty = cases.iter().filter(|c| c.inputs.iter().flatten().any(|&n| n == 0)).count();
    assert!(empty * 5 < cases.len(), "{empty} of {} cases are empty", cases.len());
}

/// Memory for uploads is used again while the GPU still reads what was written before.
#[test]
fn uploads_do_not_overtake_each_other() {
    let n = 300_000;
    let x = Tensor::input("x", [n], DType::F32);
    let y = &x * 2.0;
    for device in devices() {
        let program = Program::compile(&device, &[&y], &Updates::new()).unwrap();
        let mut state = State::init(&device, &program, 0).unwrap();
        // Nothing waits until all have been given.
        let runs: Vec<_> = (0..12)
            .map(|i| {
                let data: Vec<f32> = (0..n).map(|j| (i * 7 + j % 1000) as f32).collect();
                program.run(&mut state, &[("x", (&data).into())]).unwrap()
            })
            .collect();
        for (i, mut run) in runs.into_iter().enumerate() {
            let got = run.f32(0).unwrap();
            let wrong = got.iter().enumerate().find(|&(j, &g)| g != 2.0 * (i * 7 + j % 1000) as f32);
            assert_eq!(wrong, None, "{device:?}: run {i}");
        }
    }
}

/// Index arithmetic is in 32 bits: what it cannot count is refused, and what it can is right up to the end.
#[test]
fn more_than_two_to_the_thirty_elements() {
    let e = checked(|| Tensor::iota([1 << 16, 1 << 15], 0)).unwrap_err().to_string();
    assert!(e.contains("iota") && e.contains("[65536, 32768]") && e.contains("2^31 elements"), "{e}");
    let e = checked(|| Tensor::zeros([3], DType::F32).unsqueeze(1).broadcast_to([3, 1 << 30])).unwrap_err().to_string();
    assert!(e.contains("2^31 elements") && e.contains("known_bugs.rs"), "{e}");
    // Nothing of this is ever stored whole.
    let (rows, columns) = (46_340, 46_341);
    let all = Tensor::iota([rows * columns], 0);
    let corner = all.reshape([rows, columns]).slice(0, rows - 7..rows).slice(1, columns - 9..columns).permute(&[1, 0]);
    let far = all.slice_step(0, 5, 1000, 2_147_000);
    for device in devices() {
        let got = run_u32(&device, &[&corner, &far]);
        let right = (columns - 9..columns).flat_map(|c| (rows - 7..rows).map(move |r| (r * columns + c) as u32));
        assert!(got[0].iter().copied().eq(right), "{device:?}");
        assert!(got[1].iter().copied().eq((0..1000).map(|i| 5 + i * 2_147_000)), "{device:?}");
    }
}

/// Between the tensors of a pack there are gaps: a norm over the whole pack must not see what happens to lie there.
#[test]
fn the_gaps_of_a_pack_are_zeros() {
    let shapes: [&[usize]; 4] = [&[1], &[7, 11], &[3], &[65]];
    let params: Vec<Tensor> =
        (0..4).map(|i| Tensor::state(format!("p{i}"), shapes[i], DType::F32, Init::Constant(0.5))).collect();
    let refs: Vec<&Tensor> = params.iter().collect();
    let x = Tensor::input("x", [3], DType::F32);
    let loss =
        (&params[0] * params[1].sum_all() + params[2].square().sum_all() + params[3].exp().sum_all()) * x.sum_all();
    let grads = gradients(&loss.sum_all(), &refs);
    let grad = Tensor::pack(&grads.iter().collect::<Vec<_>>());
    let norm = grad.square().sum_all();
    let norm_of_parts = grads.iter().map(|g| g.square().sum_all()).reduce(|a, b| a + b).expect("four");
    let mut updates = Updates::new();
    updates.assign_pack(&refs, &(Tensor::pack(&refs) - &grad * (norm.sqrt() * 100.0).recip()));
    for device in devices() {
        let program = Program::compile_with(&device, &[&norm, &norm_of_parts], &updates, &poisoned()).unwrap();
        let mut state = State::init(&device, &program, 0).unwrap();
        for turn in 0..4 {
            let mut got = program.run(&mut state, &[("x", (&[0.1f32, 0.2, 0.3][..]).into())]).unwrap();
            let (whole, parts) = (got.scalar(0).unwrap(), got.scalar(1).unwrap());
            assert!(whole.is_finite() && (whole - parts).abs() <= 1e-5 * parts, "{device:?}: {turn}: {whole}, {parts}");
        }
    }
}

/// Programs of other lengths share pipelines, and must not share anything that depends on the length.
#[test]
fn lengths_do_not_mix() {
    for device in devices() {
        for n in [100_000usize, 5, 513, 1, 64, 100_001] {
            let x = Tensor::input("x", [n], DType::F32);
            let y = &x * 2.0;
            let product = x.reshape([1, n]).matmul(&x.reshape([n, 1])).reshape([]);
            let data: Vec<f32> = (0..n).map(|i| (i % 3) as f32 - 1.0).collect();
            let got = run(&device, &[&x.sum_all(), &y, &product], &[("x", (&data).into())]);
            assert_eq!(got[0][0], data.iter().sum::<f32>(), "{device:?}: {n}");
            assert!(got[1].iter().zip(&data).all(|(g, x)| *g == 2.0 * x), "{device:?}: {n}");
            assert_eq!(got[2][0], data.iter().map(|x| x * x).sum::<f32>(), "{device:?}: {n}");
        }
    }
}
