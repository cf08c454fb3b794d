//! Decides which values are stored and which are computed where they are used, and makes the groups that become kernels.

use super::domain::finer;
use super::epilogue::into_contraction;
use super::expression::{Builder, Stored};
use super::{Group, Work};
use crate::op::{ContractionSpec, IndexMap, Lower};
use crate::ops::checkpoint::Again;
use crate::shape::count;
use crate::{Error, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use wgrad_device::kernels::Contraction;
use wgrad_device::{Access, Affine, Expr, ExprNode, Kernel};

/// Storage buffers that a kernel uses at most, if the adapter offers as many; WebGPU guarantees 8.
pub(super) const MAX_BUFFERS: usize = 12;
/// Values that an expression may load before part of it is stored; leaves room for outputs and scratch.
const MAX_LOADS: usize = 5;
/// Operations in an expression before part of it is stored.
pub(super) const MAX_NODES: usize = 96;

/// One group for each stored value, in dependency order. `wanted` are the tensors whose values must exist in memory.
/// `fused` turns off all fusion when false: every operation is stored, for comparison.
pub(super) fn groups(
    order: &BTreeMap<u64, Tensor>,
    wanted: &[Tensor],
    fused: bool,
) -> Result<(Vec<Group>, Stored), Error> {
    let mut forced: HashSet<u64> = HashSet::new();
    // Whatever cannot be expressed inside a kernel is stored, and the decisions are made again. Each round stores all that the
    // last one found, so that the number of rounds does not grow with the program; at least one more, so this ends.
    loop {
        let stored = decide(order, wanted, &forced, fused);
        let more = match build(order, &stored) {
            Ok(groups) => return Ok((groups, stored)),
            Err(more) => more,
        };
        let before = forced.len();
        forced.extend(&more);
        if forced.len() == before {
            let t = &order[&more[0]];
            return Err(Error::Compile(format!("{} built at {} cannot be lowered", t.op().name(), t.site())));
        }
    }
}

/// Chooses the values to store.
fn decide(order: &BTreeMap<u64, Tensor>, wanted: &[Tensor], forced: &HashSet<u64>, fused: bool) -> Stored {
    let mut users: HashMap<u64, usize> = HashMap::new();
    let mut must: HashSet<u64> = forced.clone();
    must.extend(wanted.iter().map(|t| t.id()));
    for t in order.values() {
        for i in t.inputs().iter().map(|i| i.id()).collect::<BTreeSet<_>>() {
            *users.entry(i).or_default() += 1;
        }
        match t.op().lower() {
            Lower::Contraction(_) => must.extend(t.inputs().iter().map(|i| below_views(i, forced).id())),
            Lower::Pack(_) => must.extend(t.inputs().iter().map(|i| i.id())),
            Lower::Kernel(kernel) => {
                must.extend(t.inputs().iter().enumerate().map(|(n, i)| match kernel.reads_views(n) {
                    true => below_views(i, forced).id(),
                    false => i.id(),
                }))
            }
            Lower::Take => must.extend([t.inputs()[0].id()]),
            // The generator's state is read word by word.
            Lower::Random { .. } => must.extend(t.inputs().iter().map(|i| i.id())),
            _ => {}
        }
    }
    // What each value that is not stored would load, counting only values of its own size or so, and how long its
    // expression is.
    let mut loads: HashMap<u64, BTreeSet<u64>> = HashMap::new();
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    let mut stored: HashSet<u64> = HashSet::new();
    for (&id, t) in order {
        let kind = t.op().lower();
        let mut set: BTreeSet<u64> = BTreeSet::new();
        let mut size = 1;
        let always = match kind {
            Lower::Input(_) | Lower::State(_) | Lower::Contraction(_) | Lower::Pack(_) | Lower::Reduce(..) => true,
            Lower::Kernel(_) => true,
            Lower::Constant(_) | Lower::Iota(_) => false,
            Lower::View(_) => false,
            _ => !fused,
        };
        if !matches!(kind, Lower::Contraction(_) | Lower::Pack(_) | Lower::Kernel(_)) {
            loop {
                (set, size) = (BTreeSet::new(), 1);
                for i in t.inputs() {
                    if stored.contains(&i.id()) {
                        set.insert(i.id());
                    } else {
                        set.extend(&loads[&i.id()]);
                        size += sizes[&i.id()];
                    }
                }
                if set.len() <= MAX_LOADS && size <= MAX_NODES {
                    break;
                }
                // Too much for one kernel: store the argument that brings most.
                let worst = t
                    .inputs()
                    .iter()
                    .filter(|i| !stored.contains(&i.id()) && !is_free(i))
                    .max_by_key(|i| (loads[&i.id()].len(), sizes[&i.id()]));
                let Some(worst) = worst else { break };
                // What a view shows, rather than the view: it may be much smaller.
                let below = below_views(worst, forced);
                let keep = if stored.contains(&below.id()) { worst } else { below };
                stored.insert(keep.id());
                if keep.id() != worst.id() {
                    loads.insert(worst.id(), BTreeSet::from([keep.id()]));
                    sizes.insert(worst.id(), 1);
                }
            }
        }
        let n = users.get(&id).copied().unwrap_or(0);
        let mut keep = always || must.contains(&id);
        if !keep && n > 1 && !matches!(kind, Lower::View(_) | Lower::Constant(_) | Lower::Iota(_)) {
            // Computing it in each of n users reads its arguments n times; storing it reads them once, writes, and reads
            // it n times.
            let big = set.iter().filter(|l| order[l].count() * 2 > t.count()).count();
            keep = n * big > big + 1 + n || size > MAX_NODES / 3;
        }
        if keep && reshape_of_stored(t, &stored) {
            // Already in memory under another shape.
            keep = false;
        }
        if keep {
            stored.insert(id);
        }
        loads.insert(id, set);
        sizes.insert(id, size);
    }
    Stored { ids: stored }
}

/// Whether a value costs nothing to compute again.
fn is_free(t: &Tensor) -> bool {
    matches!(t.op().lower(), Lower::Constant(_) | Lower::Iota(_))
}

fn reshape_of_stored(t: &Tensor, stored: &HashSet<u64>) -> bool {
    match t.op().lower() {
        Lower::View(v) if v.is_reshape() => {
            let input = &t.inputs()[0];
            stored.contains(&input.id()) || reshape_of_stored(input, stored)
        }
        _ => false,
    }
}

/// The first value below a chain of views that keep all their elements or fill with zeros, or that has to be stored anyway.
fn below_views<'a>(t: &'a Tensor, forced: &HashSet<u64>) -> &'a Tensor {
    match t.op().lower() {
        Lower::View(v) if v.fill() == 0.0 && !forced.contains(&t.id()) => below_views(&t.inputs()[0], forced),
        _ => t,
    }
}

/// Makes a group for every stored value that is not a leaf; or names the values that have to be stored first.
fn build(order: &BTreeMap<u64, Tensor>, stored: &Stored) -> Result<Vec<Group>, Vec<u64>> {
    let (mut groups, mut missing) = (vec![], vec![]);
    for t in order.values().filter(|t| stored.ids.contains(&t.id())) {
        match group(t, stored) {
            Ok(made) => groups.extend(made),
            Err(more) => missing.push(more),
        }
    }
    if missing.is_empty() { Ok(groups) } else { Err(missing) }
}

/// The group that makes a stored value, if it is not a leaf; or the value that has to be stored first.
fn group(t: &Tensor, stored: &Stored) -> Result<Option<Group>, u64> {
    let label = format!("{} at {}:{}", t.op().name(), t.site().file(), t.site().line());
    let after = awaited(t, stored);
    let own_inputs = || t.inputs().iter().map(|i| stored.value(i)).collect();
    let (inputs, work) = match t.op().lower() {
        Lower::Input(_) | Lower::State(_) => return Ok(None),
        Lower::Pack(offsets) => (own_inputs(), Work::Pack(offsets)),
        Lower::Kernel(kernel) => own_kernel(t, kernel, stored)?,
        Lower::Contraction(spec) => contraction(t, &spec, stored)?,
        Lower::Reduce(op, axes) => {
            let x = &t.inputs()[0];
            let kept: Vec<usize> = (0..x.rank()).filter(|d| !axes.contains(d)).collect();
            let dims: Vec<usize> = kept.iter().chain(axes).copied().collect();
            let domain: Vec<usize> = dims.iter().map(|&d| x.shape()[d]).collect();
            let mut map = IndexMap::identity(x.rank());
            for (place, &d) in dims.iter().enumerate() {
                map.dims[d] = Affine::dim(x.rank(), place).into();
            }
            let mut b = Builder::new(stored, domain.clone());
            let node = b.value(x, &map)?;
            (b.inputs, Work::Reduce { domain, kept: kept.len(), expr: b.expr, folds: vec![(op, node)] })
        }
        _ => {
            let mut b = Builder::new(stored, t.shape().to_vec());
            let node = b.compute(t, &IndexMap::identity(t.rank()))?;
            (b.inputs, Work::Map { domain: t.shape().to_vec(), expr: b.expr, nodes: vec![node] })
        }
    };
    Ok(Some(Group { label, inputs, outputs: vec![t.id()], after, work }))
}

/// The stored values that this one's computation has to wait for because parts of it are computed again.
fn awaited(t: &Tensor, stored: &Stored) -> Vec<u64> {
    let (mut found, mut seen, mut stack) = (vec![], HashSet::new(), t.inputs().to_vec());
    while let Some(t) = stack.pop() {
        if !seen.insert(t.id()) {
            continue;
        }
        if t.op().downcast::<Again>().is_some() {
            found.extend(stored.find(&t.inputs()[1]));
        }
        if !stored.ids.contains(&t.id()) {
            stack.extend(t.inputs().iter().cloned());
        }
    }
    found
}

/// The stored value that holds the elements of `t`, and where the one at `map` lies in it, as a function of an index in `domain`.
fn operand(t: &Tensor, map: &IndexMap, domain: Vec<usize>, stored: &Stored) -> Result<(u64, Access), u64> {
    let mut b = Builder::new(stored, domain);
    let node = b.value(t, map)?;
    match &b.expr.nodes[..] {
        [ExprNode::Load { input: 0, access }] if node == 0 => Ok((b.inputs[0], access.clone())),
        // A view with something else in its gaps, say.
        _ => Err(t.id()),
    }
}

/// An operation's own kernel, reading through views where it can.
fn own_kernel(t: &Tensor, mut kernel: Arc<dyn Kernel>, stored: &Stored) -> Result<(Vec<u64>, Work), u64> {
    let mut inputs = vec![];
    for (n, i) in t.inputs().iter().enumerate() {
        if let Some(value) = stored.find(i) {
            inputs.push(value);
            continue;
        }
        let (value, access) = operand(i, &IndexMap::identity(i.rank()), i.shape().to_vec(), stored)?;
        kernel = kernel.read_through(n, &access).ok_or(i.id())?;
        inputs.push(value);
    }
    Ok((inputs, Work::Kernel(kernel)))
}

fn contraction(t: &Tensor, spec: &ContractionSpec, stored: &Stored) -> Result<(Vec<u64>, Work), u64> {
    let (a_value, a) = operand(&t.inputs()[0], &spec.a, [&spec.batch[..], &spec.m, &spec.k].concat(), stored)?;
    let (b_value, b) = operand(&t.inputs()[1], &spec.b, [&spec.batch[..], &spec.k, &spec.n].concat(), stored)?;
    let work = Contraction {
        label: spec.label,
        batch: spec.batch.clone(),
        m: spec.m.clone(),
        n: spec.n.clone(),
        k: spec.k.clone(),
        a,
        b,
        c: spec.c.clone(),
        operands: [t.inputs()[0].dtype(), t.inputs()[1].dtype()],
        output: t.dtype(),
        epilogue: None,
    };
    Ok((vec![a_value, b_value], Work::Contraction { kernel: work, shape: t.shape().to_vec() }))
}

/// Joins groups: work on one value with the work that made it, and work of equal extents on shared values.
/// `buffers` is how many storage buffers the adapter offers to a kernel.
pub(super) fn merge(mut groups: Vec<Group>, wanted: &HashSet<u64>, buffers: usize) -> Vec<Group> {
    let buffers = buffers.min(MAX_BUFFERS);
    let mut merged: Vec<Group> = vec![];
    // Where each value is made, by position in `merged`.
    let mut made: HashMap<u64, usize> = HashMap::new();
    let mut readers: HashMap<u64, usize> = HashMap::new();
    for g in &groups {
        g.inputs.iter().for_each(|v| *readers.entry(*v).or_default() += 1);
    }
    for g in groups.drain(..) {
        let ready = g.inputs.iter().chain(&g.after).filter_map(|v| made.get(v)).max().copied();
        if let Some((at, joined, read)) = into_contraction(&g, &merged, &made, &readers, wanted, buffers) {
            joined.outputs.iter().for_each(|o| {
                made.insert(*o, at);
            });
            merged[at] = joined;
            for v in read {
                readers.entry(v).and_modify(|n| *n -= 1);
            }
            continue;
        }
        // Work may move up to any group at or after the last one it depends on.
        let first = ready.unwrap_or(0);
        let candidates = (first..merged.len()).rev().take(48);
        let target = candidates.into_iter().find_map(|at| join(&merged[at], &g, buffers).map(|j| (at, j)));
        match target {
            Some((at, joined)) => {
                g.outputs.iter().for_each(|o| {
                    made.insert(*o, at);
                });
                merged[at] = joined;
            }
            None => {
                g.outputs.iter().for_each(|o| {
                    made.insert(*o, merged.len());
                });
                merged.push(g);
            }
        }
    }
    merged
}

/// Two maps or two reductions over one domain as one, if they share something and fit.
fn join(a: &Group, b: &Group, buffers: usize) -> Option<Group> {
    // Sums over equal domains are worth it even where they are of different data.
    let shares = |v: &u64| a.inputs.contains(v) || a.outputs.contains(v);
    if !b.inputs.iter().any(shares) && !matches!(a.work, Work::Reduce { .. }) {
        return None;
    }
    match (&a.work, &b.work) {
        (Work::Map { domain, expr, nodes }, Work::Map { domain: d2, expr: e2, nodes: n2 }) if domain == d2 => {
            let (mut inputs, mut expr) = (a.inputs.clone(), expr.clone());
            let made: Vec<_> = a.outputs.iter().copied().zip(nodes.iter().copied()).collect();
            let ids = append(&mut expr, &mut inputs, e2, &b.inputs, &made, Some(domain))?;
            if inputs.len() + a.outputs.len() + b.outputs.len() > buffers || expr.nodes.len() > 2 * MAX_NODES {
                return None;
            }
            let nodes = nodes.iter().copied().chain(n2.iter().map(|&n| ids[n])).collect();
            Some(Group {
                label: a.label.clone(),
                inputs,
                outputs: [&a.outputs[..], &b.outputs].concat(),
                after: [&a.after[..], &b.after].concat(),
                work: Work::Map { domain: domain.clone(), expr, nodes },
            })
        }
        (Work::Reduce { folds, .. }, Work::Reduce { folds: f2, .. }) => {
            if b.inputs.iter().any(|v| a.outputs.contains(v)) {
                return None;
            }
            let (domain, kept, mut expr, e2) = one_domain(&a.work, &b.work)?;
            let mut inputs = a.inputs.clone();
            let ids = append(&mut expr, &mut inputs, &e2, &b.inputs, &[], Some(&domain))?;
            // One more for scratch.
            if inputs.len() + a.outputs.len() + b.outputs.len() + 1 > buffers {
                return None;
            }
            let folds = folds.iter().copied().chain(f2.iter().map(|&(op, n)| (op, ids[n]))).collect();
            Some(Group {
                label: a.label.clone(),
                inputs,
                outputs: [&a.outputs[..], &b.outputs].concat(),
                after: [&a.after[..], &b.after].concat(),
                work: Work::Reduce { domain, kept, expr, folds },
            })
        }
        _ => None,
    }
}

/// The expressions of two reductions over one domain, of which `kept` dimensions stay: where that of one is cut more finely,
/// both are. A bias' gradient and a norm's parameters' are sums over the same rows.
fn one_domain(a: &Work, b: &Work) -> Option<(Vec<usize>, usize, Expr, Expr)> {
    let (Work::Reduce { domain: d, kept: k, expr: x, .. }, Work::Reduce { domain: d2, kept: k2, expr: x2, .. }) =
        (a, b)
    else {
        return None;
    };
    if (d, k) == (d2, k2) {
        return Some((d.clone(), *k, x.clone(), x2.clone()));
    }
    if count(&d[..*k]) != count(&d2[..*k2]) || count(d) != count(d2) || count(d) == 0 {
        return None;
    }
    match finer(x2, d2, d) {
        Some(x2) => Some((d.clone(), *k, x.clone(), x2)),
        None => Some((d2.clone(), *k2, finer(x, d, d2)?, x2.clone())),
    }
}

/// Appends an expression to another over the same domain; loads of values in `made` become those nodes. Returns the new
/// place of each node, or `None` if such a value is wanted at another index than the current one (which the caller has ruled out
/// where no domain is given).
pub(super) fn append(
    expr: &mut Expr,
    inputs: &mut Vec<u64>,
    more: &Expr,
    more_inputs: &[u64],
    made: &[(u64, usize)],
    domain: Option<&[usize]>,
) -> Option<Vec<usize>> {
    let mut ids: Vec<usize> = vec![];
    for (node, &dtype) in more.nodes.iter().zip(&more.dtypes) {
        let id = match node {
            ExprNode::Load { input, access } => {
                let value = more_inputs[*input];
                if let Some(&(_, node)) = made.iter().find(|(v, _)| *v == value) {
                    if domain.is_some_and(|d| !access.is_linear(d)) {
                        return None;
                    }
                    node
                } else {
                    let input = position_of(inputs, value);
                    expr.push(ExprNode::Load { input, access: access.clone() }, dtype)
                }
            }
            ExprNode::LoadAt { input, index, len } => {
                let value = more_inputs[*input];
                if made.iter().any(|(v, _)| *v == value) {
                    return None;
                }
                let input = position_of(inputs, value);
                expr.push(ExprNode::LoadAt { input, index: ids[*index], len: *len }, dtype)
            }
            other => expr.push(Expr::map_args(other, |a| ids[a]), dtype),
        };
        ids.push(id);
    }
    Some(ids)
}

/// Where a value stands in a list, at whose end it is put if it is not there.
pub(super) fn position_of(inputs: &mut Vec<u64>, value: u64) -> usize {
    inputs.iter().position(|v| *v == value).unwrap_or_else(|| {
        inputs.push(value);
        inputs.len() - 1
    })
}
