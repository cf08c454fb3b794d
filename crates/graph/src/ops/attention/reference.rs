//! Attention in f64, by loops.

use crate::op::Array;
use wgrad_device::kernels::{AttentionKernel, AttentionPart, row_inputs};
use wgrad_device::philox;

/// The value of one kernel.
pub(super) fn part(kernel: &AttentionKernel, inputs: &[&Array], shape: &[usize]) -> Array {
    let a = &kernel.attention;
    let backward = kernel.part != AttentionPart::Forward;
    let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
    let mut rest = inputs[if backward { 4 + row_inputs(a) } else { 3 }..].iter();
    let words = if a.words() > 0 { rest.next() } else { None };
    let bias = rest.next();
    let word = |i: usize| words.expect("there are words").data[i] as u32;
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    // Of results: the heads of a place stand side by side.
    let place = |b: usize, h: usize, i: usize, [heads, length, size]: [usize; 3]| {
        let at = ((b * length + i) * heads + h) * size;
        at..at + size
    };
    let mut out = vec![0.0; shape.iter().product()];
    for b in 0..a.batch {
        for h in 0..a.heads {
            let kv = h / (a.heads / a.kv_heads);
            for i in 0..a.length_q {
                let line = (b * a.heads + h) * a.length_q + i;
                // What query i sees: key, score, and the factor of dropout.
                let mut seen: Vec<(usize, f64, f64)> = vec![];
                for j in 0..a.length_k {
                    let distance = j as i64 - i as i64 - a.offset;
                    if a.left.is_some_and(|l| distance < -(l as i64))
                        || a.right.is_some_and(|r| distance > r as i64)
                        || a.mask && word(a.mask_at() + b * a.length_k + j) == 0
                    {
                        continue;
                    }
                    let mut s = a.scale as f64 * dot(&q.data[row(q, b, h, i)], &k.data[row(k, b, kv, j)]);
                    if let Some(bias) = bias {
                        let of = |x: usize, d: usize| if bias.shape[d] == 1 { 0 } else { x };
                        s += bias.at(&[of(b, 0), of(h, 1), of(i, 2), j]);
                    }
                    if s <= f32::MIN as f64 {
                        continue;
                    }
                    let z = a.dropout.map_or(1.0, |d| {
                        let counter = [(line * a.length_k + j) as u32, d.stream, word(2), 0];
                        let bits = philox([word(0), word(1)], counter)[0] >> 8;
                        if bits >= d.threshold { d.factor as f64 } else { 0.0 }
                    });
                    seen.push((j, s, z));
                }
                if !backward {
                    let max = seen.iter().fold(f64::MIN, |m, x| m.max(x.1));
                    let sum: f64 = seen.iter().map(|x| (x.1 - max).exp()).sum();
                    out[a.count_o() + line] = if seen.is_empty() { f32::MIN as f64 } else { max + sum.ln() };
                    for &(j, s, z) in &seen {
                        let p = (s - max).exp() / sum * z;
                        let o = &mut out[place(b, h, i, [a.heads, a.length_q, a.size_v])];
                        o.iter_mut().zip(&v.data[row(v, b, kv, j)]).for_each(|(o, v)| *o += p * v);
                    }
                    continue;
                }
                let (grad, logs) = (inputs[3], inputs[4]);
                // The sums follow the logarithms, there or in an input of their own.
                let sum = inputs[3 + row_inputs(a)].data[(2 - row_inputs(a)) * a.rows() + line];
                let g = &grad.data[row(grad, b, h, i)];
                for &(j, s, z) in &seen {
                    let p = (s - logs.data[line]).exp();
                    let ds = p * (z * dot(g, &v.data[row(v, b, kv, j)]) - sum);
                    let mut add = |at: std::ops::Range<usize>, x: &[f64], by: f64| {
                        out[at].iter_mut().zip(x).for_each(|(o, x)| *o += by * x);
                    };
                    let scaled = ds * a.scale as f64;
                    match kernel.part {
                        AttentionPart::Forward => unreachable!("done above"),
                        AttentionPart::BackwardQuery => {
                            let at = place(b, h, i, [a.heads, a.length_q, a.size]);
                            add(at, &k.data[row(k, b, kv, j)], scaled);
                        }
                        AttentionPart::BackwardKeyValue => {
                            let at = place(b, kv, j, [a.kv_heads, a.length_k, a.size]);
                            add(at, &q.data[row(q, b, h, i)], scaled);
                            let at = place(b, kv, j, [a.kv_heads, a.length_k, a.size_v]);
                            add(at.start + a.count_k()..at.end + a.count_k(), g, p * z);
                        }
                        AttentionPart::BackwardAll => {
                            let beside = |which: usize, i: usize| {
                                let at = (((b * a.length_q + i) * 3 + which) * a.heads + h) * a.size;
                                at..at + a.size
                            };
                            add(beside(0, i), &k.data[row(k, b, kv, j)], scaled);
                            add(beside(1, j), &q.data[row(q, b, h, i)], scaled);
                            add(beside(2, j), g, p * z);
                        }
                        AttentionPart::BackwardBias => {
                            let of = |x: usize, d: usize| if shape[d] == 1 { 0 } else { x };
                            let line = (of(b, 0) * shape[1] + of(h, 1)) * shape[2] + of(i, 2);
                            add(line * a.length_k + j..line * a.length_k + j + 1, &[ds], 1.0);
                        }
                    }
                }
            }
        }
    }
    Array::new(shape, out)
}

/// The elements of row `i` of a head, in [batch, heads, length, size].
fn row(t: &Array, b: usize, h: usize, i: usize) -> std::ops::Range<usize> {
    let (heads, length, size) = (t.shape[1], t.shape[2], t.shape[3]);
    let at = ((b * heads + h) * length + i) * size;
    at..at + size
}
