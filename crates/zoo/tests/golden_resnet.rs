//! Residual networks against PyTorch, from a state dict bound by name. The files are written by scripts/golden/resnet.py.

#[path = "../../nn/tests/support/mod.rs"]
mod support;

use support::{Backend, Golden, Leaves, Session, assert_close};
use wgrad_graph::{Array, DType, Tensor, Updates, gradients};
use wgrad_nn::{Layer, Scope};
use wgrad_zoo::ResNet;

/// Binds what the file has to the leaves of the same names.
fn bind(file: &Golden) -> Leaves {
    let mut leaves: Leaves = file.names().into_iter().map(|n| (n.to_string(), file.get(n).clone())).collect();
    leaves.insert("images".into(), file.get("images").map(|x| x / 128.0 - 1.0));
    leaves
}

/// Evaluation, and a training step: logits, loss, the gradient of every parameter, and every updated statistic.
fn check(model: ResNet, path: &str) {
    let file = Golden::load(path);
    let images = Tensor::input("images", file.get("images").shape.clone(), DType::F32);
    let labels = Tensor::input("labels", file.get("labels").shape.clone(), DType::U32);
    let leaves = bind(&file);
    let eval = model.forward(&Scope::eval(), &images);

    let scope = Scope::train();
    let logits = model.forward(&scope, &images);
    let loss = logits.cross_entropy(&labels);
    let params = scope.params();
    let grads = gradients(&loss, &params.iter().collect::<Vec<_>>());
    let updates = scope.updates();
    let outputs: Vec<&Tensor> = [&logits, &loss].into_iter().chain(&grads).collect();

    for &backend in Backend::all() {
        let compare = |name: &str, got: &Array| {
            assert_close(&format!("{name} on {backend}"), got, file.get(name), backend.tolerance());
        };
        let mut session = Session::new(backend, &[&eval], &Updates::new(), &leaves);
        compare("eval.logits", &session.run(&leaves)[0]);
        let mut session = Session::new(backend, &outputs, &updates, &leaves);
        let values = session.run(&leaves);
        compare("train.logits", &values[0]);
        compare("train.loss", &values[1]);
        for (p, value) in params.iter().zip(&values[2..]) {
            compare(&format!("grad.{}", p.name().unwrap()), value);
        }
        for state in updates.states() {
            let name = state.name().unwrap();
            compare(&format!("new.{name}"), &session.state(name));
        }
    }

    // Nothing in the file was passed over.
    let count = |prefix: &str| file.names().iter().filter(|n| n.starts_with(prefix)).count();
    assert_eq!(params.len(), count("grad."));
    assert_eq!(updates.states().count(), count("new."));
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn torchvision_resnet18() {
    check(ResNet::imagenet(18, 10).unwrap().width(4), &golden("resnet18"));
}

/// Bottlenecks, one in each stage. (With all of ResNet-50's, so narrow a network's gradients cancel to fewer digits than f32
/// has, in PyTorch too.)
#[test]
fn torchvision_bottlenecks() {
    check(ResNet::imagenet(50, 10).unwrap().stages(&[1, 1, 1, 1]).width(2), &golden("resnet14"));
}

#[test]
fn cifar_resnet20() {
    check(ResNet::cifar(20, 10).unwrap().width(3).in_channels(1), &golden("resnet20"));
}

/// The whole model: scripts/golden/resnet18_full.py says how.
#[test]
#[ignore = "needs a file of 90 MB that scripts/golden/resnet18_full.py writes, named by WGRAD_RESNET18"]
fn full_resnet18() {
    let path =
        std::env::var("WGRAD_RESNET18").expect("WGRAD_RESNET18 names the file of scripts/golden/resnet18_full.py");
    check(ResNet::imagenet(18, 1000).unwrap(), &path);
}
