//! Operations and layers against PyTorch, where a convention matters. The file is written by scripts/golden/ops.py.

mod support;

use support::case::Case;
use wgrad_graph::{CrossEntropy, Tensor};
use wgrad_nn::{AvgPool2d, BatchNorm2d, Conv2d, GlobalAvgPool, Layer, Linear, MaxPool2d, Reduction, Scope, loss};

fn case(name: &'static str) -> Case {
    Case::load("ops", name)
}

/// A layer of one input, in training.
fn layer(name: &'static str, layer: impl Layer) {
    case(name).layer(layer);
}

#[test]
fn convolution() {
    layer("conv.plain", Conv2d::new(3, 4, 3));
    layer("conv.padded", Conv2d::new(3, 4, 3).padding(1));
    layer("conv.strided", Conv2d::new(2, 3, (3, 2)).stride(2).padding(1));
    layer("conv.uneven", Conv2d::new(2, 3, (3, 2)).stride((1, 2)).padding((2, 1)).dilation((2, 3)));
    layer("conv.grouped", Conv2d::new(4, 6, 3).padding(1).groups(2));
    layer("conv.depthwise", Conv2d::new(3, 3, 3).stride(2).padding(1).groups(3));
    layer("conv.pointwise", Conv2d::new(3, 2, 1).stride(2));
}

#[test]
fn max_pooling() {
    layer("max_pool.side_by_side", MaxPool2d::new(2));
    layer("max_pool.padded", MaxPool2d::new(3).stride(2).padding(1));
    layer("max_pool.uneven", MaxPool2d::new((3, 2)).stride((1, 2)).padding((1, 0)).dilation((2, 3)));
}

#[test]
fn average_pooling() {
    layer("avg_pool.side_by_side", AvgPool2d::new(2));
    layer("avg_pool.padded", AvgPool2d::new(3).stride(2).padding(1));
    layer("avg_pool.not_counted", AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false));
    layer("avg_pool.global", GlobalAvgPool);
}

#[test]
fn batch_norm() {
    layer("batch_norm.train", BatchNorm2d::new(3));
    let norm = BatchNorm2d::new(3);
    case("batch_norm.eval").check(Scope::eval(), &["x"], |scope, t| norm.forward(scope, &t[0]));
    case("batch_norm.twice")
        .check(Scope::train(), &["x", "z"], |scope, t| norm.forward(scope, &t[0]) + norm.forward(scope, &t[1]));
}

#[test]
fn cross_entropy() {
    let check = |name, label_smoothing, ignore| {
        let options = CrossEntropy { label_smoothing, ignore, ..CrossEntropy::default() };
        case(name).check(Scope::train(), &["x", "t"], |_, t| t[0].cross_entropy_with(&t[1], &options));
    };
    check("cross_entropy.plain", 0.0, None);
    check("cross_entropy.large", 0.0, None);
    check("cross_entropy.smoothed", 0.1, None);
    check("cross_entropy.ignored", 0.0, Some(3));
    check("cross_entropy.both", 0.2, Some(3));
    check("cross_entropy.grid", 0.0, Some(2));
    check("cross_entropy.soft", 0.1, None);
}

#[test]
fn linear() {
    layer("linear", Linear::new(4, 5));
}

#[test]
fn losses() {
    let check = |name, f: fn(&Tensor, &Tensor, Reduction) -> Tensor| {
        case(name).check(Scope::train(), &["x", "t"], |_, t| f(&t[0], &t[1], Reduction::Mean));
    };
    check("mse", loss::mse);
    check("l1", loss::l1);
}
