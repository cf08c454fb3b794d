//! Attention on the CPU: blocks of scores, queries by keys, made by the `gemm` crate and used at once.
//!
//! Blocks depend on the sizes alone, so results do not depend on the number of threads.

use super::CpuIo;
use super::exp::Rows;
use super::interpret::run_tasks;
use super::math::exp;
use crate::kernels::{Attention, AttentionKernel, AttentionPart, RowPlaces, row_inputs};
use crate::philox;
use std::ops::Range;

/// Queries and keys of a block: the scores, and in the backward pass their gradients, stay in the second-level cache.
const QUERIES: usize = 64;
const KEYS: usize = 256;
/// Of a block whose task owns the keys.
const OWN_KEYS: usize = 64;
/// A score that is not there.
const LEAST: f32 = f32::MIN;

pub(crate) fn run(kernel: &AttentionKernel, io: &CpuIo) {
    let a = &kernel.attention;
    if kernel.is_empty() {
        return;
    }
    let (words, bias) = kernel.extras();
    let backward = kernel.part != AttentionPart::Forward;
    let work = Work {
        a,
        operands: kernel.operands,
        results: kernel.results,
        q: io.input(0).0,
        k: io.input(1).0,
        v: io.input(2).0,
        grad: if backward { io.input(3).0 } else { std::ptr::null() },
        logs: if backward { io.input(4).0 } else { std::ptr::null() },
        sums: if backward { io.input(3 + row_inputs(a)).0 } else { std::ptr::null() },
        rows: kernel.rows,
        words: words.map_or(std::ptr::null(), |i| io.input(i).0),
        bias: bias.map_or(std::ptr::null(), |i| io.input(i).0),
        out: io.output(0).0,
    };
    let (row_blocks, key_blocks) = (a.length_q.div_ceil(QUERIES), a.length_k.div_ceil(OWN_KEYS));
    let block = |t: usize, size: usize, len: usize| t * size..((t + 1) * size).min(len);
    // Captures the whole struct: its pointers alone may not cross threads.
    let work = &work;
    match kernel.part {
        AttentionPart::Forward => run_tasks(a.batch * a.heads * row_blocks, |tasks| {
            let mut s = Scratch::default();
            for t in tasks {
                work.forward(t / row_blocks, block(t % row_blocks, QUERIES, a.length_q), &mut s);
            }
        }),
        AttentionPart::BackwardQuery => run_tasks(a.batch * a.heads * row_blocks, |tasks| {
            let mut s = Scratch::default();
            for t in tasks {
                work.query(t / row_blocks, block(t % row_blocks, QUERIES, a.length_q), &mut s);
            }
        }),
        AttentionPart::BackwardKeyValue => run_tasks(a.batch * a.kv_heads * key_blocks, |tasks| {
            let mut s = Scratch::default();
            for t in tasks {
                work.key_value(t / key_blocks, block(t % key_blocks, OWN_KEYS, a.length_k), &mut s);
            }
        }),
        AttentionPart::BackwardAll => unreachable!("it runs in parts"),
        AttentionPart::BackwardBias => {
            let [batch, heads, length] = a.bias.expect("a bias gradient is of a bias");
            let blocks = if length == 1 { 1 } else { row_blocks };
            run_tasks(batch * heads * blocks * key_blocks, |tasks| {
                let mut s = Scratch::default();
                for t in tasks {
                    let (t, keys) = (t / key_blocks, block(t % key_blocks, OWN_KEYS, a.length_k));
                    let (t, rows) = (t / blocks, block(t % blocks, QUERIES, length));
                    work.bias([t / heads, t % heads], rows, keys, &mut s);
                }
            });
        }
    }
}

/// Memory of a thread: scores, their gradients, and running values of the rows.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    grads: Vec<f32>,
    kept: Vec<f32>,
    max: Vec<f32>,
    sum: Vec<f32>,
}

struct Work<'a> {
    a: &'a Attention,
    operands: [RowPlaces; 4],
    results: [RowPlaces; 2],
    q: *const f32,
    k: *const f32,
    v: *const f32,
    grad: *const f32,
    logs: *const f32,
    sums: *const f32,
    rows: [RowPlaces; 2],
    words: *const u32,
    bias: *const f32,
    out: *mut f32,
}

// SAFETY: inputs are only read, and tasks write disjoint parts of the output.
unsafe impl Sync for Work<'_> {}

/// A matrix in memory: its first element, and the distances of rows and of columns.
type Matrix<T> = (T, usize, usize);

/// `c = a * b * factor`, added to what is there if `add`. `a` is `m` x `k`, `b` `k` x `n`.
///
/// # Safety
/// The matrices must lie in memory that may be read, and for `c` written.
unsafe fn multiply(
    [m, n, k]: [usize; 3],
    c: Matrix<*mut f32>,
    add: bool,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    factor: f32,
) {
    let [c_row, c_col, a_row, a_col, b_row, b_col] = [c.1, c.2, a.1, a.2, b.1, b.2].map(|s| s as isize);
    // SAFETY: the caller's.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.0,
            c_col,
            c_row,
            add,
            a.0,
            a_col,
            a_row,
            b.0,
            b_col,
            b_row,
            1.0f32,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        )
    }
}

impl Work<'_> {
    /// The head of k and v that goes with head `head` of q, both counted over all problems.
    fn kv(&self, head: usize) -> usize {
        head / (self.a.heads / self.a.kv_heads)
    }

    /// Row `i` of head `head`, counted over all problems of which each has `heads`, and the distance of rows.
    fn rows_of(&self, from: *const f32, rows: RowPlaces, heads: usize, head: usize, i: usize) -> (*const f32, usize) {
        // SAFETY: problems, heads and rows are inside the operand, as everywhere here.
        (unsafe { from.add(rows.at(head / heads, head % heads, i)) }, rows.row)
    }

    fn value(&self, kv: usize, j: usize) -> (*const f32, usize) {
        self.rows_of(self.v, self.operands[2], self.a.kv_heads, kv, j)
    }

    fn key(&self, kv: usize, j: usize) -> (*const f32, usize) {
        self.rows_of(self.k, self.operands[1], self.a.kv_heads, kv, j)
    }

    fn query_at(&self, head: usize, i: usize) -> (*const f32, usize) {
        self.rows_of(self.q, self.operands[0], self.a.heads, head, i)
    }

    fn grad_at(&self, head: usize, i: usize) -> (*const f32, usize) {
        self.rows_of(self.grad, self.operands[3], self.a.heads, head, i)
    }

    /// Rows of the first output, or of the second; the caller's task writes them alone.
    fn out_at(&self, o: usize, heads: usize, head: usize, i: usize) -> (*mut f32, usize) {
        let (at, step) = self.rows_of(self.out, self.results[o], heads, head, i);
        (at.cast_mut(), step)
    }

    /// The scores of a block, `LEAST` where there is none.
    fn scores(&self, head: usize, rows: &Range<usize>, keys: &Range<usize>, to: &mut Vec<f32>) {
        let (a, n) = (self.a, keys.len());
        to.clear();
        to.resize(rows.len() * n, 0.0);
        // SAFETY: `to` was made this large.
        unsafe {
            let ((q, q_step), (k, k_step)) = (self.query_at(head, rows.start), self.key(self.kv(head), keys.start));
            let (q, k) = ((q, q_step, 1), (k, 1, k_step));
            multiply([rows.len(), n, a.size], (to.as_mut_ptr(), n, 1), false, q, k, a.scale);
        }
        let (b, h) = (head / a.heads, head % a.heads);
        for (i, row) in rows.clone().zip(to.chunks_exact_mut(n)) {
            if let Some([batch, heads, length]) = a.bias {
                let line = ((b % batch) * heads + h % heads) * length + i % length;
                // SAFETY: a row of the bias.
                let bias = unsafe { std::slice::from_raw_parts(self.bias.add(line * a.length_k + keys.start), n) };
                // Not `f32::max`, which would drop NaN.
                row.iter_mut().zip(bias).for_each(|(s, b)| *s = if *s + b < LEAST { LEAST } else { *s + b });
            }
            let seen = a.keys_of(i, i + 1);
            let from = seen.start.clamp(keys.start, keys.end) - keys.start;
            let to = seen.end.clamp(keys.start, keys.end) - keys.start;
            row[..from].fill(LEAST);
            row[to.max(from)..].fill(LEAST);
            if a.mask {
                // SAFETY: the words of problem `b`.
                let mask =
                    unsafe { std::slice::from_raw_parts(self.words.add(a.mask_at() + b * a.length_k + keys.start), n) };
                row.iter_mut().zip(mask).for_each(|(s, &m)| *s = if m == 0 { LEAST } else { *s });
            }
        }
    }

    /// The factors of dropout for a block, if there is dropout.
    fn kept(&self, head: usize, rows: &Range<usize>, keys: &Range<usize>, to: &mut Vec<f32>) -> bool {
        let Some(d) = self.a.dropout else { return false };
        // SAFETY: the words begin with the generator's.
        let word = |i: usize| unsafe { *self.words.add(i) };
        let (key, step) = ([word(0), word(1)], word(2));
        to.clear();
        for i in rows.clone() {
            let row = (head * self.a.length_q + i).wrapping_mul(self.a.length_k);
            to.extend(keys.clone().map(|j| {
                let bits = philox(key, [row.wrapping_add(j) as u32, d.stream, step, 0])[0];
                if bits >> 8 >= d.threshold { d.factor } else { 0.0 }
            }));
        }
        true
    }

    fn forward(&self, head: usize, rows: Range<usize>, s: &mut Scratch) {
        let a = self.a;
        let first = head * a.length_q + rows.start;
        let (to, step) = self.out_at(0, a.heads, head, rows.start);
        // SAFETY: this task's rows of the result.
        let out = |r: usize| unsafe { std::slice::from_raw_parts_mut(to.add(r * step), a.size_v) };
        (0..rows.len()).for_each(|r| out(r).fill(0.0));
        s.max.clear();
        s.max.resize(rows.len(), LEAST);
        s.sum.clear();
        s.sum.resize(rows.len(), 0.0);
        let all = a.keys_of(rows.start, rows.end);
        for j in all.clone().step_by(KEYS) {
            let keys = j..(j + KEYS).min(all.end);
            self.scores(head, &rows, &keys, &mut s.scores);
            for (r, row) in s.scores.chunks_exact_mut(keys.len()).enumerate() {
                let old = s.max[r];
                let max = old.max(Rows::max(row));
                s.max[r] = max;
                let shrink = exp(old - max);
                // A row that saw nothing yet has LEAST as its maximum too; 0 keeps its weights 0.
                let sum = Rows::exp(row, if max == LEAST { 0.0 } else { max });
                s.sum[r] = s.sum[r] * shrink + sum;
                if shrink != 1.0 {
                    out(r).iter_mut().for_each(|o| *o *= shrink);
                }
            }
            if self.kept(head, &rows, &keys, &mut s.kept) {
                s.scores.iter_mut().zip(&s.kept).for_each(|(p, z)| *p *= z);
            }
            // SAFETY: shapes as made above.
            unsafe {
                let p = (s.scores.as_ptr(), keys.len(), 1);
                let (v, v_step) = self.value(self.kv(head), j);
                multiply([rows.len(), a.size_v, keys.len()], (to, step, 1), true, p, (v, v_step, 1), 1.0);
            }
        }
        // SAFETY: this task's rows of the logarithms.
        let logs = unsafe { std::slice::from_raw_parts_mut(self.out.add(a.count_o() + first), rows.len()) };
        for (r, log) in logs.iter_mut().enumerate() {
            *log = if s.sum[r] > 0.0 { s.max[r] + s.sum[r].ln() } else { LEAST };
            let factor = if s.sum[r] > 0.0 { 1.0 / s.sum[r] } else { 0.0 };
            out(r).iter_mut().for_each(|o| *o *= factor);
        }
    }

    /// Of a block: the scores' gradients in `grads`, and the weights after dropout in `scores`.
    fn grads(&self, head: usize, rows: &Range<usize>, keys: &Range<usize>, s: &mut Scratch) {
        let (a, n) = (self.a, keys.len());
        self.scores(head, rows, keys, &mut s.scores);
        s.grads.clear();
        s.grads.resize(rows.len() * n, 0.0);
        // SAFETY: `grads` was made this large.
        unsafe {
            let ((g, g_step), (v, v_step)) = (self.grad_at(head, rows.start), self.value(self.kv(head), keys.start));
            let to = (s.grads.as_mut_ptr(), n, 1);
            multiply([rows.len(), n, a.size_v], to, false, (g, g_step, 1), (v, 1, v_step), 1.0);
        }
        let dropped = self.kept(head, rows, keys, &mut s.kept);
        for (r, i) in rows.clone().enumerate() {
            let (log, delta) = [(self.logs, self.rows[0]), (self.sums, self.rows[1])]
                // SAFETY: there is a value for each row.
                .map(|(from, places)| unsafe { *self.rows_of(from, places, a.heads, head, i).0 })
                .into();
            let part = r * n..(r + 1) * n;
            let (p, g) = (&mut s.scores[part.clone()], &mut s.grads[part.clone()]);
            Rows::exp(p, if log == LEAST { 0.0 } else { log });
            if dropped {
                for ((p, g), z) in p.iter_mut().zip(g).zip(&s.kept[part]) {
                    *g = *p * (*g * z - delta);
                    *p *= z;
                }
            } else {
                p.iter().zip(g).for_each(|(p, g)| *g = p * (*g - delta));
            }
        }
    }

    fn query(&self, head: usize, rows: Range<usize>, s: &mut Scratch) {
        let a = self.a;
        let (out, step) = self.out_at(0, a.heads, head, rows.start);
        // SAFETY: this task's rows of the gradient.
        (0..rows.len()).for_each(|r| unsafe { std::slice::from_raw_parts_mut(out.add(r * step), a.size).fill(0.0) });
        let all = a.keys_of(rows.start, rows.end);
        for j in all.clone().step_by(KEYS) {
            let keys = j..(j + KEYS).min(all.end);
            self.grads(head, &rows, &keys, s);
            // SAFETY: shapes as made above.
            unsafe {
                let (k, k_step) = self.key(self.kv(head), j);
                let g = (s.grads.as_ptr(), keys.len(), 1);
                multiply([rows.len(), a.size, keys.len()], (out, step, 1), true, g, (k, k_step, 1), a.scale);
            }
        }
    }

    fn key_value(&self, kv: usize, keys: Range<usize>, s: &mut Scratch) {
        let (a, n) = (self.a, keys.len());
        let [(dk, k_step), (dv, v_step)] = [0, 1].map(|o| self.out_at(o, a.kv_heads, kv, keys.start));
        for r in 0..n {
            // SAFETY: this task's rows of both gradients.
            unsafe {
                std::slice::from_raw_parts_mut(dk.add(r * k_step), a.size).fill(0.0);
                std::slice::from_raw_parts_mut(dv.add(r * v_step), a.size_v).fill(0.0);
            }
        }
        let group = a.heads / a.kv_heads;
        let all = a.queries_of(keys.start, keys.end);
        for head in kv * group..(kv + 1) * group {
            for i in all.clone().step_by(KEYS) {
                let rows = i..(i + KEYS).min(all.end);
                self.grads(head, &rows, &keys, s);
                // SAFETY: shapes as made above; scores and gradients are read transposed.
                unsafe {
                    let (g, (q, q_step)) = ((s.grads.as_ptr(), 1, n), self.query_at(head, i));
                    multiply([n, a.size, rows.len()], (dk, k_step, 1), true, g, (q, q_step, 1), a.scale);
                    let (p, (g, g_step)) = ((s.scores.as_ptr(), 1, n), self.grad_at(head, i));
                    multiply([n, a.size_v, rows.len()], (dv, v_step, 1), true, p, (g, g_step, 1), 1.0);
                }
            }
        }
    }

    /// `rows` are the bias's own.
    fn bias(&self, [b, h]: [usize; 2], rows: Range<usize>, keys: Range<usize>, s: &mut Scratch) {
        let a = self.a;
        let [batch, heads, length] = a.bias.expect("a bias gradient is of a bias");
        let row = |r: usize| {
            let at = ((b * heads + h) * length + r) * a.length_k + keys.start;
            // SAFETY: this task's part of the gradient.
            unsafe { std::slice::from_raw_parts_mut(self.out.add(at), keys.len()) }
        };
        rows.clone().for_each(|r| row(r).fill(0.0));
        let all = if length == 1 { 0..a.length_q } else { rows };
        for b in if batch == 1 { 0..a.batch } else { b..b + 1 } {
            for h in if heads == 1 { 0..a.heads } else { h..h + 1 } {
                for i in all.clone().step_by(QUERIES) {
                    let block = i..(i + QUERIES).min(all.end);
                    self.grads(b * a.heads + h, &block, &keys, s);
                    for (i, g) in block.zip(s.grads.chunks_exact(keys.len())) {
                        row(i % length).iter_mut().zip(g).for_each(|(o, g)| *o += g);
                    }
                }
            }
        }
    }
}
