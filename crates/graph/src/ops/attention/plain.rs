//! Attention composed of other operations, with the scores stored: the fallback for second gradients.

use super::least;
use crate::{Tensor, partial_gradients};
use wgrad_device::kernels::{Attention as Problem, AttentionKernel, AttentionPart, row_inputs};

/// The inputs by name.
struct Inputs<'a> {
    a: &'a Problem,
    q: &'a Tensor,
    k: &'a Tensor,
    v: &'a Tensor,
    words: Option<&'a Tensor>,
    bias: Option<&'a Tensor>,
}

impl Inputs<'_> {
    fn new<'a>(a: &'a Problem, all: &'a [Tensor], extras: usize) -> Inputs<'a> {
        let mut rest = all[extras..].iter();
        let words = if a.words() > 0 { rest.next() } else { None };
        Inputs { a, q: &all[0], k: &all[1], v: &all[2], words, bias: rest.next() }
    }

    /// Keys, or values, for each head of q.
    fn wide(&self, t: &Tensor) -> Tensor {
        let [batch, kv, length, size] = t.dims();
        let group = self.a.heads / self.a.kv_heads;
        if group == 1 {
            return t.clone();
        }
        t.unsqueeze(2).broadcast_to([batch, kv, group, length, size]).reshape([batch, kv * group, length, size])
    }

    fn score_shape(&self) -> [usize; 4] {
        [self.a.batch, self.a.heads, self.a.length_q, self.a.length_k]
    }

    /// The scores, the least float where a key is not seen; and where it is seen.
    fn scores(&self) -> (Tensor, Tensor) {
        let (a, shape) = (self.a, self.score_shape());
        let mut s = self.q.matmul(&self.wide(self.k).transpose(2, 3)).mul_scalar(a.scale as f64);
        if let Some(bias) = self.bias {
            s = s + bias;
        }
        let mut seen = s.stop_gradient().gt(&least());
        // j - i - offset, from 0 on: u32 has no negative numbers.
        let distance = Tensor::iota(shape, 3) + Tensor::scalar(a.length_q as u32) - Tensor::iota(shape, 2);
        let own = a.length_q as i64 + a.offset;
        let word = |x: i64| Tensor::scalar(x.clamp(0, u32::MAX as i64) as u32);
        if let Some(left) = a.left {
            seen = seen.logical_and(&distance.ge(&word(own - left as i64)));
        }
        if let Some(right) = a.right {
            // One more than the farthest, so that nothing is left if that would be negative.
            seen = seen.logical_and(&distance.lt(&word(own + right as i64 + 1)));
        }
        if let (true, Some(words)) = (a.mask, self.words) {
            let mask = words.slice(0, a.mask_at()..a.words()).reshape([a.batch, 1, 1, a.length_k]);
            seen = seen.logical_and(&mask.not_equal(&Tensor::scalar(0u32)).broadcast_to(shape));
        }
        (seen.select(&s, &least()), seen)
    }

    /// Weights without those that drop.
    fn kept(&self, p: &Tensor) -> Tensor {
        let (Some(d), Some(words)) = (self.a.dropout, self.words) else { return p.clone() };
        let bits = words.slice(0, 0..4).random_bits(self.score_shape(), d.stream, 0);
        let keep = bits.shr(&Tensor::scalar(8u32)).ge(&Tensor::scalar(d.threshold));
        keep.select(&p.mul_scalar(d.factor as f64), &p.lit(0.0))
    }
}

/// The result and the logarithms.
#[track_caller]
pub(super) fn forward(a: &Problem, inputs: &[Tensor]) -> (Tensor, Tensor) {
    let i = Inputs::new(a, inputs, 3);
    let (s, seen) = i.scores();
    let max = s.stop_gradient().max_keepdim(&[-1]);
    let e = seen.select(&(s - &max).exp(), &least().mul_scalar(0.0));
    let sum = e.sum_keepdim(&[-1]);
    let any = sum.stop_gradient().gt(&sum.lit(0.0));
    // Of nothing, 1 instead of 0.
    let divisor = any.select(&sum, &sum.lit(1.0));
    let logs = any.select(&(&max + divisor.log()), &least());
    (i.kept(&(e / divisor)).matmul(&i.wide(i.v)), logs.reshape([a.batch, a.heads, a.length_q]))
}

/// What a kernel computes from its inputs.
fn part(kernel: &AttentionKernel, inputs: &[Tensor]) -> Tensor {
    let shape = |t: Tensor| match kernel.part {
        AttentionPart::BackwardQuery => {
            let a = &kernel.attention;
            t.reshape([a.batch, a.length_q, a.heads, a.size])
        }
        AttentionPart::BackwardAll => {
            let a = &kernel.attention;
            t.reshape([a.batch, a.length_q, 3, a.heads, a.size])
        }
        AttentionPart::BackwardBias => t.reshape(inputs.last().expect("the gradient of a bias").shape()),
        _ => t,
    };
    shape(Tensor::concat(&pieces(kernel, inputs).iter().collect::<Vec<_>>(), 0))
}

/// The same as flat pieces, one after the other.
#[track_caller]
pub(super) fn pieces(kernel: &AttentionKernel, inputs: &[Tensor]) -> Vec<Tensor> {
    let flat = |t: Tensor| t.reshape([t.count()]);
    // As the kernels store it: the heads of a place side by side.
    let by_place = |t: Tensor| flat(t.transpose(1, 2));
    let a = &kernel.attention;
    if kernel.part == AttentionPart::Forward {
        let (o, logs) = forward(a, inputs);
        return vec![by_place(o), flat(logs)];
    }
    let count = row_inputs(a);
    let i = Inputs::new(a, inputs, 4 + count);
    let grad = &inputs[3];
    let n = a.rows();
    // The logarithms, and the sums.
    let each = |which: usize| {
        let rows = if count == 2 { inputs[4 + which].clone() } else { inputs[4].slice(0, which * n..(which + 1) * n) };
        rows.reshape([a.batch, a.heads, a.length_q, 1])
    };
    let (s, seen) = i.scores();
    let zero = s.lit(0.0);
    let p = seen.select(&(s - each(0)).exp(), &zero);
    let dp = i.kept(&grad.matmul(&i.wide(i.v).transpose(2, 3)));
    let ds = &p * (dp - each(1));
    let scale = a.scale as f64;
    // Heads that share keys: their sum.
    let narrow = |t: Tensor| {
        let [batch, heads, length, size] = t.dims();
        let group = heads / a.kv_heads;
        t.reshape([batch, a.kv_heads, group, length, size]).sum(&[2])
    };
    let dq = || ds.matmul(&i.wide(i.k)).mul_scalar(scale);
    let dk = || narrow(ds.transpose(2, 3).matmul(i.q)).mul_scalar(scale);
    let dv = || narrow(i.kept(&p).transpose(2, 3).matmul(grad));
    match kernel.part {
        AttentionPart::Forward => unreachable!("it was done above"),
        AttentionPart::BackwardQuery => vec![by_place(dq())],
        AttentionPart::BackwardKeyValue => vec![by_place(dk()), by_place(dv())],
        AttentionPart::BackwardAll => {
            let beside = [dq(), dk(), dv()].map(|t| t.transpose(1, 2).unsqueeze(2));
            vec![flat(Tensor::concat(&beside.iter().collect::<Vec<_>>(), 2))]
        }
        AttentionPart::BackwardBias => {
            let shape = i.bias.expect("the gradient of a bias").shape();
            let axes: Vec<isize> = (0..3).filter(|&d| shape[d as usize] == 1).collect();
            vec![flat(ds.sum(&axes))]
        }
    }
}

/// The gradients of a backward kernel's inputs, given that of its output.
pub(super) fn gradients(kernel: &AttentionKernel, inputs: &[Tensor], grad: &Tensor) -> Vec<Option<Tensor>> {
    // The inputs depend on each other (the saved logarithm on q).
    partial_gradients(|own| part(kernel, own), inputs, grad)
}

#[cfg(test)]
mod tests {
    use super::super::{Attend, Attention, split};
    use super::*;
    use crate::contract::Numbers;
    use crate::reference::evaluate;
    use crate::{Array, ops::attention::problem};
    use std::collections::HashMap;
    use wgrad_device::DType;

    /// The plain forms against the loops of the reference.
    #[test]
    fn plain_forms_are_what_the_kernels_compute() {
        let input = |name: &str, shape: &[usize]| Tensor::input(name, shape, DType::F32);
        let (q, k, v) = (input("q", &[2, 4, 5, 3]), input("k", &[2, 2, 6, 3]), input("v", &[2, 2, 6, 2]));
        let options = Attention {
            left: Some(2),
            right: Some(1),
            lengths: Some(Tensor::iota([2], 0) + Tensor::scalar(4u32)),
            bias: Some(input("bias", &[1, 4, 5, 6])),
            ..Attention::default()
        };
        let (a, inputs) = problem(&q, &k, &v, &options);
        assert_eq!(row_inputs(&a), 1);
        let (grad, rows) = (input("grad", &[2, 4, 5, 2]), input("rows", &[80]));
        let mut numbers = Numbers(3);
        let leaves: HashMap<String, Array> = [&q, &k, &v, &inputs[4], &grad, &rows]
            .into_iter()
            .map(|t| (t.name().unwrap().to_string(), Array::from_fn(t.shape(), |_| 0.0).map(|_| 0.0)))
            .map(|(name, a)| {
                let data = a.data.iter().map(|_| 2.0 * numbers.next() - 1.0).collect();
                (name, Array::new(a.shape, data))
            })
            .collect();
        let close = |a: &Tensor, b: &Tensor| {
            let [a, b]: [Array; 2] = evaluate(&[a, b], &leaves).try_into().unwrap();
            let far = a.data.iter().zip(&b.data).find(|(x, y)| (*x - *y).abs() > 1e-12 * (1.0 + y.abs()));
            assert!(a.shape == b.shape && far.is_none(), "{far:?}");
        };
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let kernel = |part| AttentionKernel::new(a.clone(), part);
        let both = Tensor::apply(Attend(kernel(AttentionPart::Forward)), &refs);
        let (o, logs) = split(&a, &both);
        let (plain_o, plain_logs) = forward(&a, &inputs);
        close(&o, &plain_o);
        close(&logs, &plain_logs);
        let all: Vec<Tensor> = [&inputs[..3], &[grad.clone(), rows.clone()], &inputs[3..]].concat();
        let refs: Vec<&Tensor> = all.iter().collect();
        for which in [AttentionPart::BackwardQuery, AttentionPart::BackwardKeyValue, AttentionPart::BackwardBias] {
            close(&Tensor::apply(Attend(kernel(which)), &refs), &part(&kernel(which), &all));
        }
    }
}
