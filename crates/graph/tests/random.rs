//! Random numbers: their distributions, with a fixed seed, and the same bits on every backend, fused or not.

mod support;

use support::gpu;
use wgrad_graph::{CompileOptions, DType, Device, Init, Program, State, Tensor, Updates};

const N: usize = 40_000;

fn generator() -> Tensor {
    Tensor::state("rng", [4], DType::U32, Init::Generator)
}

fn run(device: &Device, outputs: &[&Tensor], fuse: bool) -> Vec<Vec<f32>> {
    let options = CompileOptions { fuse, poison: true, ..CompileOptions::default() };
    let program = Program::compile_with(device, outputs, &Updates::new(), &options).unwrap();
    let mut state = State::init(device, &program, 42).unwrap();
    let mut got = program.run(&mut state, &[]).unwrap();
    (0..outputs.len()).map(|i| got.f32(i).unwrap()).collect()
}

/// Mean and variance of a draw are those given, within five standard errors; the fourth central moment is `kurtosis` times
/// the variance squared.
fn moments(name: &str, values: &[f32], mean: f64, variance: f64, kurtosis: f64) {
    let n = values.len() as f64;
    let m = values.iter().map(|&x| x as f64).sum::<f64>() / n;
    let v = values.iter().map(|&x| (x as f64 - m).powi(2)).sum::<f64>() / (n - 1.0);
    assert!((m - mean).abs() < 5.0 * (variance / n).sqrt(), "{name}: mean {m}, not {mean}");
    let error = variance * ((kurtosis - 1.0) / n).sqrt();
    assert!((v - variance).abs() < 5.0 * error, "{name}: variance {v}, not {variance}");
}

/// How often each class comes is within five standard errors of its probability.
fn frequencies(name: &str, values: &[f32], p: &[f64]) {
    let n = values.len() as f64;
    for (class, &p) in p.iter().enumerate() {
        let share = values.iter().filter(|&&v| v == class as f32).count() as f64 / n;
        assert!((share - p).abs() <= 5.0 * (p * (1.0 - p) / n).sqrt(), "{name}: class {class}: {share}, not {p}");
    }
    assert!(values.iter().all(|&v| v >= 0.0 && v.fract() == 0.0 && (v as usize) < p.len()), "{name}");
}

#[test]
fn distributions() {
    let g = generator();
    let p = [0.1, 0.0, 0.35, 0.05, 0.5, 0.0];
    let table = p
        .iter()
        .enumerate()
        .fold(Tensor::zeros([6], DType::F32), |t, (i, &p)| t + Tensor::full([1], p as f32).pad(0, i, 5 - i, 0.0));
    let wide = table.broadcast_to([N, 6]);
    let ones = Tensor::ones([N], DType::F32);
    let channels = Tensor::ones([100, 50, 8], DType::F32);
    let outputs = [
        g.random_uniform([N], 1),
        g.random_uniform_in([N], 2, -3.0, 5.0),
        g.random_normal([N], 3),
        g.random_bernoulli(&Tensor::full([N], 0.3f32), 4).cast(DType::F32),
        g.random_int([N], 5, 0, 7).cast(DType::F32),
        g.random_exponential([N], 6, 2.0),
        g.random_gumbel([N], 7),
        g.random_truncated_normal([N], 8, (0.0, 1.0), (-1.0, 2.0)),
        g.random_categorical(&(&wide + 1e-30).log(), -1, 9).cast(DType::F32),
        g.random_categorical_cdf(&(&wide * 3.0), -1, 10).cast(DType::F32),
        ones.dropout(0.25, &g, 11),
        g.random_normal([N], 12).selu().alpha_dropout(0.2, &g, 13),
        channels.dropout_channels(0.5, &g, 14),
    ];
    let v = run(&Device::cpu(), &outputs.iter().collect::<Vec<_>>(), true);
    moments("uniform", &v[0], 0.5, 1.0 / 12.0, 1.8);
    moments("uniform in a range", &v[1], 1.0, 64.0 / 12.0, 1.8);
    moments("normal", &v[2], 0.0, 1.0, 3.0);
    frequencies("bernoulli", &v[3], &[0.7, 0.3]);
    frequencies("integers", &v[4], &[1.0 / 7.0; 7]);
    moments("exponential", &v[5], 0.5, 0.25, 9.0);
    moments("gumbel", &v[6], 0.577_215_664_9, std::f64::consts::PI.powi(2) / 6.0, 5.4);
    // From phi and Phi at -1 and 2: Z = 0.8185946, mean (phi(-1) - phi(2)) / Z.
    moments("truncated normal", &v[7], 0.229_637_0, 0.519_763, 2.3);
    assert!(v[7].iter().all(|x| (-1.0..=2.0).contains(x)));
    frequencies("categorical", &v[8], &p);
    frequencies("categorical by sums", &v[9], &p);
    frequencies("dropout", &v[10].iter().map(|&x| (x != 0.0) as u32 as f32).collect::<Vec<_>>(), &[0.25, 0.75]);
    moments("alpha dropout", &v[11], 0.0, 1.0, 4.0);
    let kept: Vec<f32> = v[12].chunks(8).map(|c| c[0] / 2.0).collect();
    assert!(v[12].chunks(8).all(|c| c.iter().all(|x| *x == c[0])), "channels are dropped whole");
    frequencies("dropped channels", &kept, &[0.5, 0.5]);
}

#[test]
fn backends_draw_the_same() {
    let g = generator();
    let p = g.random_uniform([257], 20);
    // Compared by their bits.
    let exact = [
        g.random_bits([257], 1, 3).shr(&Tensor::scalar(8u32)).cast(DType::F32),
        g.random_uniform([257], 1),
        g.random_int([257], 2, -5, 1000).cast(DType::F32),
        g.random_bernoulli(&p, 3).cast(DType::F32),
        p.dropout(0.5, &g, 4),
        g.random_categorical_cdf(&p.slice(0, 0..256).reshape([64, 4]), 1, 5).cast(DType::F32),
        g.random_uniform([16, 16], 6).transpose(0, 1),
    ];
    // Logarithms and cosines differ in the last bits.
    let close = [
        g.random_normal([257], 7),
        g.random_gumbel([257], 8),
        g.random_exponential([257], 9, 1.5),
        g.random_truncated_normal([257], 10, (0.0, 1.0), (-2.0, 2.0)),
    ];
    let outputs: Vec<&Tensor> = exact.iter().chain(&close).collect();
    let first = run(&Device::cpu(), &outputs, true);
    let mut others = vec![run(&Device::cpu(), &outputs, false)];
    if let Some(device) = gpu() {
        others.push(run(device, &outputs, true));
    }
    for other in &others {
        for (i, (a, b)) in first.iter().zip(other).enumerate() {
            for (x, y) in a.iter().zip(b) {
                let same =
                    if i < exact.len() { x.to_bits() == y.to_bits() } else { (x - y).abs() <= 1e-5 * (1.0 + x.abs()) };
                assert!(same, "output {i}: {x} and {y}");
            }
        }
    }
    // Order and company do not matter either: one alone, and in another place.
    let alone = run(&Device::cpu(), &[&close[0], &exact[1]], true);
    assert_eq!((&alone[0], &alone[1]), (&first[exact.len()], &first[1]));
}
