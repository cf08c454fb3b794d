//! Takes out of an expression what it would compute over and over.
//!
//! A batch norm fused into an elementwise kernel has, for each element, the square root of its channel's variance. Such
//! nodes are computed once for each index of the dimensions that they depend on, into tables that the rest of the
//! expression loads. Where the elements from the first of those dimensions on are few, the table has all of them, loads
//! among them, and is read as it lies.

use super::interpret::{BLOCK, Interpreter};
use super::source::Source;
use crate::{Access, Affine, Coord, Expr, ExprId, ExprNode};

/// Nodes are taken out if that saves computing each value at least this many times.
const WORTH: usize = 8;
/// The most elements of a periodic table: a few of them stay in the second-level cache.
const PERIOD: usize = 1 << 14;

/// An expression without its repeated parts.
pub(super) struct Hoisted {
    pub expr: Expr,
    pub outputs: Vec<ExprId>,
    pub sources: Vec<Source>,
    /// What the added sources read.
    pub tables: Vec<Vec<u32>>,
    /// For each source, after how many elements of the domain it repeats, if it does: it has a block more than that.
    pub periods: Vec<Option<usize>>,
}

pub(super) fn hoist(expr: Expr, domain: &[usize], outputs: Vec<ExprId>, mut sources: Vec<Source>) -> Hoisted {
    let total: usize = domain.iter().product();
    let walked = walked_dims(&expr, domain);
    let repeated = |id: ExprId| {
        let own: usize = dims(walked[id]).map(|d| domain[d]).product();
        let ready = match &expr.nodes[id] {
            ExprNode::Const(_) | ExprNode::Accumulator => true,
            ExprNode::Load { access, .. } => access.coords.is_empty() && period(walked[id], domain).is_none(),
            _ => false,
        };
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
    let mut periods = vec![None; sources.len()];
    if !last.contains(&true) {
        return Hoisted { expr, outputs, sources, tables: vec![], periods };
    }
    let (mut rest, mut tables) = (expr.clone(), vec![]);
    // One table for each node, those over the same dimensions computed together.
    let mut kinds: Vec<u64> = (0..last.len()).filter(|&i| last[i]).map(|i| walked[i]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let nodes: Vec<ExprId> = (0..last.len()).filter(|&i| last[i] && walked[i] == kind).collect();
        let period = period(kind, domain);
        let kept: Vec<usize> = match period {
            Some((first, _)) => (first..domain.len()).collect(),
            None => dims(kind).collect(),
        };
        let (mut part, part_nodes) = part(&expr, &nodes);
        for affine in part.affines_mut() {
            affine.strides = kept.iter().map(|&d| affine.strides[d]).collect();
        }
        let shape: Vec<usize> = kept.iter().map(|&d| domain[d]).collect();
        let own = Affine::row_major(&shape);
        let words = Interpreter::new(part, shape, part_nodes, sources.clone()).to_tables();
        for (node, mut words) in nodes.into_iter().zip(words) {
            if let Some((_, period)) = period {
                words = words.iter().copied().cycle().take(period + BLOCK).collect();
            }
            let mut base = Affine::constant(domain.len(), 0);
            kept.iter().zip(&own.strides).for_each(|(&d, &s)| base.strides[d] = s);
            rest.nodes[node] = ExprNode::Load { input: sources.len(), access: Access { base, coords: vec![] } };
            sources.push(Source::table(&words));
            periods.push(period.map(|(_, period)| period));
            tables.push(words);
        }
    }
    let (expr, outputs) = part(&rest, &outputs);
    Hoisted { expr, outputs, sources, tables, periods }
}

/// The first of some dimensions, and how many elements the domain has from it on, if they are few and repeat often.
fn period(walked: u64, domain: &[usize]) -> Option<(usize, usize)> {
    let first = dims(walked).next()?;
    let (outer, inner): (usize, usize) = (domain[..first].iter().product(), domain[first..].iter().product());
    (inner <= PERIOD && outer >= WORTH).then_some((first, inner))
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
