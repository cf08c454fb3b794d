//! The op contract, checked in f64 for every case of the registry: gradient rules against finite differences, placed
//! mid-graph so that a rule that ignores the incoming gradient fails, and the gradients' own gradients likewise.

mod support;

use std::collections::HashMap;
use support::{Numbers, leaves_of};
use wgrad_graph::reference::evaluate;
use wgrad_graph::{Array, DType, NAMES, OpCase, Tensor, checked, gradients, registry};

fn random(numbers: &mut Numbers, shape: &[usize], (lo, hi): (f64, f64)) -> Array {
    let count = shape.iter().product();
    Array::new(shape, (0..count).map(|_| lo + (hi - lo) * numbers.next()).collect())
}

/// The case's inputs, and a loss that uses its result in the middle: scaled inputs go in, and a weighted sine comes after.
fn mid_graph(case: &OpCase) -> (Vec<Tensor>, Tensor) {
    let inputs: Vec<Tensor> =
        case.inputs.iter().enumerate().map(|(i, s)| Tensor::input(format!("x{i}"), s.clone(), DType::F32)).collect();
    // Not 1, so that the gradient of what comes before matters.
    let scaled: Vec<Tensor> = inputs.iter().map(|x| x * 0.75).collect();
    let y = (case.build)(&scaled);
    let weights = Tensor::input("weights", y.shape(), DType::F32);
    let loss = ((y * 0.5).sin() * weights).sum_all();
    (inputs, loss)
}

fn bind(case: &OpCase, loss: &Tensor, seed: u64) -> HashMap<String, Array> {
    let mut numbers = Numbers(seed);
    let mut leaves = HashMap::new();
    for (name, t) in leaves_of(std::slice::from_ref(loss)) {
        let (lo, hi) = if name.starts_with('x') { case.domain } else { (0.2, 1.0) };
        // Undo the scaling of mid_graph, so that the op sees its domain.
        leaves.insert(name, random(&mut numbers, t.shape(), (lo / 0.75, hi / 0.75)));
    }
    leaves
}

/// Compares `gradient` of `f` with central differences at a sample of positions.
fn compare(f: &Tensor, inputs: &[Tensor], grads: &[Tensor], leaves: &HashMap<String, Array>) -> Result<(), String> {
    let refs: Vec<&Tensor> = grads.iter().collect();
    let exact = evaluate(&refs, leaves);
    for (input, exact) in inputs.iter().zip(&exact) {
        let name = input.name().expect("an input").to_string();
        if !leaves.contains_key(&name) {
            // f does not depend on it; then neither may the rule.
            assert!(exact.data.iter().all(|&g| g == 0.0), "{name}");
            continue;
        }
        let n = input.count();
        for i in (0..n).step_by((n / 12).max(1)) {
            let at = |h: f64| {
                let mut leaves = leaves.clone();
                leaves.get_mut(&name).expect("bound").data[i] += h;
                evaluate(&[f], &leaves)[0].data[0]
            };
            // Fourth-order central difference.
            let h = 1e-5;
            let numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let diff = (numeric - exact.data[i]).abs();
            if diff > 2e-6 * (1.0 + numeric.abs()) || diff.is_nan() {
                return Err(format!("d/d{name}[{i}]: rule {}, differences {numeric}", exact.data[i]));
            }
        }
    }
    Ok(())
}

fn check_all(order: usize) {
    let mut failures = vec![];
    let mut checked_cases = 0;
    for case in registry().iter().filter(|c| c.differences) {
        let (inputs, loss) = mid_graph(case);
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let mut f = loss;
        for n in 1..order {
            // A scalar of the gradients, to be differentiated again. Sines keep the terms from cancelling.
            let grads = gradients(&f, &refs);
            f = grads
                .iter()
                .enumerate()
                .map(|(i, g)| ((g * (0.3 + 0.1 * i as f32)).sin() * n as f32).sum_all())
                .fold(Tensor::scalar(0.0f32), |a, b| a + b);
        }
        let grads = gradients(&f, &refs);
        let leaves = bind(case, &f, 7 + order as u64);
        if let Err(e) = compare(&f, &inputs, &grads, &leaves) {
            failures.push(format!("{case:?}: {e}"));
        }
        checked_cases += 1;
    }
    assert!(checked_cases > 200, "{checked_cases}");
    assert!(failures.is_empty(), "{} of {checked_cases}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn gradients_match_finite_differences() {
    check_all(1);
}

#[test]
fn second_gradients_match_finite_differences() {
    check_all(2);
}

#[test]
fn every_primitive_is_covered() {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for case in registry() {
        let (_, loss) = mid_graph(&case);
        let mut stack = vec![loss];
        while let Some(t) = stack.pop() {
            *seen.entry(t.op().name()).or_default() += 1;
            stack.extend(t.inputs().iter().cloned());
        }
    }
    let missing: Vec<&&str> = NAMES.iter().filter(|n| !seen.contains_key(**n)).collect();
    assert!(missing.is_empty(), "no case builds {missing:?}");
}

/// A rule that ignores what comes from downstream is caught by the check above; this shows that it is.
#[test]
fn a_wrong_rule_is_caught() {
    let x = Tensor::input("x0", [3], DType::F32);
    let wrong = x.square().with_gradient(&[&x], |_, x, _| vec![Some(&x[0] * 2.0)]);
    let loss = (wrong * Tensor::input("weights", [3], DType::F32)).sum_all();
    let grads = gradients(&loss, &[&x]);
    let leaves = HashMap::from([
        ("x0".to_string(), Array::new([3], vec![0.3, -0.7, 1.1])),
        ("weights".to_string(), Array::new([3], vec![0.5, 2.0, -1.0])),
    ]);
    assert!(compare(&loss, &[x], &grads, &leaves).is_err());
}

#[test]
fn the_gradient_of_a_shared_tensor_adds_up() {
    // f5(f3(f1(x1) + f4(f1(x1) + f2(x2))) + f4(...)): shared nodes.
    let x = Tensor::input("x0", [4], DType::F32);
    let a = x.exp();
    let b = (&a + &x.sin()).tanh();
    let loss = ((&a + &b).square() + &b).sum_all();
    let leaves = HashMap::from([("x0".to_string(), Array::new([4], vec![0.3, -0.7, 1.1, 0.0]))]);
    let grads = gradients(&loss, &[&x]);
    compare(&loss, &[x], &grads, &leaves).unwrap();
}

#[test]
fn shape_errors_name_op_shapes_and_place() {
    let a = Tensor::input("a", [2, 3], DType::F32);
    let b = Tensor::input("b", [4, 5], DType::F32);
    let text = |r: Result<Tensor, wgrad_graph::ShapeError>| r.unwrap_err().to_string();
    let e = text(checked(|| a.matmul(&b)));
    assert!(e.contains("matmul") && e.contains("[2, 3]") && e.contains("[4, 5]") && e.contains("op_rules.rs"), "{e}");
    for e in [
        text(checked(|| &a + &b)),
        text(checked(|| a.reshape([7]))),
        text(checked(|| a.permute(&[0, 0]))),
        text(checked(|| a.slice(1, 2..5))),
        text(checked(|| a.sum(&[2]))),
        text(checked(|| Tensor::concat(&[&a, &b], 0))),
        text(checked(|| a.cross_entropy(&b))),
        text(checked(|| a.cast(DType::U32).exp())),
        text(checked(|| a.unsqueeze(0).conv(&b.unsqueeze(0), &wgrad_graph::ConvOptions::new(1)))),
    ] {
        assert!(e.contains("op_rules.rs"), "no place in: {e}");
    }
}

#[test]
#[should_panic(expected = "matmul: [2, 3] times [2, 3]")]
fn unchecked_shape_errors_panic_with_their_text() {
    let a = Tensor::input("a", [2, 3], DType::F32);
    let _ = a.matmul(&a);
}
