//! Running sums, products, maxima and averages against PyTorch. The file is written by scripts/golden/scans.py.

mod support;

use support::case::Case;
use wgrad_graph::{DType, Scan, Tensor};
use wgrad_nn::Scope;

fn check(name: &str, build: impl Fn(&Tensor) -> Tensor) {
    Case::load("scans", name.to_string().leak()).check(Scope::train(), &["x"], |_, t| build(&t[0]));
}

/// Values and indices as one tensor.
fn both((values, indices): (Tensor, Tensor)) -> Tensor {
    values * (indices.cast(DType::F32) + 1.0)
}

const AXES: [(&str, isize); 4] = [("line", 0), ("rows", 1), ("columns", 0), ("long", -1)];

#[test]
fn running_sums() {
    for (name, axis) in AXES {
        let with = |reverse, exclusive| move |x: &Tensor| x.cumsum_with(axis, Scan { reverse, exclusive });
        check(&format!("cumsum.{name}"), |x| x.cumsum(axis));
        check(&format!("cumsum.{name}.reverse"), with(true, false));
        check(&format!("cumsum.{name}.exclusive"), with(false, true));
        check(&format!("logcumsumexp.{name}"), |x| x.logcumsumexp(axis));
    }
}

#[test]
fn running_products() {
    for (name, axis) in AXES {
        check(&format!("cumprod.{name}"), |x| x.cumprod(axis));
        check(&format!("cumprod.{name}.zeros"), |x| x.cumprod(axis));
        let reverse = Scan { reverse: true, exclusive: false };
        check(&format!("cumprod.{name}.reverse"), |x| x.cumprod_with(axis, reverse));
    }
}

#[test]
fn running_maxima() {
    for (name, axis) in AXES {
        check(&format!("cummax.{name}"), |x| both(x.cummax(axis)));
        check(&format!("cummin.{name}"), |x| both(x.cummin(axis)));
    }
}

#[test]
fn averages() {
    for name in ["short", "one", "long"] {
        check(&format!("discounted_sum.{name}"), |x| x.discounted_sum(1, 0.9));
        check(&format!("moving_average.{name}"), |x| x.moving_average(1, 0.3));
    }
}
