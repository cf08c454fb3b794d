//! Tools for gradients against closed forms and finite differences, in f64, and compiled.

use std::collections::HashMap;
use wgrad_graph::reference::evaluate;
use wgrad_graph::{
    Array, DType, Data, Device, Program, State, Tensor, Updates, checked, gradients, hessian, hvp, jacobian, jvp, vjp,
};

fn x(n: usize) -> Tensor {
    Tensor::input("x", [n], DType::F32)
}

fn leaves(values: &[f64]) -> HashMap<String, Array> {
    HashMap::from([("x".to_string(), Array::new([values.len()], values.to_vec()))])
}

/// The value in f64, after a check that the CPU backend gives the same.
fn value(t: &Tensor, at: &[f64]) -> Vec<f64> {
    let exact = evaluate(&[t], &leaves(at)).remove(0).data;
    let device = Device::cpu();
    let program = Program::compile(&device, &[t], &Updates::new()).unwrap();
    let mut state = State::init(&device, &program, 0).unwrap();
    let data: Vec<f32> = at.iter().map(|&v| v as f32).collect();
    let needed: Vec<(&str, Data)> = program.input_shapes().map(|(name, ..)| (name, Data::from(&data))).collect();
    let got = program.run(&mut state, &needed).unwrap().f32(0).unwrap();
    for (g, e) in got.iter().zip(&exact) {
        assert!((*g as f64 - e).abs() < 1e-5 * (1.0 + e.abs()), "{g} {e}");
    }
    exact
}

fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() < 1e-6 * (1.0 + e.abs()), "{got:?}, not {expected:?}");
    }
}

#[test]
fn gradients_with_respect_to_activations() {
    let at: [f64; 3] = [0.3, -0.7, 1.1];
    let x = x(3);
    let a = x.exp();
    let b = (&a * &x).sin();
    let loss = (b.square() + &a).sum_all();
    let [da, db, dx] = gradients(&loss, &[&a, &b, &x]).try_into().unwrap();
    let db_exact: Vec<f64> = at.iter().map(|&v| 2.0 * (v.exp() * v).sin()).collect();
    // To a directly, and through b.
    let da_exact: Vec<f64> = at.iter().zip(&db_exact).map(|(&v, d)| 1.0 + d * (v.exp() * v).cos() * v).collect();
    let dx_exact: Vec<f64> = at
        .iter()
        .zip(da_exact.iter().zip(&db_exact))
        .map(|(&v, (da, db))| da * v.exp() + db * (v.exp() * v).cos() * v.exp())
        .collect();
    close(&value(&db, &at), &db_exact);
    close(&value(&da, &at), &da_exact);
    close(&value(&dx, &at), &dx_exact);
    // The loss with respect to itself, and to what it does not depend on.
    let [same, none] = gradients(&loss, &[&loss, &b.cos()]).try_into().unwrap();
    close(&value(&same, &at), &[1.0]);
    close(&value(&none, &at), &[0.0; 3]);
}

#[test]
fn products_with_jacobians() {
    let at = [0.3, -0.7, 1.1, 0.5];
    let x = x(4);
    // y0 = sum(x^2), y1 = x0 * x reversed in pairs.
    let y0 = x.square().sum_all();
    let y1 = x.slice(0, 0..2) * x.slice(0, 2..4);
    let one = Tensor::scalar(2.0f32);
    let seed = Tensor::full([2], 3.0f32);
    let pulled = vjp(&[&y0, &y1], &[&x], &[&one, &seed]).remove(0);
    let expected = |i: usize| 4.0 * at[i] + 3.0 * at[(i + 2) % 4];
    close(&value(&pulled, &at), &[expected(0), expected(1), expected(2), expected(3)]);

    let along = Tensor::iota([4], 0).cast(DType::F32) + 1.0;
    let [t0, t1] = jvp(&[&y0, &y1], &[&x], &[&along]).try_into().unwrap();
    close(&value(&t0, &at), &[at.iter().enumerate().map(|(i, v)| 2.0 * v * (i + 1) as f64).sum()]);
    close(&value(&t1, &at), &[at[2] + 3.0 * at[0], 2.0 * at[3] + 4.0 * at[1]]);

    // Against differences, through something less simple.
    let f = |x: &Tensor| (x.sin().reshape([2, 2]).matmul(&x.exp().reshape([2, 2]))).softmax(1);
    let pushed = value(&jvp(&[&f(&x)], &[&x], &[&along]).remove(0), &at);
    let moved = |h: f64| {
        let moved: Vec<f64> = at.iter().enumerate().map(|(i, v)| v + h * (i + 1) as f64).collect();
        evaluate(&[&f(&x)], &leaves(&moved)).remove(0).data
    };
    let (up, down) = (moved(1e-5), moved(-1e-5));
    close(&pushed, &up.iter().zip(&down).map(|(u, d)| (u - d) / 2e-5).collect::<Vec<_>>());
}

#[test]
fn second_derivatives() {
    let at: [f64; 3] = [0.4, -0.9, 1.3];
    let x = x(3);
    // f = x0 * x1^2 + exp(x2) * x0
    let (a, b, c) = (x.slice(0, 0..1), x.slice(0, 1..2), x.slice(0, 2..3));
    let f = (&a * &b.square() + c.exp() * &a).sum_all();
    let (p, q, r) = (at[0], at[1], f64::exp(at[2]));
    let exact = [[0.0, 2.0 * q, r], [2.0 * q, 2.0 * p, 0.0], [r, 0.0, r * p]];
    let h = hessian(&f, &x);
    assert_eq!(h.shape(), [3, 3]);
    close(&value(&h, &at), &exact.concat());
    let along = [1.0, 2.0, -0.5];
    let v = Tensor::concat(&[&Tensor::full([1], 1f32), &Tensor::full([1], 2f32), &Tensor::full([1], -0.5f32)], 0);
    let hv = hvp(&f, &[&x], &[&v]).remove(0);
    let expected: Vec<f64> = exact.iter().map(|row| row.iter().zip(along).map(|(h, v)| h * v).sum()).collect();
    close(&value(&hv, &at), &expected);
}

#[test]
fn whole_jacobians() {
    let at: [f64; 2] = [0.2, 0.9];
    let x = x(2);
    let y = Tensor::concat(&[&x.exp(), &(x.slice(0, 0..1) * x.slice(0, 1..2))], 0);
    let j = jacobian(&y, &x);
    assert_eq!(j.shape(), [3, 2]);
    close(&value(&j, &at), &[at[0].exp(), 0.0, 0.0, at[1].exp(), at[1], at[0]]);
    // Of a matrix, and of a scalar.
    let wide = y.slice(0, 0..2).reshape([2, 1]);
    assert_eq!(jacobian(&wide, &x).shape(), [2, 1, 2]);
    close(&value(&jacobian(&x.square().sum_all(), &x), &at), &[0.4, 1.8]);
}

#[test]
fn gradients_by_decree() {
    let at = [0.3, -0.7, 1.6];
    let x = x(3);
    let rounded = x.round().straight_through(&x);
    close(&value(&rounded, &at), &[0.0, -1.0, 2.0]);
    close(&value(&gradients(&rounded.square(), &[&x]).remove(0), &at), &[0.0, -2.0, 4.0]);
    let reversed = x.reverse_gradient(0.5);
    close(&value(&reversed, &at), &at);
    close(&value(&gradients(&reversed.square(), &[&x]).remove(0), &at), &[-0.3, 0.7, -1.6]);
    let stopped = &x * &x.stop_gradient();
    close(&value(&gradients(&stopped, &[&x]).remove(0), &at), &at);
}

/// The penalty of WGAN-GP: (|d critic / d x| - 1)^2, and its gradient with respect to the critic's weights.
#[test]
fn gradient_penalty() {
    let at = [0.6, -0.2, 0.1, 0.8, -0.5, 0.3];
    let weights = x(6);
    let point = Tensor::full([4, 2], 0.7f32) * (Tensor::iota([4, 2], 0).cast(DType::F32) * 0.3 - 0.2);
    let penalty = |w: &Tensor| {
        let (first, second) = (w.slice(0, 0..4).reshape([2, 2]), w.slice(0, 4..6).reshape([2, 1]));
        let critic = point.matmul(&first).tanh().matmul(&second);
        let slope = gradients(&critic, &[&point]).remove(0);
        (slope.square().sum(&[1]).sqrt() - 1.0).square().mean_all()
    };
    let exact = value(&gradients(&penalty(&weights), &[&weights]).remove(0), &at);
    for i in 0..6 {
        let moved = |h: f64| {
            let mut at = at;
            at[i] += h;
            evaluate(&[&penalty(&weights)], &leaves(&at))[0].data[0]
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((exact[i] - difference).abs() < 1e-7, "{i}: {} {difference}", exact[i]);
    }
}

#[test]
fn bad_arguments_are_named() {
    let x = x(3);
    let y = x.exp();
    let two = Tensor::full([2], 1f32);
    for (error, op) in [
        (checked(|| vjp(&[&y], &[&x], &[&two])).unwrap_err(), "gradients"),
        (checked(|| vjp(&[&y], &[&x], &[])).unwrap_err(), "gradients"),
        (checked(|| jvp(&[&y], &[&x], &[&two])).unwrap_err(), "jvp"),
        (checked(|| hvp(&y, &[&x], &[&x, &x])).unwrap_err(), "hvp"),
        (checked(|| hessian(&y, &x)).unwrap_err(), "hessian"),
        (checked(|| x.round().straight_through(&two)).unwrap_err(), "straight_through"),
        (checked(|| gradients(&x.cast(DType::U32), &[&x])).unwrap_err(), "gradients"),
    ] {
        let text = error.to_string();
        assert!(text.starts_with(op) && text.contains("gradients.rs"), "{text}");
    }
}
