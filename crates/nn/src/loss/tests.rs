use super::*;
use std::collections::HashMap;
use wgrad_graph::{Array, CrossEntropy, Device, Program, State, Updates, checked, gradients, reference::evaluate};

fn vector(name: &str, n: usize) -> Tensor {
    Tensor::input(name, [n], DType::F32)
}

/// Values of outputs given x and t, in f64 and on the CPU backend, which have to agree.
fn values(outputs: &[&Tensor], x: &[f32], t: &[f32]) -> Vec<Vec<f64>> {
    let array = |d: &[f32]| Array::new([d.len()], d.iter().map(|&v| v as f64).collect());
    let exact = evaluate(outputs, &HashMap::from([("x".to_string(), array(x)), ("t".to_string(), array(t))]));
    let device = Device::cpu();
    let program = Program::compile(&device, outputs, &Updates::new()).unwrap();
    let mut state = State::init(&device, &program, 0).unwrap();
    let given: Vec<_> =
        program.input_shapes().map(|(name, ..)| (name.to_string(), if name == "x" { x } else { t })).collect();
    let mut got =
        program.run(&mut state, &given.iter().map(|(n, d)| (n.as_str(), (*d).into())).collect::<Vec<_>>()).unwrap();
    for (i, e) in exact.iter().enumerate() {
        for (g, e) in got.f32(i).unwrap().iter().zip(&e.data) {
            assert!((*g as f64 - e).abs() <= 1e-5 * (1.0 + e.abs()), "output {i}: {g} {e}");
        }
    }
    exact.into_iter().map(|a| a.data).collect()
}

/// The loss of each element and its gradient with respect to x.
fn loss_and_slope(f: impl Fn(&Tensor, &Tensor) -> Tensor, x: &[f32], t: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let (a, b) = (vector("x", x.len()), vector("t", t.len()));
    let loss = f(&a, &b);
    let slope = gradients(&loss, &[&a]).remove(0);
    let mut both = values(&[&loss, &slope], x, t);
    let slope = both.pop().unwrap();
    (both.pop().unwrap(), slope)
}

const EACH: Reduction = Reduction::None;

#[test]
fn values_and_reductions() {
    let (x, t) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 6.0, 4.0]);
    let (a, b) = (vector("x", 4), vector("t", 4));
    let got = values(&[&mse(&a, &b, Reduction::Mean), &l1(&a, &b, Reduction::Sum), &l1(&a, &b, EACH)], &x, &t);
    assert_eq!(got, [vec![13.0 / 4.0], vec![5.0], vec![0.0, 2.0, 3.0, 0.0]]);
    assert_eq!(values(&[&mse(&a, &b, Reduction::BatchMean)], &x, &t), [[13.0 / 4.0]]);
}

/// At 1e4 the exponentials overflow, and the losses may not.
#[test]
fn large_logits() {
    let (x, t) = ([1e4, -1e4, 1e4, -1e4], [1.0, 1.0, 0.0, 0.0]);
    let (loss, slope) = loss_and_slope(|x, t| bce_with_logits(x, t, &Bce::default(), EACH), &x, &t);
    assert_eq!(loss, [0.0, 1e4, 1e4, 0.0]);
    assert_eq!(slope, [0.0, -1.0, 1.0, 0.0]);
    for gamma in [0.0, 0.5, 1.0, 2.0, 3.5] {
        let (loss, slope) = loss_and_slope(|x, t| sigmoid_focal(x, t, None, gamma, EACH), &x, &t);
        assert_eq!(loss, [0.0, 1e4, 1e4, 0.0], "gamma {gamma}");
        assert_eq!(slope, [0.0, -1.0, 1.0, 0.0], "gamma {gamma}");
    }
    let signs = [1.0, 1.0, -1.0, -1.0];
    let (loss, slope) = loss_and_slope(|x, t| soft_margin(x, t, EACH), &x, &signs);
    assert_eq!((loss, slope), (vec![0.0, 1e4, 1e4, 0.0], vec![0.0, -1.0, 1.0, 0.0]));
    let (loss, slope) = loss_and_slope(|x, t| log_cosh(x, t, EACH), &x, &t);
    assert!(loss.iter().all(|l| (l - 1e4).abs() < 2.0), "{loss:?}");
    assert_eq!(slope, [1.0, -1.0, 1.0, -1.0]);

    // Of several classes; the class numbers come from floats here.
    let class = |t: &Tensor| t.slice(0, 0..2).cast(DType::U32);
    let scores = |x: &Tensor| x.reshape([2, 2]);
    let each = CrossEntropy { reduction: EACH, ..CrossEntropy::default() };
    let entropy = |x: &Tensor, t: &Tensor| scores(x).cross_entropy_with(&class(t), &each);
    let (loss, slope) = loss_and_slope(entropy, &x, &[0.0, 1.0, 0.0, 0.0]);
    assert_eq!(loss, [0.0, 2e4]);
    assert_eq!(slope, [0.0, 0.0, 1.0, -1.0]);
    for gamma in [0.0, 0.5, 2.0] {
        let options = Focal { alpha: None, gamma };
        let f = |x: &Tensor, t: &Tensor| focal(&scores(x), &class(t), &options, EACH);
        let (loss, slope) = loss_and_slope(f, &x, &[0.0, 1.0, 0.0, 0.0]);
        assert_eq!(loss, [0.0, 2e4], "gamma {gamma}");
        assert_eq!(slope, [0.0, 0.0, 1.0, -1.0], "gamma {gamma}");
    }
}

/// Where a formula has an edge, what PyTorch 2 gives there.
#[test]
fn edges() {
    let (loss, slope) = loss_and_slope(|x, t| l1(x, t, EACH), &[0.5, 0.5], &[0.5, 0.0]);
    assert_eq!((loss, slope), (vec![0.0, 0.5], vec![0.0, 1.0]));
    let (_, slope) = loss_and_slope(|x, t| huber(x, t, 1.0, EACH), &[1.0, 0.0, -1.0], &[0.0; 3]);
    assert_eq!(slope, [1.0, 0.0, -1.0]);
    let (_, slope) = loss_and_slope(|x, t| smooth_l1(x, t, 0.5, EACH), &[0.5, 0.0, -0.5], &[0.0; 3]);
    assert_eq!(slope, [1.0, 0.0, -1.0]);
    // Probabilities of 0 and 1: the logarithm stops at -100, the divisor at 1e-12.
    let (loss, slope) =
        loss_and_slope(|x, t| bce(x, t, &Bce::default(), EACH), &[0.0, 1.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 0.0]);
    assert_eq!(loss, [0.0, 0.0, 100.0, 100.0]);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
    assert!(slope[0] == 0.0 && slope[1] == 0.0 && close(slope[2], -1e12) && close(slope[3], 1e12), "{slope:?}");
    // At the margin: margin_ranking and hinge_embedding have the inside's gradient, hinge the outside's.
    let (loss, slope) = loss_and_slope(|x, t| margin_ranking(x, &(x * 0.0), t, 1.0, EACH), &[1.0, -1.0], &[1.0, -1.0]);
    assert_eq!((loss, slope), (vec![0.0, 0.0], vec![-1.0, 1.0]));
    let (loss, slope) = loss_and_slope(|x, t| hinge_embedding(x, t, 1.0, EACH), &[1.0, 1.0], &[-1.0, 1.0]);
    assert_eq!((loss, slope), (vec![0.0, 1.0], vec![-1.0, 1.0]));
    let (_, slope) = loss_and_slope(|x, t| hinge(x, t, EACH), &[1.0, -1.0], &[1.0, -1.0]);
    assert_eq!(slope, [0.0, 0.0]);
    // Targets of 0 in a distribution.
    let (loss, slope) = loss_and_slope(|x, t| kl_div(x, t, false, EACH), &[-1.0, -2.0], &[0.0, 1.0]);
    assert_eq!((loss, slope), (vec![0.0, 2.0], vec![0.0, -1.0]));
    // Equal vectors.
    let target = Tensor::full([], 0f32);
    let (loss, slope) = loss_and_slope(|x, t| contrastive(x, t, &target, 2.0, EACH), &[1.0, 2.0], &[1.0, 2.0]);
    assert_eq!((loss, slope), (vec![2.0], vec![0.0, 0.0]));
    let (loss, slope) = loss_and_slope(|x, t| cosine_embedding(x, t, &target, 0.0, EACH), &[1.0, 2.0], &[0.0, 0.0]);
    assert_eq!((loss, slope), (vec![0.0], vec![0.0, 0.0]));
}

#[test]
fn bad_arguments_are_named() {
    let (a, b) = (Tensor::input("a", [3, 1], DType::F32), vector("b", 3));
    let (two, labels) = (Tensor::input("two", [3, 2], DType::F32), Tensor::input("labels", [3], DType::U32));
    let mean = Reduction::Mean;
    type Build<'a> = &'a dyn Fn() -> Tensor;
    let cases: [(&str, &str, Build); 26] = [
        ("mse", "[3, 1]", &|| mse(&a, &b, mean)),
        ("l1", "u32 [3]", &|| l1(&b, &labels, mean)),
        ("huber", "delta = 0", &|| huber(&b, &b, 0.0, mean)),
        ("smooth_l1", "beta = -1", &|| smooth_l1(&b, &b, -1.0, mean)),
        ("log_cosh", "[3]", &|| log_cosh(&a, &b, mean)),
        ("poisson_nll", "[3]", &|| poisson_nll(&a, &b, &PoissonNll::default(), mean)),
        ("gaussian_nll", "variance f32 [3, 2]", &|| gaussian_nll(&b, &b, &two, &GaussianNll::default(), mean)),
        ("bce", "[3]", &|| bce(&a, &b, &Bce::default(), mean)),
        ("bce", "pos_weight", &|| bce(&b, &b, &Bce { pos_weight: Some(b.clone()), weight: None }, mean)),
        ("bce_with_logits", "does not stretch", &|| {
            bce_with_logits(&b, &b, &Bce { pos_weight: Some(two.clone()), weight: None }, mean)
        }),
        ("sigmoid_focal", "alpha = 2", &|| sigmoid_focal(&b, &b, Some(2.0), 2.0, mean)),
        ("sigmoid_focal", "gamma = -1", &|| sigmoid_focal(&b, &b, None, -1.0, mean)),
        ("focal", "target f32", &|| focal(&two, &b, &Focal::default(), mean)),
        ("focal", "alpha is f32 [3]", &|| focal(&two, &labels, &Focal { alpha: Some(b.clone()), gamma: 2.0 }, mean)),
        ("hinge", "u32", &|| hinge(&b, &labels, mean)),
        ("multi_margin", "target f32", &|| multi_margin(&two, &b, &MultiMargin::default(), mean)),
        ("multi_margin", "p = 3", &|| multi_margin(&two, &labels, &MultiMargin { p: 3, ..Default::default() }, mean)),
        ("margin_ranking", "[3, 1]", &|| margin_ranking(&b, &a, &b, 0.0, mean)),
        ("cosine_embedding", "target f32 [3]", &|| cosine_embedding(&two, &two, &a, 0.0, mean)),
        ("cosine_embedding", "margin = 2", &|| cosine_embedding(&two, &two, &b, 2.0, mean)),
        ("contrastive", "margin = -1", &|| contrastive(&two, &two, &b, -1.0, mean)),
        ("triplet_margin", "margin = 0", &|| {
            triplet_margin(&two, &two, &two, &TripletMargin { margin: 0.0, ..Default::default() }, mean)
        }),
        ("kl_div", "[3]", &|| kl_div(&a, &b, false, mean)),
        ("dice", "no axes from 1", &|| dice(&b, &b, &Dice::default(), mean)),
        ("nll_loss", "u32 [3]", &|| two.nll_loss(&b, &CrossEntropy::default())),
        ("cross_entropy", "class weights are f32 [3]", &|| {
            two.cross_entropy_with(&labels, &CrossEntropy { weight: Some(b.clone()), ..Default::default() })
        }),
    ];
    for (op, what, build) in cases {
        let text = checked(build).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("{op}: ")) && text.contains(what) && text.contains("tests.rs"),
            "{op}: {text}"
        );
    }
    assert!(checked(|| correct(&a, &b)).is_err());
    assert!(checked(|| correct_in_top(&two, &labels, 0)).is_err());
    assert!(checked(|| correct_in_top(&a.flatten(0), &labels, 1)).is_err());
    assert!(checked(|| Reduction::BatchMean.apply(Tensor::scalar(1f32))).is_err());
}

#[test]
fn counts_right_answers() {
    let (x, y) = (Tensor::input("x", [3, 2], DType::F32), Tensor::input("y", [3], DType::U32));
    let leaves = HashMap::from([
        ("x".to_string(), Array::new([3, 2], vec![0.1, 0.2, 3.0, -1.0, 0.0, 5.0])),
        ("y".to_string(), Array::new([3], vec![1.0, 1.0, 1.0])),
    ]);
    assert_eq!(evaluate(&[&correct(&x, &y)], &leaves)[0].data, [2.0]);
}

#[test]
fn counts_answers_near_the_top() {
    let (x, y) = (Tensor::input("x", [3, 4], DType::F32), Tensor::input("y", [3], DType::U32));
    // The right ones are second, first and last.
    let logits = vec![0.1, 0.2, 0.3, -1.0, 9.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0];
    let leaves = HashMap::from([
        ("x".to_string(), Array::new([3, 4], logits)),
        ("y".to_string(), Array::new([3], vec![1.0, 0.0, 0.0])),
    ]);
    let counts: Vec<Tensor> = (1..=4).map(|k| correct_in_top(&x, &y, k)).collect();
    let counts = evaluate(&counts.iter().collect::<Vec<_>>(), &leaves);
    assert_eq!(counts.iter().map(|c| c.data[0]).collect::<Vec<_>>(), [1.0, 2.0, 2.0, 3.0]);
}
