use super::*;
use crate::Linear;
use crate::optim::{Adam, RmsProp};
use wgrad_graph::{Data, Device, Program, State, checked};

const N: usize = 4;

fn real() -> Tensor {
    Tensor::input("real", [N, 2], DType::F32)
}

fn gan() -> Gan {
    Gan::new(Linear::new(3, 2), Linear::new(2, 1), [3])
}

/// A generator that counts: example i of its k-th step is 10 k + i, so that one sees where it went.
fn counting() -> Gan {
    let count = |scope: &Scope, _: &Tensor| {
        let steps = scope.buffer("made", &[], DType::F32, wgrad_graph::Init::Constant(0.0));
        scope.update("made", &(&steps + 1.0));
        (Tensor::iota([N, 2], 0).cast(DType::F32) + steps * 10.0).reshape([N, 2])
    };
    Gan::new(count, Linear::new(2, 1), [3])
}

/// Runs what `build` makes of a scope for some steps, and gives the values of each.
fn run(steps: usize, build: impl Fn(&Scope) -> Vec<Tensor>) -> Vec<Vec<Vec<f32>>> {
    let scope = Scope::train();
    let outputs = build(&scope);
    let device = Device::cpu();
    let program = Program::compile(&device, &outputs.iter().collect::<Vec<_>>(), &scope.updates()).unwrap();
    let mut state = State::init(&device, &program, 7).unwrap();
    let inputs: Vec<(&str, Data)> = vec![("real", Data::F32(&[0.5; 2 * N]))];
    let wanted: Vec<(&str, Data)> =
        inputs.into_iter().filter(|(name, _)| program.input_shapes().any(|(n, ..)| n == *name)).collect();
    let mut step = || {
        let mut got = program.run(&mut state, &wanted).unwrap();
        (0..outputs.len()).map(|i| got.f32(i).unwrap().to_vec()).collect::<Vec<_>>()
    };
    (0..steps).map(|_| step()).collect()
}

#[test]
fn each_step_updates_its_own_network() {
    let gan = gan();
    let scope = Scope::train();
    let judged = gan.discriminator_loss(&scope, &real(), None);
    let step = gan.updates(&scope, Adam::new(1e-3).minimize(&scope.enter("discriminator"), &judged.loss));
    let names = |step: &Updates| {
        let mut names: Vec<String> = step.states().map(|s| s.name().unwrap().to_string()).collect();
        names.retain(|n| !n.starts_with("optimizer"));
        names.sort_unstable();
        names
    };
    assert_eq!(names(&step), ["discriminator.bias", "discriminator.weight", "rng"]);
    let scope = Scope::train();
    let loss = gan.generator_loss(&scope, N);
    let step = gan.updates(&scope, RmsProp::new(1e-3).minimize(&scope.enter("generator"), &loss));
    assert_eq!(names(&step), ["generator.bias", "generator.weight", "rng"]);
}

#[test]
fn without_tricks_it_is_the_plain_loss() {
    let gan = gan().loss(Adversarial::LeastSquares);
    let values = run(2, |scope| {
        let z = gan.latents(scope, N);
        let draws = Draws { latents: z.clone(), share: Tensor::full([N], 0.5f32) };
        let judged = gan.discriminator_loss_at(scope, &real(), None, &draws);
        let (g, d) = (scope.enter("generator"), scope.enter("discriminator"));
        let fake = Linear::new(3, 2).forward(&g, &z);
        let score = |x: &Tensor| Linear::new(2, 1).forward(&d, x).reshape([N]);
        let plain = Adversarial::LeastSquares.discriminator(&score(&real()), &score(&fake));
        vec![judged.loss, plain, judged.real, score(&real()).mean_all(), judged.fake, score(&fake).mean_all()]
    });
    assert!(values[0].chunks(2).all(|pair| pair[0] == pair[1]), "{values:?}");
    assert_ne!(values[0][0], values[1][0], "latents are drawn anew");
}

#[test]
fn batches_can_be_joint() {
    let scores = |joint| {
        let gan = gan().joint_batches(joint);
        run(1, move |scope| {
            let judged = gan.discriminator_loss(scope, &real(), None);
            vec![judged.loss, judged.real, judged.fake]
        })
    };
    // Without batch norm it is the same.
    for (a, b) in scores(false)[0].iter().flatten().zip(scores(true)[0].iter().flatten()) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn labels_are_smoothed_and_flipped() {
    let tricks = Tricks { smoothing: 0.1, flips: 0.25, ..Tricks::default() };
    let many = run(1, |scope| {
        let (yes, no) = tricks.labels(scope, 10_000);
        vec![yes, no]
    });
    let share = |values: &[f32], label: f32| values.iter().filter(|&&v| v == label).count();
    let (yes, no) = (&many[0][0], &many[0][1]);
    assert_eq!((share(yes, 0.9) + share(yes, 0.0), share(no, 0.9) + share(no, 0.0)), (10_000, 10_000));
    // Five standard deviations of 43.
    assert!(share(yes, 0.0).abs_diff(2500) < 217 && share(no, 0.9).abs_diff(2500) < 217);
    let flipped = |x: &[f32], as_label: f32| x.iter().map(|&v| v == as_label).collect::<Vec<_>>();
    assert_ne!(flipped(yes, 0.0), flipped(no, 0.9), "the two sides draw apart");
}

#[test]
fn noise_falls_to_nothing() {
    let tricks = Tricks { noise: Some((2.0, 4)), ..Tricks::default() };
    let steps = run(6, |scope| {
        let noisy = tricks.noisy(scope, &Tensor::full([10_000], 1f32));
        tricks.count(scope);
        vec![noisy]
    });
    for (i, values) in steps.iter().enumerate() {
        let mean = values[0].iter().map(|v| (v - 1.0).powi(2)).sum::<f32>() / 1e4;
        let expected = 2.0 * (1.0 - i as f32 / 4.0).max(0.0);
        assert!((mean.sqrt() - expected).abs() < 0.05, "step {i}: {}", mean.sqrt());
    }
}

/// Half of each batch goes to the ring, and as many come out of it, each of an earlier step that is not older than the ring.
#[test]
fn replay_gives_what_was_kept() {
    const CAPACITY: usize = 5;
    let gan = counting();
    let tricks = Tricks { replay: Some(CAPACITY), ..Tricks::default() };
    let steps = run(9, |scope| {
        let fake = gan.generate(scope, &gan.latents(scope, N), None);
        let labels = Tensor::iota([N], 0);
        let (seen, labels) = tricks.replayed(scope, fake, Some(labels));
        tricks.count(scope);
        vec![seen, labels.unwrap().cast(DType::F32)]
    });
    let mut ages = std::collections::BTreeSet::new();
    for (k, values) in steps.iter().enumerate() {
        let rows: Vec<f32> = values[0].chunks(2).map(|row| row[0]).collect();
        let fresh: Vec<f32> = (0..N).map(|i| (10 * k + i) as f32).collect();
        assert_eq!(rows[..2], fresh[..2]);
        for (&value, &label) in rows[2..].iter().zip(&values[1][2..]) {
            let (step, place) = (value as usize / 10, value as usize % 10);
            assert!(place == 2 || place == 3, "only the second half is kept: {rows:?}");
            assert_eq!(label, place as f32, "an example keeps its label");
            if k == 0 {
                assert_eq!(step, 0);
            } else {
                // Five places hold the last two steps, and a half of the one before.
                assert!((1..=3).contains(&(k - step)), "step {k} saw {value}");
                ages.insert(k - step);
            }
        }
    }
    assert!(ages.len() > 1, "always the same age: {ages:?}");
}

#[test]
fn all_tricks_at_once_and_conditional() {
    let embed = |scope: &Scope, y: &Tensor, width: usize| {
        let init = wgrad_graph::Init::Normal(0.0, 1.0);
        scope.param("embed", &[10, width], init).embedding(y, None)
    };
    let gan = Gan::conditional(
        move |scope: &Scope, z: &Tensor, y: &Tensor| Linear::new(3, 2).forward(scope, &(z * embed(scope, y, 3))),
        move |scope: &Scope, x: &Tensor, y: &Tensor| Linear::new(2, 1).forward(scope, &(x * embed(scope, y, 2)).tanh()),
        [3],
        10,
    );
    let gan = gan.loss(Adversarial::Wasserstein).gradient_penalty(10.0).replay(8).instance_noise(0.1, 10);
    let gan = gan.flip_labels(0.1).uniform_latents(true);
    let values = run(3, |scope| {
        let labels = Tensor::iota([N], 0);
        let judged = gan.discriminator_loss(scope, &real(), Some(&labels));
        vec![judged.loss, judged.penalty.unwrap(), gan.generator_loss(scope, N)]
    });
    assert!(values.iter().flatten().flatten().all(|v| v.is_finite()), "{values:?}");
    let scope = Scope::train();
    let error = checked(|| gan.discriminator_loss(&scope, &real(), None).loss).unwrap_err().to_string();
    assert!(error.contains("conditional, on labels below 10"), "{error}");
}

#[test]
fn bad_options_are_refused() {
    let error = |gan: Gan| {
        let scope = Scope::train();
        checked(|| gan.discriminator_loss(&scope, &real(), None).loss).unwrap_err().to_string()
    };
    assert!(error(gan().label_smoothing(1.5)).contains("label_smoothing = 1.5"));
    assert!(error(gan().flip_labels(f32::NAN)).contains("flip_labels = NaN"));
    assert!(error(gan().instance_noise(0.1, 0)).contains("0 steps"));
    assert!(error(gan().replay(1)).contains("a replay of 1"));
    assert!(error(Gan::new(Linear::new(3, 5), Linear::new(5, 1), [3])).contains("generated ones [4, 5]"));
    assert!(error(Gan::new(Linear::new(3, 2), Linear::new(2, 2), [3])).contains("not one score each"));
}
