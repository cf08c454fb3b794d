//! A model against PyTorch: evaluation, and one training step, from a file that scripts/golden/step.py wrote.

#![allow(dead_code, unused_imports)] // each test file uses a part

#[path = "../../../nn/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
pub use support::{Backend, Golden, Leaves, Session, assert_close};
use wgrad_graph::{Array, DType, Tensor, Updates, gradients};
use wgrad_nn::optim::Sgd;
use wgrad_nn::{Layer, Scope};

/// The file `tests/golden/{name}.safetensors` of this crate.
pub fn golden(name: &str) -> Golden {
    Golden::load(format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR")))
}

/// The file `{name}_full.safetensors` of a model at its full size, which `scripts/golden/*.py --full DIR` writes: from the
/// directory that `WGRAD_GOLDEN_FULL` names.
pub fn full(name: &str) -> Golden {
    let dir =
        std::env::var("WGRAD_GOLDEN_FULL").expect("WGRAD_GOLDEN_FULL names a directory that scripts/golden filled");
    Golden::load(format!("{dir}/{name}_full.safetensors"))
}

/// All backends; for a model at its full size without the reference, which would take hours.
fn backends(leaves: &Leaves) -> impl Iterator<Item = Backend> {
    let large = leaves.values().map(|array| array.data.len()).sum::<usize>() > 10_000_000;
    Backend::all().iter().copied().filter(move |backend| !large || matches!(backend, Backend::Program(_)))
}

/// An input that has the shape of the file's tensor of this name.
pub fn input(file: &Golden, name: &str, dtype: DType) -> Tensor {
    Tensor::input(name, file.get(name).shape.clone(), dtype)
}

/// What one of PyTorch's training steps is compared with.
pub struct Step {
    /// Values by the names that they have in the file; one is called `loss`.
    pub outputs: Vec<(&'static str, Tensor)>,
    /// What the step writes: at least the scope's updates, and new parameters if the file has them.
    pub updates: Updates,
}

/// Everything that the file has of a training step: `train.<output>`, `grad.<parameter>` for every parameter of `scope`, and
/// `new.<name>` for every parameter and buffer that the step changes. Leaves, inputs included, are bound by their names.
pub fn check_step(file: &Golden, leaves: &Leaves, scope: &Scope, step: &Step) {
    let loss = &step.outputs.iter().find(|(name, _)| *name == "loss").expect("an output is called loss").1;
    let params = scope.params();
    let grads = gradients(loss, &params.iter().collect::<Vec<_>>());
    let named = params.iter().zip(&grads).map(|(p, g)| (format!("grad.{}", p.name().unwrap()), g.clone()));
    let outputs = step.outputs.iter().map(|(name, x)| (format!("train.{name}"), x.clone()));
    let expected: Vec<(String, Tensor)> = outputs.chain(named).collect();
    let roots: Vec<&Tensor> = expected.iter().map(|(_, x)| x).collect();
    let written = step.updates.states();
    let names: Vec<String> = written.map(|s| s.name().unwrap().to_string()).collect();
    let new: Vec<&String> = names.iter().filter(|n| file.has(&format!("new.{n}"))).collect();

    let largest =
        file.names().iter().filter(|n| n.starts_with("grad.")).fold(0.0, |m: f64, n| m.max(greatest(file.get(n))));

    for backend in backends(leaves) {
        let mut session = Session::new(backend, &roots, &step.updates, leaves);
        let values = session.run(leaves);
        for ((name, _), value) in expected.iter().zip(&values) {
            let (what, theirs) = (format!("{name} on {backend}"), file.get(name));
            if name.starts_with("grad.") && greatest(theirs) < 1e-14 * largest {
                // What PyTorch's f64 has there is the rounding of a 0 (a bias of attention's keys changes nothing): to be
                // small beside the other gradients is all that can be asked.
                assert!(greatest(value) <= backend.tolerance() * largest, "{what}: {} is not near 0", greatest(value));
                continue;
            }
            assert_close(&what, value, theirs, backend.tolerance());
        }
        for name in &new {
            let name = format!("new.{name}");
            assert_close(
                &format!("{name} on {backend}"),
                &session.state(&name[4..]),
                file.get(&name),
                backend.tolerance(),
            );
        }
    }

    // Nothing in the file was passed over, and every parameter and buffer of the model is in it.
    let compared: BTreeSet<String> =
        expected.iter().map(|(n, _)| n.clone()).chain(new.iter().map(|n| format!("new.{n}"))).collect();
    let is_result = |n: &&str| ["train.", "grad.", "new."].iter().any(|p| n.starts_with(p));
    let missed: Vec<&str> = file.names().into_iter().filter(is_result).filter(|n| !compared.contains(*n)).collect();
    assert!(missed.is_empty(), "in the file, but not compared: {missed:?}");
    for tensor in scope.tensors() {
        assert!(leaves.contains_key(tensor.name().unwrap()), "{:?} is not in the file", tensor.name());
    }
}

/// The greatest absolute value; NaN counts as the greatest of all.
fn greatest(array: &Array) -> f64 {
    array.data.iter().fold(0.0, |m: f64, x| if x.is_nan() { f64::INFINITY } else { m.max(x.abs()) })
}

/// The file's `eval.<name>` for each of these values.
pub fn check_eval(file: &Golden, leaves: &Leaves, outputs: &[(&str, &Tensor)]) {
    let roots: Vec<&Tensor> = outputs.iter().map(|(_, x)| *x).collect();
    for backend in backends(leaves) {
        let values = Session::new(backend, &roots, &Updates::new(), leaves).run(leaves);
        for ((name, _), value) in outputs.iter().zip(&values) {
            let name = format!("eval.{name}");
            assert_close(&format!("{name} on {backend}"), value, file.get(&name), backend.tolerance());
        }
    }
}

/// All tensors of the file, to be bound to the leaves of the same names.
pub fn leaves(file: &Golden) -> Leaves {
    file.names().into_iter().map(|n| (n.to_string(), file.get(n).clone())).collect()
}

/// A network on images: evaluation, and a training step by SGD with momentum and weight decay. The file holds "images" as bytes,
/// of which the network gets `images / 128 - 1`.
pub fn check_images(file: &Golden, model: &impl Layer, loss: impl Fn(&Tensor) -> Tensor) {
    let mut leaves = leaves(file);
    leaves.insert("images".into(), file.get("images").map(|x| x / 128.0 - 1.0));
    let images = input(file, "images", DType::F32);
    check_eval(file, &leaves, &[("logits", &model.forward(&Scope::eval(), &images))]);

    let scope = Scope::train();
    let logits = model.forward(&scope, &images);
    let loss = loss(&logits);
    let updates = Sgd::new(0.1).momentum(0.9).weight_decay(1e-2).minimize(&scope, &loss);
    check_step(file, &leaves, &scope, &Step { outputs: vec![("logits", logits), ("loss", loss)], updates });
}

/// As `check_images`, by the cross-entropy with the file's "labels".
pub fn check_classifier(file: &Golden, model: &impl Layer) {
    check_images(file, model, |logits| logits.cross_entropy(&input(file, "labels", DType::U32)));
}
