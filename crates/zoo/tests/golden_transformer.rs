//! The encoder-decoder against torch.nn.Transformer, in both orders of norm and sub-layer, with padding in source and target.
//! The files are written by scripts/golden/transformer.py.

mod step;

use step::{Golden, Step, check_eval, check_step, full, golden, input, leaves};
use wgrad_graph::DType;
use wgrad_nn::Scope;
use wgrad_nn::optim::Sgd;
use wgrad_zoo::Transformer;

fn check(file: &Golden, model: Transformer, pre_norm: bool) {
    let model = model.dropout(0.0).padding(0);
    // PyTorch's class has the norms after the stacks in both forms.
    let model = model.pre_norm(pre_norm).final_norm(true);
    let leaves = leaves(file);
    let [source, target, next] = ["source", "target", "next"].map(|n| input(file, n, DType::U32));
    check_eval(file, &leaves, &[("logits", &model.logits(&Scope::eval(), &source, &target))]);

    let scope = Scope::train();
    let loss = model.loss(&scope, &source, &target, &next, 0.1);
    let updates = Sgd::new(0.1).momentum(0.9).weight_decay(1e-2).minimize(&scope, &loss);
    check_step(file, &leaves, &scope, &Step { outputs: vec![("loss", loss)], updates });
}

fn narrow() -> Transformer {
    Transformer::new(11, 13).layers(2).width(12).heads(3).hidden(20)
}

#[test]
fn post_norm() {
    check(&golden("transformer_post"), narrow(), false);
}

#[test]
fn pre_norm() {
    check(&golden("transformer_pre"), narrow(), true);
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/transformer.py --full writes"]
fn full_transformer() {
    check(&full("transformer"), Transformer::new(11, 13), false);
}
