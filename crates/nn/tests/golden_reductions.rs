//! Reductions against PyTorch. The file is written by scripts/golden/reductions.py.

mod support;

use support::family::Family;
use wgrad_graph::{DType, Tensor};

#[test]
fn reductions() {
    let mut f = Family::load("reductions");
    type Fold = fn(&Tensor, &[isize]) -> Tensor;
    let folds: &[(&str, Fold, Fold)] = &[
        ("sum", Tensor::sum, Tensor::sum_keepdim),
        ("mean", Tensor::mean, Tensor::mean_keepdim),
        ("amax", Tensor::max, Tensor::max_keepdim),
        ("amin", Tensor::min, Tensor::min_keepdim),
        ("logsumexp", Tensor::logsumexp, Tensor::logsumexp_keepdim),
    ];
    for (name, fold, keepdim) in folds {
        f.case(&format!("{name}.0"), |t| fold(&t("x"), &[1]));
        f.case(&format!("{name}.1"), |t| fold(&t("x"), &[0, 2]));
        f.case(&format!("{name}.2"), |t| keepdim(&t("x"), &[-1, 1]));
    }
    f.case("logsumexp.large", |t| (t("x") * 500.0).logsumexp(&[-1]));
    f.case("logsumexp.masked", |t| t("x").logsumexp(&[1]));
    f.case("prod.0", |t| t("x").prod(&[1]));
    f.case("prod.1", |t| t("x").prod(&[2]));
    f.case("prod.2", |t| t("x").prod_keepdim(&[-1]));
    f.case("prod.two_zeros", |t| t("x").prod(&[0]));
    f.case("prod.one_zero", |t| t("x").prod(&[0]));
    f.case("var.0", |t| t("x").var(&[1], true));
    f.case("var.1", |t| t("x").variance(&[0, 2]));
    f.case("var.2", |t| t("x").var_keepdim(&[1, 2], true));
    f.case("var.mean", |t| t("x").var(&[-1], false));
    f.case("std.0", |t| t("x").std(&[1], true));
    f.case("std.1", |t| t("x").std(&[0, 2], false));
    f.case("std.2", |t| t("x").std_keepdim(&[1, 2], true));
    f.case("std.mean", |t| t("x").std(&[-1], false));
    f.case("std.constant", |t| t("x").std(&[1], true));
    let orders = [1.0, 2.0, 3.0, 0.5, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    // With a gradient for the order that has none.
    f.options("norm", &orders, |x, &p| x.norm(p, &[1]) + x.sum_all() * 0.0);
    f.options("norm.all", &orders, |x, &p| x.norm_keepdim(p, &[0, 2]) + x.sum_all() * 0.0);
    f.case("norm.zero", |t| t("x").norm(2.0, &[1]));
    for (name, fold) in [("argmax", Tensor::argmax as Fold), ("argmin", Tensor::argmin)] {
        f.options(name, &[&[1isize][..], &[-1], &[0, 1, 2]], |x, axes| fold(x, axes).cast(DType::F32) * x.sum(axes));
    }
    for (name, softmax) in
        [("softmax", Tensor::softmax as fn(&Tensor, isize) -> Tensor), ("log_softmax", Tensor::log_softmax)]
    {
        f.options(name, &[1, 0, -1], |x, &axis| softmax(x, axis));
        f.case(&format!("{name}.large"), |t| softmax(&(t("x") + 500.0), 1));
        f.case(&format!("{name}.masked"), |t| softmax(&t("x"), 1));
    }
    let tests: &[(&str, Fold)] =
        &[("any", Tensor::any), ("all", Tensor::all), ("count_nonzero", Tensor::count_nonzero)];
    for (name, test) in tests {
        for (i, axis) in [0, 2, 1].into_iter().enumerate() {
            f.case(&format!("{name}.{i}"), |t| test(&t("x"), &[axis]).cast(DType::F32) * t("z"));
        }
    }
    f.check(1e-5, f64::INFINITY);
}
