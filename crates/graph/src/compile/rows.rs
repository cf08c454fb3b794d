//! Joins work along the same rows: folds over the last dimensions, and maps before and after them, become one kernel that reads
//! a row again while it is in a cache, where each would be a launch that reads all of it from memory.

use super::fuse::{MAX_BUFFERS, position_of};
use super::{Group, Work};
use std::collections::{HashMap, HashSet};
use wgrad_device::kernels::{ReduceOp, Reduction, RowOutput, Rows};
use wgrad_device::{Adapter, Affine, Expr, ExprId, ExprNode};

/// Operations in a kernel at most: beyond, compiling it takes long.
const MAX_NODES: usize = 192;
/// How many groups back a partner is looked for.
const REACH: usize = 64;

/// What a kernel computes along rows: a [`Work::Rows`] in the making.
#[derive(Clone, Debug)]
struct Along {
    domain: Vec<usize>,
    /// Dimensions that say which row.
    kept: usize,
    expr: Expr,
    folds: Vec<(ReduceOp, ExprId)>,
    outputs: Vec<RowOutput>,
}

/// Joins what can be joined. `wanted` are the values that are needed in the end, `updates` those that are written to the
/// state: a map does that in place, rows would have to be copied.
pub(super) fn join(groups: Vec<Group>, wanted: &HashSet<u64>, updates: &HashSet<u64>, adapter: &Adapter) -> Vec<Group> {
    let buffers = adapter.max_storage_buffers.min(MAX_BUFFERS);
    let mut readers: HashMap<u64, usize> = HashMap::new();
    for g in &groups {
        g.inputs.iter().for_each(|v| *readers.entry(*v).or_default() += 1);
    }
    let mut done: Vec<Option<Group>> = vec![];
    let mut made: HashMap<u64, usize> = HashMap::new();
    for g in groups {
        let joined = partner(&g, &done, &made, &|a: &Group| {
            if a.outputs.iter().chain(&g.outputs).any(|v| updates.contains(v)) {
                return None;
            }
            let work = together(a, &g, adapter)?;
            // What only the other reads need not be stored.
            let here = |v: &u64| (a.inputs.contains(v) as usize) + (g.inputs.contains(v) as usize);
            let kept = |v: &u64| wanted.contains(v) || readers.get(v).is_some_and(|&n| n > here(v));
            let group = trimmed(work, kept);
            let fits = group.inputs.len() + group.outputs.len() <= buffers;
            fits.then_some(group)
        });
        let Some((from, to, group)) = joined else {
            g.outputs.iter().for_each(|v| {
                made.insert(*v, done.len());
            });
            done.push(Some(g));
            continue;
        };
        let old = done[from].take().expect("a partner");
        // The two read as one.
        for v in old.inputs.iter().chain(&g.inputs) {
            *readers.get_mut(v).expect("counted above") -= 1;
        }
        group.inputs.iter().for_each(|v| *readers.entry(*v).or_default() += 1);
        group.outputs.iter().for_each(|v| {
            made.insert(*v, to);
        });
        if to == done.len() { done.push(Some(group)) } else { done[to] = Some(group) }
    }
    done.into_iter().flatten().collect()
}

/// The group that `g` joins, the place where both can be, and what they become. Either `g` moves up to its partner, or the
/// partner down to `g`, if nobody between reads what it makes.
fn partner(
    g: &Group,
    done: &[Option<Group>],
    made: &HashMap<u64, usize>,
    attempt: &dyn Fn(&Group) -> Option<Group>,
) -> Option<(usize, usize, Group)> {
    if !matches!(g.work, Work::Map { .. } | Work::Reduce { .. }) {
        return None;
    }
    let ready = g.inputs.iter().chain(&g.after).filter_map(|v| made.get(v)).max().copied().unwrap_or(0);
    for at in (0..done.len()).rev().take(REACH) {
        let Some(a) = &done[at] else { continue };
        let related = |v: &u64| a.outputs.contains(v) || (a.inputs.contains(v) && at >= ready);
        if !g.inputs.iter().any(related) {
            continue;
        }
        let to = if at >= ready {
            at
        } else {
            let used = |b: &Group| b.inputs.iter().chain(&b.after).any(|v| a.outputs.contains(v));
            if done[at + 1..].iter().flatten().any(used) {
                continue;
            }
            done.len()
        };
        if let Some(group) = attempt(a) {
            return Some((at, to, group));
        }
    }
    None
}

/// Both groups as one, if they go along the same rows and at least one of them folds.
fn together(a: &Group, g: &Group, adapter: &Adapter) -> Option<Group> {
    let (domain, kept) = match (&a.work, &g.work) {
        (Work::Rows { domain, kept, .. } | Work::Reduce { domain, kept, .. }, _) => (domain, *kept),
        (Work::Map { .. }, Work::Reduce { domain, kept, .. }) => (domain, *kept),
        _ => return None,
    };
    let (rows, length) = (domain[..kept].iter().product(), domain[kept..].iter().product());
    if !Rows::suits(adapter, rows, length) {
        return None;
    }
    let whole = |d: &[usize]| d.iter().product::<usize>() == rows * length;
    let mut shape = [domain[..kept].to_vec(), domain[kept..].to_vec()];
    for work in [&a.work, &g.work] {
        let d = match work {
            Work::Map { domain, .. } => domain,
            Work::Reduce { domain, kept, .. } | Work::Rows { domain, kept, .. } => {
                // Of other rows.
                if !whole(domain) || domain[..*kept].iter().product::<usize>() != rows {
                    return None;
                }
                domain
            }
            _ => return None,
        };
        // A map of one element a row is work on the kept dimensions.
        if whole(d) {
            let all = common(&shape.concat(), d)?;
            let at = split(&all, rows)?;
            shape = [all[..at].to_vec(), all[at..].to_vec()];
        } else if d.iter().product::<usize>() == rows {
            shape[0] = common(&shape[0], d)?;
        } else {
            return None;
        }
    }
    let mut along = seen_along(&a.work, &shape)?;
    if !along.folds.is_empty() && !reads_along(&along) {
        return None;
    }
    let more = seen_along(&g.work, &shape)?;
    if !more.folds.is_empty() && !reads_along(&more) {
        return None;
    }
    let mut inputs = a.inputs.clone();
    append(&mut along, &mut inputs, &a.outputs, more, &g.inputs)?;
    if along.expr.nodes.len() > MAX_NODES {
        return None;
    }
    let Along { domain, kept, expr, folds, outputs } = along;
    Some(Group {
        label: a.label.clone(),
        inputs,
        outputs: [&a.outputs[..], &g.outputs].concat(),
        after: [&a.after[..], &g.after].concat(),
        work: Work::Rows { domain, kept, expr, folds, outputs },
    })
}

/// Extents of which both shapes' are products, extents of 1 left out.
fn common(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let real = |s: &[usize]| s.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    let (mut a, mut b, mut all) = (real(a), real(b), vec![]);
    while let (Some(x), Some(y)) = (a.pop(), b.pop()) {
        let least = x.min(y);
        if least == 0 || x % least != 0 || y % least != 0 {
            return None;
        }
        all.push(least);
        if x > least {
            a.push(x / least);
        }
        if y > least {
            b.push(y / least);
        }
    }
    all.reverse();
    (a.is_empty() && b.is_empty()).then_some(all)
}

/// How many of the first extents make `n`.
fn split(shape: &[usize], n: usize) -> Option<usize> {
    (0..=shape.len()).find(|&at| shape[..at].iter().product::<usize>() == n)
}

/// Work over the domain `shape`: kept extents, then those of a row.
fn seen_along(work: &Work, shape: &[Vec<usize>; 2]) -> Option<Along> {
    let all = shape.concat();
    let kept = shape[0].len();
    let over = |expr: &Expr, domain: &[usize], target: &[usize]| {
        let mut expr = expr.clone();
        for a in expr.affines_mut() {
            *a = finer(a, domain, target)?;
            a.strides.resize(all.len(), 0);
        }
        Some(expr)
    };
    let rows: usize = shape[0].iter().product();
    Some(match work {
        Work::Map { domain, expr, nodes } => {
            let once =
                domain.iter().product::<usize>() == rows && common(domain, &shape[0]).as_ref() == Some(&shape[0]);
            let each = common(domain, &all).as_ref() == Some(&all);
            let (expr, output): (_, fn(ExprId) -> RowOutput) = match (each, once) {
                (true, _) => (over(expr, domain, &all)?, RowOutput::Each),
                (_, true) => (over(expr, domain, &shape[0])?, RowOutput::Once),
                _ => return None,
            };
            let outputs = nodes.iter().map(|&n| output(n)).collect();
            Along { domain: all, kept, expr, folds: vec![], outputs }
        }
        Work::Reduce { domain, expr, folds, .. } => {
            let mut expr = over(expr, domain, &all)?;
            let results = folds.iter().enumerate().map(|(f, &(op, node))| {
                let dtype = match op {
                    ReduceOp::ArgMax | ReduceOp::ArgMin => wgrad_device::DType::U32,
                    _ => expr.dtypes[node],
                };
                (f, dtype)
            });
            let results: Vec<_> = results.collect();
            let outputs =
                results.into_iter().map(|(f, t)| RowOutput::Once(expr.push(ExprNode::Folded(f), t))).collect();
            Along { domain: all, kept, expr, folds: folds.clone(), outputs }
        }
        Work::Rows { domain, expr, folds, outputs, .. } => {
            let expr = over(expr, domain, &all)?;
            Along { domain: all, kept, expr, folds: folds.clone(), outputs: outputs.clone() }
        }
        _ => return None,
    })
}

/// A function over `domain` as one over extents of which that one's are products (extents of 1 left out).
fn finer(a: &Affine, domain: &[usize], target: &[usize]) -> Option<Affine> {
    let mut strides = vec![0; target.len()];
    let mut at = target.len();
    for d in (0..domain.len()).rev().filter(|&d| domain[d] != 1) {
        let (mut left, mut stride) = (domain[d], a.strides[d]);
        while left > 1 {
            at = at.checked_sub(1)?;
            if left % target[at] != 0 {
                return None;
            }
            strides[at] = stride;
            stride *= target[at] as i64;
            left /= target[at];
        }
    }
    Some(Affine { strides, offset: a.offset })
}

/// Whether what is read lies along the rows rather than across them. What is the same for all rows, or all along one, is small.
fn reads_along(along: &Along) -> bool {
    let Some(last) = (along.kept..along.domain.len()).rev().find(|&d| along.domain[d] > 1) else { return true };
    let (mut yes, mut no) = (0, 0);
    for node in &along.expr.nodes {
        let ExprNode::Load { access, .. } = node else { continue };
        let step = |d: usize| {
            let coords = access.coords.iter().map(|c| c.affine.strides[d] * c.stride);
            access.base.strides[d] + coords.sum::<i64>()
        };
        match step(last).abs() {
            0 => {}
            _ if (0..along.kept).all(|d| step(d) == 0) => {}
            1 => yes += 1,
            _ => no += 1,
        }
    }
    yes >= no
}

/// Appends work along the same rows; what the first stores becomes the nodes that it has for it. `None` if that is wanted in
/// another place than the current one.
fn append(along: &mut Along, inputs: &mut Vec<u64>, made: &[u64], more: Along, more_inputs: &[u64]) -> Option<()> {
    let (domain, kept) = (along.domain.clone(), along.kept);
    let first_fold = along.folds.len();
    let mut ids: Vec<ExprId> = vec![];
    // A fold's node stands before any node that uses its result.
    for (node, &dtype) in more.expr.nodes.iter().zip(&more.expr.dtypes) {
        let id = match node {
            ExprNode::Load { input, access } => {
                let value = more_inputs[*input];
                match made.iter().position(|v| *v == value) {
                    Some(o) => {
                        let (node, once) = match along.outputs[o] {
                            RowOutput::Each(node) => (node, false),
                            RowOutput::Once(node) => (node, true),
                        };
                        let here = if once {
                            let mut wide = domain.clone();
                            wide[kept..].fill(1);
                            access.is_linear(&wide)
                                && (kept..domain.len()).all(|d| domain[d] == 1 || access.base.strides[d] == 0)
                        } else {
                            access.is_linear(&domain)
                        };
                        if !here || along.expr.dtypes[node] != dtype {
                            return None;
                        }
                        node
                    }
                    None => {
                        let input = position_of(inputs, value);
                        along.expr.push(ExprNode::Load { input, access: access.clone() }, dtype)
                    }
                }
            }
            ExprNode::LoadAt { input, index, len } => {
                let value = more_inputs[*input];
                if made.contains(&value) {
                    return None;
                }
                let input = position_of(inputs, value);
                along.expr.push(ExprNode::LoadAt { input, index: ids[*index], len: *len }, dtype)
            }
            ExprNode::Folded(f) => along.expr.push(ExprNode::Folded(first_fold + f), dtype),
            ExprNode::Accumulator => return None,
            other => along.expr.push(Expr::map_args(other, |a| ids[a]), dtype),
        };
        ids.push(id);
    }
    along.folds.extend(more.folds.iter().map(|&(op, node)| (op, ids[node])));
    along.outputs.extend(more.outputs.iter().map(|o| match *o {
        RowOutput::Each(node) => RowOutput::Each(ids[node]),
        RowOutput::Once(node) => RowOutput::Once(ids[node]),
    }));
    Some(())
}

/// The group without the outputs that nobody needs, and without what they alone needed.
fn trimmed(group: Group, needed: impl Fn(&u64) -> bool) -> Group {
    let Work::Rows { domain, kept, expr, folds, outputs } = group.work else { unreachable!("made above") };
    let (ids, outputs): (Vec<u64>, Vec<RowOutput>) =
        group.outputs.iter().zip(outputs).filter(|(v, _)| needed(v)).unzip();
    let mut used = vec![false; expr.nodes.len()];
    let mut stack: Vec<ExprId> = outputs.iter().map(|o| o.node()).collect();
    while let Some(id) = stack.pop() {
        if !std::mem::replace(&mut used[id], true) {
            stack.extend(expr.args(id));
            if let ExprNode::Folded(f) = expr.nodes[id] {
                stack.push(folds[f].1);
            }
        }
    }
    let (mut inputs, mut left) = (vec![], Expr::default());
    let mut place = vec![0; expr.nodes.len()];
    let folded: Vec<usize> = (0..folds.len())
        .filter(|f| (0..used.len()).any(|id| used[id] && expr.nodes[id] == ExprNode::Folded(*f)))
        .collect();
    for id in (0..used.len()).filter(|&id| used[id]) {
        let node = match &expr.nodes[id] {
            ExprNode::Load { input, access } => {
                ExprNode::Load { input: position_of(&mut inputs, group.inputs[*input]), access: access.clone() }
            }
            ExprNode::LoadAt { input, index, len } => ExprNode::LoadAt {
                input: position_of(&mut inputs, group.inputs[*input]),
                index: place[*index],
                len: *len,
            },
            ExprNode::Folded(f) => ExprNode::Folded(folded.iter().position(|k| k == f).expect("used folds are listed")),
            other => Expr::map_args(other, |a| place[a]),
        };
        place[id] = left.nodes.len();
        left.nodes.push(node);
        left.dtypes.push(expr.dtypes[id]);
    }
    let moved = |o: RowOutput| match o {
        RowOutput::Each(node) => RowOutput::Each(place[node]),
        RowOutput::Once(node) => RowOutput::Once(place[node]),
    };
    let folds = folded.iter().map(|&f| (folds[f].0, place[folds[f].1])).collect();
    let outputs = outputs.into_iter().map(moved).collect();
    Group { inputs, outputs: ids, work: Work::Rows { domain, kept, expr: left, folds, outputs }, ..group }
}

/// The kernel of a [`Work::Rows`].
pub(super) fn kernel(
    domain: &[usize],
    kept: usize,
    expr: &Expr,
    inputs: Vec<wgrad_device::DType>,
    folds: &[(ReduceOp, ExprId)],
    outputs: &[RowOutput],
) -> Rows {
    Rows {
        keep: domain[..kept].to_vec(),
        row: domain[kept..].to_vec(),
        expr: expr.clone(),
        inputs,
        folds: folds.iter().map(|&(op, node)| Reduction { op, node }).collect(),
        outputs: outputs.to_vec(),
    }
}
