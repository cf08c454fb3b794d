use super::*;
use wgrad_graph::{Data, Device, Program, State, Updates, checked};

fn params(model: &Gpt) -> Vec<String> {
    let scope = Scope::train();
    let tokens = Tensor::input("tokens", [2, 5], DType::U32);
    assert_eq!(model.forward(&scope, &tokens).shape(), [2, 5, model.vocabulary]);
    scope.params().iter().map(|p| format!("{} {:?}", p.name().unwrap(), p.shape())).collect()
}

/// As `sum(p.numel() for p in GPT2LMHeadModel(config).parameters())` counts them.
#[test]
fn published_sizes() {
    for (size, expected) in
        [(Gpt2::Small, 124_439_808), (Gpt2::Medium, 354_823_168), (Gpt2::Large, 774_030_080), (Gpt2::Xl, 1_557_611_200)]
    {
        let scope = Scope::eval();
        Gpt::gpt2(size).forward(&scope, &Tensor::input("tokens", [1, 4], DType::U32));
        assert_eq!(scope.param_count(), expected, "{size:?}");
    }
}

#[test]
fn names_are_hugging_faces() {
    let names = params(&Gpt::new(11, 7, 2, 2, 8).unwrap());
    let expected = [
        "wte.weight [11, 8]",
        "wpe.weight [7, 8]",
        "h.0.ln_1.weight [8]",
        "h.0.ln_1.bias [8]",
        "h.0.attn.c_attn.weight [8, 24]",
        "h.0.attn.c_attn.bias [24]",
        "h.0.attn.c_proj.weight [8, 8]",
        "h.0.attn.c_proj.bias [8]",
        "h.0.ln_2.weight [8]",
        "h.0.ln_2.bias [8]",
        "h.0.mlp.c_fc.weight [8, 32]",
        "h.0.mlp.c_fc.bias [32]",
        "h.0.mlp.c_proj.weight [32, 8]",
        "h.0.mlp.c_proj.bias [8]",
        "h.1.ln_1.weight [8]",
    ];
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(names[names.len() - 2..], ["ln_f.weight [8]", "ln_f.bias [8]"]);
    assert_eq!(local_name("transformer.wte.weight"), Some("wte.weight"));
    assert_eq!(local_name("lm_head.weight"), None);
    assert_eq!(local_name("transformer.h.3.attn.masked_bias"), None);
}

#[test]
fn wrong_sizes_are_told() {
    let text = |r: Result<Gpt, ZooError>| r.unwrap_err().to_string();
    assert_eq!(text(Gpt::new(11, 7, 2, 3, 8)), "GPT: width 8 is no multiple of 3 heads");
    assert_eq!(text(Gpt::new(11, 0, 2, 2, 8)), "GPT: context must not be 0");
    let model = Gpt::new(11, 7, 2, 2, 8).unwrap();
    let long = Tensor::input("tokens", [1, 8], DType::U32);
    let error = checked(|| model.forward(&Scope::eval(), &long)).unwrap_err().to_string();
    assert!(error.starts_with("Gpt: u32 [N, 1 to 7] expected, not u32 [1, 8]"), "{error}");
}

#[test]
fn models_are_told_from_checkpoints() {
    let shapes: [(&str, &[usize]); 5] = [
        ("transformer.wte.weight", &[50257, 768]),
        ("transformer.wpe.weight", &[1024, 768]),
        ("transformer.h.11.ln_1.weight", &[768]),
        ("transformer.h.2.ln_1.weight", &[768]),
        ("lm_head.weight", &[50257, 768]),
    ];
    assert_eq!(Gpt::of_checkpoint(shapes, None).unwrap(), Gpt::gpt2(Gpt2::Small));
    assert!(Gpt::of_checkpoint(shapes, Some(5)).is_err());
    let error = Gpt::of_checkpoint(shapes[1..].to_vec(), None).unwrap_err().to_string();
    assert_eq!(error, "GPT: no checkpoint: wte.weight is None, wpe.weight Some([1024, 768])");
}

fn device() -> Device {
    let choice = std::env::var("WGRAD_TEST_DEVICE").unwrap_or_default();
    Device::open(if choice.is_empty() { "cpu" } else { &choice }.parse().unwrap()).unwrap()
}

/// A generator on weights large enough that tokens matter, with its state.
fn generator(context: usize) -> (Gpt, Device, Generator, State) {
    let (model, device) = (Gpt::new(13, context, 2, 2, 8).unwrap(), device());
    let generator = Generator::new(&device, &model).unwrap();
    let mut state = generator.state(5).unwrap();
    let names: Vec<String> = state.tensors().map(|(n, ..)| n.to_string()).collect();
    for name in names.iter().filter(|n| !n.starts_with("cache")) {
        let larger: Vec<f32> = state.f32(name).unwrap().iter().map(|x| 20.0 * x).collect();
        state.set_f32(name, &larger).unwrap();
    }
    (model, device, generator, state)
}

/// Logits of every place from the whole text at once.
fn all_at_once(model: &Gpt, device: &Device, state: &mut State, tokens: &[u32]) -> Vec<f32> {
    let input = Tensor::input("tokens", [1, tokens.len()], DType::U32);
    let logits = model.forward(&Scope::eval(), &input);
    let program = Program::compile(device, &[&logits], &Updates::new()).unwrap();
    program.run(state, &[("tokens", Data::from(tokens))]).unwrap().f32(0).unwrap()
}

fn close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= 1e-5 * scale, "{what}: {g}, not {e} (of at most {scale})");
    }
}

#[test]
fn remembered_keys_give_the_same_logits_at_every_place() {
    let (model, device, mut generator, mut state) = generator(12);
    let text: Vec<u32> = (0..12).map(|i| i * 7 % 13).collect();
    let whole = all_at_once(&model, &device, &mut state, &text);
    let row = |i: usize| &whole[i * 13..(i + 1) * 13];
    // Prompts of a length that is compiled for, and of others.
    for prompt in [1, 2, 5, 11] {
        close(&generator.read(&mut state, &text[..prompt]).unwrap(), row(prompt - 1), "the prompt");
        for i in prompt..12 {
            close(&generator.push(&mut state, text[i]).unwrap(), row(i), &format!("prompt {prompt}, place {i}"));
        }
    }
    // A longer prompt is seen from its end.
    let longer = [&[3, 3, 3], &text[..]].concat();
    close(&generator.read(&mut state, &longer).unwrap(), row(11), "a prompt that is too long");
}

#[test]
fn a_full_context_goes_on_with_its_younger_half() {
    let (model, device, mut generator, mut state) = generator(4);
    generator.read(&mut state, &[1, 2, 3, 4]).unwrap();
    let expected = all_at_once(&model, &device, &mut state, &[3, 4, 5]);
    close(&generator.push(&mut state, 5).unwrap(), &expected[2 * 13..], "after the context");
    let expected = all_at_once(&model, &device, &mut state, &[3, 4, 5, 6]);
    close(&generator.push(&mut state, 6).unwrap(), &expected[3 * 13..], "and on");
}

#[test]
fn text_is_generated_by_seed() {
    let (.., mut generator, mut state) = generator(6);
    let mut text = |sampling, seed| {
        let mut sampler = Sampler::new(sampling, seed).unwrap();
        generator.generate(&mut state, &[1, 2], 20, &mut sampler, |_| true).unwrap()
    };
    assert_eq!(text(Sampling::default(), 3), text(Sampling::default(), 3));
    assert_ne!(text(Sampling::default(), 3), text(Sampling::default(), 4));
    assert_eq!(text(Sampling::greedy(), 3), text(Sampling::greedy(), 4));
    let greedy = text(Sampling::greedy(), 0);
    assert_eq!(greedy.len(), 20);
    let mut sampler = Sampler::new(Sampling::greedy(), 0).unwrap();
    let mut seen = vec![];
    let stopped = generator
        .generate(&mut state, &[1, 2], 20, &mut sampler, |t| {
            seen.push(t);
            seen.len() < 3
        })
        .unwrap();
    assert_eq!((stopped.as_slice(), seen.as_slice()), (&greedy[..3], &greedy[..3]));
}

#[test]
fn what_is_no_prompt() {
    let (.., mut generator, mut state) = generator(6);
    let error = generator.read(&mut state, &[]).unwrap_err().to_string();
    assert!(error.contains("no tokens"), "{error}");
    let error = generator.read(&mut state, &[1, 13]).unwrap_err().to_string();
    assert!(error.contains("13 is no token"), "{error}");
}
