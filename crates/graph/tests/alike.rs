//! Small updates by one formula are one launch, and not a bit changes.

mod support;

use support::gpu;
use wgrad_graph::{DType, Data, Device, Init, Program, State, Tensor, Updates};

const SHAPES: [[usize; 4]; 4] = [[3, 5, 4, 2], [3, 70, 1, 3], [5, 5, 2, 2], [2, 1, 7, 1]];

fn input(i: usize) -> Tensor {
    Tensor::input(format!("x{i}"), SHAPES[i], DType::F32)
}

/// Running statistics as batch norm has them, with constants that depend on the shape; and a number of its own kind.
fn statistics() -> Vec<(Tensor, Tensor)> {
    let mut all = vec![];
    for (i, shape) in SHAPES.iter().enumerate() {
        let (x, c) = (input(i), [shape[1]]);
        let count = shape.iter().product::<usize>() / shape[1];
        let bn = x.batch_norm_train(None::<&Tensor>, None::<&Tensor>, 1e-5);
        for (name, new, factor) in
            [("mean", &bn.mean, 1.0), ("variance", &bn.variance, count as f64 / (count as f64 - 1.0))]
        {
            let old = Tensor::state(format!("layer{i}.{name}"), c, DType::F32, Init::Normal(0.0, 1.0));
            let value = old.mul_scalar(0.9) + new.mul_scalar(0.1 * factor);
            all.push((old, value));
        }
    }
    let rate = Tensor::state("rate", [5], DType::F32, Init::Normal(0.0, 1.0));
    let value = rate.exp() * 0.5;
    all.push((rate, value));
    all
}

/// Runs two steps and gives the new values' bits, and the number of launches.
fn run(device: &Device, updates: &[(Tensor, Tensor)]) -> (Vec<Vec<u32>>, usize) {
    let mut all = Updates::new();
    updates.iter().for_each(|(state, value)| all.assign(state, value));
    let program = Program::compile(device, &[], &all).unwrap();
    let mut state = State::init(device, &program, 3).unwrap();
    let data: Vec<(String, Vec<f32>)> = SHAPES
        .iter()
        .enumerate()
        .map(|(i, s)| (format!("x{i}"), (0..s.iter().product()).map(|n| ((n * n + i) as f32).sin()).collect()))
        .collect();
    let given: Vec<(&str, Data)> = data
        .iter()
        .filter(|(name, _)| program.input_shapes().any(|(n, ..)| n == *name))
        .map(|(name, x)| (name.as_str(), Data::F32(x)))
        .collect();
    for _ in 0..2 {
        program.run(&mut state, &given).unwrap();
    }
    let bits = |t: &Tensor| state.f32(t.name().unwrap()).unwrap().iter().map(|x| x.to_bits()).collect();
    (updates.iter().map(|(t, _)| bits(t)).collect(), program.summary().launches)
}

fn check(device: &Device) {
    let all = statistics();
    let (together, launches) = run(device, &all);
    // A reduction for each layer, a map for all of them, and one for the other kind.
    assert_eq!(launches, SHAPES.len() + 2);
    for ((state, value), together) in all.iter().zip(together) {
        let (alone, _) = run(device, &[(state.clone(), value.clone())]);
        assert_eq!(alone[0], together, "{:?}", state.name());
    }
}

#[test]
fn statistics_are_updated_together_on_the_cpu() {
    check(&Device::cpu());
}

#[test]
fn statistics_are_updated_together_on_a_gpu() {
    if let Some(device) = gpu() {
        check(device);
    }
}

/// The second layer's statistics are of what the first's make: its makers read the pack that they would write to.
#[test]
fn makers_that_read_other_members_write_elsewhere() {
    let x = Tensor::input("x0", SHAPES[0], DType::F32);
    let mut all = vec![];
    let mut y = x;
    for i in 0..3 {
        let bn = y.batch_norm_train(None::<&Tensor>, None::<&Tensor>, 1e-3);
        y = bn.output * 2.0 + 1.0;
        for (name, new) in [("mean", &bn.mean), ("variance", &bn.variance)] {
            let old = Tensor::state(format!("layer{i}.{name}"), [5], DType::F32, Init::Constant(0.5));
            let value = old.mul_scalar(0.75) + new.mul_scalar(0.25);
            all.push((old, value));
        }
    }
    let cpu = Device::cpu();
    for device in [Some(&cpu), gpu()].into_iter().flatten() {
        let (together, _) = run(device, &all);
        for ((state, value), together) in all.iter().zip(together) {
            let (alone, _) = run(device, &[(state.clone(), value.clone())]);
            // By itself, a layer's fold and update are one kernel over rows, which adds up in another order: an ulp or two.
            let close = |(&a, &b): (&u32, &u32)| f32::from_bits(a).is_finite() && a.abs_diff(b) <= 2;
            assert!(alone[0].iter().zip(&together).all(close), "{:?}: {:?}, {together:?}", state.name(), alone[0]);
        }
    }
}

/// Two networks that are updated together by one program and apart by others (a GAN's steps), whichever comes first.
#[test]
fn programs_may_update_parts_of_a_pack() {
    let x = Tensor::input("x", [4], DType::F32);
    let updates = |networks: &[&str], by: f64| {
        let mut all = Updates::new();
        for (n, (network, layer)) in networks.iter().flat_map(|w| ["0", "1"].map(|l| (w, l))).enumerate() {
            for (i, name) in ["mean", "variance"].into_iter().enumerate() {
                let state = Tensor::state(format!("{network}.{layer}.{name}"), [3], DType::F32, Init::Constant(1.0));
                let new = (x.reshape([4, 1]) * Tensor::full([3], n as f32 + 1.5)).sum(&[0]).mul_scalar(0.25);
                all.assign(&state, &(state.mul_scalar(by + i as f64) + new));
            }
        }
        all
    };
    let device = Device::cpu();
    let compile = |updates: &Updates| Program::compile(&device, &[], updates).unwrap();
    let steps = [(&["d"][..], 0.5), (&["d", "g"], 0.25), (&["g"], 2.0)].map(|(n, by)| compile(&updates(n, by)));
    let x = [0.5f32, -1.25, 2.0, 0.75];
    let run = |order: [usize; 3], added: [usize; 3]| {
        let mut state = State::init(&device, &steps[added[0]], 0).unwrap();
        added[1..].iter().for_each(|&p| state.add(&steps[p]).unwrap());
        for _ in 0..2 {
            order.iter().for_each(|&p| drop(steps[p].run(&mut state, &[("x", Data::F32(&x))]).unwrap()));
        }
        let names: Vec<String> = state.tensors().map(|(n, ..)| n.to_string()).collect();
        let mut all: Vec<(String, Vec<f32>)> = names.iter().map(|n| (n.clone(), state.f32(n).unwrap())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let first = run([0, 1, 2], [0, 1, 2]);
    assert_eq!(first.len(), 8);
    for added in [[0, 2, 1], [1, 0, 2], [2, 1, 0], [2, 0, 1], [1, 2, 0]] {
        assert_eq!(run([0, 1, 2], added), first, "{added:?}");
    }
    // Two networks that lie in one pack with others between them are no pack of their own.
    let mut state = State::init(&device, &compile(&updates(&["a", "b", "c"], 1.0)), 0).unwrap();
    let error = state.add(&compile(&updates(&["a", "c"], 1.0))).unwrap_err().to_string();
    assert!(error.contains("packed with other tensors"), "{error}");
}
