//! Optimisers, clipping and schedules against PyTorch, over several steps. The file is written by
//! scripts/golden/optimizers.py.

mod support;

use support::{Backend, Golden, Leaves, Session, assert_close, row};
use wgrad_graph::{Array, DType, Init, Tensor};
use wgrad_nn::optim::{Adam, AdamW, LEARNING_RATE, Optimizer, RmsProp, Rule, Sgd};
use wgrad_nn::{Schedule, Scope};

const STEPS: usize = 5;

fn golden() -> Golden {
    Golden::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/optimizers.safetensors"))
}

/// Takes the golden steps, with the learning rates set before each of them if any are given.
fn check_rates<R: Rule>(name: &str, optimizer: Optimizer<R>, rates: Option<[f64; STEPS]>) {
    let file = golden();
    let scope = Scope::train();
    let names = ["w", "b"];
    // sum(p * g) has the gradient g.
    let terms = names.map(|n| {
        let shape = &file.get(n).shape;
        let p = scope.param(n, shape, Init::Constant(0.0));
        (p * Tensor::input(format!("grad.{n}"), shape.clone(), DType::F32)).sum_all()
    });
    let updates = optimizer.minimize(&scope, &(&terms[0] + &terms[1]));
    let start = names.map(|n| (n.to_string(), file.get(n).clone())).into();
    for &backend in Backend::all() {
        let mut session = Session::new(backend, &[], &updates, &start);
        for step in 0..STEPS {
            let grads = names.map(|n| format!("grad.{n}"));
            let leaves: Leaves = grads.map(|n| (n.clone(), row(file.get(&n), step))).into();
            if let Some(rates) = rates {
                session.set(LEARNING_RATE, &Array::new([], vec![rates[step]]));
            }
            session.run(&leaves);
            for n in names {
                let expected = row(file.get(&format!("{name}.{n}")), step);
                let what = format!("{name} on {backend}: {n} after step {}", step + 1);
                assert_close(&what, &session.state(n), &expected, backend.tolerance());
            }
        }
        // The gaps between parameters in a pack take part in all arithmetic, and must not become NaN.
        for state in updates.states() {
            let name = state.name().unwrap();
            assert!(session.state(name).data.iter().all(|x| x.is_finite()), "{name} is not finite");
        }
    }
}

fn check<R: Rule>(name: &str, optimizer: Optimizer<R>) {
    check_rates(name, optimizer, None);
}

fn only_w(name: &str, _: &[usize]) -> bool {
    name == "w"
}

#[test]
fn sgd() {
    check("sgd", Sgd::new(0.1));
    check("sgd_decay", Sgd::new(0.1).weight_decay(0.05));
    check("sgd_momentum", Sgd::new(0.1).momentum(0.9));
    check("sgd_dampening", Sgd::new(0.1).momentum(0.9).dampening(0.4));
    check("sgd_nesterov", Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(0.05));
    check("sgd_only_w", Sgd::new(0.1).momentum(0.9).weight_decay(0.3).decay_if(only_w));
}

#[test]
fn the_learning_rate_can_be_set_between_steps() {
    check_rates("sgd_rates", Sgd::new(7.0).momentum(0.9), Some([0.1, 0.05, 0.2, 0.2, 0.01]));
}

#[test]
fn adam() {
    check("adam", Adam::new(0.01));
    check("adam_decay", Adam::new(0.01).betas(0.8, 0.95).eps(1e-4).weight_decay(0.1));
    check("adamw", AdamW::new(0.01));
    check("adamw_only_w", AdamW::new(0.01).weight_decay(0.3).decay_if(only_w));
}

#[test]
fn rmsprop() {
    check("rmsprop", RmsProp::new(0.01));
    check("rmsprop_momentum", RmsProp::new(0.01).alpha(0.9).momentum(0.9).weight_decay(0.1));
    check("rmsprop_centered", RmsProp::new(0.01).alpha(0.9).centered(true).momentum(0.5).eps(1e-3));
}

#[test]
fn clipping() {
    check("clip_norm", Sgd::new(0.1).clip_norm(1.5));
    check("clip_norm_idle", Sgd::new(0.1).clip_norm(1e3));
    check("clip_value", Sgd::new(0.1).clip_value(0.4));
}

#[test]
fn schedules() {
    let file = golden();
    let check = |name: &str, schedule: Schedule| {
        let expected = file.get(&format!("schedule.{name}"));
        let got = (0..expected.data.len()).map(|t| schedule.lr_at(t as u64)).collect();
        assert_close(name, &Array::new(expected.shape.clone(), got), expected, 1e-14);
    };
    check("constant", Schedule::constant(0.5));
    check("step", Schedule::step(0.5, 3, 0.3));
    check("multi_step", Schedule::multi_step(0.5, [2, 5, 9], 0.1));
    check("cosine", Schedule::cosine_to(0.5, 0.05, 10));
    check("warm_up", Schedule::cosine(0.5, 8).warm_up(4, 0.1));
}
