//! Rewrites expressions into equal, cheaper ones: constants are folded, identities dropped, equal expressions shared.
//! What no output needs is never visited, so it drops out by itself.

use crate::Tensor;
use crate::autodiff::topological;
use crate::op::{Array, Lower};
use crate::ops::checkpoint::Again;
use crate::ops::leaf::{Full, Scalar};
use crate::ops::matmul::MatMul;
use crate::ops::pad::Pad;
use crate::ops::permute::Permute;
use crate::ops::reshape::Reshape;
use crate::ops::slice::Slice;
use std::collections::HashMap;
use wgrad_device::kernels::ReduceOp;
use wgrad_device::{Binary, Unary};

/// Simplifies `roots` together; the results stand in the same order. Without `recompute`, marked parts are computed once.
pub(super) fn simplify(roots: &[Tensor], recompute: bool) -> Vec<Tensor> {
    let order = topological(roots);
    let mut users: HashMap<u64, usize> = HashMap::new();
    for id in order.values().flat_map(|t| t.inputs()).chain(roots).map(|t| t.id()) {
        *users.entry(id).or_default() += 1;
    }
    let mut done: HashMap<u64, Tensor> = HashMap::new();
    let mut shared: HashMap<(String, Vec<u64>), Tensor> = HashMap::new();
    for (id, t) in &order {
        let inputs: Vec<Tensor> = t.inputs().iter().map(|i| done[&i.id()].clone()).collect();
        let new = match rewrite(t, &inputs, &users) {
            None if !recompute && t.op().downcast::<Again>().is_some() => inputs[0].clone(),
            Some(new) => new,
            None if inputs.iter().zip(t.inputs()).all(|(a, b)| a.id() == b.id()) => t.clone(),
            None => t.with_inputs(inputs),
        };
        // Leaves are what their name says; where they were declared does not matter.
        let what = match new.name() {
            Some(name) => format!("{} {name:?}", new.op().name()),
            None => format!("{:?} {} {:?}", new.op(), new.dtype(), new.shape()),
        };
        let key = (what, new.inputs().iter().map(|i| i.id()).collect());
        let new = shared.entry(key).or_insert(new).clone();
        done.insert(*id, new);
    }
    roots.iter().map(|r| done[&r.id()].clone()).collect()
}

/// Two reshapes or two permutations in a row as one, or none.
fn one_view(t: &Tensor, inputs: &[Tensor]) -> Option<Tensor> {
    let (first, below) = (inputs.first()?, inputs.first()?.inputs().first()?);
    if t.op().downcast::<Reshape>().is_some() && first.op().downcast::<Reshape>().is_some() {
        return Some(match t.shape() == below.shape() {
            true => below.clone(),
            false => t.replaced_by(Reshape::to(t.shape()), vec![below.clone()]),
        });
    }
    let both = t.op().downcast::<Permute>()?.after(first.op().downcast::<Permute>()?);
    Some(both.map_or(below.clone(), |p| t.replaced_by(p, vec![below.clone()])))
}

/// A cheaper tensor equal to `t` applied to `inputs`, if a rule finds one.
fn rewrite(t: &Tensor, inputs: &[Tensor], users: &HashMap<u64, usize>) -> Option<Tensor> {
    if let Some(view) = one_view(t, inputs) {
        return Some(view);
    }
    if let Some(part) = part_of_padded(t, inputs) {
        return Some(part);
    }
    match t.op().lower() {
        // A product that only its transpose is wanted of (a linear layer's weight gradient) is made transposed at once.
        Lower::View(_) if is_transposed_product(t, inputs) && users[&t.inputs()[0].id()] == 1 => {
            let product = inputs[0].op().downcast::<MatMul>().expect("just checked");
            let [a, b] = inputs[0].inputs() else { unreachable!("two arguments") };
            Some(t.replaced_by(product.transposed(), vec![b.transpose(-1, -2), a.transpose(-1, -2)]))
        }
        Lower::View(_) if matches!(t.op().name(), "stop_gradient" | "with_gradient" | "checked_index") => {
            Some(inputs[0].clone())
        }
        // A view of a constant is that constant, unless something else stands in its gaps.
        Lower::View(v) => match constant(&inputs[0]) {
            Some(c) if v.is_reshape() || matches!(t.op().name(), "expand" | "permute" | "slice") => Some(full(t, c)),
            _ => None,
        },
        Lower::Unary(op) => match (constant(&inputs[0]), op) {
            (Some(_), _) => Some(fold(t, inputs)),
            (None, Unary::Neg) => match inputs[0].op().lower() {
                Lower::Unary(Unary::Neg) => Some(inputs[0].inputs()[0].clone()),
                _ => None,
            },
            _ => None,
        },
        Lower::Cast if constant(&inputs[0]).is_some() => Some(fold(t, inputs)),
        Lower::Cast if inputs[0].dtype() == t.dtype() => Some(inputs[0].clone()),
        Lower::Binary(op) => {
            let (a, b) = (constant(&inputs[0]), constant(&inputs[1]));
            let is = |c: Option<Scalar>, v: f64| c.is_some_and(|c| c.value() == v);
            match op {
                _ if a.is_some() && b.is_some() && !t.dtype().is_float() => None,
                _ if a.is_some() && b.is_some() => Some(fold(t, inputs)),
                Binary::Add if is(a, 0.0) => Some(inputs[1].clone()),
                Binary::Add | Binary::Sub if is(b, 0.0) => Some(inputs[0].clone()),
                Binary::Mul if is(a, 1.0) => Some(inputs[1].clone()),
                Binary::Mul | Binary::Div if is(b, 1.0) => Some(inputs[0].clone()),
                _ => None,
            }
        }
        Lower::Select => constant(&inputs[0]).map(|c| inputs[if c.value() != 0.0 { 1 } else { 2 }].clone()),
        Lower::Reduce(ReduceOp::Sum, _) if t.dtype().is_float() && inputs[0].count() > 0 => {
            let c = constant(&inputs[0])?;
            let n = inputs[0].count() / t.count().max(1);
            Some(full(t, Scalar::new(t.dtype(), c.value() * n as f64)))
        }
        _ => None,
    }
}

fn is_transposed_product(t: &Tensor, inputs: &[Tensor]) -> bool {
    t.op().downcast::<Permute>().is_some_and(Permute::is_transpose)
        && inputs[0].op().downcast::<MatMul>().is_some_and(MatMul::is_plain)
}

/// What was padded, or what it was padded with, where a slice is just that: what is left of the gradient of several slices
/// that together are one tensor.
fn part_of_padded(t: &Tensor, inputs: &[Tensor]) -> Option<Tensor> {
    let slice = t.op().downcast::<Slice>()?;
    let pad = inputs[0].op().downcast::<Pad>()?;
    let inner = &inputs[0].inputs()[0];
    let n = inner.shape()[pad.axis];
    if (slice.axis, slice.step, pad.step) != (pad.axis, 1, 1) {
        None
    } else if (slice.start, slice.len) == (pad.before, n) {
        Some(inner.clone())
    } else if slice.start >= pad.before + n || slice.start + slice.len <= pad.before {
        Some(full(t, Scalar::new(t.dtype(), pad.fill)))
    } else {
        None
    }
}

pub(super) fn constant(t: &Tensor) -> Option<Scalar> {
    t.op().downcast::<Full>().map(|f| f.value)
}

fn full(t: &Tensor, value: Scalar) -> Tensor {
    t.replaced_by(Full { shape: t.shape().to_vec(), value }, vec![])
}

/// The constant that an elementwise operation makes of constants. f64 holds all operands exactly, and rounding its result
/// is what f32 arithmetic would give.
fn fold(t: &Tensor, inputs: &[Tensor]) -> Tensor {
    let arrays: Vec<Array> =
        inputs.iter().map(|i| Array::new([1], vec![constant(i).expect("checked by the caller").value()])).collect();
    let refs: Vec<&Array> = arrays.iter().collect();
    full(t, Scalar::new(t.dtype(), t.op().reference(&refs, &[1]).data[0]))
}
