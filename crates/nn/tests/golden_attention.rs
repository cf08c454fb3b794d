//! Attention against PyTorch. The file is written by scripts/golden/attention.py.

mod support;

use support::case::Case;
use wgrad_graph::{Attention, Tensor};
use wgrad_nn::{MultiheadAttention, Scope};

fn case(name: &'static str) -> Case {
    Case::load("attention", name)
}

/// Attention of q, k and v; options from what more inputs there are.
fn attention(name: &'static str, more: &[&str], options: impl Fn(&[Tensor]) -> Attention) {
    let inputs = [&["q", "k", "v"], more].concat();
    case(name).check(Scope::train(), &inputs, |_, t| t[0].attention(&t[1], &t[2], &options(&t[3..])));
    case(name).check(Scope::train(), &inputs, |_, t| t[0].attention_plain(&t[1], &t[2], &options(&t[3..])).0);
}

fn causal() -> Attention {
    Attention { causal: true, ..Attention::default() }
}

#[test]
fn scaled_dot_product_attention() {
    attention("sdpa.plain", &[], |_| Attention::default());
    attention("sdpa.scaled", &[], |_| Attention { scale: Some(0.7), ..Attention::default() });
    attention("sdpa.causal", &[], |_| causal());
    attention("sdpa.fewer", &[], |_| causal());
    attention("sdpa.more", &[], |_| causal());
    attention("sdpa.masked", &["m"], |t| Attention { mask: Some(t[0].clone()), ..Attention::default() });
    attention("sdpa.biased", &["bias"], |t| Attention { bias: Some(t[0].clone()), ..Attention::default() });
    attention("sdpa.biased_by_key", &["bias"], |t| Attention {
        bias: Some(t[0].clone()),
        scale: Some(0.4),
        ..Attention::default()
    });
    attention("sdpa.grouped", &[], |_| causal());
}

#[test]
fn multihead_attention() {
    case("mha.self").layer(MultiheadAttention::new(6, 3));
    case("mha.causal").check(Scope::train(), &["x", "m"], |scope, t| {
        let options = Attention { mask: Some(t[1].clone()), ..causal() };
        MultiheadAttention::new(4, 2).attend(scope, &t[0], &t[0], &t[0], &options)
    });
    case("mha.cross").check(Scope::train(), &["x", "z", "bias"], |scope, t| {
        let options = Attention { bias: Some(t[2].clone()), ..Attention::default() };
        MultiheadAttention::new(4, 2).attend(scope, &t[0], &t[1], &t[1], &options)
    });
    case("mha.sizes").check(Scope::train(), &["x", "z", "w"], |scope, t| {
        let layer = MultiheadAttention::new(6, 2).key_size(5).value_size(4).bias(false);
        layer.attend(scope, &t[0], &t[1], &t[2], &Attention::default())
    });
}
