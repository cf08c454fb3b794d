//! Resizing, sampling and pooling of regions against PyTorch and torchvision. The file is written by scripts/golden/resize.py.

mod support;

use support::case::Case;
use wgrad_graph::{DType, GridSample, Interpolation, RoiAlign, SampleMode, SamplePadding, Tensor};
use wgrad_nn::{Scope, Upsample};

fn check(name: &'static str, build: impl Fn(&Tensor) -> Tensor) {
    Case::load("resize", name).check(Scope::train(), &["x"], |_, t| build(&t[0]));
}

#[test]
fn nearest() {
    let both = |exact: bool, n: [&'static str; 5]| {
        let mode = if exact { Interpolation::NearestExact } else { Interpolation::Nearest };
        check(n[0], |x| x.interpolate(&[10], mode));
        check(n[1], |x| x.interpolate(&[7, 3], mode));
        check(n[2], |x| x.interpolate_by(&[1.5, 0.75], mode));
        check(n[3], |x| x.interpolate(&[4, 2, 10], mode));
        check(n[4], |x| x.interpolate_by(&[2.0, 3.0], mode));
    };
    both(
        false,
        [
            "interpolate.nearest.1d",
            "interpolate.nearest.2d",
            "interpolate.nearest.factor",
            "interpolate.nearest.3d",
            "interpolate.nearest.whole",
        ],
    );
    both(
        true,
        [
            "interpolate.exact.1d",
            "interpolate.exact.2d",
            "interpolate.exact.factor",
            "interpolate.exact.3d",
            "interpolate.exact.whole",
        ],
    );
}

#[test]
fn linear() {
    let both = |align_corners: bool, n: [&'static str; 6]| {
        let mode = Interpolation::Linear { align_corners };
        check(n[0], |x| x.interpolate(&[10], mode));
        check(n[1], |x| x.interpolate(&[7, 3], mode));
        check(n[2], |x| x.interpolate_by(&[1.5, 0.7], mode));
        check(n[3], |x| x.interpolate(&[3, 1], mode));
        Case::load("resize", n[4]).layer(Upsample::by(2.0).mode(mode));
        Case::load("resize", n[5]).layer(Upsample::to([5, 2, 7]).mode(mode));
    };
    both(
        false,
        [
            "interpolate.linear.edges",
            "interpolate.bilinear.edges",
            "interpolate.bilinear.edges.factor",
            "interpolate.bilinear.edges.one",
            "interpolate.bilinear.edges.doubled",
            "interpolate.trilinear.edges",
        ],
    );
    both(
        true,
        [
            "interpolate.linear.aligned",
            "interpolate.bilinear.aligned",
            "interpolate.bilinear.aligned.factor",
            "interpolate.bilinear.aligned.one",
            "interpolate.bilinear.aligned.doubled",
            "interpolate.trilinear.aligned",
        ],
    );
}

#[test]
fn cubic_and_area() {
    let both = |align_corners: bool, n: [&'static str; 3]| {
        let mode = Interpolation::Cubic { align_corners };
        check(n[0], |x| x.interpolate(&[7, 3], mode));
        check(n[1], |x| x.interpolate_by(&[1.5, 3.0], mode));
        check(n[2], |x| x.interpolate(&[5, 1], mode));
    };
    both(false, ["interpolate.bicubic.edges", "interpolate.bicubic.edges.factor", "interpolate.bicubic.edges.one"]);
    both(
        true,
        ["interpolate.bicubic.aligned", "interpolate.bicubic.aligned.factor", "interpolate.bicubic.aligned.one"],
    );
    check("interpolate.area", |x| x.interpolate(&[3, 4], Interpolation::Area));
    check("interpolate.area.1d", |x| x.interpolate(&[3], Interpolation::Area));
    check("interpolate.area.3d", |x| x.interpolate(&[3, 3, 2], Interpolation::Area));
}

#[test]
fn sampling_at_points() {
    use SampleMode::*;
    use SamplePadding::*;
    for (name, mode, padding_mode, align_corners) in [
        ("grid_sample.bilinear.zeros.edges", Bilinear, Zeros, false),
        ("grid_sample.bilinear.zeros.aligned", Bilinear, Zeros, true),
        ("grid_sample.bilinear.border.edges", Bilinear, Border, false),
        ("grid_sample.bilinear.border.aligned", Bilinear, Border, true),
        ("grid_sample.bilinear.reflection.edges", Bilinear, Reflection, false),
        ("grid_sample.bilinear.reflection.aligned", Bilinear, Reflection, true),
        ("grid_sample.nearest.zeros.edges", Nearest, Zeros, false),
        ("grid_sample.nearest.zeros.aligned", Nearest, Zeros, true),
        ("grid_sample.nearest.border.edges", Nearest, Border, false),
        ("grid_sample.nearest.border.aligned", Nearest, Border, true),
        ("grid_sample.nearest.reflection.edges", Nearest, Reflection, false),
        ("grid_sample.nearest.reflection.aligned", Nearest, Reflection, true),
        ("grid_sample.3d.zeros", Bilinear, Zeros, false),
        ("grid_sample.3d.border", Bilinear, Border, true),
        ("grid_sample.3d.reflection", Bilinear, Reflection, false),
    ] {
        let options = GridSample { mode, padding_mode, align_corners };
        let case = Case::load("resize", name);
        case.check(Scope::train(), &["x", "grid"], |_, t| t[0].grid_sample(&t[1], &options));
    }
}

#[test]
fn affine_grids() {
    for (name, spatial, aligned) in [
        ("affine_grid.2d", &[3, 4][..], false),
        ("affine_grid.2d.aligned", &[4, 3], true),
        ("affine_grid.2d.one", &[1, 4], true),
        ("affine_grid.3d", &[2, 3, 2], false),
        ("affine_grid.3d.aligned", &[2, 3, 2], true),
    ] {
        let case = Case::load("resize", name);
        case.check(Scope::train(), &["theta"], |_, t| Tensor::affine_grid(&t[0], spatial, aligned));
    }
}

/// With the case's regions, which have no gradient.
fn regions(name: &'static str, build: impl Fn(&Tensor, &Tensor) -> Tensor) {
    let case = Case::load("resize", name);
    let rois = Tensor::input("rois", case.arrays["rois"].shape.clone(), DType::F32);
    case.check(Scope::train(), &["x"], |_, t| build(&t[0], &rois));
}

#[test]
fn pooled_regions() {
    regions("roi_pool.inside", |x, r| x.roi_pool(r, (2, 2), 1.0));
    regions("roi_pool.over", |x, r| x.roi_pool(r, (3, 2), 1.0));
    regions("roi_pool.scaled", |x, r| x.roi_pool(r, (2, 3), 0.25));
    regions("roi_pool.one", |x, r| x.roi_pool(r, (1, 1), 0.9));
}

#[test]
fn aligned_regions() {
    for (name, output_size, spatial_scale, sampling_ratio, aligned) in [
        ("roi_align.inside", (2, 2), 1.0, Some(2), true),
        ("roi_align.over", (3, 2), 1.0, Some(2), false),
        ("roi_align.scaled", (2, 3), 0.25, Some(3), true),
        ("roi_align.by_size", (2, 2), 0.9, None, true),
        ("roi_align.by_size_unaligned", (3, 2), 1.1, None, false),
    ] {
        let options = RoiAlign { output_size, spatial_scale, sampling_ratio, aligned };
        regions(name, |x, r| x.roi_align(r, &options));
    }
}
