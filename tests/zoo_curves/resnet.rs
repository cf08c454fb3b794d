//! Residual networks.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::prelude::*;
use wgrad::zoo::ResNet;

/// Bright and dark stripes, lying or standing, of three widths: six classes.
pub fn stripes(batch: usize, size: usize, step: usize) -> Vec<(&'static str, Values)> {
    let class = |n: usize| (n * 5 + step) % 6;
    let noise = numbers(batch * size * size, step + 1);
    let pixel = |(i, noise): (usize, &f32)| {
        let (n, y, x) = (i / (size * size), i / size % size, i % size);
        let along = if class(n) % 2 == 0 { x } else { y };
        let bright = if along / (class(n) / 2 + 1) % 2 == 0 { 0.7 } else { -0.7 };
        bright + 0.3 * noise
    };
    let images = noise.iter().enumerate().map(pixel).collect();
    let labels = (0..batch).map(|n| class(n) as u32).collect();
    vec![("images", Values::F32(images)), ("labels", Values::U32(labels))]
}

/// Trains a classifier of stripes.
pub fn classifier(
    model: impl Layer,
    batch: usize,
    size: usize,
    optimize: impl Fn(&Scope, &Tensor) -> Updates,
) -> Training {
    let images = Tensor::input("images", [batch, 1, size, size], DType::F32);
    let labels = Tensor::input("labels", [batch], DType::U32);
    let scope = Scope::train();
    let loss = model.forward(&scope, &images).cross_entropy(&labels);
    let updates = optimize(&scope, &loss);
    Training::new(loss, updates, move |step| stripes(batch, size, step))
}

#[test]
fn resnet20() {
    let model = ResNet::cifar(20, 6).unwrap().in_channels(1).width(4).zero_init_residual(true);
    classifier(model, 8, 16, |scope, loss| Sgd::new(0.05).momentum(0.9).minimize(scope, loss)).follows("resnet20");
}
