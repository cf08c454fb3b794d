use super::*;
use wgrad_graph::{Data, Device, Program, State, Updates, checked};
use wgrad_nn::optim::Adam;

fn tokens(name: &str, batch: usize, length: usize) -> Tensor {
    Tensor::input(name, [batch, length], DType::U32)
}

fn params(model: &Transformer) -> Scope {
    let scope = Scope::train();
    let logits = model.logits(&scope, &tokens("source", 2, 5), &tokens("target", 2, 4));
    assert_eq!(logits.shape(), [2, 4, model.target_tokens]);
    scope
}

#[test]
fn parameter_counts() {
    let stacks = |scope: &Scope| scope.enter("encoder").param_count() + scope.enter("decoder").param_count();
    // torch.nn.Transformer() with its own defaults, which has the norms after the stacks.
    assert_eq!(stacks(&params(&Transformer::new(5, 5).final_norm(true))), 44_140_544);
    // The paper's base model with the 37,000 tokens of its English-German data, which it gives as 65 million.
    assert_eq!(params(&Transformer::new(37_000, 37_000).tied(true)).param_count(), 44_138_496 + 37_000 * 512);
    // The copy task of The Annotated Transformer: two layers, eleven tokens, norms first.
    let copy = params(&Transformer::new(11, 11).layers(2).pre_norm(true));
    assert_eq!(copy.param_count(), 14_731_787);
    assert_eq!(copy.enter("encoder.layers.0").param_count(), 3_152_384);
    assert_eq!(copy.enter("decoder.layers.0").param_count(), 4_204_032);
    // Two tables of 11 rows, an output layer with a bias, and two last norms are what is beside the layers.
    assert_eq!(14_731_787 - 2 * (3_152_384 + 4_204_032), 2 * 11 * 512 + (11 * 512 + 11) + 2 * 1024);
}

#[test]
fn names_are_pytorchs() {
    let scope = params(&Transformer::new(5, 6).layers(1).width(8).heads(2).hidden(16).pre_norm(true));
    let names: Vec<String> = scope.tensors().iter().map(|t| t.name().unwrap().to_string()).collect();
    let of = |prefix: &str| names.iter().filter_map(|n| n.strip_prefix(prefix)).collect::<Vec<_>>();
    let attention = ["in_proj_bias", "in_proj_weight", "out_proj.bias", "out_proj.weight"];
    assert_eq!(of("encoder.layers.0.self_attn."), attention);
    assert_eq!(of("decoder.layers.0.multihead_attn."), attention);
    let rest = ["linear1.bias", "linear1.weight", "linear2.bias", "linear2.weight", "norm1.bias", "norm1.weight"];
    assert_eq!(of("encoder.layers.0.")[..6], rest);
    assert_eq!(of("decoder.layers.0.norm3."), ["bias", "weight"]);
    assert_eq!(of("encoder.norm."), ["bias", "weight"]);
    let outer: Vec<&String> = names.iter().filter(|n| !n.contains("coder.")).collect();
    assert_eq!(outer, ["generator.bias", "generator.weight", "src_embed.weight", "tgt_embed.weight"]);
    let learned = params(&Transformer::new(5, 6).layers(1).positions(Positions::Learned(9)));
    assert_eq!(learned.enter("tgt_pos").param_count(), 9 * 512);
}

#[test]
fn options_that_do_not_fit() {
    let text = |model: Transformer| model.check().unwrap_err().to_string();
    assert_eq!(text(Transformer::new(5, 5).heads(3)), "transformer: width 512 is no multiple of 3 heads");
    assert_eq!(text(Transformer::new(0, 5)), "transformer: source tokens must not be 0");
    assert!(text(Transformer::new(5, 6).tied(true)).contains("5 source and 6 target"));
    assert!(text(Transformer::new(5, 5).width(9).heads(3)).contains("width 9 is odd"));
    assert!(text(Transformer::new(5, 5).dropout(f32::NAN)).contains("dropout NaN"));
    let model = Transformer::new(5, 5).layers(1).positions(Positions::Learned(3));
    let error = checked(|| model.encode(&Scope::eval(), &tokens("source", 2, 4))).unwrap_err().to_string();
    assert!(error.starts_with("Transformer: 4 tokens, but only 3 places"), "{error}");
}

fn tiny() -> Transformer {
    Transformer::new(7, 7).layers(1).width(8).heads(2).hidden(16).pre_norm(true).padding(0)
}

fn run(state: &mut State, device: &Device, value: &Tensor, inputs: &[(&str, Data)]) -> Vec<f32> {
    let program = Program::compile(device, &[value], &Updates::new()).unwrap();
    state.add(&program).unwrap();
    program.run(state, inputs).unwrap().f32(0).unwrap()
}

/// A state with a model's parameters, some steps into training on writing the source again.
fn trained(device: &Device, model: &Transformer) -> State {
    let scope = Scope::train();
    let [source, target, next] = ["source", "target", "next"].map(|n| tokens(n, 2, 4));
    let loss = model.clone().dropout(0.0).loss(&scope, &source, &target, &next, 0.0);
    let program = Program::compile(device, &[&loss], &Adam::new(0.01).minimize(&scope, &loss)).unwrap();
    let mut state = State::init(device, &program, 1).unwrap();
    for i in 0..60 {
        let source: Vec<u32> = (0..8).map(|j| (i * 5 + j * j * 3 + i * j) % 5 + 2).collect();
        let target: Vec<u32> = (0..8).map(|j| if j % 4 == 0 { 1 } else { source[j - 1] }).collect();
        let inputs = [("source", Data::from(&source)), ("target", Data::from(&target)), ("next", Data::from(&source))];
        program.run(&mut state, &inputs).unwrap();
    }
    state
}

/// What stands in padded or later places changes nothing.
#[test]
fn padding_and_the_future_are_not_seen() {
    let (device, model) = (Device::cpu(), tiny());
    let mut state = trained(&device, &model);
    let logits = |state: &mut State, length: usize, source: &[u32], target: &[u32]| {
        let [s, t] = [("source", length), ("target", target.len())].map(|(n, l)| tokens(n, 1, l));
        let value = model.logits(&Scope::eval(), &s, &t);
        run(state, &device, &value, &[("source", Data::from(source)), ("target", Data::from(target))])
    };
    let short = logits(&mut state, 2, &[2, 3], &[1, 2, 3]);
    let padded = logits(&mut state, 4, &[2, 3, 0, 0], &[1, 2, 3]);
    let other = logits(&mut state, 2, &[2, 3], &[1, 2, 6]);
    assert!(short.iter().zip(&padded).all(|(a, b)| (a - b).abs() < 1e-5), "{short:?} {padded:?}");
    assert_eq!(short[..14], other[..14]);
    assert_ne!(short[14..], other[14..]);
}

/// Weights of each place add up to one, over what is no padding.
#[test]
fn attention_is_spread_over_the_source() {
    let (device, model) = (Device::cpu(), tiny().layers(2));
    let mut state = trained(&device, &model);
    let weights = model.attention(&Scope::eval(), &tokens("source", 2, 4), &tokens("target", 2, 3), 1);
    assert_eq!(weights.shape(), [2, 2, 3, 4]);
    let [source, target] = [vec![2u32, 3, 4, 5, 6, 2, 0, 0], vec![1, 2, 3, 1, 6, 2]];
    let rows = run(&mut state, &device, &weights, &[("source", Data::from(&source)), ("target", Data::from(&target))]);
    for (i, row) in rows.chunks(4).enumerate() {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
        assert_eq!(row[2..] == [0.0, 0.0], i >= 6, "{row:?}");
    }
}

/// Greedy decoding takes the likeliest token after those that it wrote, place by place.
#[test]
fn greedy_decoding_follows_the_logits() {
    let (device, model) = (Device::cpu(), tiny());
    let mut state = trained(&device, &model);
    let source: Vec<u32> = vec![2, 3, 4, 5, 6, 2, 0, 0];
    let greedy = Greedy::new(&device, &model, 2, 4, 5).unwrap();
    let written = greedy.run(&mut state, &source, 1, None).unwrap();
    assert_eq!((written.len(), written[0], written[5]), (10, 1, 1));
    let value = model.logits(&Scope::eval(), &tokens("source", 2, 4), &tokens("target", 2, 5));
    let logits = run(&mut state, &device, &value, &[("source", Data::from(&source)), ("target", Data::from(&written))]);
    for (row, text) in written.chunks(5).enumerate() {
        for place in 1..5 {
            let logits = &logits[(row * 5 + place - 1) * 7..][..7];
            let best = (0..7).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert_eq!(text[place], best as u32, "row {row}, place {place}");
        }
    }
    // Its own first token as the end: everything after is that token.
    let ended = greedy.run(&mut state, &source, 1, Some(written[1])).unwrap();
    assert!(ended[1..5].iter().all(|&t| t == written[1]), "{ended:?}");
    assert!(greedy.run(&mut state, &source[..4], 1, None).is_err());
    // Without padding, the decoder has no need of the source.
    let plain = Transformer { padding: None, ..model };
    Greedy::new(&device, &plain, 1, 4, 3).unwrap().run(&mut state, &source[..4], 1, None).unwrap();
}
