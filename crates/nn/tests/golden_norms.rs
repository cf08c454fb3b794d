//! Normalisations against PyTorch. The file is written by scripts/golden/norms.py.

mod support;

use support::case::Case;
use wgrad_graph::Tensor;
use wgrad_nn::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv2d, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, Layer,
    LayerNorm, Linear, LocalResponseNorm, RmsNorm, Scope, SpectralNorm, WeightNorm,
};

fn train(name: &'static str, layer: impl Layer) {
    Case::load("norms", name).layer(layer);
}

fn eval(name: &'static str, layer: impl Layer) {
    Case::load("norms", name).check(Scope::eval(), &["x"], |scope, t| layer.forward(scope, &t[0]));
}

fn function(name: &'static str, f: fn(&Tensor) -> Tensor) {
    train(name, move |_: &Scope, x: &Tensor| f(x));
}

#[test]
fn batch_norm() {
    train("batch_norm.1d", BatchNorm1d::new(3).momentum(0.3));
    train("batch_norm.1d_sequence", BatchNorm1d::new(3).eps(1e-3));
    train("batch_norm.3d", BatchNorm3d::new(3).eps(1e-2).momentum(0.9));
    train("batch_norm.no_affine", BatchNorm2d::new(3).affine(false));
    train("batch_norm.untracked", BatchNorm2d::new(3).track_running_stats(false).eps(0.1));
    eval("batch_norm.untracked_eval", BatchNorm2d::new(3).track_running_stats(false));
    eval("batch_norm.eval_no_affine", BatchNorm2d::new(3).affine(false));
    train("batch_norm.frozen", BatchNorm2d::new(3).frozen_statistics(true));
    train("batch_norm.cumulative", BatchNorm2d::new(3).cumulative());
    train("batch_norm.large_mean", BatchNorm2d::new(3));
}

#[test]
fn layer_and_rms_norm() {
    train("layer_norm.last", LayerNorm::new([5]));
    train("layer_norm.two", LayerNorm::new([4, 5]).eps(1e-2));
    train("layer_norm.no_bias", LayerNorm::new([5]).eps(1e-3).bias(false));
    train("layer_norm.plain", LayerNorm::new([3, 4, 5]).elementwise_affine(false));
    train("layer_norm.large_mean", LayerNorm::new([5]).elementwise_affine(false));
    train("rms_norm.last", RmsNorm::new([5]));
    train("rms_norm.two", RmsNorm::new([4, 5]).eps(1e-2));
    train("rms_norm.plain", RmsNorm::new([5]).eps(1e-5).elementwise_affine(false));
}

#[test]
fn group_and_instance_norm() {
    train("group_norm.three", GroupNorm::new(3, 6));
    train("group_norm.one", GroupNorm::new(1, 6).eps(1e-2));
    train("group_norm.each", GroupNorm::new(6, 6).eps(1e-3));
    train("group_norm.plain", GroupNorm::new(2, 6).affine(false));
    train("group_norm.flat", GroupNorm::new(2, 6));
    train("instance_norm.plain", InstanceNorm2d::new(3));
    train("instance_norm.affine", InstanceNorm1d::new(3).affine(true).eps(1e-2));
    let tracked = InstanceNorm2d::new(3).affine(true).track_running_stats(true);
    train("instance_norm.tracked", tracked.clone().momentum(0.3));
    eval("instance_norm.tracked_eval", tracked);
    train("instance_norm.volume", InstanceNorm3d::new(3).track_running_stats(true));
}

#[test]
fn local_response_norm() {
    train("local_response_norm.odd", LocalResponseNorm::new(5).alpha(0.5));
    train("local_response_norm.even", LocalResponseNorm::new(4).alpha(1.0).beta(0.5).k(2.0));
    train("local_response_norm.wide", LocalResponseNorm::new(9).alpha(2.0).beta(1.5).k(0.5));
}

#[test]
fn normalize() {
    function("normalize.plain", |x| x.normalize(2.0, 1, 1e-12));
    function("normalize.cubes", |x| x.normalize(3.0, 0, 1e-12));
    function("normalize.sums", |x| x.normalize(1.0, 2, 2.0));
    function("normalize.greatest", |x| x.normalize(f32::INFINITY, -1, 1e-12));
}

#[test]
fn reparametrised_weights() {
    train("spectral_norm.linear", SpectralNorm::of(Linear::new(4, 3)));
    train("spectral_norm.steps", SpectralNorm::of(Conv2d::new(2, 3, 2)).n_power_iterations(3).eps(1e-3));
    eval("spectral_norm.eval", SpectralNorm::of(Linear::new(4, 3)));
    train("weight_norm.linear", WeightNorm::of(Linear::new(4, 3)));
    train("weight_norm.conv", WeightNorm::of(Conv2d::new(2, 3, 2)));
    train("weight_norm.dim", WeightNorm::of(Linear::new(4, 3)).dim(1));
}
