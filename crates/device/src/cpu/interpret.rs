//! Runs expressions over blocks of the domain: each node fills one cache-sized block, then the next node runs. Elements
//! that lie in memory as the block needs them are used where they are.

use super::CpuIo;
use super::hoist::{Hoisted, hoist};
use super::ops::{binary, cast, philox_block, select, unary};
use super::source::{Source, fill, store};
use super::walk::{self, Pattern, Run};
use crate::expr::collapse;
use crate::kernels::Map;
use crate::{Affine, DType, Expr, ExprId, ExprNode};
use half::f16;
use rayon::prelude::*;

/// The most elements that a node computes at once: 4 KiB, so that an expression's values stay in the first-level cache.
pub(super) const BLOCK: usize = 1024;
/// Nodes compute whole vectors of this many elements; those past the block's end are leftovers that nobody stores.
pub(super) const LANES: usize = 16;
/// Rows at least this long have blocks of their own, in which an element that is the same along a row is read once.
pub(super) const LONG_ROW: usize = 128;
/// Elements that a thread takes at once.
const TASK: usize = 16 * BLOCK;

/// A block of 32-bit words: f32, u32, i32 or bool, as the node's type says.
#[derive(Clone)]
#[repr(C, align(64))]
struct Block([u32; BLOCK]);

/// An expression made ready for a domain and its inputs.
pub(super) struct Interpreter {
    expr: Expr,
    domain: Vec<usize>,
    outputs: Vec<ExprId>,
    sources: Vec<Source>,
    /// Read by some of the sources.
    _tables: Vec<Vec<u32>>,
    how: Vec<How>,
    patterns: Vec<Pattern>,
    /// For each node, the block that it fills.
    slots: Vec<usize>,
    slot_count: usize,
    /// Whether something is loaded, or counted, along rows.
    by_rows: bool,
}

/// Runs a map.
pub(crate) fn run(m: &Map, io: &CpuIo) {
    let sources = Interpreter::sources(io, 0, &m.inputs);
    Interpreter::new(m.expr.clone(), m.domain.clone(), m.outputs.clone(), sources).store_all(io);
}

/// How a node gets its values.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// The same everywhere: filled once.
    Fixed(u32),
    /// From outside (a contraction's sums).
    Given,
    /// Loaded as the domain is walked, in place if `direct`.
    Linear { direct: bool },
    /// Loaded from a table that repeats after so many elements.
    Periodic(usize),
    /// Loaded by runs along the last dimension; in place if `direct`.
    Runs { direct: bool },
    /// Loaded, or counted, by the table of this number: runs are short.
    Table(usize),
    /// Loaded by runs along the last dimension, each run one element repeated; kept until that element changes.
    Row,
    /// Computed.
    Computed,
}

impl Interpreter {
    /// Input `i` of the expression is `sources[i]`. Indices are linear over `domain`.
    pub fn new(mut expr: Expr, mut domain: Vec<usize>, outputs: Vec<ExprId>, sources: Vec<Source>) -> Interpreter {
        collapse(&mut domain, 0, &mut expr);
        if domain.is_empty() {
            domain.push(1);
            expr.affines_mut().into_iter().for_each(|a| a.strides.push(0));
        }
        let Hoisted { expr, outputs, sources, tables, periods } = hoist(expr, &domain, outputs, sources);
        let empty = domain.contains(&0); // then nothing may be read
        let long = domain[domain.len() - 1] >= LONG_ROW;
        let mut patterns = vec![];
        let mut pattern = |affine: &Affine| {
            patterns.push(Pattern::new(affine, &domain)?);
            Some(How::Table(patterns.len() - 1))
        };
        let how: Vec<How> = (0..expr.nodes.len())
            .map(|id| match &expr.nodes[id] {
                ExprNode::Const(bits) => How::Fixed(*bits),
                ExprNode::Accumulator => How::Given,
                ExprNode::Load { input, access } => {
                    // An output is stored after others that may share its input's memory.
                    let direct = !outputs.contains(&id);
                    if access.is_scalar(&domain) && !empty {
                        // SAFETY: the planner gives accesses that stay inside their buffers.
                        How::Fixed(unsafe { sources[*input].one(access.base.offset as usize) })
                    } else if let Some(period) = periods[*input] {
                        How::Periodic(period)
                    } else if access.is_linear(&domain) {
                        How::Linear { direct }
                    } else if long && access.coords.is_empty() && access.base.strides.last() == Some(&0) {
                        How::Row
                    } else if let Some(table) = access.coords.is_empty().then(|| pattern(&access.base)).flatten() {
                        table
                    } else {
                        How::Runs {
                            direct: direct && access.coords.is_empty() && access.base.strides.last() == Some(&1),
                        }
                    }
                }
                ExprNode::Index(affine) => pattern(affine).unwrap_or(How::Computed),
                _ => How::Computed,
            })
            .collect();
        let (slots, slot_count) = assign_slots(&expr, &how, &outputs);
        let by_rows = how.iter().zip(&expr.nodes).any(|(how, node)| match how {
            How::Runs { .. } | How::Row => true,
            How::Computed => matches!(node, ExprNode::Index(_) | ExprNode::Mask(_)),
            _ => false,
        });
        Interpreter { expr, domain, outputs, sources, _tables: tables, how, patterns, slots, slot_count, by_rows }
    }

    /// The sources of a kernel's inputs from `first` on.
    pub fn sources(io: &CpuIo, first: usize, inputs: &[DType]) -> Vec<Source> {
        inputs.iter().enumerate().map(|(i, &dtype)| Source::input(io, first + i, dtype)).collect()
    }

    /// Number of elements in the domain.
    fn len(&self) -> usize {
        self.domain.iter().product()
    }

    /// The type of output `o`.
    pub fn dtype(&self, o: usize) -> DType {
        self.expr.dtypes[self.outputs[o]]
    }

    /// Linear indices `from..to` as blocks: (first, count). Long rows are not mixed in a block, where anything goes by rows.
    pub fn blocks(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
        let row = self.domain[self.domain.len() - 1];
        let (row, size) = if row >= LONG_ROW && self.by_rows {
            (row, row.div_ceil(row.div_ceil(BLOCK)).next_multiple_of(LANES))
        } else {
            (usize::MAX, BLOCK)
        };
        let mut at = from;
        std::iter::from_fn(move || {
            let here = at;
            let left = (row - here % row).min(size);
            at = (here + left).min(to);
            (here < to).then(|| (here, at - here))
        })
    }

    /// Stores the outputs for every index.
    fn store_all(&self, io: &CpuIo) {
        let n = self.len();
        run_tasks(n.div_ceil(TASK), |tasks| {
            let mut state = State::new(self);
            for (at, len) in self.blocks(tasks.start * TASK, (tasks.end * TASK).min(n)) {
                state.evaluate(self, at, len);
                for o in 0..self.outputs.len() {
                    // SAFETY: tasks store disjoint ranges.
                    unsafe { store(io, o, at, state.output(self, o, len), self.dtype(o)) }
                }
            }
        });
    }

    /// The outputs for every index, as words.
    pub fn to_tables(&self) -> Vec<Vec<u32>> {
        let mut tables = vec![Vec::with_capacity(self.len()); self.outputs.len()];
        let mut state = State::new(self);
        for (at, len) in self.blocks(0, self.len()) {
            state.evaluate(self, at, len);
            for (o, table) in tables.iter_mut().enumerate() {
                table.extend_from_slice(state.output(self, o, len));
            }
        }
        tables
    }
}

/// Runs `tasks` tasks on the thread pool, or right here if there is only one.
pub(super) fn run_tasks(tasks: usize, body: impl Fn(std::ops::Range<usize>) + Sync) {
    match tasks {
        0 => return, // nothing may be read: inputs may be empty
        1 => return body(0..1),
        _ => {}
    }
    // Each job makes its own blocks, so jobs should not be too small; four a thread even out the load.
    let job = tasks.div_ceil(rayon::current_num_threads() * 4);
    (0..tasks.div_ceil(job)).into_par_iter().for_each(|j| body(j * job..((j + 1) * job).min(tasks)));
}

/// Gives each node a block, reusing those whose values are no longer needed.
fn assign_slots(expr: &Expr, how: &[How], outputs: &[ExprId]) -> (Vec<usize>, usize) {
    let n = expr.nodes.len();
    let mut last_use = vec![0; n];
    for id in 0..n {
        for a in expr.args(id) {
            last_use[a] = id;
        }
    }
    // Not filled anew for each block: nobody else may write there.
    let own = |id: ExprId| matches!(how[id], How::Fixed(_) | How::Given | How::Row);
    for id in 0..n {
        if own(id) || outputs.contains(&id) {
            last_use[id] = usize::MAX;
        }
    }
    let (mut slots, mut free, mut count) = (vec![0; n], vec![], 0);
    for id in 0..n {
        let reused = if own(id) { None } else { free.pop() };
        slots[id] = reused.unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        // Freed only now: a node's own block must differ from its arguments'.
        let mut done = expr.args(id);
        done.sort_unstable();
        done.dedup();
        free.extend(done.into_iter().filter(|&a| last_use[a] == id).map(|a| slots[a]));
    }
    (slots, count)
}

/// The blocks of one thread.
pub(super) struct State {
    blocks: Vec<Block>,
    /// For each node, where its values are.
    at: Vec<*const u32>,
    /// For each [`How::Row`], the position of the element that its block holds, and how often.
    held: Vec<(i64, usize)>,
    runs: Vec<Run>,
    index: Vec<usize>,
}

impl State {
    pub fn new(it: &Interpreter) -> State {
        let n = it.expr.nodes.len();
        let mut blocks = vec![Block([0; BLOCK]); it.slot_count];
        for id in 0..n {
            if let How::Fixed(bits) = it.how[id] {
                blocks[it.slots[id]].0.fill(bits);
            }
        }
        State { blocks, at: vec![std::ptr::null(); n], held: vec![(0, 0); n], runs: vec![], index: vec![] }
    }

    /// The first `len` values of output `o` in the block that was evaluated last.
    pub fn output<'a>(&'a self, it: &Interpreter, o: usize, len: usize) -> &'a [u32] {
        // Outputs are never used in place, so they are in their own block.
        &self.blocks[it.slots[it.outputs[o]]].0[..len]
    }

    /// Gives the next block the sums of a contraction.
    pub fn give(&mut self, it: &Interpreter, values: &[f32]) {
        if let Some(id) = it.how.iter().position(|h| *h == How::Given) {
            let block = &mut self.blocks[it.slots[id]].0;
            let half = it.expr.dtypes[id] == DType::F16;
            let round = |v: f32| if half { f16::from_f32(v).to_f32() } else { v };
            block.iter_mut().zip(values).for_each(|(w, &v)| *w = round(v).to_bits());
        }
    }

    /// Computes every node at the `len` indices from linear index `start`.
    pub fn evaluate(&mut self, it: &Interpreter, start: usize, len: usize) {
        self.runs.clear();
        let rank = it.domain.len();
        let whole = len.next_multiple_of(LANES);
        let blocks = self.blocks.as_mut_ptr();
        for id in 0..it.expr.nodes.len() {
            // SAFETY: the slot exists, and a node's block differs from its arguments' (see `assign_slots`).
            let out = unsafe { &mut (&mut (*blocks.add(it.slots[id])).0)[..whole] };
            self.at[id] = out.as_ptr();
            let at = &self.at;
            // SAFETY: arguments come before, in a block or in memory of which this much can be read.
            let arg = |a: ExprId| unsafe { std::slice::from_raw_parts(at[a], whole) };
            let dtype = |a: ExprId| it.expr.dtypes[a];
            match &it.expr.nodes[id] {
                ExprNode::Const(_) | ExprNode::Accumulator => {}
                ExprNode::Folded(_) => unreachable!("read from a table"),
                ExprNode::Load { input, access } => {
                    let source = &it.sources[*input];
                    let how = it.how[id];
                    if let How::Fixed(_) = how {
                        continue;
                    }
                    if let How::Linear { direct } = how {
                        match source.direct(start as i64, whole).filter(|_| direct) {
                            Some(p) => self.at[id] = p,
                            // SAFETY: linear loads stay inside their buffers, which hold the whole domain.
                            None => unsafe { source.load(start as i64, 1, &mut out[..len], 1) },
                        }
                        continue;
                    }
                    if let How::Periodic(period) = how {
                        let at = (start % period) as i64;
                        match source.direct(at, whole).filter(|_| !it.outputs.contains(&id)) {
                            Some(p) => self.at[id] = p,
                            // SAFETY: the table has a block more than its period.
                            None => unsafe { source.load(at, 1, &mut out[..len], 1) },
                        }
                        continue;
                    }
                    if let How::Table(t) = how {
                        it.patterns[t].pieces(&access.base, &it.domain, start, len, |at, base, offsets| {
                            // SAFETY: the planner gives accesses that stay inside their buffers.
                            unsafe { source.pick(base, offsets, &mut out[at..at + offsets.len()]) }
                        });
                        continue;
                    }
                    self.walk(it, start, len);
                    if let ([_], How::Row | How::Runs { direct: true }) = (&self.runs[..], how) {
                        let p = access.base.at(&self.index[..rank]);
                        if how != How::Row {
                            if let Some(p) = source.direct(p, whole) {
                                self.at[id] = p;
                                continue;
                            }
                        } else if self.held[id].0 == p && self.held[id].1 >= len {
                            continue;
                        } else {
                            self.held[id] = (p, len);
                        }
                    } else {
                        self.held[id].1 = 0;
                    }
                    for r in &self.runs {
                        let at = &self.index[r.index..r.index + rank];
                        let to = &mut out[r.start..r.start + r.len];
                        // SAFETY: the planner gives accesses that stay inside their buffers.
                        walk::read_run(access, at, to, |p, s, to, e| unsafe { source.load(p, s, to, e) });
                    }
                }
                ExprNode::LoadAt { input, index, len } => it.sources[*input].gather(arg(*index), *len, out),
                ExprNode::Index(affine) if let How::Table(t) = it.how[id] => {
                    it.patterns[t].pieces(affine, &it.domain, start, len, |at, base, offsets| {
                        out[at..].iter_mut().zip(offsets).for_each(|(x, &o)| *x = (base + o as i64) as u32);
                    });
                }
                ExprNode::Index(affine) => self.positions(it, start, len, affine, out),
                ExprNode::Mask(coords) => {
                    self.walk(it, start, len);
                    for r in &self.runs {
                        walk::mask_run(
                            coords,
                            &self.index[r.index..r.index + rank],
                            &mut out[r.start..r.start + r.len],
                        );
                    }
                }
                ExprNode::Unary(op, a) => unary(*op, dtype(*a), arg(*a), out),
                ExprNode::Binary(op, a, b) => binary(*op, dtype(*a), arg(*a), arg(*b), out),
                ExprNode::Select(c, a, b) => select(arg(*c), arg(*a), arg(*b), out),
                ExprNode::Cast(a) => cast(dtype(*a), dtype(id), arg(*a), out),
                ExprNode::Bitcast(a) => out.copy_from_slice(arg(*a)),
                ExprNode::Philox { args, lane } => philox_block(args.map(arg), *lane, out),
            }
            if dtype(id) == DType::F16 && matches!(it.expr.nodes[id], ExprNode::Unary(..) | ExprNode::Binary(..)) {
                out.iter_mut().for_each(|x| *x = f16::from_f32(f32::from_bits(*x)).to_f32().to_bits());
            }
        }
    }

    /// Splits the block into runs, once for all the nodes that need them.
    #[inline(always)]
    fn walk(&mut self, it: &Interpreter, start: usize, len: usize) {
        if self.runs.is_empty() {
            walk::runs(&it.domain, start, len, &mut self.index, &mut self.runs);
        }
    }

    fn positions(&mut self, it: &Interpreter, start: usize, len: usize, affine: &Affine, out: &mut [u32]) {
        self.walk(it, start, len);
        let rank = it.domain.len();
        for r in &self.runs {
            let at = affine.at(&self.index[r.index..r.index + rank]);
            let step = affine.strides[rank - 1];
            let out = &mut out[r.start..r.start + r.len];
            if step == 0 {
                fill(out, at as u32);
                continue;
            }
            for (i, x) in out.iter_mut().enumerate() {
                *x = (at + step * i as i64) as u32;
            }
        }
    }
}
