//! Elementwise functions against PyTorch. The file is written by scripts/golden/elementwise.py.

mod support;

use support::family::Family;
use wgrad_graph::Tensor;

#[test]
fn elementwise_functions() {
    let mut f = Family::load("elementwise");
    type Unary = fn(&Tensor) -> Tensor;
    let unary: &[(&str, Unary)] = &[
        ("abs", Tensor::abs),
        ("neg", |x| -x),
        ("sign", Tensor::sign),
        ("square", Tensor::square),
        ("sqrt", Tensor::sqrt),
        ("rsqrt", Tensor::rsqrt),
        ("recip", Tensor::recip),
        ("exp", Tensor::exp),
        ("exp2", Tensor::exp2),
        ("expm1", Tensor::expm1),
        ("log", Tensor::log),
        ("log2", Tensor::log2),
        ("log10", Tensor::log10),
        ("log1p", Tensor::log1p),
        ("sin", Tensor::sin),
        ("cos", Tensor::cos),
        ("tan", Tensor::tan),
        ("asin", Tensor::asin),
        ("acos", Tensor::acos),
        ("atan", Tensor::atan),
        ("sinh", Tensor::sinh),
        ("cosh", Tensor::cosh),
        ("tanh", Tensor::tanh),
        ("erf", Tensor::erf),
        ("erfinv", Tensor::erfinv),
        ("floor", Tensor::floor),
        ("ceil", Tensor::ceil),
        ("round", Tensor::round),
        ("trunc", Tensor::trunc),
        ("relu", Tensor::relu),
        ("relu6", Tensor::relu6),
        ("sigmoid", Tensor::sigmoid),
        ("logsigmoid", Tensor::logsigmoid),
        ("selu", Tensor::selu),
        ("silu", Tensor::silu),
        ("mish", Tensor::mish),
        ("hardsigmoid", Tensor::hardsigmoid),
        ("hardswish", Tensor::hardswish),
        ("softsign", Tensor::softsign),
        ("tanhshrink", Tensor::tanhshrink),
    ];
    for (name, function) in unary {
        f.unary(name, function);
    }
    let tests: &[(&str, Unary)] = &[
        ("is_nan", Tensor::is_nan),
        ("is_inf", Tensor::is_inf),
        ("is_finite", Tensor::is_finite),
        ("signbit", Tensor::signbit),
    ];
    for (name, test) in tests {
        f.each(name, |t| test(&t("x")).select(&t("z"), &-t("z")));
    }

    f.options("leaky_relu", &[0.01, 0.2, -1.5], |x, &slope| x.leaky_relu(slope));
    f.case("leaky_relu.special", |t| t("x").leaky_relu(0.01));
    f.options("elu", &[1.0, 0.3, 2.0], |x, &alpha| x.elu(alpha));
    f.case("elu.special", |t| t("x").elu(1.0));
    f.options("celu", &[1.0, 0.3, 2.0], |x, &alpha| x.celu(alpha));
    f.case("celu.special", |t| t("x").celu(1.0));
    f.options("softplus", &[(1.0, 20.0), (2.0, 3.0), (0.5, 20.0)], |x, &(beta, at)| x.softplus(beta, at));
    f.case("softplus.special", |t| t("x").softplus(1.0, 20.0));
    f.options("gelu", &[false, true], |x, &tanh| if tanh { x.gelu_tanh() } else { x.gelu() });
    f.case("gelu.special", |t| t("x").gelu());
    f.unary("gelu_tanh", Tensor::gelu_tanh);
    f.options("hardtanh", &[(-1.0, 1.0), (0.5, 2.0), (-2.0, -0.3)], |x, &(lo, hi)| x.hardtanh(lo, hi));
    f.case("hardtanh.special", |t| t("x").hardtanh(-1.0, 1.0));
    f.options("softshrink", &[0.5, 1.2, 0.0], |x, &lambda| x.softshrink(lambda));
    f.case("softshrink.special", |t| t("x").softshrink(0.5));
    f.options("hardshrink", &[0.5, 1.2, 0.0], |x, &lambda| x.hardshrink(lambda));
    f.case("hardshrink.special", |t| t("x").hardshrink(0.5));
    f.options("threshold", &[(0.0, 0.0), (0.5, -2.0), (-1.0, 3.0)], |x, &(at, value)| x.threshold(at, value));
    f.case("threshold.special", |t| t("x").threshold(0.0, 0.0));
    f.options("clamp", &[(-0.5, 1.5), (f32::MIN, 0.7), (-1.0, f32::MAX)], |x, &(lo, hi)| x.clamp(lo, hi));
    f.case("clamp.special", |t| t("x").clamp(-0.5, 1.5));
    f.options("glu", &[-1, 1, -1], |x, &axis| x.glu(axis));
    f.case("glu.special", |t| t("x").glu(-1));
    f.options("pow_scalar", &[2.0, 3.0, -1.0, -2.0, 0.0], |x, &n| x.pow_scalar(n));
    f.options("pow_scalar.positive", &[0.5, -0.5, 1.7, -2.3, 17.0], |x, &n| x.pow_scalar(n));
    f.case("pow_scalar.zero", |t| t("x").pow_scalar(1.5));
    f.each("prelu", |t| t("x").prelu(&t("weight")));

    type Binary = fn(&Tensor, &Tensor) -> Tensor;
    let binary: &[(&str, Binary)] = &[
        ("minimum", Tensor::minimum),
        ("maximum", Tensor::maximum),
        ("atan2", Tensor::atan2),
        ("add", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("div", |a, b| a / b),
        ("rem", Tensor::rem),
        ("remainder", Tensor::remainder),
        ("floor_div", Tensor::floor_div),
        ("pow", Tensor::pow),
    ];
    for (name, function) in binary {
        f.binary(name, function);
    }
    let comparisons: &[(&str, Binary)] = &[
        ("lt", Tensor::lt),
        ("le", Tensor::le),
        ("gt", Tensor::gt),
        ("ge", Tensor::ge),
        ("equal", Tensor::equal),
        ("not_equal", Tensor::not_equal),
    ];
    for (name, comparison) in comparisons {
        f.binary(name, |a, b| comparison(a, b).select(&(a * 2.0), &-b));
    }
    f.binary("where", |a, b| a.gt(&Tensor::scalar(0.0f32)).select(a, b));
    f.case("heaviside.values", |t| t("a").heaviside(&Tensor::scalar(0.3f32)) * t("a"));
    f.case("lerp.scalar", |t| t("a").lerp(&t("b"), &Tensor::scalar(0.3f32)));
    f.case("lerp.outside", |t| t("a").lerp(&t("b"), &Tensor::scalar(-1.5f32)));
    f.case("lerp.tensor", |t| t("a").lerp(&t("b"), &t("weight")));
    f.each("clamp_between", |t| t("x").clamp_between(&t("lo"), &t("hi")));
    f.check(1e-5, 0.1);
}
