use std::fs;
use std::path::Path;
use std::sync::Arc;

use wgrad_graph::{DType, Device, DeviceChoice, Init, Tensor, Updates};
use wgrad_nn::optim::Sgd;
use wgrad_nn::{BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, Relu, Schedule, Scope, Sequential};

use super::*;
use crate::checkpoint;
use crate::data::{Augment, ImageSet, ImageSource, LoaderOptions, Normalize};
use crate::metrics::{Part, Record};
use crate::testing::{TempDir, names};

const BATCH: usize = 8;
/// 44 examples are 5 whole batches of 8, and 4 examples that no epoch sees.
const TRAIN: usize = 44;
const PER_EPOCH: u64 = 5;
/// 19 examples are 2 whole batches of 8, and one of 3.
const TEST: usize = 19;

/// Images of 4x4 that are brighter in the half that the label names.
fn images(count: usize) -> Arc<ImageSet> {
    let pixel = |i: usize| {
        let (image, y) = (i / 16, i / 4 % 4);
        let bright = if y / 2 == image % 2 { 120 } else { 0 };
        (bright + i * 7919 % 100) as u8
    };
    let pixels = (0..count * 16).map(pixel).collect();
    let labels = (0..count as u32).map(|i| i % 2).collect();
    Arc::new(ImageSet::new("halves", pixels, [1, 4, 4], labels, vec!["top".into(), "bottom".into()]).unwrap())
}

fn loaders(test: usize) -> (Loader, Loader) {
    let normalize = normalize();
    let learn = ImageSource::new(images(TRAIN), Augment { flip: true, crop_padding: 1 }, &normalize).unwrap();
    let judge = ImageSource::plain(images(test), &normalize).unwrap();
    let options = (LoaderOptions::train(BATCH, 5), LoaderOptions::test(BATCH));
    (Loader::new(learn, options.0).unwrap(), Loader::new(judge, options.1).unwrap())
}

fn normalize() -> Normalize {
    Normalize { mean: vec![0.3], std: vec![0.2] }
}

/// Has all that lasts: parameters, statistics, momentum, and random numbers.
fn model() -> impl Layer {
    Sequential::new()
        .then_named("conv", Conv2d::new(1, 4, 3).padding(1).bias(false))
        .then_named("bn", BatchNorm2d::new(4))
        .then(Relu)
        .then(Dropout::new(0.2))
        .then(Flatten)
        .then_named("fc", Linear::new(64, 2))
}

fn schedule() -> Schedule {
    Schedule::cosine(0.1, 13).warm_up(2, 0.1)
}

fn trainer(dir: &Path, model: impl Layer + 'static) -> Trainer {
    trainer_on(&Device::cpu(), dir, model)
}

fn trainer_on(device: &Device, dir: &Path, model: impl Layer + 'static) -> Trainer {
    let task = Classifier::new(model, |scope: &Scope, loss: &Tensor| {
        Sgd::new(0.1).momentum(0.9).weight_decay(1e-3).minimize(scope, loss)
    });
    train_by(device, dir, task)
}

fn train_by(device: &Device, dir: &Path, task: impl Task + 'static) -> Trainer {
    Trainer::new(device, "tiny", task).schedule(schedule()).epochs(3).seed(5).log_every(3).quiet(true).output(dir)
}

fn loss(report: &Report) -> f64 {
    report.test.get("loss").unwrap()
}

fn accuracy(report: &Report) -> f64 {
    report.test.get("accuracy").unwrap()
}

/// The device that `WGRAD_TEST_DEVICE` names, by default a GPU or else a software one; none if it names the CPU.
fn gpu() -> Option<Device> {
    let found = match std::env::var("WGRAD_TEST_DEVICE").unwrap_or_default().as_str() {
        "cpu" => return None,
        "" => Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software)),
        name => Device::open(name.parse().expect("any text is a choice")),
    };
    Some(found.expect("no GPU and no software GPU (install lavapipe, or set WGRAD_TEST_DEVICE=cpu)"))
}

fn fit(trainer: &Trainer) -> Report {
    let (train, test) = loaders(TEST);
    trainer.fit(&train, &test).unwrap()
}

/// All files of a directory, with the one field of the metrics left out that two equal runs do not share.
fn content(dir: &Path) -> BTreeMap<String, Text> {
    let mut files: BTreeMap<String, Text> =
        names(dir).into_iter().map(|name| (name.clone(), Text(fs::read(dir.join(name)).unwrap()))).collect();
    let records = metrics(dir).into_iter().map(|record| Record { examples_per_second: 0.0, ..record });
    files.insert("metrics.jsonl".into(), Text(serde_json::to_vec(&records.collect::<Vec<_>>()).unwrap()));
    files
}

/// A file's content, shown as text.
#[derive(PartialEq)]
struct Text(Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0[..self.0.len().min(2000)]))
    }
}

fn metrics(dir: &Path) -> Vec<Record> {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let dirs = [TempDir::new("fit"), TempDir::new("fit"), TempDir::new("fit")];
    let reports = [0, 1].map(|i| fit(&trainer(dirs[i].path(), model())));
    assert!(accuracy(&reports[0]) > 0.9, "{}", reports[0]);
    assert_eq!((reports[0].steps, reports[0].epochs), (3 * PER_EPOCH, 3));
    let expected = ["last.json", "last.safetensors", "last.state.safetensors", "metrics.jsonl"];
    assert_eq!(names(dirs[0].path()), expected);
    assert_eq!(content(dirs[0].path()), content(dirs[1].path()));
    // And another seed other bytes.
    fit(&trainer(dirs[2].path(), model()).seed(6));
    assert_ne!(content(dirs[0].path())["last.safetensors"], content(dirs[2].path())["last.safetensors"]);
}

#[test]
fn the_model_is_in_a_file_of_its_own() {
    let dir = TempDir::new("fit");
    let report = fit(&trainer(dir.path(), model()).steps(1));
    let weights = checkpoint::load(&report.checkpoint).unwrap();
    let expected = ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight", "conv.weight", "fc.bias", "fc.weight"];
    assert_eq!(weights.keys().collect::<Vec<_>>(), expected);
    let others = checkpoint::load(dir.path().join("last.state.safetensors")).unwrap();
    assert_eq!(others.keys().collect::<Vec<_>>(), ["optimizer.lr", "optimizer.momentum", "rng"]);
    // One step was done, so the generator has counted it.
    assert_eq!(others["rng"].to_u32("rng").unwrap(), [5, 0, 1, 0]);
}

#[test]
fn a_stopped_and_resumed_run_ends_with_the_same_bytes() {
    let whole = TempDir::new("fit");
    fit(&trainer(whole.path(), model()));
    // Within an epoch, at its end, before the first line that sums up several steps, and in several pieces.
    for stops in [&[7][..], &[5], &[4], &[1, 2, 11, 12], &[13, 14]] {
        let dir = TempDir::new("fit");
        for (i, &steps) in stops.iter().enumerate() {
            let report = fit(&trainer(dir.path(), model()).steps(steps).resume(i > 0));
            assert_eq!(report.steps, steps);
        }
        fit(&trainer(dir.path(), model()).resume(true));
        assert_eq!(content(dir.path()), content(whole.path()), "stopped after {stops:?}");
    }
}

/// Results are read late there, from work that is still under way.
#[test]
fn a_gpu_repeats_and_resumes_too() {
    let Some(gpu) = gpu() else { return };
    let (whole, parts) = (TempDir::new("fit"), TempDir::new("fit"));
    let report = fit(&trainer_on(&gpu, whole.path(), model()));
    fit(&trainer_on(&gpu, parts.path(), model()).steps(7));
    fit(&trainer_on(&gpu, parts.path(), model()).resume(true));
    assert_eq!(content(parts.path()), content(whole.path()));
    // The same checkpoint resumed on another device: the same run, but for rounding.
    let cpu = TempDir::new("fit");
    fit(&trainer(cpu.path(), model()).steps(7));
    let moved = fit(&trainer_on(&gpu, cpu.path(), model()).resume(true));
    assert!((loss(&moved) - loss(&report)).abs() < 1e-3, "{moved} {report}");
    assert!((accuracy(&moved) - accuracy(&report)).abs() < 0.06);
}

#[test]
fn a_run_that_is_done_is_only_judged_again() {
    let dir = TempDir::new("fit");
    let first = fit(&trainer(dir.path(), model()));
    let before = content(dir.path());
    let again = fit(&trainer(dir.path(), model()).resume(true).profile(true));
    assert_eq!((again.test, again.steps), (first.test, first.steps));
    assert!(again.profile.unwrap().contains("GFLOP/s"));
    assert_eq!(content(dir.path()), before);
}

#[test]
fn every_test_example_counts_once() {
    // Logits are the mean of the upper half and of the lower half: known without any training.
    let known = |scope: &Scope, x: &Tensor| {
        let bias = scope.param("bias", &[2], Init::Constant(0.0));
        x.mean(&[1, 3]).slice_step(1, 0, 2, 2) + bias.mul_scalar(0.0)
    };
    for count in [1, BATCH - 1, BATCH, TEST, 3 * BATCH] {
        let dir = TempDir::new("fit");
        let (train, test) = loaders(count);
        let report = trainer(dir.path(), known).steps(1).fit(&train, &test).unwrap();
        let tables = normalize();
        let set = images(count);
        let (mut sum, mut right) = (0.0, 0);
        for i in 0..count {
            let row = |y: usize| {
                let total: f64 = set.image(i)[y * 4..][..4].iter().map(|&v| f64::from(v) / 255.0).sum();
                (total / 4.0 - f64::from(tables.mean[0])) / f64::from(tables.std[0])
            };
            let logits = [row(0), row(2)];
            let label = set.labels()[i] as usize;
            sum += (logits[0].exp() + logits[1].exp()).ln() - logits[label];
            right += usize::from(logits[label] > logits[1 - label]);
        }
        assert!((loss(&report) - sum / count as f64).abs() < 1e-5, "{report} {sum}");
        // Each batch's share was rounded to f32.
        assert!((accuracy(&report) - right as f64 / count as f64).abs() < 1e-7, "{report} {right}");
    }
}

#[test]
fn metrics_follow_the_schedule_and_sum_up_the_steps() {
    let dir = TempDir::new("fit");
    fit(&trainer(dir.path(), model()));
    let records = metrics(dir.path());
    let place = |r: &Record| (r.split, r.epoch, r.step);
    let (train, test) = (Part::Train, Part::Test);
    let expected = [
        // The first three one by one, then every third and the last of each epoch.
        (train, 1, 1),
        (train, 1, 2),
        (train, 1, 3),
        (train, 1, 5),
        (test, 1, 5),
        (train, 2, 6),
        (train, 2, 9),
        (train, 2, 10),
        (test, 2, 10),
        (train, 3, 12),
        (train, 3, 15),
        (test, 3, 15),
    ];
    assert_eq!(records.iter().map(place).collect::<Vec<_>>(), expected);
    for record in &records {
        assert_eq!(record.lr, schedule().lr_at(record.step - 1), "step {}", record.step);
        assert!(record.scores.get("loss").unwrap().is_finite() && record.examples_per_second > 0.0);
    }
}

#[test]
fn the_learning_rate_reaches_the_device() {
    let change = |rate: f64| {
        let dir = TempDir::new("fit");
        let weights = |steps: u64| {
            let trainer = trainer(dir.path(), model()).schedule(Schedule::constant(rate)).steps(steps);
            let (train, test) = loaders(TEST);
            let report = trainer.fit(&train, &test).unwrap();
            checkpoint::load(report.checkpoint).unwrap()["fc.weight"].to_f32("fc.weight").unwrap()
        };
        let (one, two) = (weights(1), weights(2));
        one.iter().zip(&two).map(|(a, b)| (a - b).abs()).sum::<f32>()
    };
    assert_eq!(change(0.0), 0.0);
    assert!(change(0.1) > 0.0);
}

#[test]
fn a_diverged_run_says_so_and_keeps_its_checkpoint() {
    let dir = TempDir::new("fit");
    let explode = Schedule::multi_step(0.1, [7], 1e38);
    fit(&trainer(dir.path(), model()).schedule(explode.clone()).steps(PER_EPOCH));
    let before = content(dir.path());
    let (train, test) = loaders(TEST);
    let error = trainer(dir.path(), model()).schedule(explode).resume(true).fit(&train, &test).unwrap_err().to_string();
    assert!(error.starts_with("the training loss is "), "{error}");
    assert!(error.ends_with("choose a smaller --lr; the checkpoint of step 5 is kept"), "{error}");
    for file in ["last.json", "last.safetensors", "last.state.safetensors"] {
        assert_eq!(content(dir.path())[file], before[file]);
    }
}

#[test]
fn a_checkpoint_of_other_tensors_is_refused() {
    let dir = TempDir::new("fit");
    fit(&trainer(dir.path(), model()).steps(1));
    let before = content(dir.path());
    // Of the same name, so that only the tensors tell them apart.
    let other = Sequential::new().then(Flatten).then_named("fc", Linear::new(16, 2));
    let (train, test) = loaders(TEST);
    let error = trainer(dir.path(), other).resume(true).fit(&train, &test).unwrap_err().to_string();
    assert!(error.contains("last.safetensors does not fit the model tiny: 1 of another shape"), "{error}");
    assert!(error.contains("fc.weight: [2, 16] expected, [2, 64] found"), "{error}");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn other_settings_are_refused() {
    let dir = TempDir::new("fit");
    fit(&trainer(dir.path(), model()).steps(1).setting("lr", 0.1));
    let (train, test) = loaders(TEST);
    let resumed = || trainer(dir.path(), model()).resume(true).setting("lr", 0.1);
    for (name, other) in
        [("lr", resumed().setting("lr", 0.2)), ("seed", resumed().seed(6)), ("epochs", resumed().epochs(4))]
    {
        let error = other.fit(&train, &test).unwrap_err().to_string();
        assert!(error.contains(&format!("made with --{name}")), "{error}");
    }
    resumed().fit(&train, &test).unwrap();
}

#[test]
fn a_model_that_does_not_fit_is_an_error() {
    let dir = TempDir::new("fit");
    let (train, test) = loaders(TEST);
    let error = trainer(dir.path(), Sequential::new().then(Flatten).then(Linear::new(99, 2))).fit(&train, &test);
    assert!(matches!(error, Err(TrainError::Shape(_))), "{:?}", error.err());
    let frozen = Classifier::new(model(), |_: &Scope, _: &Tensor| Updates::new());
    let error = train_by(&Device::cpu(), dir.path(), frozen).fit(&train, &test).unwrap_err().to_string();
    assert!(error.contains("optimizer.lr"), "{error}");
}

/// Two programs over one state: weights that follow the images' mean, and at every second step a count of them.
struct TwoPhases;

impl Task for TwoPhases {
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::new("follow"), Phase::new("count").every(2)]
    }

    fn train(&self, phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        if phase == "count" {
            let mut updates = Updates::new();
            let count = scope.buffer("count", &[], DType::F32, Init::Constant(0.0));
            updates.assign(&count, &(&count + 1.0));
            return (vec![("count", count)], updates);
        }
        let loss = (scope.param("mean", &[], Init::Constant(0.0)) - batch.get("images").mean_all()).square();
        let updates = Sgd::new(0.5).minimize(scope, &loss);
        (vec![("loss", loss)], updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let mean = scope.param("mean", &[], Init::Constant(0.0));
        vec![("loss", (mean - batch.get("images").mean_all()).square()), ("labels", batch.get("labels"))]
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let mut labels = vec![];
        let mut scores = run.each(|batch, outputs| {
            assert_eq!(outputs.shape("labels"), [batch.len()]);
            labels.extend(outputs.u32("labels")?);
            Ok(())
        })?;
        assert_eq!(labels, (0..TEST as u32).map(|i| i % 2).collect::<Vec<_>>());
        let twice = |scope: &Scope, inputs: &Inputs| {
            vec![("y", scope.param("mean", &[], Init::Constant(0.0)) * 0.0 + inputs.get("x") * 2.0)]
        };
        let mut y = run.program("twice", &[("x", &[2], (&[3.0f32, 4.0][..]).into())], twice)?;
        assert_eq!(y.f32("y")?, [6.0, 8.0]);
        scores.set("count", f64::from(run.state().f32("count")?[0]));
        run.write("seen.txt", b"seen")?;
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::lower("distance", "loss")
    }
}

#[test]
fn phases_share_a_state_and_evaluations_may_come_within_an_epoch() {
    let (whole, parts) = (TempDir::new("fit"), TempDir::new("fit"));
    let task = |dir: &TempDir| train_by(&Device::cpu(), dir.path(), TwoPhases).evaluate_every(4);
    let report = fit(&task(&whole));
    assert_eq!(report.test.get("count"), Some(7.0), "of 15 steps, every second");
    assert_eq!(
        names(whole.path()),
        ["last.json", "last.safetensors", "last.state.safetensors", "metrics.jsonl", "seen.txt"]
    );
    let weights = checkpoint::load(&report.checkpoint).unwrap();
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["count", "mean"]);
    assert!(report.to_string().lines().last().unwrap().starts_with("distance 0."), "{report}");
    let tests = metrics(whole.path()).into_iter().filter(|r| r.split == Part::Test);
    assert_eq!(tests.map(|r| r.step).collect::<Vec<_>>(), [4, 5, 8, 10, 12, 15]);
    // A score that a step lacks is in the lines of the steps that have it.
    let counts = metrics(whole.path()).iter().filter(|r| r.split == Part::Train && r.step <= 2).count();
    assert_eq!(counts, 2);
    assert!(metrics(whole.path())[0].scores.get("count").is_none());
    assert_eq!(metrics(whole.path())[1].scores.get("count"), Some(0.0));

    fit(&task(&parts).steps(4));
    fit(&task(&parts).steps(9).resume(true));
    fit(&task(&parts).resume(true));
    assert_eq!(content(parts.path()), content(whole.path()));
}

#[test]
fn weights_are_taken_as_far_as_they_fit() {
    let (first, second) = (TempDir::new("fit"), TempDir::new("fit"));
    let file = fit(&trainer(first.path(), model())).checkpoint;
    // Another head: the body is taken over, the head is not.
    let other = || {
        Sequential::new()
            .then_named("conv", Conv2d::new(1, 4, 3).padding(1).bias(false))
            .then_named("bn", BatchNorm2d::new(4))
            .then(Flatten)
            .then_named("head", Linear::new(64, 2))
    };
    let still = || Classifier::new(other(), |scope: &Scope, loss: &Tensor| Sgd::new(0.1).minimize(scope, loss));
    let trainer = |file: &Path| {
        train_by(&Device::cpu(), second.path(), still()).schedule(Schedule::constant(1e-30)).weights(file).steps(1)
    };
    let (old, new) = (checkpoint::load(&file).unwrap(), fit(&trainer(&file)).checkpoint);
    let new = checkpoint::load(new).unwrap();
    assert_eq!(new["conv.weight"], old["conv.weight"]);
    assert!(!old.contains_key("head.weight"));
    // Nothing fits: an error that says so.
    let (train, test) = loaders(TEST);
    let none = first.path().join("none.safetensors");
    checkpoint::save(&none, &[("x".to_string(), old["fc.bias"].clone())].into()).unwrap();
    let error = trainer(&none).fit(&train, &test).unwrap_err().to_string();
    assert!(error.contains("none.safetensors does not fit the model tiny") && error.contains("1 not used"), "{error}");
}

#[test]
fn the_confusion_matrix_is_written() {
    let dir = TempDir::new("fit");
    let constant = |scope: &Scope, x: &Tensor| {
        let bias = scope.param("bias", &[], Init::Constant(0.0));
        let nothing = x.mean(&[1, 2, 3]).unsqueeze(1) * bias;
        Tensor::concat(&[&nothing, &(&nothing + 1.0)], 1)
    };
    let task = Classifier::new(constant, |scope: &Scope, loss: &Tensor| Sgd::new(0.1).minimize(scope, loss));
    let task = task.confusion(&["up, or top".into(), "bottom".into()]);
    let report = fit(&train_by(&Device::cpu(), dir.path(), task).steps(1));
    let text = fs::read_to_string(dir.path().join("confusion.csv")).unwrap();
    assert_eq!(text, "class,\"up, or top\",bottom\n\"up, or top\",0,10\nbottom,0,9\n");
    assert!((accuracy(&report) - 9.0 / 19.0).abs() < 1e-7);
}

#[test]
fn dumps_write_nothing() {
    let dir = TempDir::new("fit");
    let (train, _) = loaders(TEST);
    let out = dir.path().join("new");
    for (stage, expected) in [(Dump::Graph, "images"), (Dump::Plan, "slot 0"), (Dump::Kernels, "MFLOP")] {
        let text = trainer(&out, model()).dump(stage, &train).unwrap();
        assert!(text.contains(expected), "{text}");
    }
    assert!(!out.exists());
}

#[test]
fn tensors_of_other_types_are_converted() {
    let device = Device::cpu();
    let (a, b) = (
        Tensor::state("a", [2], DType::F32, Init::Constant(0.0)),
        Tensor::state("b", [3], DType::U32, Init::Constant(0.0)),
    );
    let program = wgrad_graph::Program::compile(&device, &[&a, &b], &Updates::new()).unwrap();
    let mut state = wgrad_graph::State::init(&device, &program, 0).unwrap();
    let halves = [1.5f32, -2.0].iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    let mut from = checkpoint::TensorMap::new();
    from.insert("a".into(), crate::TensorData { shape: vec![2], dtype: checkpoint::Dtype::F16, bytes: halves });
    from.insert("b".into(), crate::TensorData { shape: vec![3], dtype: checkpoint::Dtype::U8, bytes: vec![1, 2, 3] });
    let path = Path::new("file");
    crate::tensors::import(&mut state, ["a", "b"], &from, path, "toy").unwrap();
    assert_eq!((state.f32("a").unwrap(), state.u32("b").unwrap()), (vec![1.5, -2.0], vec![1, 2, 3]));
    let exported = crate::tensors::export(&state, ["a"]).unwrap();
    assert_eq!(exported["a"], crate::TensorData::from_f32([2], &[1.5, -2.0]));
    assert!(crate::tensors::export(&state, ["c"]).is_err());
    // Nothing is replaced unless all can be.
    from.insert("a".into(), crate::TensorData::from_f32([2], &[7.0, 7.0]));
    from.insert("b".into(), crate::TensorData::from_f32([3], &[0.0; 3]));
    assert!(crate::tensors::import(&mut state, ["a", "b"], &from, path, "toy").is_err());
    assert_eq!(state.f32("a").unwrap(), [1.5, -2.0]);
}
