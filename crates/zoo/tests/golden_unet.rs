//! U-Nets against PyTorch, from a state dict bound by name. The files are written by scripts/golden/unet.py.

mod step;

use step::{Golden, check_images, full, golden, input};
use wgrad_graph::{DType, Interpolation, Tensor};
use wgrad_nn::loss::{Segmentation, segmentation};
use wgrad_zoo::UNet;
use wgrad_zoo::unet::UpPath;

/// Evaluation, and a training step: logits, loss, every gradient, every updated parameter and statistic.
fn check(model: UNet, loss: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor, file: &Golden) {
    let [labels, weights] = [("labels", DType::U32), ("weights", DType::F32)].map(|(name, t)| input(file, name, t));
    check_images(file, &model, |logits| loss(logits, &labels, &weights));
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

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/unet.py --full writes"]
fn full_unet() {
    check(UNet::original(1, 2), weighted, &full("unet"));
}
