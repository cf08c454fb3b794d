//! Rows that are folded and then mapped over, in one launch: norms, softmax, cross-entropy and their gradients.

use super::map::expr_bytes;
use super::{ReduceOp, Reduction};
use crate::expr::reachable;
use crate::{Access, Adapter, AdapterKind, Cost, CpuIo, DType, Expr, ExprId, ExprNode, Kernel, Pass, Unary};
use crate::{cpu, gpu::codegen};

/// One of a [`Rows`]' results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOutput {
    /// A value for each element: dense over `keep ++ row`.
    Each(ExprId),
    /// A value for each row, dense over `keep`, of a node that does not vary along the row.
    Once(ExprId),
}

impl RowOutput {
    /// The node that is stored.
    pub fn node(self) -> ExprId {
        match self {
            RowOutput::Each(node) | RowOutput::Once(node) => node,
        }
    }
}

/// Over the domain `keep ++ row`, row by row: folds of nodes over the row, and nodes that are stored. Nodes may use the results
/// of folds ([`ExprNode::Folded`]), a fold's node those of other folds; so a row is walked several times, while it is in a
/// cache. No extent of `row` is 0.
///
/// The order of a sum follows from the sizes and the adapter alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// Which rows there are.
    pub keep: Vec<usize>,
    /// The extents of a row.
    pub row: Vec<usize>,
    /// What is computed, over `keep ++ row`.
    pub expr: Expr,
    /// The types of the inputs' elements.
    pub inputs: Vec<DType>,
    /// What is folded.
    pub folds: Vec<Reduction>,
    /// What is stored.
    pub outputs: Vec<RowOutput>,
}

/// One walk over the elements of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    /// What is computed. Inputs past the kernel's own are its outputs, read back.
    pub expr: Expr,
    /// Outputs stored before the walk, a value a row.
    pub once: Vec<(usize, ExprId)>,
    /// What is folded: number and node.
    pub folds: Vec<(usize, ExprId)>,
    /// What is stored element by element: output and node.
    pub each: Vec<(usize, ExprId)>,
}

impl Walk {
    /// What is computed for each element.
    pub fn inner(&self) -> Vec<ExprId> {
        self.folds.iter().chain(&self.each).map(|&(_, node)| node).collect()
    }

    fn roots(&self) -> Vec<ExprId> {
        self.once.iter().map(|&(_, node)| node).chain(self.inner()).collect()
    }
}

impl Rows {
    /// Whether this kernel serves rows of these sizes on an adapter: rows enough to be shared out, and short enough to be in a
    /// cache when they are read again.
    pub fn suits(adapter: &Adapter, rows: usize, length: usize) -> bool {
        let longest = match adapter.kind {
            AdapterKind::Software => codegen::longest_row(adapter),
            _ => 1 << 16,
        };
        // Little work need not be shared out.
        (1..=longest).contains(&length) && (rows >= 64 || rows * length <= 1 << 13)
    }

    /// Number of rows.
    pub fn kept(&self) -> usize {
        self.keep.iter().product()
    }

    /// Number of elements in a row.
    pub fn length(&self) -> usize {
        self.row.iter().product()
    }

    /// `keep ++ row`.
    pub fn domain(&self) -> Vec<usize> {
        [&self.keep[..], &self.row[..]].concat()
    }

    /// The type that output `o` stores.
    pub fn output_dtype(&self, o: usize) -> DType {
        self.expr.dtypes[self.outputs[o].node()]
    }

    /// The type of a fold's result.
    pub fn fold_dtype(&self, f: usize) -> DType {
        match self.folds[f].op {
            ReduceOp::ArgMax | ReduceOp::ArgMin => DType::U32,
            _ => self.expr.dtypes[self.folds[f].node],
        }
    }

    /// For each node, how many walks have to come before it can be computed.
    fn levels(&self) -> Vec<usize> {
        let mut levels: Vec<usize> = vec![];
        for (id, node) in self.expr.nodes.iter().enumerate() {
            levels.push(match node {
                ExprNode::Folded(f) => 1 + levels[self.folds[*f].node],
                _ => self.expr.args(id).into_iter().map(|a| levels[a]).max().unwrap_or(0),
            });
        }
        levels
    }

    /// The walks in order. What one has stored, later ones read back. With `lend`, what is costly to compute and needed again
    /// waits in an output that is not due yet.
    pub(crate) fn walks(&self, lend: bool) -> Vec<Walk> {
        let (levels, linear) = (self.levels(), Access::linear(&self.domain()));
        let at = |o: usize| levels[self.outputs[o].node()];
        let folds = (0..self.folds.len()).map(|f| levels[self.folds[f].node]);
        let count = 1 + folds.chain((0..self.outputs.len()).map(at)).max().unwrap_or(0);
        let mut walks: Vec<Walk> = vec![Walk::default(); count];
        for (f, fold) in self.folds.iter().enumerate() {
            walks[levels[fold.node]].folds.push((f, fold.node));
        }
        for (o, output) in self.outputs.iter().enumerate() {
            match *output {
                RowOutput::Each(node) => walks[at(o)].each.push((o, node)),
                RowOutput::Once(node) => walks[at(o)].once.push((o, node)),
            }
        }
        // Which nodes are in outputs.
        let mut held: Vec<(ExprId, usize)> = vec![];
        for p in 0..count {
            let mut expr = self.expr.clone();
            for &(node, o) in &held {
                let input = self.inputs.len() + o;
                expr.nodes[node] = ExprNode::Load { input, access: linear.clone() };
            }
            // What is stored now takes the place of what an output held for others.
            held.retain(|(_, o)| walks[p].each.iter().all(|(due, _)| due != o));
            for &(o, node) in &walks[p].each {
                let same = expr.dtypes[node].size() == 4;
                if same && !expr.args(node).is_empty() && held.iter().all(|(n, _)| *n != node) {
                    held.push((node, o));
                }
            }
            let now = reachable(&expr, &walks[p].inner());
            let later: Vec<ExprId> = walks[p + 1..].iter().flat_map(Walk::roots).collect();
            let later = reachable(&expr, &later);
            let costly = costly(&expr);
            let shared = (0..expr.nodes.len()).rev().find(|&id| {
                now[id] && later[id] && costly[id] && levels[id] == p && held.iter().all(|(n, _)| *n != id)
            });
            if let Some(node) = shared.filter(|_| lend) {
                let dtype = expr.dtypes[node];
                let free = (0..self.outputs.len()).find(|&o| {
                    matches!(self.outputs[o], RowOutput::Each(_))
                        && at(o) > p
                        && dtype == self.output_dtype(o)
                        && dtype.size() == 4
                        && held.iter().all(|(_, h)| *h != o)
                });
                if let Some(o) = free {
                    walks[p].each.push((o, node));
                    held.push((node, o));
                }
            }
            walks[p].expr = expr;
        }
        walks
    }
}

/// Which nodes take long to compute again: functions that are more than a few operations, and what is made of them.
fn costly(expr: &Expr) -> Vec<bool> {
    let mut costly: Vec<bool> = vec![];
    for (id, node) in expr.nodes.iter().enumerate() {
        use Unary::*;
        let own = match node {
            ExprNode::Philox { .. } => true,
            ExprNode::Unary(u, _) => !matches!(u, Neg | Abs | Floor | Ceil | Round | Not | IsFinite | Recip | Sqrt),
            ExprNode::Binary(b, ..) => *b == crate::Binary::Pow,
            _ => false,
        };
        costly.push(own || expr.args(id).into_iter().any(|a| costly[a]));
    }
    costly
}

impl Kernel for Rows {
    fn name(&self) -> String {
        let dims = |s: &[usize]| s.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("x");
        format!("rows {} of {}", dims(&self.keep), dims(&self.row))
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::walks::run(self, io);
    }

    fn passes(&self, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
        codegen::row_passes(self, adapter, aliases)
    }

    fn may_alias(&self, output: usize, input: usize) -> bool {
        let RowOutput::Each(node) = self.outputs[output] else { return false };
        let domain = self.domain();
        // In place only where every read is of the element about to be written, and none comes in a later walk.
        let reads = |n: &ExprNode| match n {
            ExprNode::Load { input: i, .. } | ExprNode::LoadAt { input: i, .. } => *i == input,
            _ => false,
        };
        let in_place = |n: &ExprNode| matches!(n, ExprNode::Load { access, .. } if access.is_linear(&domain));
        self.inputs[input].size() == self.expr.dtypes[node].size()
            && self.expr.nodes.iter().all(|n| !reads(n) || in_place(n))
            && [false, true].iter().all(|&lend| {
                let walks = self.walks(lend);
                let first = walks.iter().position(|w| w.each.iter().any(|(o, _)| *o == output)).unwrap_or(0);
                walks[first + 1..].iter().all(|w| {
                    let used = reachable(&w.expr, &w.roots());
                    w.expr.nodes.iter().zip(used).all(|(n, used)| !used || !reads(n))
                })
            })
    }

    fn cost(&self) -> Cost {
        let n = (self.kept() * self.length()) as f64;
        let written = |o: usize| match self.outputs[o] {
            RowOutput::Each(_) => n * self.output_dtype(o).size() as f64,
            RowOutput::Once(_) => (self.kept() * self.output_dtype(o).size()) as f64,
        };
        Cost {
            flops: n * (self.expr.flops() + self.folds.len()) as f64,
            bytes: expr_bytes(&self.expr, &self.domain(), &self.inputs)
                + (0..self.outputs.len()).map(written).sum::<f64>(),
        }
    }
}
