//! Takes out of an expression what it would compute over and over.
//!
//! A batch norm fused into an elementwise kernel has, for each element, the square root of its channel's variance. Such
//! nodes are computed once for each index of the dimensions that they depend on, into tables that the rest of the
//! expression loads.

use super::interpret::Interpreter;
use super::source::Source;
use crate::{Access, Affine, Coord, Expr, ExprId, ExprNode};

/// Nodes are taken out if that saves computing each value at least this many times.
const WORTH: usize = 8;

/// An expression without its repeated parts.
pub(super) struct Hoisted {
    pub expr: Expr,
    pub outputs: Vec<ExprId>,
    pub sources: Vec<Source>,
    /// What the added sources read.
    pub tables: Vec<Vec<u32>>,
}

pub(super) fn hoist(expr: Expr, domain: &[usize], outputs: Vec<ExprId>, mut sources: Vec<Source>) -> Hoisted {
    let total: usize = domain.iter().product();
    let walked = walked_dims(&expr, domain);
    let repeated = |id: ExprId| {
        let own: usize = dims(walked[id]).map(|d| domain[d]).product();
        let ready = matches!(&expr.nodes[id], ExprNode::Const(_) | ExprNode::Accumulator)
            || matches!(&expr.nodes[id], ExprNode::Load { access, .. } if access.coords.is_empty());
        !ready && own * WORTH <= total
    };
    // The last nodes that repeat: those that others, which do not, or nobody builds on.
    let mut last = vec![false; expr.nodes.len()];
    for id in 0..expr.nodes.len() {
        if !repeated(id) {
            expr.args(id).into_iter().filter(|&a| repeated(a)).for_each(|a| last[a] = true);
        }
    }
    outputs.iter().filter(|&&o| repeated(o)).for_each(|&o| last[o] = true);
    if !last.contains(&true) {
        return Hoisted { expr, outputs, sources, tables: vec![] };
    }
    let (mut rest, mut tables) = (expr.clone(), vec![]);
    // One table for each node, those over the same dimensions computed together.
    let mut kinds: Vec<u64> = (0..last.len()).filter(|&i| last[i]).map(|i| walked[i]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let nodes: Vec<ExprId> = (0..last.len()).filter(|&i| last[i] && walked[i] == kind).collect();
        let kept: Vec<usize> = dims(kind).collect();
        let (mut part, part_nodes) = part(&expr, &nodes);
        for affine in part.affines_mut() {
            affine.strides = kept.iter().map(|&d| affine.strides[d]).collect();
        }
        let shape: Vec<usize> = kept.iter().map(|&d| domain[d]).collect();
        let own = Affine::row_major(&shape);
        let words = Interpreter::new(part, shape, part_nodes, sources.clone()).to_tables();
        for (node, words) in nodes.into_iter().zip(words) {
            let mut base = Affine::constant(domain.len(), 0);
            kept.iter().zip(&own.strides).for_each(|(&d, &s)| base.strides[d] = s);
            rest.nodes[node] = ExprNode::Load { input: sources.len(), access: Access { base, coords: vec![] } };
            sources.push(Source::table(&words));
            tables.push(words);
        }
    }
    let (expr, outputs) = part(&rest, &outputs);
    Hoisted { expr, outputs, sources, tables }
}

/// For each node, the dimensions that its value depends on, as bits. Dimensions of extent 1 do not count.
pub(super) fn walked_dims(expr: &Expr, domain: &[usize]) -> Vec<u64> {
    let of_affine =
        |a: &Affine| (0..domain.len()).filter(|&d| a.strides[d] != 0 && domain[d] > 1).map(|d| 1 << d).sum::<u64>();
    let of_coords = |coords: &[Coord]| coords.iter().fold(0, |bits, c| bits | of_affine(&c.affine));
    let mut walked = vec![0u64; expr.nodes.len()];
    for id in 0..expr.nodes.len() {
        walked[id] = match &expr.nodes[id] {
            ExprNode::Load { access, .. } => of_affine(&access.base) | of_coords(&access.coords),
            ExprNode::Index(a) => of_affine(a),
            ExprNode::Mask(coords) => of_coords(coords),
            // A contraction's sum may be anything anywhere.
            ExprNode::Accumulator => u64::MAX >> (64 - domain.len()),
            _ => expr.args(id).into_iter().fold(0, |bits, a| bits | walked[a]),
        };
    }
    walked
}

fn dims(bits: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |d| bits >> d & 1 == 1)
}

/// What `outputs` need of an expression, and where they are in it.
pub(super) fn part(expr: &Expr, outputs: &[ExprId]) -> (Expr, Vec<ExprId>) {
    let mut needed = vec![false; expr.nodes.len()];
    outputs.iter().for_each(|&o| needed[o] = true);
    for id in (0..expr.nodes.len()).rev() {
        if needed[id] {
            expr.args(id).into_iter().for_each(|a| needed[a] = true);
        }
    }
    let (mut part, mut place) = (Expr::default(), vec![0; expr.nodes.len()]);
    for id in (0..expr.nodes.len()).filter(|&id| needed[id]) {
        place[id] = part.nodes.len();
        part.nodes.push(Expr::map_args(&expr.nodes[id], |a| place[a]));
        part.dtypes.push(expr.dtypes[id]);
    }
    (part, outputs.iter().map(|&o| place[o]).collect())
}
