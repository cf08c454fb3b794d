//! U-Nets against PyTorch, from a state dict bound by name. The files are written by scripts/golden/unet.py.

mod step;

use step::{Golden, Step, check_eval, check_step, golden, input, leaves};
use wgrad_graph::{DType, Interpolation, Tensor};
use wgrad_nn::loss::{Segmentation, segmentation};
use wgrad_nn::optim::Sgd;
use wgrad_nn::{Layer, Scope};
use wgrad_zoo::UNet;
use wgrad_zoo::unet::UpPath;

/// Evaluation, and a training step: logits, loss, every gradient, every updated parameter and statistic.
fn check(model: UNet, loss: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor, file: &Golden) {
    let mut leaves = leaves(file);
    leaves.insert("images".into(), file.get("images").map(|x| x / 128.0 - 1.0));
    let images = input(file, "images", DType::F32);
    check_eval(file, &leaves, &[("logits", &model.forward(&Scope::eval(), &images))]);

    let scope = Scope::train();
    let logits = model.forward(&scope, &images);
    let loss = loss(&logits, &input(file, "labels", DType::U32), &input(file, "weights", DType::F32));
    let updates = Sgd::new(0.1).momentum(0.9).weight_decay(1e-2).minimize(&scope, &loss);
    check_step(file, &leaves, &scope, &Step { outputs: vec![("logits", logits), ("loss", loss)], updates });
}

/// The paper's loss: each pixel has its weight.
fn weighted(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> Tensor {
    segmentation(logits, labels, Some(weights), &Segmentation::default())
}

#[test]
fn original() {
    check(UNet::original(1, 2).width(2).depth(3).unwrap(), weighted, &golden("unet_original"));
}

/// Batch norm, bilinear resizing, sides that are odd on the way down; three classes, with the dice loss, and pixels that do
/// not count.
#[test]
fn padded() {
    let bilinear = UpPath::Resize(Interpolation::Linear { align_corners: true });
    let model = UNet::padded(2, 3).width(4).depth(2).unwrap().up(bilinear);
    let options = Segmentation { dice: 0.5, ignore: Some(255), ..Segmentation::default() };
    check(model, |logits, labels, _| segmentation(logits, labels, None, &options), &golden("unet_padded"));
}

/// The whole model: scripts/golden/unet_full.py says how.
#[test]
#[ignore = "needs a file of 380 MB that scripts/golden/unet_full.py writes, named by WGRAD_UNET"]
fn full_unet() {
    let path = std::env::var("WGRAD_UNET").expect("WGRAD_UNET names the file of scripts/golden/unet_full.py");
    check(UNet::original(1, 2), weighted, &Golden::load(path));
}
