//! Losses against PyTorch. The file is written by scripts/golden/losses.py.

mod support;

use support::case::Case;
use wgrad_graph::{CrossEntropy, Tensor};
use wgrad_nn::Scope;
use wgrad_nn::loss::{self, *};

fn check(name: &'static str, inputs: &[&str], f: impl Fn(&[Tensor]) -> Tensor) {
    Case::load("losses", name).check(Scope::train(), inputs, |_, t| f(t));
}

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

/// The loss of x and t in the three reductions.
fn each(names: [&'static str; 3], f: impl Fn(&Tensor, &Tensor, Reduction) -> Tensor) {
    for (name, reduction) in names.into_iter().zip(REDUCTIONS) {
        check(name, &["x", "t"], |t| f(&t[0], &t[1], reduction));
    }
}

#[test]
fn regression() {
    each(["mse.mean", "mse.sum", "mse.none"], loss::mse);
    each(["l1.mean", "l1.sum", "l1.none"], loss::l1);
    each(["huber.mean", "huber.sum", "huber.none"], |x, t, r| huber(x, t, 0.7, r));
    each(["smooth_l1.mean", "smooth_l1.sum", "smooth_l1.none"], |x, t, r| smooth_l1(x, t, 0.4, r));
    check("smooth_l1.beta0", &["x", "t"], |t| smooth_l1(&t[0], &t[1], 0.0, Reduction::Mean));
}

#[test]
fn likelihoods_of_numbers() {
    let plain = PoissonNll::default();
    check("poisson_nll.plain", &["x", "t"], |t| poisson_nll(&t[0], &t[1], &plain, Reduction::Mean));
    let rate = PoissonNll { log_input: false, eps: 1e-3, ..plain };
    check("poisson_nll.rate", &["x", "t"], |t| poisson_nll(&t[0], &t[1], &rate, Reduction::Sum));
    let full = PoissonNll { full: true, ..plain };
    check("poisson_nll.full", &["x", "t"], |t| poisson_nll(&t[0], &t[1], &full, Reduction::None));
    let gaussian = |name, options: GaussianNll, reduction| {
        check(name, &["x", "t", "v"], |t| gaussian_nll(&t[0], &t[1], &t[2], &options, reduction));
    };
    let plain = GaussianNll::default();
    gaussian("gaussian_nll.plain", plain, Reduction::Mean);
    gaussian("gaussian_nll.shared", GaussianNll { full: true, ..plain }, Reduction::Sum);
    gaussian("gaussian_nll.rows", GaussianNll { full: true, eps: 0.4 }, Reduction::None);
}

#[test]
fn yes_or_no() {
    let plain = Bce::default();
    check("bce.plain", &["x", "t"], |t| bce(&t[0], &t[1], &plain, Reduction::Mean));
    check("bce.edge", &["x", "t"], |t| bce(&t[0], &t[1], &plain, Reduction::None));
    let case = Case::load("losses", "bce.weighted");
    let w = case.constant("w");
    case.check(Scope::train(), &["x", "t"], |_, t| {
        bce(&t[0], &t[1], &Bce { weight: Some(w.clone()), pos_weight: None }, Reduction::Sum)
    });
    check("bce_with_logits.plain", &["x", "t"], |t| bce_with_logits(&t[0], &t[1], &plain, Reduction::Mean));
    check("bce_with_logits.large", &["x", "t"], |t| bce_with_logits(&t[0], &t[1], &plain, Reduction::None));
    let case = Case::load("losses", "bce_with_logits.weighted");
    let options = Bce { weight: Some(case.constant("w")), pos_weight: Some(case.constant("v")) };
    case.check(Scope::train(), &["x", "t"], |_, t| bce_with_logits(&t[0], &t[1], &options, Reduction::Sum));
    let focal = |name, alpha, gamma, reduction| {
        check(name, &["x", "t"], |t| sigmoid_focal(&t[0], &t[1], alpha, gamma, reduction));
    };
    focal("sigmoid_focal.plain", Some(0.25), 2.0, Reduction::Mean);
    focal("sigmoid_focal.no_alpha", None, 1.0, Reduction::Sum);
    focal("sigmoid_focal.half", Some(0.7), 0.5, Reduction::None);
}

/// A loss of class numbers, with the weight of the file where there is one.
fn classes(name: &'static str, f: impl Fn(&Tensor, &Tensor, Option<Tensor>) -> Tensor) {
    let case = Case::load("losses", name);
    let weight = case.arrays.contains_key("weight").then(|| case.constant("weight"));
    case.check(Scope::train(), &["x", "t"], |_, t| f(&t[0], &t[1], weight.clone()));
}

#[test]
fn cross_entropy_and_nll() {
    let check = |names: [&'static str; 2], options: CrossEntropy| {
        classes(names[0], |x, t, weight| x.cross_entropy_with(t, &CrossEntropy { weight, ..options.clone() }));
        classes(names[1], |x, t, weight| x.log_softmax(1).nll_loss(t, &CrossEntropy { weight, ..options.clone() }));
    };
    let plain = CrossEntropy::default;
    check(["cross_entropy.weighted", "nll_loss.weighted"], plain());
    check(["cross_entropy.ignored", "nll_loss.ignored"], CrossEntropy { ignore: Some(3), ..plain() });
    let none = CrossEntropy { ignore: Some(1), reduction: Reduction::None, ..plain() };
    check(["cross_entropy.none", "nll_loss.none"], none);
    check(["cross_entropy.sum", "nll_loss.sum"], CrossEntropy { reduction: Reduction::Sum, ..plain() });
    let smooth = |label_smoothing, ignore| CrossEntropy { label_smoothing, ignore, ..plain() };
    for (name, options) in [("cross_entropy.smoothed", smooth(0.3, Some(3))), ("cross_entropy.soft", smooth(0.1, None))]
    {
        classes(name, |x, t, weight| x.cross_entropy_with(t, &CrossEntropy { weight, ..options.clone() }));
    }
}

#[test]
fn focal_and_margins_of_classes() {
    let of = |gamma, alpha: Option<&Tensor>| Focal { gamma, alpha: alpha.cloned() };
    check("focal.plain", &["x", "t"], |t| focal(&t[0], &t[1], &of(2.0, None), Reduction::Mean));
    check("focal.alpha", &["x", "t", "w"], |t| focal(&t[0], &t[1], &of(1.5, Some(&t[2])), Reduction::Sum));
    check("focal.half", &["x", "t"], |t| focal(&t[0], &t[1], &of(0.5, None), Reduction::None));
    let margin = |name, p, margin, reduction| {
        classes(name, |x, t, weight| multi_margin(x, t, &MultiMargin { p, margin, weight }, reduction));
    };
    margin("multi_margin.plain", 1, 1.0, Reduction::Mean);
    margin("multi_margin.squared", 2, 0.6, Reduction::None);
    margin("multi_margin.weighted", 1, 1.5, Reduction::Sum);
}

#[test]
fn margins_of_signs() {
    let check = |name, reduction, f: fn(&Tensor, &Tensor, Reduction) -> Tensor| {
        let case = Case::load("losses", name);
        // Fixed targets of -1 and 1, made from floats as the script makes them.
        let target = case.constant("t").sign();
        case.check(Scope::train(), &["x"], |_, t| f(&t[0], &target, reduction));
    };
    for (soft, embedding, reduction) in [
        ("soft_margin.mean", "hinge_embedding.mean", Reduction::Mean),
        ("soft_margin.sum", "hinge_embedding.sum", Reduction::Sum),
        ("soft_margin.none", "hinge_embedding.none", Reduction::None),
    ] {
        check(soft, reduction, soft_margin);
        check(embedding, reduction, |x, t, r| hinge_embedding(x, t, 0.8, r));
    }
}

#[test]
fn distributions() {
    check("kl_div.batchmean", &["x", "t"], |t| kl_div(&t[0], &t[1], false, Reduction::BatchMean));
    check("kl_div.log_target", &["x", "t"], |t| kl_div(&t[0], &t[1], true, Reduction::Sum));
    check("kl_div.none", &["x", "t"], |t| kl_div(&t[0], &t[1], false, Reduction::None));
}

#[test]
fn pairs() {
    // 1 for the first and third, -1 for the others, as in the script.
    let even = Tensor::iota([5], 0).rem(&Tensor::scalar(2u32)).equal(&Tensor::scalar(0u32));
    let first = Tensor::iota([5], 0).lt(&Tensor::scalar(4u32));
    let signs = even.logical_and(&first).select(&Tensor::scalar(1f32), &Tensor::scalar(-1f32));
    for (name, ranking, margin, reduction) in [
        ("cosine_embedding.plain", "margin_ranking.plain", 0.0, Reduction::Mean),
        ("cosine_embedding.margin", "margin_ranking.margin", 0.2, Reduction::Sum),
        ("cosine_embedding.none", "margin_ranking.none", -0.3, Reduction::None),
    ] {
        check(name, &["a", "b"], |t| cosine_embedding(&t[0], &t[1], &signs, margin, reduction));
        check(ranking, &["a", "b"], |t| margin_ranking(&t[0], &t[1], &signs, margin, reduction));
    }
    let plain = TripletMargin::default();
    let triplet = |name, options: TripletMargin, reduction| {
        check(name, &["a", "p", "n"], |t| triplet_margin(&t[0], &t[1], &t[2], &options, reduction));
    };
    triplet("triplet_margin.plain", plain, Reduction::Mean);
    triplet("triplet_margin.swap", TripletMargin { swap: true, margin: 0.5, ..plain }, Reduction::Sum);
    triplet("triplet_margin.cubes", TripletMargin { p: 3.0, eps: 1e-3, margin: 2.0, ..plain }, Reduction::None);
}
