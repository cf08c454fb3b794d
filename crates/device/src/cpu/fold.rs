//! Reductions on the CPU. Sums are formed in an order that depends on the sizes alone.

use super::CpuIo;
use super::interpret::{BLOCK, Interpreter, State, run_tasks, store};
use crate::DType;
use crate::kernels::{Reduce, ReduceOp};
use std::sync::Mutex;

/// Elements that one task folds.
const TASK: usize = 1 << 16;

/// A running result: the folded value and, for arg-reductions, where it was found. f64 holds every 32-bit type exactly,
/// and keeps long sums accurate.
#[derive(Clone, Copy)]
struct Partial {
    value: f64,
    index: u32,
}

pub(crate) fn run(r: &Reduce, io: &CpuIo) {
    let nodes: Vec<_> = r.outputs.iter().map(|o| o.node).collect();
    let by_rows = Interpreter::new(&r.expr, &r.domain(), r.keep.len(), &nodes, &r.inputs);
    let (kept, reduced) = (r.kept(), r.reduced());
    if kept == 0 {
        return;
    }
    let folder = Folder { r, io, kept, reduced };
    if reduced == 0 {
        // Nothing may be read: inputs may be empty.
        (0..nodes.len()).for_each(|o| folder.store(o, 0, &vec![folder.start(o); kept]));
        return;
    }
    // Blocks run along the reduced elements of one output, or along outputs: whichever fills them better.
    let columns = kept >= 64 && (reduced < 128 || !reads_along_reduced(&by_rows));
    if columns { folder.columns(&by_rows.reduced_outside(&nodes)) } else { folder.rows(&by_rows) }
}

/// Whether some load is contiguous in the direction that is folded.
fn reads_along_reduced(i: &Interpreter) -> bool {
    i.kept < i.domain.len()
        && i.expr.nodes.iter().any(|n| match n {
            crate::ExprNode::Load { access, .. } => access.affines().any(|a| a.strides[i.domain.len() - 1] == 1),
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
        let dtype = self.r.expr.dtypes[self.r.outputs[o].node];
        let (least, greatest) = match dtype {
            DType::F32 => (f32::MIN as f64, f32::MAX as f64),
            DType::F16 => (half::f16::MIN.to_f64(), half::f16::MAX.to_f64()),
            DType::I32 => (i32::MIN as f64, i32::MAX as f64),
            DType::U32 | DType::Bool => (0.0, u32::MAX as f64),
        };
        let value = match self.r.outputs[o].op {
            ReduceOp::Sum => 0.0,
            ReduceOp::Prod => 1.0,
            ReduceOp::Max => least,
            ReduceOp::Min => greatest,
            // Any element is taken over these, the least one too.
            ReduceOp::ArgMax => f64::NEG_INFINITY,
            ReduceOp::ArgMin => f64::INFINITY,
        };
        Partial { value, index: 0 }
    }

    /// One output element after another.
    fn rows(&self, it: &Interpreter) {
        let outputs = self.r.outputs.len();
        let chunk = TASK.min(self.reduced.max(1));
        let chunks = self.reduced.div_ceil(chunk).max(1);
        // Short rows share a task.
        let rows_a_task = (TASK / self.reduced.max(1)).clamp(1, self.kept);
        let tasks = self.kept.div_ceil(rows_a_task) * chunks;
        let partials = Mutex::new(vec![Partial { value: 0.0, index: 0 }; self.kept * chunks * outputs]);
        run_tasks(tasks, |range| {
            let mut state = State::new(it, self.io);
            for t in range {
                let (rows, c) = (t / chunks * rows_a_task, t % chunks);
                let end = (rows + rows_a_task).min(self.kept);
                let mut local = vec![];
                pulp::Arch::new().dispatch(|| {
                    for row in rows..end {
                        let mut acc: Vec<Partial> = (0..outputs).map(|o| self.start(o)).collect();
                        let (from, to) = (c * chunk, ((c + 1) * chunk).min(self.reduced));
                        for at in (from..to).step_by(BLOCK) {
                            let len = BLOCK.min(to - at);
                            state.evaluate(it, self.io, row * self.reduced + at, len);
                            for (o, acc) in acc.iter_mut().enumerate() {
                                let node = self.r.outputs[o].node;
                                let words = &state.block(it, node).0[..len];
                                fold_block(self.r.outputs[o].op, it.expr.dtypes[node], words, at as u32, acc);
                            }
                        }
                        local.extend(acc);
                    }
                });
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
        let blocks = self.kept.div_ceil(BLOCK);
        let partials = Mutex::new(vec![vec![]; blocks * chunks]);
        run_tasks(blocks * chunks, |range| {
            let mut state = State::new(it, self.io);
            for t in range {
                let (block, c) = (t / chunks, t % chunks);
                let at = block * BLOCK;
                let len = BLOCK.min(self.kept - at);
                let mut acc: Vec<Vec<Partial>> = (0..outputs).map(|o| vec![self.start(o); len]).collect();
                pulp::Arch::new().dispatch(|| {
                    for j in c * chunk..((c + 1) * chunk).min(self.reduced) {
                        state.evaluate(it, self.io, j * self.kept + at, len);
                        for (o, acc) in acc.iter_mut().enumerate() {
                            let node = self.r.outputs[o].node;
                            let words = &state.block(it, node).0[..len];
                            let dtype = it.expr.dtypes[node];
                            let op = self.r.outputs[o].op;
                            for (a, &w) in acc.iter_mut().zip(words) {
                                combine(op, a, Partial { value: value(dtype, w), index: j as u32 });
                            }
                        }
                    }
                });
                partials.lock().expect("no thread panics here")[t] = acc;
            }
        });
        let partials = partials.into_inner().expect("no thread panics here");
        for block in 0..blocks {
            for o in 0..outputs {
                let mut acc = partials[block * chunks][o].clone();
                for c in 1..chunks {
                    for (a, p) in acc.iter_mut().zip(&partials[block * chunks + c][o]) {
                        combine(self.r.outputs[o].op, a, *p);
                    }
                }
                self.store(o, block * BLOCK, &acc);
            }
        }
    }

    fn store(&self, o: usize, at: usize, results: &[Partial]) {
        let dtype = self.r.output_dtype(o);
        let arg = matches!(self.r.outputs[o].op, ReduceOp::ArgMax | ReduceOp::ArgMin);
        let words: Vec<u32> = results
            .iter()
            .map(|p| match dtype {
                _ if arg => p.index,
                DType::F32 | DType::F16 => (p.value as f32).to_bits(),
                // Through i64, so that sums wrap.
                _ => p.value as i64 as u32,
            })
            .collect();
        // SAFETY: only the calling thread stores.
        unsafe { store(self.io, o, at, &words, dtype) }
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
        ReduceOp::Prod => acc.value *= p.value,
        ReduceOp::Max => acc.value = if p.value > acc.value { p.value } else { acc.value },
        ReduceOp::Min => acc.value = if p.value < acc.value { p.value } else { acc.value },
        ReduceOp::ArgMax if p.value > acc.value => *acc = p,
        ReduceOp::ArgMin if p.value < acc.value => *acc = p,
        ReduceOp::ArgMax | ReduceOp::ArgMin => {}
    }
}

#[inline(always)]
fn fold_block(op: ReduceOp, dtype: DType, words: &[u32], at: u32, acc: &mut Partial) {
    const LANES: usize = 32;
    if matches!(dtype, DType::F32 | DType::F16) && words.len() >= LANES {
        // Vectors of partial results, folded together at the end of the block.
        if matches!(op, ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min) {
            let (head, tail) = words.split_at(words.len() / LANES * LANES);
            let lanes = match op {
                ReduceOp::Sum => fold_lanes::<LANES>(head, |a, x| a + x),
                ReduceOp::Max => fold_lanes::<LANES>(head, |a, x| if x > a { x } else { a }),
                _ => fold_lanes::<LANES>(head, |a, x| if x < a { x } else { a }),
            };
            for x in lanes {
                combine(op, acc, Partial { value: x as f64, index: 0 });
            }
            for &w in tail {
                combine(op, acc, Partial { value: value(dtype, w), index: 0 });
            }
            return;
        }
    }
    for (i, &w) in words.iter().enumerate() {
        combine(op, acc, Partial { value: value(dtype, w), index: at + i as u32 });
    }
}

#[inline(always)]
fn fold_lanes<const N: usize>(words: &[u32], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    let mut lanes = [0f32; N];
    let mut rows = words.chunks_exact(N);
    if let Some(first) = rows.next() {
        for i in 0..N {
            lanes[i] = f32::from_bits(first[i]);
        }
    }
    for row in rows {
        for i in 0..N {
            lanes[i] = f(lanes[i], f32::from_bits(row[i]));
        }
    }
    lanes
}
