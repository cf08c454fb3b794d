//! Recomputation: a marked part of the graph is computed again in the backward pass instead of being kept in memory
//! (Chen et al., "Training deep nets with sublinear memory cost", 2016).

use crate::autodiff::{above, gradients_of};
use crate::op::{Array, Lower, Op, Same};
use crate::{OpCase, Tensor};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use wgrad_device::DType;

/// Input 0 as it is. What is computed from it is not shared with what the forward pass computed from the same value, and
/// not before input 1, the gradient that the marked part waits for.
#[derive(Debug)]
#[allow(dead_code)] // the number is read by Debug, by which expressions are compared
pub(crate) struct Again {
    /// No two of these are shared.
    id: u64,
}

impl Op for Again {
    fn name(&self) -> &'static str {
        "again"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        // Nothing flows to the second: its value is not used.
        Ok(vec![Some(grad.clone()), None])
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].clone()
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(&Same)
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The value of `body`, marked: what it computes on the way is not kept for the backward pass but computed again there,
/// from the values that `body` uses from outside. The result and all gradients are the same; memory is saved for about one
/// more forward computation of the part. [`crate::Summary`] says how much.
///
/// Mark the blocks of a deep network, one by one: memory then holds the blocks' results and one block's insides.
///
/// ```
/// use wgrad_graph::{DType, Tensor, checkpoint};
/// let x = Tensor::input("x", [8, 16], DType::F32);
/// let y = checkpoint(|| x.exp().sin());
/// assert_eq!(y.shape(), [8, 16]);
/// ```
#[track_caller]
pub fn checkpoint(body: impl FnOnce() -> Tensor) -> Tensor {
    // Whatever is older than this comes from outside.
    let start = now();
    let value = body();
    if value.id() < start || value.name().is_some() {
        return value;
    }
    let inside: Vec<Tensor> = above([&value], start).into_values().filter(|t| t.name().is_none()).collect();
    let mut outside: HashMap<u64, Tensor> = HashMap::new();
    for t in inside.iter().flat_map(|t| t.inputs()) {
        if (t.id() < start || t.name().is_some()) && t.dtype().is_float() {
            outside.insert(t.id(), t.clone());
        }
    }
    let mut outside: Vec<Tensor> = outside.into_values().collect();
    outside.sort_by_key(|t| t.id());
    let arguments: Vec<&Tensor> = outside.iter().collect();
    // The rule may be given copies of the arguments (in a checkpoint within another), so they are known by these numbers.
    let numbers: Vec<u64> = outside.iter().map(Tensor::id).collect();
    let last = value.clone();
    value.with_gradient(&arguments, move |_, arguments, grad| {
        let again = |t: &Tensor| Tensor::apply(Again { id: NEXT.fetch_add(1, Ordering::Relaxed) }, &[t, grad]);
        let proxies: Vec<Tensor> = arguments.iter().map(again).collect();
        let mut copies: HashMap<u64, Tensor> = numbers.iter().copied().zip(proxies.iter().cloned()).collect();
        for t in &inside {
            copies.insert(t.id(), with_copies(t, &copies));
        }
        let copied = now();
        let grads = gradients_of(&copies[&last.id()], &proxies.iter().collect::<Vec<_>>(), grad);
        // Gradient rules may hold values of the forward pass: their copies take their places.
        for (id, t) in above(&grads, copied) {
            copies.insert(id, with_copies(&t, &copies));
        }
        grads.iter().map(|g| Some(copies.get(&g.id()).unwrap_or(g).clone())).collect()
    })
}

/// An id that what was built before is below, and what is built later above: ids grow.
fn now() -> u64 {
    Tensor::scalar(0.0f32).id()
}

/// How many marked parts are computed again in a graph.
pub(crate) fn parts<'a>(nodes: impl Iterator<Item = &'a Tensor>) -> usize {
    let again = nodes.filter(|t| t.op().downcast::<Again>().is_some());
    again.map(|t| t.inputs()[1].id()).collect::<HashSet<_>>().len()
}

/// The tensor with copied arguments where there are any.
fn with_copies(t: &Tensor, copies: &HashMap<u64, Tensor>) -> Tensor {
    if t.inputs().iter().all(|i| !copies.contains_key(&i.id())) {
        return t.clone();
    }
    t.with_inputs(t.inputs().iter().map(|i| copies.get(&i.id()).unwrap_or(i).clone()).collect())
}

pub(crate) fn cases() -> Vec<OpCase> {
    vec![
        OpCase::new("checkpoint", "checkpoint of a chain", &[&[4, 5], &[5]], |x| {
            let y = x[0].exp();
            checkpoint(|| (&y * &x[1]).sin().exp().tanh()) + &y
        }),
        OpCase::new("checkpoint", "checkpoints in a row", &[&[3, 7], &[7, 7]], |x| {
            (0..3).fold(x[0].clone(), |h, _| checkpoint(|| h.matmul(&x[1]).tanh()))
        }),
        // Its gradient rule holds values of the forward pass.
        OpCase::new("checkpoint", "checkpoint of a norm", &[&[5, 3, 4], &[3], &[3]], |x| {
            checkpoint(|| (x[0].exp()).batch_norm_train(&x[1], &x[2], 1e-3).output.sin())
        }),
        OpCase::new("checkpoint", "checkpoint in a checkpoint", &[&[6]], |x| {
            checkpoint(|| checkpoint(|| x[0].sin().exp()).square().sin())
        }),
        // One argument is made from another: nothing may be counted twice.
        OpCase::new("checkpoint", "checkpoint of dependent arguments", &[&[6]], |x| {
            let y = x[0].square();
            checkpoint(|| (&x[0] * &y).sin())
        }),
        OpCase::new("checkpoint", "checkpoint of nothing", &[&[6]], |x| checkpoint(|| x[0].clone()) * 2.0),
    ]
}
