use super::*;
use wgrad_graph::{DType, checked};

fn images(batch: usize, channels: usize, size: usize) -> Tensor {
    Tensor::input("images", [batch, channels, size, size], DType::F32)
}

/// torchvision's published counts.
#[test]
fn published_sizes() {
    let sizes = [
        (Vit::base(16, 1000), "vit_b_16", 86_567_656),
        (Vit::base(32, 1000), "vit_b_32", 88_224_232),
        (Vit::large(16, 1000), "vit_l_16", 304_326_632),
        (Vit::large(32, 1000), "vit_l_32", 306_535_400),
        (Vit::huge(14, 1000), "vit_h_14", 632_045_800),
    ];
    for (model, name, expected) in sizes {
        let (model, scope) = (model.unwrap(), Scope::eval());
        assert_eq!(model.forward(&scope, &images(1, 3, 224)).shape(), [1, 1000]);
        assert_eq!(scope.param_count(), expected, "{name}");
        assert_eq!(model.name(), name);
    }
}

#[test]
fn shapes_through_every_stage() {
    let model = Vit::new(8, 2, 10).unwrap().in_channels(1).layers(3).width(12, 2).inner(20).dropout(0.1);
    let (scope, x) = (Scope::train(), images(5, 1, 8));
    let states = model.hidden_states(&scope, &x);
    assert_eq!(states.len(), 5);
    assert!(states.iter().all(|s| s.shape() == [5, 17, 12]));
    assert_eq!(model.forward(&scope, &x).shape(), [5, 10]);
    let weights = model.attention_weights(&Scope::eval(), &x);
    assert_eq!(weights.len(), 3);
    assert!(weights.iter().all(|w| w.shape() == [5, 2, 17, 17]));
    assert_eq!(model.rollout(&Scope::eval(), &x).shape(), [5, 4, 4]);
    assert_eq!(model.name(), "vit_12x3_2");
}

#[test]
fn names_are_torchvisions() {
    let scope = Scope::eval();
    Vit::new(4, 2, 7).unwrap().layers(1).representation(9).forward(&scope, &images(1, 3, 4));
    let mut found: Vec<String> =
        scope.params().iter().map(|p| format!("{} {:?}", p.name().unwrap(), p.shape())).collect();
    found.sort();
    let expected = [
        "class_token [1, 1, 64]",
        "conv_proj.bias [64]",
        "conv_proj.weight [64, 3, 2, 2]",
        "encoder.layers.encoder_layer_0.ln_1.bias [64]",
        "encoder.layers.encoder_layer_0.ln_1.weight [64]",
        "encoder.layers.encoder_layer_0.ln_2.bias [64]",
        "encoder.layers.encoder_layer_0.ln_2.weight [64]",
        "encoder.layers.encoder_layer_0.mlp.0.bias [128]",
        "encoder.layers.encoder_layer_0.mlp.0.weight [128, 64]",
        "encoder.layers.encoder_layer_0.mlp.3.bias [64]",
        "encoder.layers.encoder_layer_0.mlp.3.weight [64, 128]",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_bias [192]",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight [192, 64]",
        "encoder.layers.encoder_layer_0.self_attention.out_proj.bias [64]",
        "encoder.layers.encoder_layer_0.self_attention.out_proj.weight [64, 64]",
        "encoder.ln.bias [64]",
        "encoder.ln.weight [64]",
        "encoder.pos_embedding [1, 5, 64]",
        "heads.head.bias [7]",
        "heads.head.weight [7, 9]",
        "heads.pre_logits.bias [9]",
        "heads.pre_logits.weight [9, 64]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn wrong_sizes_are_told() {
    let error = Vit::new(28, 5, 10).unwrap_err().to_string();
    assert_eq!(error, "ViT: patches of 5x5 do not fill an image of 28x28");
    let model = Vit::new(8, 2, 10).unwrap();
    let error = checked(|| model.forward(&Scope::eval(), &images(1, 1, 8))).unwrap_err().to_string();
    assert!(error.starts_with("Vit: images [N, 3, 8, 8] expected, not [1, 1, 8, 8]"), "{error}");
    let error = checked(|| model.clone().width(10, 3).forward(&Scope::eval(), &images(1, 3, 8))).unwrap_err();
    assert!(error.to_string().contains("no multiple of 3 heads"), "{error}");
}
