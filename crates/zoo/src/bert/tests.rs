use super::*;
use wgrad_graph::checked;

fn ids(batch: usize, length: usize) -> Tensor {
    Tensor::input("ids", [batch, length], DType::U32)
}

fn names(scope: &Scope) -> Vec<String> {
    scope.params().iter().map(|p| p.name().unwrap().to_string()).collect()
}

/// Hugging Face's counts, with the pooler.
#[test]
fn published_sizes() {
    let sizes =
        [(Bert::base(30_522), 109_482_240), (Bert::large(30_522), 335_141_888), (Bert::mini_lm(30_522), 22_713_216)];
    for (model, expected) in sizes {
        let scope = Scope::eval();
        let hidden = model.forward(&scope, &ids(1, 8));
        model.pool(&scope, &hidden);
        assert_eq!(scope.param_count(), expected, "{model:?}");
    }
}

#[test]
fn shapes_through_every_stage() {
    let model = Bert::new(50, 12, 3, 2).unwrap().inner(20).positions(9);
    let scope = Scope::train();
    let both = Tensor::input("both", [2, 7], DType::U32);
    let tokens = Tokens::new(&ids(2, 7)).segments(&both).mask(&both);
    let states = model.hidden_states(&scope, &tokens);
    assert_eq!(states.len(), 4);
    assert!(states.iter().all(|s| s.shape() == [2, 7, 12]));
    assert_eq!(model.pool(&scope, &states[3]).shape(), [2, 12]);
    assert_eq!(mean_pool(&states[3], tokens.mask.as_ref()).shape(), [2, 12]);
    assert_eq!(sentence_embedding(&model, &Scope::eval(), &tokens).shape(), [2, 12]);

    let scope = Scope::train();
    let heads = BertPreTraining::new(model.clone()).predict(&scope, &tokens, &Tensor::input("at", [2, 3], DType::U32));
    assert_eq!((heads.tokens.shape(), heads.next.shape()), (&[2, 3, 50][..], &[2, 2][..]));
    let labels = Tensor::input("labels", [2, 3], DType::U32);
    let next = Tensor::input("next", [2], DType::U32);
    for value in [heads.loss(&labels, &next), heads.token_accuracy(&labels), heads.next_accuracy(&next)] {
        assert!(value.shape().is_empty());
    }
    assert_eq!(BertClassifier::new(model, 5).classify(&Scope::train(), &tokens).shape(), [2, 5]);
}

#[test]
fn names_are_hugging_faces() {
    let model = BertPreTraining::new(Bert::new(50, 12, 1, 2).unwrap());
    let scope = Scope::eval();
    model.predict(&scope, &Tokens::new(&ids(2, 7)), &Tensor::input("at", [2, 3], DType::U32));
    let mut found = names(&scope);
    found.sort();
    let layer = [
        "attention.output.LayerNorm.bias",
        "attention.output.LayerNorm.weight",
        "attention.output.dense.bias",
        "attention.output.dense.weight",
        "attention.self.key.bias",
        "attention.self.key.weight",
        "attention.self.query.bias",
        "attention.self.query.weight",
        "attention.self.value.bias",
        "attention.self.value.weight",
        "intermediate.dense.bias",
        "intermediate.dense.weight",
        "output.LayerNorm.bias",
        "output.LayerNorm.weight",
        "output.dense.bias",
        "output.dense.weight",
    ];
    let mut expected: Vec<String> = [
        "bert.embeddings.LayerNorm.bias",
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.position_embeddings.weight",
        "bert.embeddings.token_type_embeddings.weight",
        "bert.embeddings.word_embeddings.weight",
    ]
    .map(String::from)
    .to_vec();
    expected.extend(layer.map(|name| format!("bert.encoder.layer.0.{name}")));
    expected.extend(["bert.pooler.dense.bias", "bert.pooler.dense.weight"].map(String::from));
    let heads = [
        "bias",
        "transform.LayerNorm.bias",
        "transform.LayerNorm.weight",
        "transform.dense.bias",
        "transform.dense.weight",
    ];
    expected.extend(heads.map(|name| format!("cls.predictions.{name}")));
    expected.extend(["cls.seq_relationship.bias", "cls.seq_relationship.weight"].map(String::from));
    assert_eq!(found, expected);

    // The encoder alone has no prefix.
    let scope = Scope::eval();
    Bert::new(50, 12, 1, 2).unwrap().forward(&scope, &ids(2, 7));
    assert!(names(&scope).contains(&"encoder.layer.0.attention.self.query.weight".to_string()));
}

#[test]
fn wrong_input_names_the_model() {
    let error = Bert::new(50, 10, 1, 3).unwrap_err().to_string();
    assert_eq!(error, "BERT: width 10 is no multiple of 3 heads");
    let model = Bert::new(50, 12, 1, 2).unwrap().positions(9);
    let error = |tokens: &Tokens| checked(|| model.encode(&Scope::eval(), tokens)).unwrap_err().to_string();
    let long = error(&Tokens::new(&ids(2, 10)));
    assert!(long.starts_with("Bert: token numbers u32 [N, 1 to 9] expected, not u32 [2, 10]"), "{long}");
    let mask = error(&Tokens::new(&ids(2, 9)).mask(&Tensor::input("mask", [2, 8], DType::U32)));
    assert!(mask.contains("the mask u32 [2, 9] expected, not u32 [2, 8]"), "{mask}");
    let heads = BertPreTraining::new(model.clone());
    let positions = Tensor::input("at", [3, 2], DType::U32);
    let picked = checked(|| heads.predict(&Scope::eval(), &Tokens::new(&ids(2, 9)), &positions).next).unwrap_err();
    assert!(picked.to_string().contains("positions u32 [2, P] expected"), "{picked}");
}
