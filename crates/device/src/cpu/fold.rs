//! Reductions on the CPU. Sums are formed in an order that depends on the sizes alone.

use super::CpuIo;
use super::interpret::{BLOCK, Interpreter, State, run_tasks};
use super::source::store;
use crate::kernels::{Reduce, ReduceOp};
use crate::{Affine, DType, ExprNode};
use pulp::{Arch, Simd, WithSimd};
use std::sync::Mutex;

/// Partial results of a block that are folded side by side.
const LANES: usize = 32;
/// Positions of columns whose sums are formed in f32.
const GROUP: usize = 16;
/// Elements that one task folds.
const TASK: usize = 1 << 16;

/// A running result. f64 holds every 32-bit type exactly, and keeps long sums accurate.
#[derive(Clone, Copy)]
pub(super) struct Partial {
    value: f64,
    /// Of squared deviations: the mean that they are from.
    mean: f64,
    /// Where the value was found, for arg-reductions; of how many, for squared deviations; for products, the integer one, which
    /// wraps.
    index: u32,
}

impl Partial {
    /// The result of one element.
    #[inline(always)]
    fn of(op: ReduceOp, x: f64, index: u32) -> Partial {
        match op {
            ReduceOp::SquaredDeviations => Partial { value: 0.0, mean: x, index: 1 },
            ReduceOp::Prod => Partial { value: x, mean: 0.0, index: x as i64 as u32 },
            _ => Partial { value: x, mean: 0.0, index },
        }
    }
}

pub(crate) fn run(r: &Reduce, io: &CpuIo) {
    let (kept, reduced) = (r.kept(), r.reduced());
    if kept == 0 {
        return;
    }
    let folder = Folder { r, io, kept, reduced };
    if reduced == 0 {
        // Nothing may be read: inputs may be empty.
        (0..r.outputs.len()).for_each(|o| folder.store(o, 0, &vec![folder.start(o); kept]));
        return;
    }
    let (mut expr, mut domain) = (r.expr.clone(), r.domain());
    // Blocks run along the reduced elements of one output, or along outputs: whichever fills them better.
    let columns = kept >= 64 && (reduced < 128 || !reads_along_reduced(r));
    if columns {
        domain.rotate_left(r.keep.len());
        expr.affines_mut().into_iter().for_each(|a| a.strides.rotate_left(r.keep.len()));
    }
    let nodes = r.outputs.iter().map(|o| o.node).collect();
    let it = Interpreter::new(expr, domain, nodes, Interpreter::sources(io, 0, &r.inputs));
    if columns { folder.columns(&it) } else { folder.rows(&it) }
}

/// Whether some load is contiguous in the direction that is folded. A load that walks only there (a row's mean) does not
/// count: it is read again for each output either way.
fn reads_along_reduced(r: &Reduce) -> bool {
    // The last dimension that is walked at all.
    let Some(last) = (r.keep.len()..r.domain().len()).rev().find(|&d| r.domain()[d] > 1) else { return false };
    let kept = |a: &Affine| (0..r.keep.len()).any(|d| a.strides[d] != 0 && r.keep[d] > 1);
    r.expr.nodes.iter().any(|n| match n {
        ExprNode::Load { access, .. } => access.affines().any(|a| a.strides[last] == 1) && access.affines().any(kept),
        _ => false,
    })
}

struct Folder<'a> {
    r: &'a Reduce,
    io: &'a CpuIo,
    kept: usize,
    reduced: usize,
}

impl Folder<'_> {
    fn start(&self, o: usize) -> Partial {
        start(self.r.outputs[o].op, self.r.expr.dtypes[self.r.outputs[o].node])
    }

    /// One output element after another.
    fn rows(&self, it: &Interpreter) {
        let outputs = self.r.outputs.len();
        let chunk = TASK.min(self.reduced.max(1));
        let chunks = self.reduced.div_ceil(chunk).max(1);
        // Short rows share a task.
        let rows_a_task = (TASK / self.reduced.max(1)).clamp(1, self.kept);
        let tasks = self.kept.div_ceil(rows_a_task) * chunks;
        let partials = Mutex::new(vec![Partial { value: 0.0, mean: 0.0, index: 0 }; self.kept * chunks * outputs]);
        run_tasks(tasks, |range| {
            let mut state = State::new(it);
            for t in range {
                let (rows, c) = (t / chunks * rows_a_task, t % chunks);
                let end = (rows + rows_a_task).min(self.kept);
                let mut local = vec![];
                for row in rows..end {
                    let mut acc: Vec<Partial> = (0..outputs).map(|o| self.start(o)).collect();
                    let (from, to) = (c * chunk, ((c + 1) * chunk).min(self.reduced));
                    for (start, len) in it.blocks(row * self.reduced + from, row * self.reduced + to) {
                        state.evaluate(it, start, len);
                        let at = (start - row * self.reduced) as u32;
                        for (o, acc) in acc.iter_mut().enumerate() {
                            fold_block(self.r.outputs[o].op, it.dtype(o), state.output(it, o, len), at, acc);
                        }
                    }
                    local.extend(acc);
                }
                let mut all = partials.lock().expect("no thread panics here");
                for (i, p) in local.into_iter().enumerate() {
                    let (row, o) = (rows + i / outputs, i % outputs);
                    all[(row * chunks + c) * outputs + o] = p;
                }
            }
        });
        let partials = partials.into_inner().expect("no thread panics here");
        for o in 0..outputs {
            let op = self.r.outputs[o].op;
            let results: Vec<Partial> = (0..self.kept)
                .map(|row| {
                    let mut acc = self.start(o);
                    (0..chunks).for_each(|c| combine(op, &mut acc, partials[(row * chunks + c) * outputs + o]));
                    acc
                })
                .collect();
            self.store(o, 0, &results);
        }
    }

    /// A block of output elements at a time, one reduced position after another. `it` walks reduced positions outside.
    fn columns(&self, it: &Interpreter) {
        let outputs = self.r.outputs.len();
        let chunk = (TASK / BLOCK).max(self.reduced.div_ceil(16)).max(1);
        let chunks = self.reduced.div_ceil(chunk).max(1);
        let blocks: Vec<(usize, usize)> = it.blocks(0, self.kept).collect();
        // Results of parts of the sum wait here for the others.
        let partials = Mutex::new(vec![vec![]; if chunks == 1 { 0 } else { blocks.len() * chunks }]);
        run_tasks(blocks.len() * chunks, |range| {
            let mut state = State::new(it);
            for t in range {
                let ((at, len), c) = (blocks[t / chunks], t % chunks);
                let mut acc: Vec<Vec<Partial>> = (0..outputs).map(|o| vec![self.start(o); len]).collect();
                // What float sums of a few positions come to, in f32, before it is added in f64.
                let mut sums = vec![vec![0f32; len]; outputs];
                let end = ((c + 1) * chunk).min(self.reduced);
                for j in c * chunk..end {
                    state.evaluate(it, j * self.kept + at, len);
                    for (o, acc) in acc.iter_mut().enumerate() {
                        let (op, dtype, words) = (self.r.outputs[o].op, it.dtype(o), state.output(it, o, len));
                        if op != ReduceOp::Sum || !matches!(dtype, DType::F32 | DType::F16) {
                            combine_all(op, dtype, acc, words, j as u32);
                            continue;
                        }
                        Arch::new().dispatch(AddRow { words, to: &mut sums[o] });
                        if j + 1 == end || (j + 1) % GROUP == 0 {
                            acc.iter_mut().zip(&sums[o]).for_each(|(a, &x)| a.value += x as f64);
                            sums[o].fill(0.0);
                        }
                    }
                }
                if chunks == 1 {
                    acc.iter().enumerate().for_each(|(o, acc)| self.store(o, at, acc));
                } else {
                    partials.lock().expect("no thread panics here")[t] = acc;
                }
            }
        });
        let partials = partials.into_inner().expect("no thread panics here");
        for (&(at, _), parts) in blocks.iter().zip(partials.chunks_exact(chunks)) {
            for o in 0..outputs {
                let mut acc = parts[0][o].clone();
                for part in &parts[1..] {
                    acc.iter_mut().zip(&part[o]).for_each(|(a, p)| combine(self.r.outputs[o].op, a, *p));
                }
                self.store(o, at, &acc);
            }
        }
    }

    fn store(&self, o: usize, at: usize, results: &[Partial]) {
        let dtype = self.r.output_dtype(o);
        let words: Vec<u32> = results.iter().map(|p| word(self.r.outputs[o].op, dtype, *p)).collect();
        // SAFETY: no other thread stores this range.
        unsafe { store(self.io, o, at, &words, dtype) }
    }
}

/// The result of nothing.
pub(super) fn start(op: ReduceOp, dtype: DType) -> Partial {
    let (least, greatest) = match dtype {
        DType::F32 => (f32::MIN as f64, f32::MAX as f64),
        DType::F16 => (half::f16::MIN.to_f64(), half::f16::MAX.to_f64()),
        DType::I32 => (i32::MIN as f64, i32::MAX as f64),
        DType::U32 | DType::Bool => (0.0, u32::MAX as f64),
    };
    let value = match op {
        ReduceOp::Sum | ReduceOp::SquaredDeviations => 0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max => least,
        ReduceOp::Min => greatest,
        // Any element is taken over these, the least one too.
        ReduceOp::ArgMax => f64::NEG_INFINITY,
        ReduceOp::ArgMin => f64::INFINITY,
    };
    Partial { value, mean: 0.0, index: (op == ReduceOp::Prod) as u32 }
}

/// A result of type `dtype`, as it is stored.
pub(super) fn word(op: ReduceOp, dtype: DType, p: Partial) -> u32 {
    match dtype {
        _ if matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin) => p.index,
        DType::F32 => (p.value as f32).to_bits(),
        DType::F16 => half::f16::from_f32(p.value as f32).to_f32().to_bits(),
        DType::Bool => (p.value != 0.0) as u32,
        _ if op == ReduceOp::Prod => p.index,
        // Through i64, so that sums wrap.
        _ => p.value as i64 as u32,
    }
}

#[inline(always)]
fn value(dtype: DType, word: u32) -> f64 {
    match dtype {
        DType::F32 | DType::F16 => f32::from_bits(word) as f64,
        DType::I32 => word as i32 as f64,
        DType::U32 | DType::Bool => word as f64,
    }
}

/// Folds `p`, which comes after `acc`, into it.
#[inline(always)]
fn combine(op: ReduceOp, acc: &mut Partial, p: Partial) {
    match op {
        ReduceOp::Sum => acc.value += p.value,
        ReduceOp::Prod => {
            acc.value *= p.value;
            acc.index = acc.index.wrapping_mul(p.index);
        }
        ReduceOp::Max => acc.value = if p.value > acc.value { p.value } else { acc.value },
        ReduceOp::Min => acc.value = if p.value < acc.value { p.value } else { acc.value },
        ReduceOp::ArgMax if p.value > acc.value => *acc = p,
        ReduceOp::ArgMin if p.value < acc.value => *acc = p,
        ReduceOp::ArgMax | ReduceOp::ArgMin => {}
        ReduceOp::SquaredDeviations if p.index == 0 => {}
        ReduceOp::SquaredDeviations => {
            let (n, apart) = (acc.index as f64, p.mean - acc.mean);
            let share = p.index as f64 / (n + p.index as f64);
            acc.value += p.value + apart * apart * n * share;
            acc.mean += apart * share;
            acc.index += p.index;
        }
    }
}

/// Folds one value into each of `acc`. The usual cases have a loop of their own.
fn combine_all(op: ReduceOp, dtype: DType, acc: &mut [Partial], words: &[u32], index: u32) {
    let pairs = acc.iter_mut().zip(words);
    let float = |w: u32| Partial::of(op, f32::from_bits(w) as f64, index);
    match (op, dtype) {
        (ReduceOp::Max, DType::F32 | DType::F16) => pairs.for_each(|(a, &w)| combine(ReduceOp::Max, a, float(w))),
        (ReduceOp::ArgMax, DType::F32 | DType::F16) => pairs.for_each(|(a, &w)| combine(ReduceOp::ArgMax, a, float(w))),
        _ => pairs.for_each(|(a, &w)| combine(op, a, Partial::of(op, value(dtype, w), index))),
    }
}

#[inline(always)]
pub(super) fn fold_block(op: ReduceOp, dtype: DType, words: &[u32], at: u32, acc: &mut Partial) {
    if op == ReduceOp::SquaredDeviations && words.len() >= LANES {
        // Two passes over the block, which is in the first-level cache.
        let mut sum = Partial::of(ReduceOp::Sum, 0.0, 0);
        fold_block(ReduceOp::Sum, dtype, words, 0, &mut sum);
        let mean = sum.value / words.len() as f64;
        let (lanes, tail) = words.split_at(words.len() / LANES * LANES);
        let lanes: [f32; LANES] = Arch::new().dispatch(Deviations { words: lanes, mean: mean as f32 });
        let mut value = add_lanes(lanes) as f64;
        value += tail.iter().map(|&w| (f32::from_bits(w) as f64 - mean).powi(2)).sum::<f64>();
        return combine(op, acc, Partial { value, mean, index: words.len() as u32 });
    }
    if matches!(dtype, DType::F32 | DType::F16) && words.len() >= LANES {
        // Vectors of partial results, folded together at the end of the block.
        if matches!(op, ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min) {
            let (head, tail) = words.split_at(words.len() / LANES * LANES);
            let lanes = match op {
                ReduceOp::Sum => fold_lanes::<LANES>(head, |a, x| a + x),
                ReduceOp::Max => fold_lanes(head, |a, x| if x > a { x } else { a }),
                _ => fold_lanes(head, |a, x| if x < a { x } else { a }),
            };
            if op == ReduceOp::Sum {
                acc.value += add_lanes(lanes) as f64;
            } else {
                lanes.into_iter().for_each(|x| combine(op, acc, Partial::of(op, x as f64, 0)));
            }
            for &w in tail {
                combine(op, acc, Partial::of(op, value(dtype, w), 0));
            }
            return;
        }
    }
    for (i, &w) in words.iter().enumerate() {
        combine(op, acc, Partial::of(op, value(dtype, w), at + i as u32));
    }
}

/// Adds a row of elements to sums, one by one.
struct AddRow<'a> {
    words: &'a [u32],
    to: &'a mut [f32],
}

impl WithSimd for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.to.iter_mut().zip(self.words).for_each(|(t, &w)| *t += f32::from_bits(w));
    }
}

/// The sum of a vector, by halves.
#[inline(always)]
fn add_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        (0..half).for_each(|i| lanes[i] += lanes[i + half]);
        half /= 2;
    }
    lanes[0]
}

/// Folds whole vectors of `N` words into one.
fn fold_lanes<const N: usize>(words: &[u32], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    Arch::new().dispatch(Lanes { words, f })
}

struct Lanes<'a, const N: usize, F> {
    words: &'a [u32],
    f: F,
}

impl<const N: usize, F: Fn(f32, f32) -> f32> WithSimd for Lanes<'_, N, F> {
    type Output = [f32; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; N] {
        let (first, rest) = self.words.as_chunks::<N>().0.split_first().expect("at least one vector");
        let mut lanes = first.map(f32::from_bits);
        for row in rest {
            for i in 0..N {
                lanes[i] = (self.f)(lanes[i], f32::from_bits(row[i]));
            }
        }
        lanes
    }
}

/// Sums of squared distances from a number, over whole vectors.
struct Deviations<'a> {
    words: &'a [u32],
    mean: f32,
}

impl WithSimd for Deviations<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut lanes = [0f32; LANES];
        for row in self.words.as_chunks::<{ LANES }>().0 {
            for i in 0..lanes.len() {
                let apart = f32::from_bits(row[i]) - self.mean;
                lanes[i] += apart * apart;
            }
        }
        lanes
    }
}
