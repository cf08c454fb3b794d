//! The op contract, checked in f64 for every case of the registry: gradient rules against finite differences, placed
//! mid-graph so that a rule that ignores the incoming gradient fails, and the gradients' own gradients likewise.

use std::collections::{HashMap, HashSet};
use wgrad_graph::contract::{check_gradients, compare, operations_of};
use wgrad_graph::{Array, DType, NAMES, OpCase, Tensor, checked, gradients, registry};

fn check_all(order: usize) {
    let cases: Vec<OpCase> = registry().into_iter().filter(|c| c.differences).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check_gradients(c, order).err().map(|e| format!("{c:?}: {e}"))).collect();
    assert!(cases.len() > 200, "{}", cases.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
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
fn every_primitive_is_listed_and_covered() {
    let seen: HashSet<&str> = registry().iter().flat_map(operations_of).collect();
    let missing: Vec<&&str> = NAMES.iter().filter(|n| !seen.contains(**n)).collect();
    assert!(missing.is_empty(), "no case builds {missing:?}");
    let unlisted: Vec<&&str> = seen.iter().filter(|n| !NAMES.contains(n)).collect();
    assert!(unlisted.is_empty(), "not in NAMES: {unlisted:?}");
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
