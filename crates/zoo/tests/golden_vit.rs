//! Vision transformers against torchvision's, from a state dict bound by name. The files are written by scripts/golden/vit.py.

mod step;

use step::{Golden, Step, check_eval, check_step, golden, input, leaves};
use wgrad_graph::DType;
use wgrad_nn::optim::Sgd;
use wgrad_nn::{Layer, Scope};
use wgrad_zoo::Vit;

fn narrow() -> Vit {
    Vit::new(12, 4, 10).unwrap().layers(2).width(12, 2).inner(20)
}

fn check(model: &Vit, file: &Golden) {
    let mut leaves = leaves(file);
    leaves.insert("images".into(), file.get("images").map(|x| x / 128.0 - 1.0));
    let images = input(file, "images", DType::F32);
    check_eval(file, &leaves, &[("logits", &model.forward(&Scope::eval(), &images))]);

    let scope = Scope::train();
    let logits = model.forward(&scope, &images);
    let loss = logits.cross_entropy(&input(file, "labels", DType::U32));
    let updates = Sgd::new(0.1).momentum(0.9).weight_decay(1e-2).minimize(&scope, &loss);
    check_step(file, &leaves, &scope, &Step { outputs: vec![("logits", logits), ("loss", loss)], updates });
}

#[test]
fn torchvision_vit() {
    check(&narrow(), &golden("vit"));
}

#[test]
fn with_a_hidden_layer_in_the_head() {
    check(&narrow().representation(8), &golden("vit_pre_logits"));
}
