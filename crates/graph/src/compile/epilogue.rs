//! Maps of a contraction's result become its epilogue.

use super::fuse::{MAX_NODES, append};
use super::{Group, Work};
use crate::shape::count;
use std::collections::{HashMap, HashSet};
use wgrad_device::kernels::{Contraction, Epilogue};
use wgrad_device::{Affine, Expr, ExprNode};

/// Results of a contraction beside what its epilogue makes of them.
const MAX_OUTPUTS: usize = 3;

/// A map of what a contraction makes, as part of that contraction's epilogue: the contraction's place in `merged`, what stands
/// there then, and which of its values the map has read. Values that others read too (`readers` counts who is left) are
/// stored as well.
pub(super) fn into_contraction(
    g: &Group,
    merged: &[Group],
    made: &HashMap<u64, usize>,
    readers: &HashMap<u64, usize>,
    wanted: &HashSet<u64>,
    buffers: usize,
) -> Option<(usize, Group, Vec<u64>)> {
    let Work::Map { domain, expr, nodes } = &g.work else { return None };
    // The last that it reads of: what it reads must be there when the contraction runs, or be made by it.
    let at = g.inputs.iter().chain(&g.after).filter_map(|v| made.get(v)).max().copied()?;
    let target = &merged[at];
    let Work::Contraction { kernel, shape } = &target.work else { return None };
    let floats = nodes.iter().all(|&n| expr.dtypes[n].is_float());
    if !floats || g.after.iter().any(|v| target.outputs.contains(v)) || count(shape) != count(domain) {
        return None;
    }
    let mut new = kernel.clone().cut(domain)?;
    let (position, rank) = (coordinates(&new, domain)?, new.c.strides.len());
    let mut more = expr.clone();
    for a in more.affines_mut() {
        let mut moved = Affine::constant(rank, a.offset);
        for (d, p) in position.iter().enumerate() {
            moved = moved.plus(p, a.strides[d]);
        }
        *a = moved;
    }
    let Epilogue { expr: mut joined, outputs: before, .. } = new.epilogue.take().unwrap_or_else(|| {
        let mut sum = Expr::default();
        let node = sum.push(ExprNode::Accumulator, kernel.output);
        Epilogue { expr: sum, outputs: vec![node], inputs: vec![] }
    });
    let before: Vec<(u64, usize)> = target.outputs.iter().copied().zip(before).collect();
    let mut others = target.inputs[2..].to_vec();
    // Whether elements are read where they are made can be told in the map's own domain only.
    let own = |(node, a): (&ExprNode, &ExprNode)| match (node, a) {
        (ExprNode::Load { input, .. }, ExprNode::Load { access, .. }) => {
            !target.outputs.contains(&g.inputs[*input]) || access.is_linear(domain)
        }
        _ => true,
    };
    if !more.nodes.iter().zip(&expr.nodes).all(own) {
        return None;
    }
    let ids = append(&mut joined, &mut others, &more, &g.inputs, &before, None)?;
    let left = |v: u64| wanted.contains(&v) || readers[&v] > g.inputs.contains(&v) as usize;
    let after = g.outputs.iter().copied().zip(nodes.iter().map(|&n| ids[n]));
    let stored: Vec<(u64, usize)> = before.iter().copied().filter(|(v, _)| left(*v)).chain(after).collect();
    // A, B, and one more for scratch.
    let fits = stored.len() <= MAX_OUTPUTS && 2 + others.len() + stored.len() < buffers;
    if !fits || joined.nodes.len() > 2 * MAX_NODES {
        return None;
    }
    let (values, outputs): (Vec<u64>, Vec<usize>) = stored.into_iter().unzip();
    new.output = joined.dtypes[outputs[0]];
    // Types are filled in when the group is lowered.
    new.epilogue = Some(Epilogue { expr: joined, outputs, inputs: vec![] });
    // Seen through another shape, C must not have to be walked in smaller pieces than before.
    let axes = |c: &Contraction| {
        let c = c.clone().simplified();
        [c.batch, c.m, c.n, c.k]
    };
    if shape != domain && axes(&new) != axes(kernel) {
        return None;
    }
    let read = g.inputs.iter().copied().filter(|v| target.outputs.contains(v)).collect();
    let group = Group {
        label: g.label.clone(),
        inputs: [&target.inputs[..2], &others].concat(),
        outputs: values,
        after: [&target.after[..], &g.after].concat(),
        work: Work::Contraction { kernel: new, shape: shape.clone() },
    };
    Some((at, group, read))
}

/// The coordinates in the result, seen as a dense tensor of this shape, as functions of the contraction's sub-axes (batch, m,
/// n), each of which lies within a dimension.
fn coordinates(kernel: &Contraction, shape: &[usize]) -> Option<Vec<Affine>> {
    if count(shape) == 0 {
        return None;
    }
    let strides = wgrad_device::row_major_strides(shape);
    let rank = kernel.c.strides.len();
    let extents = [&kernel.batch[..], &kernel.m, &kernel.n].concat();
    let mut position = vec![Affine::constant(rank, 0); shape.len()];
    for (axis, &s) in kernel.c.strides.iter().enumerate() {
        if extents[axis] == 1 {
            continue;
        }
        // The outermost dimension whose stride divides into this one's.
        let d = (0..shape.len()).find(|&d| shape[d] > 1 && s >= strides[d])?;
        if s % strides[d] != 0 {
            return None;
        }
        position[d].strides[axis] = s / strides[d];
    }
    Some(position)
}
