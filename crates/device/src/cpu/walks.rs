//! Rows that are folded and mapped over, on the CPU. A batch of rows that fits a cache goes through all walks before the next.
//!
//! What is the same along a row (a mean, from its sum) is computed for all rows of a batch at once, into tables that the walk
//! reads as it reads inputs.

use super::CpuIo;
use super::fold::{Partial, fold_block, start, word};
use super::hoist::{part, walked_dims};
use super::interpret::{BLOCK, Interpreter, LONG_ROW, State, run_tasks};
use super::source::{Source, store};
use crate::expr::reachable;
use crate::kernels::{Rows, Walk};
use crate::{Access, Affine, Expr, ExprId, ExprNode};
use std::sync::atomic::{AtomicU32, Ordering};

/// Elements of a batch: with its inputs and outputs it stays in the second-level cache.
const BATCH: usize = 8 * BLOCK;

/// Runs the kernel.
pub(crate) fn run(r: &Rows, io: &CpuIo) {
    let (kept, length) = (r.kept(), r.length());
    if kept == 0 {
        return;
    }
    let runner = Runner { r, io, folds: r.folds.iter().map(|_| Table::new(kept)).collect(), length };
    let walks = r.walks(true);
    if kept == 1 {
        // What is the same everywhere is read when an interpreter is made, so each is made when its turn comes.
        for walk in &walks {
            let stage = runner.stage(walk);
            runner.run(&stage, &mut stage.states(), 0, 1);
        }
        return;
    }
    let stages: Vec<Stage> = walks.iter().map(|w| runner.stage(w)).collect();
    let rows = (BATCH / length).clamp(1, kept);
    run_tasks(kept.div_ceil(rows), |tasks| {
        let mut states: Vec<_> = stages.iter().map(Stage::states).collect();
        for t in tasks {
            for (stage, states) in stages.iter().zip(&mut states) {
                runner.run(stage, states, t * rows, ((t + 1) * rows).min(kept));
            }
        }
    });
}

/// A word for each row. Threads write those of different rows.
struct Table(Vec<AtomicU32>);

impl Table {
    fn new(rows: usize) -> Table {
        Table((0..rows).map(|_| AtomicU32::new(0)).collect())
    }

    fn set(&self, at: usize, words: &[u32]) {
        self.0[at..].iter().zip(words).for_each(|(t, &w)| t.store(w, Ordering::Relaxed));
    }

    fn source(&self) -> Source {
        Source::words(self.0.as_ptr().cast(), self.0.len())
    }
}

/// A walk made ready.
struct Stage<'a> {
    walk: &'a Walk,
    /// What is the same along a row, over the rows: its outputs are those of the walk, then the tables.
    before: Option<Interpreter>,
    tables: Vec<Table>,
    /// Folds, then outputs.
    inner: Option<Interpreter>,
}

impl Stage<'_> {
    fn states(&self) -> [Option<State>; 2] {
        [&self.before, &self.inner].map(|it| it.as_ref().map(State::new))
    }
}

struct Runner<'a> {
    r: &'a Rows,
    io: &'a CpuIo,
    /// Results of folds.
    folds: Vec<Table>,
    length: usize,
}

impl Runner<'_> {
    fn stage<'a>(&self, walk: &'a Walk) -> Stage<'a> {
        let (r, domain, rank) = (self.r, self.r.domain(), self.r.keep.len());
        let mut sources = Interpreter::sources(self.io, 0, &r.inputs);
        sources.extend((0..r.outputs.len()).map(|o| Source::output(self.io, o, r.output_dtype(o))));
        let first_fold = sources.len();
        sources.extend(self.folds.iter().map(Table::source));
        // Results of folds are loaded from their tables.
        let mut by_row = Affine::row_major(&r.keep);
        by_row.strides.resize(domain.len(), 0);
        let load = |input: usize| ExprNode::Load { input, access: Access { base: by_row.clone(), coords: vec![] } };
        let mut expr = walk.expr.clone();
        let mut late = vec![false; expr.nodes.len()];
        for id in 0..expr.nodes.len() {
            if let ExprNode::Folded(f) = expr.nodes[id] {
                expr.nodes[id] = load(first_fold + f);
                late[id] = true;
            }
            late[id] |= expr.args(id).into_iter().any(|a| late[a]);
        }
        // The last nodes that are the same along a row and that folds go into.
        let along: u64 = (rank..domain.len()).map(|d| 1 << d).sum();
        let same: Vec<bool> = walked_dims(&expr, &domain).iter().map(|dims| dims & along == 0).collect();
        let inner = walk.inner();
        let used = reachable(&expr, &inner);
        let mut last: Vec<ExprId> = vec![];
        // In a single row, an interpreter takes them for what is the same everywhere.
        let several = r.kept() > 1;
        for id in (0..expr.nodes.len()).filter(|&id| used[id] && several) {
            let wanted = |a: ExprId| same[a] && late[a] && !matches!(expr.nodes[a], ExprNode::Load { .. });
            let args = if same[id] { vec![] } else { expr.args(id) };
            let itself = inner.contains(&id).then_some(id);
            for a in args.into_iter().chain(itself).filter(|&a| wanted(a)) {
                if !last.contains(&a) {
                    last.push(a);
                }
            }
        }
        let tables: Vec<Table> = last.iter().map(|_| Table::new(r.kept())).collect();
        let before: Vec<ExprId> = walk.once.iter().map(|&(_, node)| node).chain(last.iter().copied()).collect();
        let before = (!before.is_empty()).then(|| {
            let (mut e, nodes) = part(&expr, &before);
            e.affines_mut().into_iter().for_each(|a| a.strides.truncate(rank));
            Interpreter::new(e, r.keep.clone(), nodes, sources.clone())
        });
        for (&node, table) in last.iter().zip(&tables) {
            expr.nodes[node] = load(sources.len());
            sources.push(table.source());
        }
        let inner = (!inner.is_empty()).then(|| {
            let (e, nodes): (Expr, Vec<ExprId>) = part(&expr, &inner);
            Interpreter::new(e, domain, nodes, sources)
        });
        Stage { walk, before, tables, inner }
    }

    /// Takes rows `from..to` through a walk.
    fn run(&self, stage: &Stage, states: &mut [Option<State>; 2], from: usize, to: usize) {
        let [before, inner] = states;
        let once = &stage.walk.once;
        if let (Some(it), Some(state)) = (&stage.before, before) {
            for (at, len) in it.blocks(from, to) {
                state.evaluate(it, at, len);
                for (i, &(o, _)) in once.iter().enumerate() {
                    // SAFETY: these rows are this thread's.
                    unsafe { store(self.io, o, at, state.output(it, i, len), it.dtype(i)) }
                }
                for (i, table) in stage.tables.iter().enumerate() {
                    table.set(at, state.output(it, once.len() + i, len));
                }
            }
        }
        if let (Some(it), Some(state)) = (&stage.inner, inner) {
            self.elements(stage.walk, it, state, from, to);
        }
    }

    fn elements(&self, walk: &Walk, it: &Interpreter, state: &mut State, from: usize, to: usize) {
        let n = self.length;
        let fresh: Vec<Partial> = walk.folds.iter().map(|&(f, node)| self.start(f, node)).collect();
        // Short rows share a block, and are folded one by one; long ones have several.
        let rows = if n < LONG_ROW { BLOCK / n } else { 1 };
        let (mut row, mut acc) = (from, fresh.clone());
        while row < to {
            let end = (row + rows).min(to);
            let blocks: &mut dyn Iterator<Item = (usize, usize)> = if n <= BLOCK {
                &mut std::iter::once((row * n, (end - row) * n))
            } else {
                &mut it.blocks(row * n, end * n)
            };
            for (at, len) in blocks {
                state.evaluate(it, at, len);
                for (i, (&(f, _), acc)) in walk.folds.iter().zip(&mut acc).enumerate() {
                    let op = self.r.folds[f].op;
                    let words = state.output(it, i, len);
                    if n > BLOCK {
                        fold_block(op, it.dtype(i), words, (at - row * n) as u32, acc);
                        continue;
                    }
                    let mut results = [0; BLOCK];
                    for (words, result) in words.chunks_exact(n).zip(&mut results) {
                        let mut acc = fresh[i];
                        fold_block(op, it.dtype(i), words, 0, &mut acc);
                        *result = word(op, self.r.fold_dtype(f), acc);
                    }
                    self.folds[f].set(row, &results[..end - row]);
                }
                for (i, &(o, _)) in walk.each.iter().enumerate() {
                    let i = walk.folds.len() + i;
                    // SAFETY: these rows are this thread's.
                    unsafe { store(self.io, o, at, state.output(it, i, len), it.dtype(i)) }
                }
            }
            if n > BLOCK {
                for ((&(f, _), acc), fresh) in walk.folds.iter().zip(&mut acc).zip(&fresh) {
                    let result = word(self.r.folds[f].op, self.r.fold_dtype(f), std::mem::replace(acc, *fresh));
                    self.folds[f].set(row, &[result]);
                }
            }
            row = end;
        }
    }

    fn start(&self, f: usize, node: ExprId) -> Partial {
        start(self.r.folds[f].op, self.r.expr.dtypes[node])
    }
}
