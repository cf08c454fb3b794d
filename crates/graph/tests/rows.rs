//! Work along rows is one launch, and gives what its parts give.

mod support;

use support::gpu;
use wgrad_graph::contract::check_program;
use wgrad_graph::{CompileOptions, DType, Device, Dump, OpCase, Program, Tensor, Updates, gradients};

fn devices() -> impl Iterator<Item = Device> {
    std::iter::once(Device::cpu()).chain(gpu().cloned())
}

/// Rows of extents that fill lanes, blocks and vectors and leave a rest, next to each other in memory or not.
fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    for (rows, n) in [(70usize, 1usize), (67, 3), (66, 130), (3, 1000), (2, 4097), (300, 65)] {
        let shape = [rows, n];
        let mut add = |name: &'static str, of: &[&[usize]], f: fn(&[Tensor]) -> Tensor| {
            all.push(OpCase::new(name, format!("{name} {rows} of {n}"), of, f).domain(-2.0, 2.0));
        };
        add("softmax", &[&shape, &shape], |x| x[0].softmax(-1) * &x[1]);
        add("log_softmax", &[&[n, rows]], |x| x[0].transpose(0, 1).log_softmax(-1).square());
        add("layer_norm", &[&shape, &[n], &[n], &shape], |x| {
            let n = x[1].shape();
            let sum = &x[0] + &x[3];
            sum.layer_norm(n, &x[1], &x[2], 0.1).sin() + sum
        });
        add("rms_norm", &[&[n, rows], &[n]], |x| x[0].transpose(0, 1).rms_norm(x[1].shape(), &x[1], 0.1).tanh());
        add("cross_entropy", &[&shape], |x| {
            let (rows, last) = (x[0].shape()[0], x[0].shape()[1] as u32 - 1);
            x[0].cross_entropy(&Tensor::iota([rows], 0).minimum(&Tensor::scalar(last)))
        });
        add("rows within rows", &[&[2, rows, n], &[2, rows]], |x| {
            let shape = x[0].shape();
            let flat = (&x[0] * 2.0).reshape([shape[0] * shape[1], shape[2]]);
            let scale = x[1].reshape([shape[0] * shape[1], 1]);
            let share = (&flat * &scale).square().mean_keepdim(&[1]);
            (flat / (share + 1.0)).reshape(shape).max_keepdim(&[2]) + &x[0]
        });
    }
    all
}

#[test]
fn rows_give_what_their_parts_give() {
    let options = CompileOptions { poison: true, ..CompileOptions::default() };
    for device in devices() {
        let failures: Vec<String> = cases()
            .iter()
            .filter_map(|c| check_program(&device, c, &options).err().map(|e| format!("{c:?}: {e}")))
            .collect();
        assert!(failures.is_empty(), "{device:?}:\n{}", failures.join("\n"));
    }
}

fn launches(device: &Device, outputs: &[&Tensor]) -> (usize, String) {
    let program = Program::compile(device, outputs, &Updates::new()).unwrap();
    (program.summary().launches, program.dump(Dump::Kernels))
}

/// For each: how many launches forward, and forward and backward.
#[test]
fn rows_are_one_launch() {
    let x = Tensor::input("x", [8, 16, 96], DType::F32);
    let [w, b] = ["w", "b"].map(|name| Tensor::input(name, [96], DType::F32));
    let g = Tensor::input("g", [8, 16, 96], DType::F32);
    let with = |y: &Tensor, of: &[&Tensor]| {
        let mut all = gradients(&(y * &g).sum_all(), of);
        all.push(y.clone());
        all
    };
    let norm = x.layer_norm(&[96], &w, &b, 1e-5);
    let rms = x.rms_norm(&[96], &w, 1e-5);
    let softmax = x.softmax(-1);
    let log_softmax = x.log_softmax(-1);
    let targets = Tensor::input("targets", [128], DType::U32);
    let loss = x.reshape([128, 96]).cross_entropy(&targets);
    let mut loss_and_gradient = gradients(&loss, &[&x]);
    loss_and_gradient.push(loss.clone());
    for device in devices() {
        for (name, forward, both, expected) in [
            // Backward, the parameters' gradients are sums over rows: another launch.
            ("layer norm", &norm, with(&norm, &[&x, &w, &b]), [1, 2]),
            ("layer norm of a value", &norm, with(&norm, &[&x]), [1, 1]),
            ("RMS norm", &rms, with(&rms, &[&x, &w]), [1, 2]),
            ("softmax", &softmax, with(&softmax, &[&x]), [1, 1]),
            // The gradient of the one and the sum of the other's begin apart, and each has its own row.
            ("log-softmax", &log_softmax, with(&log_softmax, &[&x]), [1, 2]),
            // The mean over all rows, and whether each class number is one.
            ("cross-entropy", &loss, loss_and_gradient.clone(), [3, 3]),
        ] {
            let both: Vec<&Tensor> = both.iter().collect();
            for (outputs, most) in [(&[forward][..], expected[0]), (&both, expected[1])] {
                let (n, kernels) = launches(&device, outputs);
                assert!(n <= most, "{name}: {n} launches, {most} expected\n{kernels}");
                // Sums of columns read across the rows.
                assert!(!kernels.contains("rows 96 "), "{name}:\n{kernels}");
            }
        }
    }
}
