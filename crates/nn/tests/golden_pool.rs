//! Pooling against PyTorch. The file is written by scripts/golden/pool.py.

mod support;

use std::collections::HashMap;
use support::case::Case;
use support::{Backend, Session};
use wgrad_graph::{Tensor, Updates};
use wgrad_nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool2d, AvgPool1d, AvgPool2d, AvgPool3d,
    GlobalAvgPool, GlobalMaxPool, Layer, LpPool1d, LpPool2d, LpPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d, Scope,
    SpatialPyramidPool,
};

fn layer(name: &'static str, layer: impl Layer) {
    Case::load("pool", name).layer(layer);
}

/// Checks an operation that gives indices, too.
fn with_indices(name: &'static str, build: impl Fn(&Tensor) -> (Tensor, Tensor)) {
    let case = Case::load("pool", name);
    case.check(Scope::train(), &["x"], |_, t| build(&t[0]).0);
    let (_, indices) = build(&case.input("x"));
    for &backend in Backend::all() {
        // As floats, which outputs of all backends are read as; small integers are exact.
        let outputs = indices.cast(wgrad_graph::DType::F32);
        let mut session = Session::new(backend, &[&outputs], &Updates::new(), &HashMap::new());
        let value = session.run(&case.arrays).remove(0);
        assert_eq!(value, case.arrays["indices"], "{name} on {backend}");
    }
}

fn max<const N: usize>(name: &'static str, pool: MaxPool<N>) {
    with_indices(name, |x| pool.forward_with_indices(&Scope::train(), x));
    layer(name, pool);
}

#[test]
fn greatest() {
    max("max1d", MaxPool1d::new(3).stride(2).padding(1).dilation(2).ceil_mode(true));
    max("max1d.ceil", MaxPool1d::new(2).stride(3).padding(1).ceil_mode(true));
    max("max2d", MaxPool2d::new((3, 2)).stride((2, 3)).padding((1, 0)).ceil_mode(true));
    max("max2d.dilated", MaxPool2d::new(3).stride(2).padding(1).dilation((2, 1)).ceil_mode(true));
    max("max2d.floor", MaxPool2d::new(3).stride(2).padding(1));
    max("max3d", MaxPool3d::new(2).stride((2, 1, 2)).padding((1, 0, 1)).ceil_mode(true));
    max("max3d.dilated", MaxPool3d::new((2, 3, 2)).stride(2).padding((0, 1, 1)).dilation((3, 1, 2)));
    max("max3d.plain", MaxPool3d::new((2, 2, 3)));
    layer("global_max", GlobalMaxPool);
}

#[test]
fn average() {
    layer("avg1d", AvgPool1d::new(3).stride(2).padding(1).ceil_mode(true));
    let not_counted = AvgPool1d::new(4).stride(3).padding(2).ceil_mode(true).count_include_pad(false);
    layer("avg1d.not_counted", not_counted);
    layer("avg1d.floor", AvgPool1d::new(2).padding(1).stride(1));
    layer("avg2d", AvgPool2d::new((3, 2)).stride((2, 3)).padding(1).ceil_mode(true));
    let not_counted = AvgPool2d::new(3).stride(2).padding(1).ceil_mode(true).count_include_pad(false);
    layer("avg2d.not_counted", not_counted);
    layer("avg2d.divisor", AvgPool2d::new(3).stride(2).padding(1).ceil_mode(true).divisor_override(5));
    layer("avg3d", AvgPool3d::new(2).stride((2, 1, 2)).padding((1, 0, 1)).ceil_mode(true));
    layer("avg3d.not_counted", AvgPool3d::new((2, 3, 2)).stride(2).padding(1).count_include_pad(false));
    layer("avg3d.divisor", AvgPool3d::new(3).stride(2).padding(1).divisor_override(4));
    layer("global_avg", GlobalAvgPool);
}

#[test]
fn norms() {
    layer("lp1d", LpPool1d::new(3.0, 3).stride(2).ceil_mode(true));
    layer("lp1d.sum", LpPool1d::new(1.0, 2));
    layer("lp2d", LpPool2d::new(2.0, (2, 3)).stride((2, 3)).ceil_mode(true));
    layer("lp2d.real", LpPool2d::new(1.5, 3).stride(1));
    layer("lp3d", LpPool3d::new(2.5, 2).ceil_mode(true));
}

#[test]
fn adaptive() {
    layer("adaptive_avg.1d", AdaptiveAvgPool1d::new(4));
    layer("adaptive_avg.2d", AdaptiveAvgPool2d::new((3, 2)));
    layer("adaptive_avg.2d.grows", AdaptiveAvgPool2d::new((5, 3)));
    layer("adaptive_avg.2d.divides", AdaptiveAvgPool2d::new((3, 2)));
    layer("adaptive_avg.3d", AdaptiveAvgPool3d::new((2, 3, 2)));
    layer("adaptive_max.2d", AdaptiveMaxPool2d::new((3, 2)));
    with_indices("adaptive_max.1d", |x| x.adaptive_max_pool_with_indices(&[4]));
    with_indices("adaptive_max.2d", |x| x.adaptive_max_pool_with_indices(&[3, 2]));
    with_indices("adaptive_max.2d.grows", |x| x.adaptive_max_pool_with_indices(&[5, 3]));
    with_indices("adaptive_max.2d.divides", |x| x.adaptive_max_pool_with_indices(&[3, 2]));
    with_indices("adaptive_max.3d", |x| x.adaptive_max_pool_with_indices(&[2, 3, 2]));
    layer("pyramid.max", SpatialPyramidPool::new([1, 2, 4]));
    Case::load("pool", "pyramid.avg").check(Scope::train(), &["x"], |_, t| t[0].pyramid_avg_pool(&[1, 2, 4]));
}

#[test]
fn unpooling() {
    let check = |name, spatial: &[usize]| {
        let case = Case::load("pool", name);
        let at = case.input("at");
        case.check(Scope::train(), &["x"], |_, t| t[0].max_unpool(&at, spatial));
    };
    check("unpool.1d", &[9]);
    check("unpool.2d", &[5, 7]);
    check("unpool.2d.apart", &[5, 8]);
    check("unpool.3d", &[4, 3, 4]);
}
