//! Test cases of attention.

use super::{Align, Attention, DropWeights};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// [batch, heads, kv_heads, length_q, length_k, size, size_v]
type Sizes = [usize; 7];

fn shapes([b, h, kv, lq, lk, d, dv]: Sizes) -> Vec<Vec<usize>> {
    vec![vec![b, h, lq, d], vec![b, kv, lk, d], vec![b, kv, lk, dv]]
}

/// A case with options that are made when it is built; with a bias, if it has a shape, as the fourth argument.
fn case(text: &str, sizes: Sizes, bias: Option<[usize; 4]>, options: fn(&Sizes) -> Attention) -> OpCase {
    let mut inputs = shapes(sizes);
    inputs.extend(bias.map(|b| b.to_vec()));
    let inputs: Vec<&[usize]> = inputs.iter().map(Vec::as_slice).collect();
    OpCase::new("attention", format!("attention {text} {sizes:?}"), &inputs, move |x| {
        let mut options = options(&sizes);
        options.bias = x.get(3).map(|b| b * 2.0);
        // Larger scores, so that the weights are not all alike.
        (&x[0] * 3.0).attention(&x[1], &x[2], &options)
    })
}

fn drop_weights(p: f32) -> Option<DropWeights> {
    let word = |i: usize, v: u32| Tensor::full([1], v).pad(0, i, 3 - i, 0.0);
    let generator = word(0, 0x1234_5678) + word(1, 0x9abc_def0) + word(2, 7);
    Some(DropWeights { p, generator, stream: 4 })
}

/// Every third key is hidden, and with `all`, every key of the first problem.
fn mask(&[batch, .., length, _, _]: &Sizes, all: bool) -> Option<Tensor> {
    let shape = [batch, length];
    let word = |x: u32| Tensor::scalar(x);
    let seen = Tensor::iota(shape, 1).rem(&word(3)).not_equal(&word(1));
    let first = Tensor::iota(shape, 0).ge(&word(all as u32));
    Some(seen.logical_and(&first))
}

fn lengths(&[batch, .., length, _, _]: &Sizes) -> Option<Tensor> {
    Some(Tensor::scalar(length as u32) - Tensor::iota([batch], 0) * Tensor::scalar(2u32))
}

pub(crate) fn cases() -> Vec<OpCase> {
    let plain = |_: &Sizes| Attention::default();
    let causal = |_: &Sizes| Attention { causal: true, ..Attention::default() };
    let cache = |_: &Sizes| Attention { causal: true, align: Align::BottomRight, ..Attention::default() };
    vec![
        case("plain", [2, 2, 2, 5, 5, 4, 4], None, plain),
        case("of one key", [1, 1, 1, 3, 1, 3, 2], None, plain),
        case("of one query", [2, 3, 1, 1, 7, 5, 3], None, plain),
        case("of sizes one", [1, 2, 2, 3, 2, 1, 1], None, plain),
        case("of nobody", [0, 2, 2, 3, 4, 2, 2], None, plain),
        case("without queries", [1, 2, 1, 0, 4, 2, 2], None, plain),
        case("without keys", [1, 2, 2, 3, 0, 2, 2], None, plain),
        case("of a wide head", [1, 1, 1, 3, 4, 35, 34], None, plain),
        case("scaled", [1, 2, 2, 4, 6, 3, 3], None, |_| Attention { scale: Some(0.9), ..Attention::default() }),
        case("grouped", [2, 4, 2, 3, 5, 3, 2], None, causal),
        case("multi-query", [1, 3, 1, 4, 4, 2, 3], None, plain),
        case("causal", [1, 2, 2, 7, 7, 3, 3], None, causal),
        case("causal, more queries", [1, 2, 1, 6, 3, 3, 3], None, causal),
        case("causal, more keys", [1, 2, 1, 3, 6, 3, 3], None, causal),
        case("causal over a cache", [1, 2, 1, 3, 6, 3, 3], None, cache),
        case("causal, rows that see nothing", [1, 2, 1, 6, 3, 3, 2], None, cache),
        case("windowed", [1, 2, 2, 9, 9, 3, 3], None, |_| Attention {
            left: Some(2),
            right: Some(1),
            ..Attention::default()
        }),
        case("windowed, causal, over a cache", [1, 2, 2, 5, 9, 3, 3], None, |_| Attention {
            causal: true,
            align: Align::BottomRight,
            left: Some(3),
            ..Attention::default()
        }),
        case("masked", [2, 2, 1, 4, 7, 3, 3], None, |s| Attention { mask: mask(s, false), ..Attention::default() }),
        case("masked whole", [2, 2, 2, 3, 5, 3, 3], None, |s| Attention {
            mask: mask(s, true),
            ..Attention::default()
        }),
        case("of lengths", [3, 2, 2, 4, 6, 3, 3], None, |s| Attention { lengths: lengths(s), ..Attention::default() }),
        case("masked, of lengths, causal", [2, 2, 1, 6, 6, 3, 3], None, |s| Attention {
            mask: mask(s, false),
            lengths: lengths(s),
            causal: true,
            ..Attention::default()
        }),
        case("biased", [2, 2, 2, 3, 5, 3, 3], Some([2, 2, 3, 5]), plain),
        case("biased by head", [2, 2, 1, 4, 5, 3, 2], Some([1, 2, 4, 5]), causal),
        case("biased by problem", [2, 2, 2, 4, 5, 3, 3], Some([2, 1, 4, 5]), plain),
        case("biased by key", [2, 3, 1, 4, 5, 3, 3], Some([1, 3, 1, 5]), plain),
        case("biased for all", [2, 2, 2, 4, 5, 3, 3], Some([1, 1, 1, 5]), |s| Attention {
            mask: mask(s, false),
            ..Attention::default()
        }),
        case("dropped", [2, 2, 2, 4, 6, 3, 3], None, |_| Attention {
            dropout: drop_weights(0.4),
            ..Attention::default()
        }),
        case("dropped, masked, biased, causal", [2, 4, 2, 5, 6, 3, 2], Some([1, 4, 5, 6]), |s| Attention {
            dropout: drop_weights(0.25),
            mask: mask(s, false),
            causal: true,
            ..Attention::default()
        }),
        case("dropped whole", [1, 1, 1, 3, 4, 2, 2], None, |_| Attention {
            dropout: drop_weights(1.0),
            ..Attention::default()
        }),
        OpCase::new(
            "attention_with_lse",
            "attention and its logarithms",
            &[&[2, 2, 4, 3], &[2, 1, 5, 3], &[2, 1, 5, 2]],
            |x| {
                let (o, logs) = x[0].attention_with_lse(&x[1], &x[2], &causal_options());
                &o * logs.cast(o.dtype()).unsqueeze(3)
            },
        ),
        // Queries, keys and values side by side, as one product makes them: none of them is dense.
        OpCase::new("attention", "attention of a fused projection", &[&[2, 5, 24]], |x| {
            let parts = (&x[0] * 3.0).reshape([2, 5, 3, 2, 4]).permute(&[2, 0, 3, 1, 4]);
            let [q, k, v] = [0, 1, 2].map(|i| parts.slice(0, i..i + 1).reshape([2, 2, 5, 4]));
            q.attention(&k, &v, &causal_options()).permute(&[0, 2, 1, 3]).reshape([2, 5, 8]).sin()
        }),
        OpCase::new("self_attention", "self_attention", &[&[2, 5, 24]], |x| {
            (&x[0] * 3.0).reshape([2, 5, 3, 2, 4]).self_attention(&causal_options()).reshape([2, 5, 8]).sin()
        }),
        OpCase::new(
            "self_attention",
            "self_attention with a mask, of a bias",
            &[&[2, 3, 3, 2, 2], &[1, 2, 3, 3]],
            |x| {
                let mask = Some(Tensor::iota([2, 3], 1).lt(&Tensor::scalar(2u32)));
                (&x[0] * 2.0).self_attention(&Attention { mask, bias: Some(x[1].clone()), ..Attention::default() })
            },
        ),
        OpCase::new("attention_with_lse", "logarithms only", &[&[1, 2, 4, 3], &[1, 2, 6, 3], &[1, 2, 6, 2]], |x| {
            x[0].attention_with_lse(&x[1], &x[2], &Attention::default()).1
        }),
        OpCase::new(
            "attention_with_lse",
            "two halves put together",
            &[&[1, 2, 3, 4], &[1, 2, 8, 4], &[1, 2, 8, 3]],
            |x| {
                let half = |r: std::ops::Range<usize>| {
                    x[0].attention_with_lse(&x[1].slice(2, r.clone()), &x[2].slice(2, r), &Attention::default())
                };
                let ((a, la), (b, lb)) = (half(0..3), half(3..8));
                let share = (&la - &lb).sigmoid().cast(a.dtype()).unsqueeze(3);
                &a * &share + b * (1.0 - share)
            },
        ),
        OpCase::new("attention", "attention of projections", &[&[2, 5, 6], &[6, 18]], |x| {
            // [batch, length, heads, size] split out of one product, as models do.
            let qkv = x[0].matmul(&x[1]).reshape([2, 5, 3, 2, 3]).permute(&[2, 0, 3, 1, 4]);
            let part = |i: usize| qkv.slice(0, i..i + 1).reshape([2, 2, 5, 3]);
            part(0).attention(&part(1), &part(2), &causal_options()).permute(&[0, 2, 1, 3]).reshape([2, 5, 6])
        }),
        OpCase::new("attention_plain", "plain attention", &[&[2, 4, 3, 3], &[2, 2, 5, 3], &[2, 2, 5, 2]], |x| {
            let (o, logs) = x[0].attention_plain(&x[1], &x[2], &causal_options());
            &o * logs.cast(o.dtype()).unsqueeze(3)
        }),
        OpCase::new(
            "attention",
            "attention under a mask by infinite bias",
            &[&[1, 1, 3, 2], &[1, 1, 4, 2], &[1, 1, 4, 2]],
            |x| {
                let at = |d| Tensor::iota([1, 1, 3, 4], d).cast(DType::F32);
                let hidden = at(3).gt(&at(2));
                let bias = hidden.select(&Tensor::scalar(f32::MIN), &Tensor::scalar(0.0f32));
                x[0].attention(&x[1], &x[2], &Attention { bias: Some(bias), ..Attention::default() })
            },
        ),
    ]
}

fn causal_options() -> Attention {
    Attention { causal: true, ..Attention::default() }
}
