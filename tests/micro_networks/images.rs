//! Networks on images.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::nn::loss::{Bce, bce_with_logits};
use wgrad::nn::{ConvTranspose2d, Reduction};
use wgrad::prelude::*;

/// A convolution of 3x3 with batch norm and leaky ReLU, as in Darknet.
fn block(scope: &Scope, name: &str, x: &Tensor, outputs: usize, stride: usize) -> Tensor {
    let scope = scope.enter(name);
    let conv = Conv2d::new(x.shape()[1], outputs, 3).stride(stride).padding(1).bias(false);
    let y = conv.forward(&scope.enter("conv"), x);
    BatchNorm2d::new(outputs).forward(&scope.enter("bn"), &y).leaky_relu(0.1)
}

/// A grid of cells with anchors, each with box, objectness and classes, as in YOLOv3 (Redmon and Farhadi, 2018).
#[test]
fn yolo() {
    let (batch, grid, anchors, classes) = (2, 4, 2, 3);
    let x = Tensor::input("images", [batch, 3, 16, 16], DType::F32);
    let cell = [batch, anchors, grid, grid];
    let input = |name: &str, last: usize| Tensor::input(name, [&cell[..], &[last]].concat(), DType::F32);
    let (boxes, kinds, object) = (input("boxes", 4), input("kinds", classes), input("object", 1));

    let scope = Scope::train();
    let fine = block(&scope, "down1", &x, 8, 2);
    let coarse = block(&scope, "down2", &fine, 16, 2);
    let wide = block(&scope, "residual", &coarse, 16, 1) + &coarse;
    let head = Conv2d::new(16, anchors * (5 + classes), 1).forward(&scope.enter("head"), &wide);
    let raw = head.reshape([batch, anchors, 5 + classes, grid, grid]).permute(&[0, 1, 3, 4, 2]);
    let part = |from: usize, to: usize| raw.slice(4, from..to);
    let bce = |x: &Tensor, t: &Tensor| bce_with_logits(x, t, &Bce::default(), Reduction::None);
    let places = (bce(&part(0, 2), &boxes.slice(4, 0..2)) * &object).sum_all();
    let sizes = ((part(2, 4) - boxes.slice(4, 2..4)).square() * &object).sum_all();
    let presence = bce(&part(4, 5), &object).sum_all();
    let kind = (bce(&part(5, 5 + classes), &kinds) * &object).sum_all();
    let loss = (places + sizes + presence + kind) / batch as f32;
    let updates = Sgd::new(0.005).momentum(0.9).weight_decay(5e-4).minimize(&scope, &loss);

    let feed = move |_| {
        let cells = batch * anchors * grid * grid;
        let object: Vec<f32> = (0..cells).map(|i| (i % 11 == 3) as u8 as f32).collect();
        let boxes = numbers(cells * 4, 5).into_iter().map(|v| v * 0.5 + 0.5).collect();
        let kinds = (0..cells * classes).map(|i| (i % classes == i / classes % classes) as u8 as f32).collect();
        vec![
            ("images", Values::F32(numbers(batch * 3 * 256, 9))),
            ("object", Values::F32(object)),
            ("boxes", Values::F32(boxes)),
            ("kinds", Values::F32(kinds)),
        ]
    };
    Training::new(loss, updates, feed).learns(0.7);
}

/// A contracting and an expanding path with a skip between them, a class for each pixel, as U-Net (Ronneberger et al., 2015).
#[test]
fn unet() {
    let x = Tensor::input("images", [2, 1, 16, 16], DType::F32);
    let labels = Tensor::input("labels", [2, 16, 16], DType::U32);
    let scope = Scope::train();
    let double = |name: &str, x: &Tensor, outputs: usize| {
        let scope = scope.enter(name);
        let first = Conv2d::new(x.shape()[1], outputs, 3).padding(1).forward(&scope.enter("0"), x).relu();
        Conv2d::new(outputs, outputs, 3).padding(1).forward(&scope.enter("1"), &first).relu()
    };
    let fine = double("down1", &x, 8);
    let coarse = double("down2", &MaxPool2d::new(2).forward(&scope, &fine), 16);
    let up = ConvTranspose2d::new(16, 8, 2).stride(2).forward(&scope.enter("up"), &coarse);
    let joined = double("up1", &Tensor::concat(&[&fine, &up], 1), 8);
    let logits = Conv2d::new(8, 2, 1).forward(&scope.enter("out"), &joined);
    let loss = logits.cross_entropy(&labels);
    let updates = Adam::new(0.01).minimize(&scope, &loss);
    let feed = |step: usize| {
        // Bright discs on noise.
        let (row, column) = (4 + step % 8, 4 + step * 3 % 8);
        let inside = move |i: usize| (i / 16 % 16).abs_diff(row).pow(2) + (i % 16).abs_diff(column).pow(2) <= 9;
        let noise = numbers(2 * 256, step);
        let image = (0..512).map(|i| noise[i] * 0.3 + inside(i) as u8 as f32).collect();
        let label = (0..512).map(|i| inside(i) as u32).collect();
        vec![("images", Values::F32(image)), ("labels", Values::U32(label))]
    };
    Training::new(loss, updates, feed).learns(0.5);
}
