use super::*;
use crate::data::{Augment, ImageSet, ImageSource, Normalize};
use crate::testing::{TempDir, names};
use crate::trainer::Trainer;
use wgrad_graph::{Device, checked};
use wgrad_nn::loss::Adversarial;
use wgrad_nn::optim::{Adam, RmsProp};
use wgrad_nn::{Flatten, Layer, Linear, Sequential};

const SIDE: usize = 8;

/// Bars: lying or standing, at a random place, on a dark ground with some noise.
fn bars(count: usize, seed: u64) -> Arc<dyn Source> {
    let (mut images, mut labels) = (vec![], vec![]);
    for i in 0..count {
        let mut stream = Stream::new(seed, Purpose::Generate, 7, i);
        let (standing, place) = (i % 2 == 1, stream.below(SIDE as u32 - 1) as usize);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let at = if standing { x } else { y };
                let light = if (place..place + 2).contains(&at) { 220 } else { 20 };
                images.push((light + stream.below(20)) as u8);
            }
        }
        labels.push(u32::from(standing));
    }
    let set = ImageSet::new("bars", images, [1, SIDE, SIDE], labels, ["lying", "standing"].map(String::from).into());
    let scale = Normalize { mean: vec![0.5], std: vec![0.5] };
    Arc::new(ImageSource::new(Arc::new(set.unwrap()), Augment::default(), &scale).unwrap())
}

fn gan() -> Gan {
    let flat = |_: &Scope, x: &Tensor| x.reshape([x.shape()[0], 1, SIDE, SIDE]);
    let generator = Sequential::new()
        .then(Linear::new(6, 32))
        .then(|_: &Scope, x: &Tensor| x.leaky_relu(0.2))
        .then(Linear::new(32, SIDE * SIDE))
        .then(|_: &Scope, x: &Tensor| x.tanh())
        .then(flat);
    let discriminator = Sequential::new()
        .then(Flatten)
        .then(Linear::new(SIDE * SIDE, 32))
        .then(|_: &Scope, x: &Tensor| x.leaky_relu(0.2))
        .then(Linear::new(32, 1));
    Gan::new(generator, discriminator, [6])
}

fn judge(dir: &Path) -> Judge {
    Judge::open(&Device::cpu(), bars(400, 1), bars(100, 2), 2, &dir.join("judge")).unwrap()
}

fn task(dir: &Path, gan: Gan) -> GanTask {
    let adam = |lr| move |scope: &Scope, loss: &Tensor| Adam::new(lr).betas(0.5, 0.999).minimize(scope, loss);
    GanTask::new(gan, adam(2e-3), adam(1e-3), judge(dir), bars(100, 2)).unwrap().samples(500)
}

fn trainer(dir: &Path, task: GanTask) -> Trainer {
    Trainer::new(&Device::cpu(), "gan", task).epochs(2).seed(3).quiet(true).output(dir.join("run"))
}

fn loaders() -> [Loader; 2] {
    [
        Loader::shared(bars(400, 1), LoaderOptions::train(20, 5)).unwrap(),
        Loader::shared(bars(100, 2), LoaderOptions::test(50)).unwrap(),
    ]
}

#[test]
fn real_images_are_near_and_noise_is_far() {
    let dir = TempDir::new("gan");
    let task = task(dir.path(), gan());
    let [real, noise] = task.scale(bars(400, 1)).unwrap();
    assert!(real * 20.0 < noise, "real {real}, noise {noise}");
    let images = some_images(bars(400, 1), usize::MAX).unwrap();
    // Halves of the same data, and one class alone: a mode that is missing tells.
    let (half, _) = task.judge(&images[..images.len() / 2]).unwrap();
    let one: Vec<f32> = images.chunks(SIDE * SIDE).step_by(2).flatten().copied().collect();
    let (lost, scores) = task.judge(&one).unwrap();
    assert!(half * 5.0 < lost, "half {half}, one class {lost}");
    assert!(scores.shares[1] < 0.05 && scores.shares[0] > 0.8 && scores.inception < 1.2, "{scores:?}");
    assert!(task.judge(&images).unwrap().1.inception > 1.7);
}

#[test]
fn a_judge_is_trained_once() {
    let dir = TempDir::new("gan");
    let mut first = judge(dir.path());
    assert!(first.accuracy() > 0.9, "{}", first.accuracy());
    let weights = std::fs::read(dir.path().join("judge/last.safetensors")).unwrap();
    let mut again = judge(dir.path());
    assert_eq!(std::fs::read(dir.path().join("judge/last.safetensors")).unwrap(), weights);
    let images = some_images(bars(100, 2), 7).unwrap();
    let seen = first.look(&images).unwrap();
    assert_eq!(seen, again.look(&images).unwrap());
    assert_eq!((seen.features.len(), seen.logits.len()), (7 * first.features(), 7 * 2));
    assert!(first.look(&images[..5]).is_err() && first.look(&[]).is_err());
}

#[test]
fn it_trains_and_writes_pictures() {
    let dir = TempDir::new("gan");
    let [train, test] = loaders();
    let report = trainer(dir.path(), task(dir.path(), gan())).evaluate_every(50).epochs(15).fit(&train, &test).unwrap();
    let files = names(&dir.path().join("run"));
    for file in ["samples-000050.png", "samples-000020.png", "samples-000300.png", "interpolation.png"] {
        assert!(files.iter().any(|f| f == file), "{file} in {files:?}");
    }
    let picture = Picture::load(dir.path().join("run/samples-000300.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (10 * 32 + 9 * 2, 8 * 32 + 7 * 2));
    let text = std::fs::read_to_string(&report.metrics).unwrap();
    let first = text.lines().find(|l| l.contains("frechet")).unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    let before = first["frechet"].as_f64().unwrap();
    let after = report.test.get("frechet").unwrap();
    assert!(after < before * 0.7, "{before} to {after}");
    assert!(report.to_string().lines().last().unwrap().starts_with("frechet distance "));
}

/// Everything that a step draws and keeps is in the checkpoint: latents, labels, noise, the replay.
#[test]
fn a_stopped_and_resumed_run_ends_with_the_same_bytes() {
    let make = |dir: &Path| {
        let gan = gan().loss(Adversarial::Wasserstein).gradient_penalty(10.0).replay(50);
        let gan = gan.instance_noise(0.1, 30).flip_labels(0.05);
        let clip = |scope: &Scope, loss: &Tensor| RmsProp::new(1e-3).clamp_weights(0.1).minimize(scope, loss);
        let task = GanTask::new(gan, clip, clip, judge(dir), bars(100, 2)).unwrap().samples(250).critic_steps(3);
        trainer(dir, task)
    };
    let [train, test] = loaders();
    let (whole, parts) = (TempDir::new("gan"), TempDir::new("gan"));
    make(whole.path()).fit(&train, &test).unwrap();
    make(parts.path()).steps(13).fit(&train, &test).unwrap();
    make(parts.path()).resume(true).fit(&train, &test).unwrap();
    for file in ["last.safetensors", "last.state.safetensors"] {
        let read = |dir: &TempDir| std::fs::read(dir.path().join("run").join(file)).unwrap();
        assert!(read(&whole) == read(&parts), "{file} differs");
    }
    let weights = crate::checkpoint::load(whole.path().join("run/last.safetensors")).unwrap();
    assert_eq!(weights["tricks.replay"].shape, [50, 1, SIDE, SIDE]);
    let largest = weights["discriminator.1.weight"].to_f32("w").unwrap().into_iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest <= 0.1, "{largest}");
}

#[test]
fn great_circles() {
    let (a, b) = ([3.0, 0.0], [0.0, 3.0]);
    assert_eq!(slerp(&a, &b, 0.0), a);
    let close = |x: Vec<f32>, y: [f32; 2]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-5);
    assert!(close(slerp(&a, &b, 1.0), b));
    // Half-way it is as long as at the ends, and not 1 / sqrt(2) of it.
    let half = 3.0 * 0.5f32.sqrt();
    assert!(close(slerp(&a, &b, 0.5), [half, half]));
    assert!(close(slerp(&a, &b, 1.0 / 3.0), [3.0 * 0.75f32.sqrt(), 1.5]));
    // No angle: straight.
    assert!(close(slerp(&[0.0, 0.0], &b, 0.5), [0.0, 1.5]));
    assert!(close(slerp(&a, &a, 0.3), a));
}

#[test]
fn a_conditional_gan_needs_labels() {
    let gan = Gan::conditional(
        |scope: &Scope, z: &Tensor, _: &Tensor| Linear::new(6, 4).forward(scope, z),
        |scope: &Scope, x: &Tensor, _: &Tensor| Linear::new(4, 1).forward(scope, x),
        [6],
        2,
    );
    let dir = TempDir::new("gan");
    let task = task(dir.path(), gan);
    let inputs = Inputs::new(&[("images", vec![2, 4], wgrad_graph::DType::F32)]);
    let error = checked(|| task.train("discriminator", &Scope::train(), &inputs).0[0].1.clone()).unwrap_err();
    assert!(error.to_string().contains("no field \"labels\""), "{error}");
}
