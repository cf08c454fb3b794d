//! State, updates and packs: whole training steps against the same steps computed in f64.

mod support;

use std::collections::HashMap;
use support::gpu;
use wgrad_graph::reference::evaluate;
use wgrad_graph::{
    Array, CompileOptions, ConvOptions, DType, Data, Device, Dump, Error, Init, Program, State, Tensor, Updates,
    checked, gradients,
};

fn param(name: &str, shape: &[usize]) -> Tensor {
    Tensor::state(name, shape, DType::F32, Init::Normal(0.0, 0.3))
}

/// A small network with batch norm, and momentum SGD on packs: loss, updates, and the names of all state.
fn step() -> (Tensor, Updates) {
    let (x, y) = (Tensor::input("x", [6, 2, 5, 5], DType::F32), Tensor::input("y", [6], DType::U32));
    let names: [(&str, &[usize]); 5] = [("w1", &[4, 2, 3, 3]), ("g", &[4]), ("b", &[4]), ("w2", &[3, 4]), ("b2", &[3])];
    let p: Vec<Tensor> = names.iter().map(|(n, s)| param(n, s)).collect();
    let mean = Tensor::state("running_mean", [4], DType::F32, Init::Constant(0.0));
    let bn = x.conv(&p[0], &ConvOptions::new(2).padding(1)).batch_norm_train(&p[1], &p[2], 1e-5);
    let logits = bn.output.relu().global_avg_pool().matmul(&p[3].transpose(0, 1)) + &p[4];
    let loss = logits.cross_entropy(&y);

    let refs: Vec<&Tensor> = p.iter().collect();
    let grads = gradients(&loss, &refs);
    let pack = Tensor::pack(&refs);
    let grad = Tensor::pack(&grads.iter().collect::<Vec<_>>()) + &pack * 1e-3;
    let momentum = Tensor::state("momentum", pack.shape(), DType::F32, Init::Constant(0.0));
    let next = &momentum * 0.9 + grad;
    let rate = Tensor::state("rate", vec![], DType::F32, Init::Constant(0.1));
    let mut updates = Updates::new();
    updates.assign(&momentum, &next);
    updates.assign_pack(&refs, &(pack - next * rate));
    updates.assign(&mean, &(&mean * 0.9 + bn.mean * 0.1));
    (loss, updates)
}

fn batch(i: usize) -> (Vec<f32>, Vec<u32>) {
    let x = (0..6 * 50).map(|j| (((j * 37 + i * 101) % 97) as f32 / 48.0) - 1.0).collect();
    (x, (0..6).map(|j| ((j * 7 + i) % 3) as u32).collect())
}

fn devices() -> Vec<Device> {
    std::iter::once(Device::cpu()).chain(gpu().cloned()).collect()
}

/// Runs in one test, so that one process opens one GPU device.
#[test]
fn training_steps() {
    for device in devices() {
        for options in [
            CompileOptions { fuse: true, poison: false, recompute: true },
            CompileOptions { fuse: true, poison: true, recompute: true },
            CompileOptions { fuse: false, poison: true, recompute: true },
        ] {
            follows_the_reference(&device, &options);
        }
        repeats_bit_for_bit(&device);
        swaps_and_old_values(&device);
        shares_state_between_programs(&device);
        random_numbers_move_on(&device);
        initial_values(&device);
        refuses_bad_input(&device);
    }
}

fn follows_the_reference(device: &Device, options: &CompileOptions) {
    let (loss, updates) = step();
    let program = Program::compile_with(device, &[&loss], &updates, options).unwrap();
    let mut state = State::init(device, &program, 42).unwrap();
    let mut exact: HashMap<String, Array> = HashMap::new();
    for (name, shape, _) in state.tensors() {
        let data = state.f32(name).unwrap().into_iter().map(|x| x as f64).collect();
        exact.insert(name.to_string(), Array::new(shape, data));
    }
    for i in 0..5 {
        let (x, y) = batch(i);
        exact.insert("x".into(), Array::new([6, 2, 5, 5], x.iter().map(|&v| v as f64).collect()));
        exact.insert("y".into(), Array::new([6], y.iter().map(|&v| v as f64).collect()));
        let values = updates.values();
        let mut wanted = vec![&loss];
        wanted.extend(values.iter().map(|(_, v)| v));
        let expected = evaluate(&wanted, &exact);
        let got = program.run(&mut state, &[("x", Data::from(&x)), ("y", Data::from(&y))]).unwrap().scalar(0).unwrap();
        assert!((got as f64 - expected[0].data[0]).abs() < 1e-5, "{device:?} {options:?} step {i}: {got} {expected:?}");
        for ((s, _), value) in values.iter().zip(&expected[1..]) {
            exact.insert(s.name().unwrap().to_string(), value.clone());
        }
        for (s, _) in &values {
            let name = s.name().unwrap();
            for (g, e) in state.f32(name).unwrap().iter().zip(&exact[name].data) {
                assert!((*g as f64 - e).abs() < 1e-4, "{device:?} {options:?} step {i}, {name}: {g} {e}");
            }
        }
    }
    if options.fuse && !options.poison {
        // All parameters and their momentum in one launch.
        let plan = program.dump(Dump::Plan);
        let writers: Vec<&str> =
            plan.lines().filter(|l| l.split("->").nth(1).is_some_and(|o| o.contains("arena"))).collect();
        assert_eq!(writers.len(), 1, "{plan}");
        assert!(writers[0].contains("state momentum"), "{plan}");
        assert!(!plan.contains("copy of"), "{plan}");
        assert!(
            program.dump(Dump::Graph).contains("conv_weight_grad") || program.dump(Dump::Graph).contains("WeightGrad")
        );
        assert!(program.dump(Dump::Kernels).contains("conv"));
    }
}

fn repeats_bit_for_bit(device: &Device) {
    let run = || {
        let (loss, updates) = step();
        let program = Program::compile(device, &[&loss], &updates).unwrap();
        let mut state = State::init(device, &program, 3).unwrap();
        for i in 0..4 {
            let (x, y) = batch(i);
            program.run(&mut state, &[("x", Data::from(&x)), ("y", Data::from(&y))]).unwrap();
        }
        let names: Vec<String> = state.tensors().map(|(n, ..)| n.to_string()).collect();
        names.iter().map(|n| state.bytes(n).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run(), "{device:?}");
}

fn swaps_and_old_values(device: &Device) {
    let state = |n: &str, v: f32| Tensor::state(n, [3], DType::F32, Init::Constant(v));
    let (a, b, c) = (state("a", 1.0), state("b", 2.0), state("c", 5.0));
    let mut updates = Updates::new();
    updates.assign(&a, &b);
    updates.assign(&b, &a);
    // Reads the old c while c is written, and c's old value is an output.
    updates.assign(&c, &(&c + &a));
    let sum = (&c * 10.0).sum_all();
    let program = Program::compile(device, &[&c, &sum], &updates).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let mut out = program.run(&mut state, &[]).unwrap();
    assert_eq!(out.f32(0).unwrap(), [5.0; 3]);
    assert_eq!(out.scalar(1).unwrap(), 150.0);
    assert_eq!(state.f32("a").unwrap(), [2.0; 3]);
    assert_eq!(state.f32("b").unwrap(), [1.0; 3]);
    assert_eq!(state.f32("c").unwrap(), [6.0; 3]);
    let mut out = program.run(&mut state, &[]).unwrap();
    assert_eq!(out.f32(0).unwrap(), [6.0; 3]);
    assert_eq!(state.f32("c").unwrap(), [8.0; 3]);
}

fn shares_state_between_programs(device: &Device) {
    let (loss, updates) = step();
    let train = Program::compile(device, &[&loss], &updates).unwrap();
    let mut state = State::init(device, &train, 1).unwrap();
    let w2 = param("w2", &[3, 4]);
    let extra = Tensor::state("extra", [3], DType::F32, Init::Constant(1.5));
    let eval = Program::compile(device, &[&w2.sum(&[1]), &extra], &Updates::new()).unwrap();
    assert!(matches!(eval.run(&mut state, &[]), Err(Error::State { .. })), "extra is not there yet");
    state.add(&eval).unwrap();
    let (x, y) = batch(0);
    for _ in 0..2 {
        train.run(&mut state, &[("x", Data::from(&x)), ("y", Data::from(&y))]).unwrap();
        let mut out = eval.run(&mut state, &[]).unwrap();
        let w = state.f32("w2").unwrap();
        let rows: Vec<f32> = w.chunks(4).map(|r| r.iter().sum()).collect();
        for (a, b) in out.f32(0).unwrap().iter().zip(rows) {
            assert!((a - b).abs() < 1e-6);
        }
        assert_eq!(out.f32(1).unwrap(), [1.5; 3]);
    }
    // A state made for evaluation is not packed as training wants it: its tensors are moved together, their values kept.
    let mut other = State::init(device, &eval, 1).unwrap();
    eval.run(&mut other, &[]).unwrap();
    let values: Vec<f32> = (0..12).map(|i| i as f32 / 10.0).collect();
    other.set_f32("w2", &values).unwrap();
    other.add(&train).unwrap();
    assert_eq!(other.f32("w2").unwrap(), values);
    train.run(&mut other, &[("x", Data::from(&x)), ("y", Data::from(&y))]).unwrap();
    let moved = other.f32("w2").unwrap();
    assert!(moved != values && moved.iter().zip(&values).all(|(a, b)| (a - b).abs() < 0.5), "{moved:?}");
    let sums = eval.run(&mut other, &[]).unwrap().f32(0).unwrap();
    assert!((sums[0] - moved[..4].iter().sum::<f32>()).abs() < 1e-6);
    // Packed otherwise by another program. (As they lie in the larger pack, they may stay.)
    let pair = [param("b2", &[3]), param("w2", &[3, 4])];
    let refs: Vec<&Tensor> = pair.iter().collect();
    let mut updates = Updates::new();
    updates.assign_pack(&refs, &(Tensor::pack(&refs) * 2.0));
    let two = Program::compile(device, &[], &updates).unwrap();
    let e = other.add(&two).unwrap_err().to_string();
    assert!(e.contains("b2") && e.contains("packed with other tensors"), "{e}");
    // Another shape under the same name.
    let clash = Program::compile(device, &[&param("w2", &[5]).exp()], &Updates::new()).unwrap();
    assert!(state.add(&clash).unwrap_err().to_string().contains("w2"));
}

fn random_numbers_move_on(device: &Device) {
    let generator = Tensor::state("rng", [4], DType::U32, Init::Generator);
    let draw = generator.random_uniform([1000], 3);
    let mut updates = Updates::new();
    let one_step = Tensor::full([1], 1u32).pad(0, 2, 1, 0.0);
    updates.assign(&generator, &(&generator + one_step));
    let program = Program::compile(device, &[&draw], &updates).unwrap();
    let run = |seed| {
        let mut state = State::init(device, &program, seed).unwrap();
        (0..2).map(|_| program.run(&mut state, &[]).unwrap().f32(0).unwrap()).collect::<Vec<_>>()
    };
    let (a, b, c) = (run(7), run(7), run(8));
    assert_eq!(a, b);
    assert_ne!(a[0], a[1]);
    assert_ne!(a[0], c[0]);
    // The same numbers as the host's Philox.
    for (i, &x) in a[1].iter().enumerate() {
        let word = wgrad_device::philox([7, 0], [i as u32, 3, 1, 0])[0];
        assert_eq!(x, (word >> 8) as f32 / (1 << 24) as f32);
    }
    let mean = a[0].iter().sum::<f32>() / 1000.0;
    assert!((mean - 0.5).abs() < 0.05, "{mean}");
}

/// Each element is a function of its tensor's name and its own place, however the values are made; also where tensors lie
/// packed, and where one is made in several pieces.
fn initial_values(device: &Device) {
    let uniform = |name: &str, count: usize| Tensor::state(name, [count], DType::F32, Init::Uniform(-1.0, 3.0));
    let (few, many) = (uniform("few", 5), uniform("many", (1 << 20) + 77));
    let mut updates = Updates::new();
    updates.assign_pack(&[&few, &many], &(Tensor::pack(&[&few, &many]) * 0.5));
    let program = Program::compile(device, &[], &updates).unwrap();
    let state = State::init(device, &program, 9).unwrap();
    for name in ["few", "many"] {
        let stream = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3));
        for (i, &x) in state.f32(name).unwrap().iter().enumerate() {
            let word = wgrad_device::philox([9, 0], [i as u32, 0, stream as u32, (stream >> 32) as u32])[0];
            assert_eq!(x, (4.0 * (word as f64 + 0.5) / 4294967296.0 - 1.0) as f32, "element {i} of {name}");
        }
    }
}

fn refuses_bad_input(device: &Device) {
    let (loss, updates) = step();
    let program = Program::compile(device, &[&loss], &updates).unwrap();
    let mut state = State::init(device, &program, 1).unwrap();
    let (x, y) = batch(0);
    let e = |r: Result<wgrad_graph::Outputs, Error>| r.err().expect("refused").to_string();
    let text = e(program.run(&mut state, &[("x", Data::from(&x))]));
    assert!(text.contains("\"y\"") && text.contains("not given"), "{text}");
    let text = e(program.run(&mut state, &[("x", Data::from(&x[1..])), ("y", Data::from(&y))]));
    assert!(text.contains("300 elements") && text.contains("299"), "{text}");
    let text = e(program.run(&mut state, &[("x", Data::from(&y)), ("y", Data::from(&y))]));
    assert!(text.contains("f32") && text.contains("u32"), "{text}");
    let text = e(program.run(&mut state, &[("z", Data::from(&x)), ("y", Data::from(&y))]));
    assert!(text.contains("no such input"), "{text}");
    let w = param("w1", &[4, 2, 3, 3]);
    let text = checked(|| updates.clone().assign(&w, &(&w * 2.0))).unwrap_err().to_string();
    assert!(text.contains("\"w1\" is given two new values"), "{text}");
    let pack = Tensor::pack(&[&w, &w]);
    let text = checked(|| Updates::new().assign_pack(&[&w, &w], &pack)).unwrap_err().to_string();
    assert!(text.contains("twice"), "{text}");
    assert!(state.set_f32("w1", &[0.0]).is_err());
    assert!(state.set_f32("nothing", &[0.0]).is_err());
    assert!(state.u32("w1").is_err());
}
