//! Scaled dot-product attention, forward and backward, without the matrix of scores: the forward pass keeps a running
//! maximum and sum for each row (Milakov and Gimelshein, 2018; Dao et al., "FlashAttention", 2022), and the backward passes
//! compute the scores again from q, k and the saved logarithm of the sum.

use crate::{Access, Adapter, Cost, CpuIo, Kernel, Pass, cpu, gpu};
use std::sync::Arc;

/// Where the rows of an operand lie: element `e` of row `i` of head `h` of problem `b` is element `start + b * batch + h * head
/// + i * row + e` of the buffer. So queries, keys and values may be parts of what one product made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlaces {
    /// The first element.
    pub start: usize,
    /// From problem to problem.
    pub batch: usize,
    /// From head to head.
    pub head: usize,
    /// From row to row.
    pub row: usize,
}

impl RowPlaces {
    /// Of a dense [batch, heads, length, size].
    pub fn by_head([heads, length, size]: [usize; 3]) -> RowPlaces {
        RowPlaces { start: 0, batch: heads * length * size, head: length * size, row: size }
    }

    /// Of a dense [batch, length, heads, size] that begins at element `start`.
    pub fn by_place(start: usize, [heads, length, size]: [usize; 3]) -> RowPlaces {
        RowPlaces { start, batch: heads * length * size, head: size, row: heads * size }
    }

    /// Where row `i` of head `h` of problem `b` begins.
    pub fn at(&self, b: usize, h: usize, i: usize) -> usize {
        self.start + b * self.batch + h * self.head + i * self.row
    }
}

/// Sizes and options. q is [batch, heads, length_q, size], k [batch, kv_heads, length_k, size], v [batch, kv_heads,
/// length_k, size_v]; query head `h` reads key head `h / (heads / kv_heads)`.
///
/// The score of query `i` and key `j` is `scale * dot(q[i], k[j]) + bias`, where they see each other:
/// `-left <= j - i - offset <= right`, the mask has a word other than 0 for the key, and the score is above `f32::MIN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Independent problems.
    pub batch: usize,
    /// Heads of q.
    pub heads: usize,
    /// Heads of k and v; a divisor of `heads`.
    pub kv_heads: usize,
    /// Queries.
    pub length_q: usize,
    /// Keys.
    pub length_k: usize,
    /// Elements of a query and of a key.
    pub size: usize,
    /// Elements of a value.
    pub size_v: usize,
    /// Factor of the products.
    pub scale: f32,
    /// The key that stands at query 0.
    pub offset: i64,
    /// Keys seen to the left of the query's own place; all if `None`.
    pub left: Option<usize>,
    /// Keys seen to the right; all if `None`.
    pub right: Option<usize>,
    /// Whether there is a word for each key of each problem.
    pub mask: bool,
    /// If there is a bias, its first three extents (batch, heads, length_q), each full or 1; the fourth is length_k.
    pub bias: Option<[usize; 3]>,
    /// If weights are dropped.
    pub dropout: Option<AttentionDropout>,
}

/// Which weights are dropped: those for whose element number (row-major in batch, heads, length_q, length_k; modulo 2^32)
/// the top 24 bits of Philox's first word are below `threshold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionDropout {
    /// Distinguishes users of the same generator.
    pub stream: u32,
    /// The probability, in 2^-24.
    pub threshold: u32,
    /// Factor of the weights that stay.
    pub factor: f32,
}

impl Attention {
    /// The words that a kernel is given beside floats: the generator's four, if weights are dropped, then the mask.
    pub fn words(&self) -> usize {
        self.mask_at() + if self.mask { self.batch * self.length_k } else { 0 }
    }

    /// Where the mask begins in them.
    pub fn mask_at(&self) -> usize {
        if self.dropout.is_some() { 4 } else { 0 }
    }

    /// RowPlaces of scores.
    pub fn rows(&self) -> usize {
        self.batch * self.heads * self.length_q
    }

    /// Elements of q.
    pub fn count_q(&self) -> usize {
        self.rows() * self.size
    }

    /// Elements of the result.
    pub fn count_o(&self) -> usize {
        self.rows() * self.size_v
    }

    /// Elements of k.
    pub fn count_k(&self) -> usize {
        self.batch * self.kv_heads * self.length_k * self.size
    }

    /// Elements of v.
    pub fn count_v(&self) -> usize {
        self.batch * self.kv_heads * self.length_k * self.size_v
    }

    /// The keys that the window leaves to queries `i` to `end - 1`.
    pub(crate) fn keys_of(&self, i: usize, end: usize) -> std::ops::Range<usize> {
        let (n, offset) = (self.length_k as i64, self.offset);
        let to = self.right.map_or(n, |r| end as i64 + offset + r as i64).clamp(0, n);
        let from = self.left.map_or(0, |l| i as i64 + offset - l as i64).clamp(0, to);
        from as usize..to as usize
    }

    /// The queries to which the window leaves any of keys `j` to `end - 1`.
    pub(crate) fn queries_of(&self, j: usize, end: usize) -> std::ops::Range<usize> {
        let (n, offset) = (self.length_q as i64, self.offset);
        let to = self.left.map_or(n, |l| end as i64 - offset + l as i64).clamp(0, n);
        let from = self.right.map_or(0, |r| j as i64 - offset - r as i64).clamp(0, to);
        from as usize..to as usize
    }

    /// Scores that the window leaves.
    fn pairs(&self) -> f64 {
        let row: usize = (0..self.length_q).map(|i| self.keys_of(i, i + 1).len()).sum();
        (self.batch * self.heads) as f64 * row as f64
    }
}

/// How many inputs of a backward kernel hold what it needs of each row.
pub fn row_inputs(a: &Attention) -> usize {
    if a.words() > 0 && a.bias.is_some() { 1 } else { 2 }
}

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionPart {
    /// The result [batch, length_q, heads, size_v] and, after it, the logarithm of each row's sum [batch, heads, length_q]; of a
    /// row that sees nothing 0 and `f32::MIN`.
    Forward,
    /// The gradient with respect to q: [batch, length_q, heads, size].
    BackwardQuery,
    /// The gradients with respect to k, [batch, length_k, kv_heads, size], and, after it, v, [batch, length_k, kv_heads, size_v].
    BackwardKeyValue,
    /// The gradient with respect to the bias, summed over its extents of 1.
    BackwardBias,
    /// The gradients with respect to q, k and v, which have one shape, side by side: [batch, length, 3, heads, size].
    BackwardAll,
}

/// Results stand with the heads of a place side by side, as the next product wants them.
///
/// Inputs: q, k, v; backward also the gradient of the result, for each row the saved logarithm, and for each row the sum of
/// result times gradient, less the gradient of the logarithm (these two as one input, one after the other, where there are
/// words and a bias too: eight buffers are all that some adapters bind); then the words, and the bias, if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionKernel {
    /// The problem.
    pub attention: Attention,
    /// The part of it.
    pub part: AttentionPart,
    /// Where q, k, v and the gradient of the result lie in their buffers.
    pub operands: [RowPlaces; 4],
    /// Where the logarithms and the sums lie: one element a row.
    pub rows: [RowPlaces; 2],
    /// Where the rows of the outputs go: of the only one, or of the gradients of k and v.
    pub(crate) results: [RowPlaces; 2],
}

impl AttentionKernel {
    /// With dense operands, of the shapes that [`Attention`] says.
    pub fn new(attention: Attention, part: AttentionPart) -> AttentionKernel {
        let a = &attention;
        let (q, kv) = ([a.heads, a.length_q], [a.kv_heads, a.length_k]);
        let of = |[heads, length]: [usize; 2], size| RowPlaces::by_head([heads, length, size]);
        let operands = [of(q, a.size), of(kv, a.size), of(kv, a.size_v), of(q, a.size_v)];
        let mut rows = [of(q, 1); 2];
        if row_inputs(a) == 1 {
            rows[1].start = a.rows();
        }
        let first = match part {
            AttentionPart::Forward => RowPlaces::by_place(0, [a.heads, a.length_q, a.size_v]),
            AttentionPart::BackwardKeyValue => RowPlaces::by_place(0, [a.kv_heads, a.length_k, a.size]),
            _ => RowPlaces::by_place(0, [a.heads, a.length_q, a.size]),
        };
        let results = [first, RowPlaces::by_place(a.count_k(), [a.kv_heads, a.length_k, a.size_v])];
        AttentionKernel { attention, part, operands, rows, results }
    }

    /// Elements of the output.
    pub fn len(&self) -> usize {
        let a = &self.attention;
        match self.part {
            AttentionPart::Forward => a.count_o() + a.rows(),
            AttentionPart::BackwardQuery => a.count_q(),
            AttentionPart::BackwardKeyValue => a.count_k() + a.count_v(),
            AttentionPart::BackwardBias => a.bias.map_or(0, |b| b.iter().product::<usize>() * a.length_k),
            AttentionPart::BackwardAll => 3 * a.count_q(),
        }
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of all gradients, the kernels that compute some of them; else this one.
    pub(crate) fn parts(&self) -> Vec<AttentionKernel> {
        if self.part != AttentionPart::BackwardAll {
            return vec![self.clone()];
        }
        let a = &self.attention;
        let of = |i: usize| {
            let row = a.heads * a.size;
            RowPlaces { start: i * row, batch: 3 * a.length_q * row, head: a.size, row: 3 * row }
        };
        let query = AttentionKernel { part: AttentionPart::BackwardQuery, results: [of(0); 2], ..self.clone() };
        let others = AttentionKernel { part: AttentionPart::BackwardKeyValue, results: [of(1), of(2)], ..self.clone() };
        vec![query, others]
    }

    /// Which input holds the words, and which the bias.
    pub(crate) fn extras(&self) -> (Option<usize>, Option<usize>) {
        let first = if self.part == AttentionPart::Forward { 3 } else { 4 + row_inputs(&self.attention) };
        let words = (self.attention.words() > 0).then_some(first);
        let bias = self.attention.bias.map(|_| first + words.is_some() as usize);
        (words, bias)
    }
}

impl Kernel for AttentionKernel {
    fn name(&self) -> String {
        let a = &self.attention;
        let part = match self.part {
            AttentionPart::Forward => "attention",
            AttentionPart::BackwardQuery => "attention, query gradient",
            AttentionPart::BackwardKeyValue => "attention, key and value gradients",
            AttentionPart::BackwardBias => "attention, bias gradient",
            AttentionPart::BackwardAll => "attention, gradients",
        };
        format!("{part} {}x{}x{}x{}x{}", a.batch, a.heads, a.length_q, a.length_k, a.size)
    }

    fn run_cpu(&self, io: &CpuIo) {
        self.parts().iter().for_each(|part| cpu::attention::run(part, io));
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        self.parts().iter().flat_map(|part| gpu::attention::passes(part, adapter)).collect()
    }

    fn reads_views(&self, input: usize) -> bool {
        match (self.part, row_inputs(&self.attention)) {
            (AttentionPart::Forward, _) => input < 3,
            (_, 2) => input < 6,
            _ => input < 4,
        }
    }

    fn read_through(&self, input: usize, access: &Access) -> Option<Arc<dyn Kernel>> {
        let size = if input < 2 { self.attention.size } else { self.attention.size_v };
        let strides: Option<Vec<usize>> = access.base.strides.iter().map(|&s| s.try_into().ok()).collect();
        let (batch, head, row) = match strides?[..] {
            [batch, head, row, element] if element == 1 || size == 1 => (batch, head, row),
            [batch, head, row] => (batch, head, row),
            _ => return None,
        };
        if !self.reads_views(input) || !access.coords.is_empty() {
            return None;
        }
        let mut new = self.clone();
        let places = if input < 4 { &mut new.operands[input] } else { &mut new.rows[input - 4] };
        *places = RowPlaces { start: access.base.offset.try_into().ok()?, batch, head, row };
        Some(Arc::new(new))
    }

    fn cost(&self) -> Cost {
        let a = &self.attention;
        let products = match self.part {
            AttentionPart::Forward | AttentionPart::BackwardBias => a.size + a.size_v,
            AttentionPart::BackwardQuery => 2 * a.size + a.size_v,
            AttentionPart::BackwardKeyValue => 2 * (a.size + a.size_v),
            AttentionPart::BackwardAll => 4 * a.size + 3 * a.size_v,
        };
        let bias = a.bias.map_or(0, |b| b.iter().product::<usize>() * a.length_k);
        let read = a.count_q() + a.count_k() + a.count_v() + a.words() + bias;
        let more = if self.part == AttentionPart::Forward { 0 } else { a.count_o() + 2 * a.rows() };
        Cost { flops: 2.0 * products as f64 * a.pairs(), bytes: 4.0 * (read + more + self.len()) as f64 }
    }
}
