//! Scaled dot-product attention (Vaswani et al., 2017) by fused kernels that never store the scores.

mod cases;
mod fused;
mod plain;
mod reference;

use crate::op::{Array, Lower, Op};
use crate::{Scalar, Tensor};
pub(crate) use cases::cases;
use std::sync::Arc;
use wgrad_device::kernels::{Attention as Problem, AttentionDropout, AttentionKernel, AttentionPart, row_inputs};
use wgrad_device::{Adapter, AdapterKind, DType};

/// Which key stands at query 0, where there are more keys than queries or fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Key 0, as PyTorch's `is_causal` has it.
    #[default]
    TopLeft,
    /// The key that puts the last key at the last query: what a cache of earlier keys wants.
    BottomRight,
}

/// Options of [`Tensor::attention`].
#[derive(Clone, Debug, Default)]
pub struct Attention {
    /// Factor of the products; `1 / sqrt(size)` if not given.
    pub scale: Option<f32>,
    /// Whether a query sees no keys to the right of its own place.
    pub causal: bool,
    /// What a query's own place is, for `causal` and the window.
    pub align: Align,
    /// How many keys a query sees to the left of its own place, if not all (a sliding window).
    pub left: Option<usize>,
    /// How many keys it sees to the right, if not all.
    pub right: Option<usize>,
    /// Which keys are seen at all: bool or u32 [batch, length_k], true (not 0) where a key is seen. PyTorch's
    /// `key_padding_mask` is the opposite.
    pub mask: Option<Tensor>,
    /// How many keys each problem has: u32 \[batch\]. Those after are not seen.
    pub lengths: Option<Tensor>,
    /// Added to the scaled scores: f32 or f16 [batch or 1, heads or 1, length_q or 1, length_k]. Differentiable. Where it is
    /// `f32::MIN` or less, a key is not seen.
    pub bias: Option<Tensor>,
    /// Drops weights after the softmax.
    pub dropout: Option<DropWeights>,
}

/// Dropout of attention's weights: each is zeroed with probability `p`, the others are divided by `1 - p`. What drops
/// depends on the generator, the stream and the weight's element number in [batch, heads, length_q, length_k] (modulo
/// 2^32) alone, as in [`Tensor::dropout`].
#[derive(Clone, Debug)]
pub struct DropWeights {
    /// The probability.
    pub p: f32,
    /// The generator's state.
    pub generator: Tensor,
    /// The stream.
    pub stream: u32,
}

/// One of the kernels as an operation.
///
/// Inputs as [`AttentionKernel`] has them. Each part is a function of its inputs alone, so its own gradient is that of the
/// same function said plainly ([`plain::part`]).
#[derive(Clone, Debug)]
struct Attend(AttentionKernel);

impl Attend {
    /// The bias's shape.
    fn bias_shape(&self) -> Vec<usize> {
        let a = &self.0.attention;
        [&a.bias.unwrap_or_default()[..], &[a.length_k]].concat()
    }
}

impl Op for Attend {
    fn name(&self) -> &'static str {
        match self.0.part {
            AttentionPart::Forward => "attention",
            AttentionPart::BackwardQuery => "attention_query_grad",
            AttentionPart::BackwardKeyValue => "attention_key_value_grad",
            AttentionPart::BackwardBias => "attention_bias_grad",
            AttentionPart::BackwardAll => "attention_grad",
        }
    }

    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        // The arguments were checked by `Tensor::attention`.
        let a = &self.0.attention;
        let shape = match self.0.part {
            AttentionPart::BackwardQuery => vec![a.batch, a.length_q, a.heads, a.size],
            AttentionPart::BackwardBias => self.bias_shape(),
            AttentionPart::BackwardAll => vec![a.batch, a.length_q, 3, a.heads, a.size],
            _ => vec![self.0.len()],
        };
        Ok((shape, DType::F32))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        match self.0.part {
            AttentionPart::Forward => Ok(backward(&self.0.attention, output, grad)),
            _ => Ok(plain::gradients(&self.0, output.inputs(), grad)),
        }
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        reference::part(&self.0, inputs, shape)
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.0.clone()))
    }
}

/// Bytes of scores up to which software adapters store them: their products are as fast as any kernel there, and attention's
/// own kernels take them seconds to compile.
const STORED: usize = 16 << 20;

/// Whether `t` is a kernel of attention that [`plain_pieces`] should stand for on `adapter`.
pub(crate) fn is_better_plain(t: &Tensor, adapter: &Adapter) -> bool {
    let Some(Attend(kernel)) = t.op().downcast() else { return false };
    let a = &kernel.attention;
    let scores = 4 * a.rows() * a.length_k;
    adapter.kind == AdapterKind::Software && (1..=STORED).contains(&scores)
}

/// What such a tensor holds, made by ordinary operations from `inputs`: flat pieces, one after the other.
pub(crate) fn plain_pieces(t: &Tensor, inputs: &[Tensor]) -> Vec<Tensor> {
    let Attend(kernel) = t.op().downcast().expect("a kernel of attention");
    plain::pieces(kernel, inputs)
}

/// What the backward kernels are given, from the forward operation's inputs, the result [batch, length_q, heads, size_v] and
/// each row's logarithm [batch, heads, length_q], and the gradients of both.
fn backward_inputs(
    a: &Problem,
    inputs: &[Tensor],
    [o, logs]: [&Tensor; 2],
    g: &Tensor,
    g_logs: Option<&Tensor>,
) -> Vec<Tensor> {
    // How much a change of all of a row's scores together would change the loss.
    let mut delta = (g * o).sum(&[3]).transpose(1, 2);
    if let Some(g_logs) = g_logs {
        delta = delta - g_logs;
    }
    let mut each_row = vec![logs.clone(), delta];
    if row_inputs(a) == 1 {
        let flat: Vec<Tensor> = each_row.iter().map(|t| t.reshape([a.rows()])).collect();
        each_row = vec![Tensor::concat(&[&flat[0], &flat[1]], 0)];
    }
    [&inputs[..3], &[g.transpose(1, 2)], &each_row, &inputs[3..]].concat()
}

/// The gradients of the forward operation's inputs. `output` and `grad` hold the result, then each row's logarithm.
fn backward(a: &Problem, output: &Tensor, grad: &Tensor) -> Vec<Option<Tensor>> {
    let inputs = output.inputs();
    let (n, rows) = (a.count_o(), a.rows());
    let part = |t: &Tensor| t.slice(0, 0..n).reshape([a.batch, a.length_q, a.heads, a.size_v]);
    let logs = |t: &Tensor| t.slice(0, n..n + rows).reshape([a.batch, a.heads, a.length_q]);
    let all = backward_inputs(a, inputs, [&part(output), &logs(output)], &part(grad), Some(&logs(grad)));
    let all: Vec<&Tensor> = all.iter().collect();
    let apply = |part| Tensor::apply(Attend(AttentionKernel::new(a.clone(), part)), &all);
    let kv = apply(AttentionPart::BackwardKeyValue);
    let (nk, nv) = (a.count_k(), a.count_v());
    let by_head = |t: Tensor, size| t.reshape([a.batch, a.length_k, a.kv_heads, size]).transpose(1, 2);
    let mut grads = vec![
        Some(apply(AttentionPart::BackwardQuery).transpose(1, 2)),
        Some(by_head(kv.slice(0, 0..nk), a.size)),
        Some(by_head(kv.slice(0, nk..nk + nv), a.size_v)),
    ];
    if a.words() > 0 {
        grads.push(None);
    }
    if a.bias.is_some() {
        grads.push(Some(apply(AttentionPart::BackwardBias)));
    }
    grads
}

/// Name of the operation in errors.
const NAME: &str = "attention";

/// The problem that arguments and options make, and the operation's inputs.
#[track_caller]
fn problem(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention) -> (Problem, Vec<Tensor>) {
    let dtype = if q.dtype().is_float() { q.dtype() } else { DType::F32 };
    for (name, t) in [("q", q), ("k", k), ("v", v)] {
        if t.rank() != 4 || t.dtype() != dtype {
            let (given, shape) = (t.dtype(), t.shape());
            crate::fail(NAME, format!("{name} is {given} {shape:?}; {dtype} [batch, heads, length, size] expected"));
        }
    }
    let ([batch, heads, length_q, size], [kb, kv_heads, length_k, ks]) = (q.dims(), k.dims());
    let [vb, vh, vl, size_v] = v.dims();
    let (qs, kshape, vs) = (q.shape(), k.shape(), v.shape());
    if kb != batch || ks != size {
        crate::fail(NAME, format!("q {qs:?} and k {kshape:?} differ in batch or size"));
    }
    if [vb, vh, vl] != [batch, kv_heads, length_k] {
        crate::fail(NAME, format!("k {kshape:?} and v {vs:?} differ in batch, heads or length"));
    }
    if kv_heads == 0 || heads % kv_heads != 0 {
        crate::fail(NAME, format!("the {heads} heads of q {qs:?} are no multiple of the {kv_heads} of k {kshape:?}"));
    }
    if size == 0 || size_v == 0 {
        crate::fail(NAME, format!("q {qs:?} or v {vs:?} has no elements in a head"));
    }
    // No closures where something may fail: they would hide the caller's place from the error.
    if let Some(DropWeights { p, generator: g, .. }) = &options.dropout {
        if !(0.0..=1.0).contains(p) {
            crate::fail(NAME, format!("dropout {p} is no probability"));
        }
        if g.dtype() != DType::U32 || g.shape() != [4] {
            crate::fail(NAME, format!("a generator u32 [4] expected, not {} {:?}", g.dtype(), g.shape()));
        }
    }
    let drop = options.dropout.as_ref().filter(|d| d.p > 0.0);
    let dropout = drop.map(|d| AttentionDropout {
        stream: d.stream,
        // A 24-bit number u drops if u / 2^24 < p.
        threshold: (d.p as f64 * (1 << 24) as f64).ceil() as u32,
        factor: if d.p < 1.0 { (1.0 / (1.0 - d.p as f64)) as f32 } else { 0.0 },
    });
    let mask = seen_keys(options, batch, length_k);
    if let Some(b) = &options.bias {
        let fits = b.rank() == 4
            && b.dtype().is_float()
            && b.shape()[3] == length_k
            && b.shape().iter().zip([batch, heads, length_q]).all(|(&n, full)| n == 1 || n == full);
        if !fits {
            let (dtype, shape) = (b.dtype(), b.shape());
            let wanted = format!("f32 [{batch} or 1, {heads} or 1, {length_q} or 1, {length_k}]");
            crate::fail(NAME, format!("bias is {dtype} {shape:?}; {wanted} expected"));
        }
    }
    let bias = options.bias.as_ref().map(|b| [b.shape()[0], b.shape()[1], b.shape()[2]]);
    let offset = match options.align {
        Align::TopLeft => 0,
        Align::BottomRight => length_k as i64 - length_q as i64,
    };
    let right = if options.causal { Some(0) } else { options.right };
    let scale = options.scale.unwrap_or((1.0 / (size as f64).sqrt()) as f32);
    let left = options.left;
    let a = Problem {
        batch,
        heads,
        kv_heads,
        length_q,
        length_k,
        size,
        size_v,
        scale,
        offset,
        left,
        right,
        mask: mask.is_some(),
        bias,
        dropout,
    };
    let mut inputs = vec![q.cast(DType::F32), k.cast(DType::F32), v.cast(DType::F32)];
    match (drop.map(|d| d.generator.clone()), mask) {
        (Some(g), Some(m)) => inputs.push(Tensor::concat(&[&g, &m], 0)),
        (one, other) => inputs.extend(one.or(other)),
    }
    inputs.extend(options.bias.as_ref().map(|b| b.cast(DType::F32)));
    (a, inputs)
}

/// One word for each key of each problem, if some may be hidden.
#[track_caller]
fn seen_keys(options: &Attention, batch: usize, length_k: usize) -> Option<Tensor> {
    let shape = [batch, length_k];
    if let Some(m) = &options.mask
        && (m.shape() != shape || !matches!(m.dtype(), DType::Bool | DType::U32))
    {
        let given = m.shape();
        crate::fail(NAME, format!("mask is {} {given:?}; bool or u32 {shape:?} expected", m.dtype()));
    }
    if let Some(n) = &options.lengths
        && (n.shape() != [batch] || n.dtype() != DType::U32)
    {
        crate::fail(NAME, format!("lengths is {} {:?}; u32 [{batch}] expected", n.dtype(), n.shape()));
    }
    let mask = options.mask.as_ref().map(|m| m.not_equal(&Tensor::zeros(vec![], m.dtype())));
    let within = options.lengths.as_ref().map(|n| Tensor::iota(shape, 1).lt(&n.unsqueeze(1)));
    let seen = match (mask, within) {
        (Some(m), Some(w)) => m.logical_and(&w),
        (one, other) => one.or(other)?,
    };
    Some(seen.cast(DType::U32).reshape([batch * length_k]))
}

impl Tensor {
    /// `softmax(scale * q k^T + bias) v` over the keys that each query sees, for q (this tensor) [batch, heads, length_q,
    /// size], k [batch, kv_heads, length_k, size] and v [batch, kv_heads, length_k, size_v]: [batch, heads, length_q,
    /// size_v]. PyTorch's `scaled_dot_product_attention`.
    ///
    /// Heads share keys where there are more of them: head `h` reads key head `h / (heads / kv_heads)` (PyTorch's
    /// `enable_gqa`). With different lengths `causal` aligns the first query with the first key, as PyTorch does; see
    /// [`Align`]. A query that sees no key gives 0 (PyTorch gives NaN, or the mean of what is hidden).
    ///
    /// f32, or f16: then arguments are stored as f32 first, and the result is f16.
    ///
    /// The scores are never stored, neither here nor for the gradients: memory grows with the lengths, not with their
    /// product. Second gradients are those of [`Tensor::attention_plain`], which does store them.
    ///
    /// # Panics
    /// If shapes or types do not fit; the message names the argument.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, options: &Attention) -> Tensor {
        self.attention_with_lse(k, v, options).0
    }

    /// [`Tensor::attention`], and the logarithm of the sum of the exponentials of each query's scores: [batch, heads,
    /// length_q], f32 always; of a query that sees no key `f32::MIN`, about -3.4e38. Both are differentiable. From results over parts of
    /// the keys and their logarithms, the result over all keys can be put together.
    #[track_caller]
    pub fn attention_with_lse(&self, k: &Tensor, v: &Tensor, options: &Attention) -> (Tensor, Tensor) {
        let (a, inputs) = problem(self, k, v, options);
        let both = Tensor::apply(
            Attend(AttentionKernel::new(a.clone(), AttentionPart::Forward)),
            &inputs.iter().collect::<Vec<_>>(),
        );
        let (o, logs) = split(&a, &both);
        (o.cast(self.dtype()), logs)
    }

    /// The same as [`Tensor::attention_with_lse`] composed of products and a softmax, with the scores stored. For comparison,
    /// and where second gradients matter most.
    #[track_caller]
    pub fn attention_plain(&self, k: &Tensor, v: &Tensor, options: &Attention) -> (Tensor, Tensor) {
        let (a, inputs) = problem(self, k, v, options);
        let (o, logs) = plain::forward(&a, &inputs);
        (o.cast(self.dtype()), logs)
    }
}

/// Result and logarithms, which lie one after the other.
#[track_caller]
fn split(a: &Problem, both: &Tensor) -> (Tensor, Tensor) {
    let n = a.count_o();
    (
        both.slice(0, 0..n).reshape([a.batch, a.length_q, a.heads, a.size_v]).transpose(1, 2),
        both.slice(0, n..n + a.rows()).reshape([a.batch, a.heads, a.length_q]),
    )
}

/// The score of a key that is not seen.
fn least() -> Tensor {
    Tensor::scalar(Scalar::from(f32::MIN))
}
