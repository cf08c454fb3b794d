//! GPT-2 against Hugging Face's `transformers`. The files are written by scripts/golden/gpt.py.

mod step;

use step::{Golden, Step, check_eval, check_step, full, golden, input, leaves};
use wgrad_graph::DType;
use wgrad_nn::optim::Sgd;
use wgrad_nn::{Layer, Scope};
use wgrad_zoo::gpt::{Gpt, Gpt2, local_name};

/// Evaluation, and a training step: logits, loss, every gradient, every updated parameter.
fn check(file: &Golden, model: &Gpt) {
    let leaves = leaves(file);
    let tokens = input(file, "tokens", DType::U32);
    check_eval(file, &leaves, &[("logits", &model.forward(&Scope::eval(), &tokens))]);

    let scope = Scope::train();
    let loss = model.loss(&scope, &tokens, &input(file, "targets", DType::U32));
    let updates = Sgd::new(0.1).momentum(0.9).weight_decay(1e-2).minimize(&scope, &loss);
    check_step(file, &leaves, &scope, &Step { outputs: vec![("loss", loss)], updates });
}

fn model(file: &Golden) -> Gpt {
    let (tokens, places) = (file.get("wte.weight").shape[0], file.get("wpe.weight").shape[0]);
    Gpt::new(tokens, places, 2, 2, file.get("ln_f.bias").shape[0]).unwrap().dropout(0.0)
}

#[test]
fn narrow_gpt2() {
    let file = golden("gpt2");
    check(&file, &model(&file));
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/gpt.py --full writes"]
fn full_gpt2() {
    check(&full("gpt2"), &Gpt::gpt2(Gpt2::Small).dropout(0.0));
}

/// A checkpoint as `save_pretrained` wrote it, with its prefix, and with the masks and the output layer that older files have:
/// the same weights by name, the same logits.
#[test]
fn checkpoint_of_hugging_face() {
    let (file, saved) = (golden("gpt2"), golden("gpt2_saved"));
    let mut leaves = leaves(&file);
    let names: Vec<(&str, &str)> = saved.names().into_iter().filter_map(|n| Some((n, local_name(n)?))).collect();
    // All of the model's, and nothing else.
    let scope = Scope::eval();
    let logits = model(&file).forward(&scope, &input(&file, "tokens", DType::U32));
    let mut expected: Vec<String> = scope.params().iter().map(|p| p.name().unwrap().to_string()).collect();
    expected.sort();
    let mut found: Vec<&str> = names.iter().map(|(_, local)| *local).collect();
    found.sort();
    assert_eq!(found, expected);
    assert!(saved.names().len() > names.len(), "the file has masks too");
    for (name, local) in names {
        leaves.insert(local.into(), saved.get(name).clone());
    }
    check_eval(&file, &leaves, &[("logits", &logits)]);
}
