//! Gradients, as expressions in the same graph.

use crate::Tensor;
use crate::error::{ShapeError, raise};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The gradients of `loss` (summed, if it has more than one element) with respect to each of `wrt`: expressions of their
/// shapes, ready to be used further, differentiated again included. Zeros where `loss` does not depend on a tensor.
///
/// # Panics
/// If an operation on the way has no gradient; the message names it and where it was built.
#[track_caller]
pub fn gradients(loss: &Tensor, wrt: &[&Tensor]) -> Vec<Tensor> {
    if !loss.dtype().is_float() {
        crate::fail("gradients", format!("of {} {:?}: a float is needed", loss.dtype(), loss.shape()));
    }
    gradients_of(loss, wrt, &Tensor::ones(loss.shape(), loss.dtype()))
}

/// The gradients of `sum(output * seed)` with respect to each of `wrt`: the vector-Jacobian product.
///
/// # Panics
/// As [`gradients`].
#[track_caller]
pub fn gradients_of(output: &Tensor, wrt: &[&Tensor], seed: &Tensor) -> Vec<Tensor> {
    if (seed.shape(), seed.dtype()) != (output.shape(), output.dtype()) {
        crate::fail("gradients", format!("seed {:?} for an output {:?}", seed.shape(), output.shape()));
    }
    // Only nodes between `wrt` and `output` matter. Ids grow from arguments to results.
    let order = topological(output);
    let targets: HashSet<u64> = wrt.iter().map(|t| t.id()).collect();
    let mut names: HashMap<&str, u64> = HashMap::new();
    for t in wrt {
        // Leaves of one name are one tensor, whoever declared them.
        if let Some(name) = t.name() {
            names.insert(name, t.id());
        }
    }
    let key = |t: &Tensor| t.name().and_then(|n| names.get(n).copied()).unwrap_or(t.id());
    let mut reaches: HashSet<u64> = HashSet::new();
    for t in order.values() {
        if targets.contains(&key(t)) || t.inputs().iter().any(|i| reaches.contains(&i.id())) {
            reaches.insert(t.id());
        }
    }

    let mut grads: HashMap<u64, Tensor> = HashMap::from([(output.id(), seed.clone())]);
    let mut found: HashMap<u64, Tensor> = HashMap::new();
    for (id, t) in order.iter().rev() {
        let Some(grad) = grads.remove(id) else { continue };
        if targets.contains(&key(t)) {
            let sum = match found.remove(&key(t)) {
                Some(other) => other + &grad,
                None => grad.clone(),
            };
            found.insert(key(t), sum);
        }
        if !t.inputs().iter().any(|i| reaches.contains(&i.id())) {
            continue;
        }
        let given = match t.op().gradient(t, &grad) {
            Ok(given) => given,
            Err(reason) => raise(ShapeError { op: format!("gradient of {}", t.op().name()), reason, site: t.site() }),
        };
        for (input, g) in t.inputs().iter().zip(given) {
            let Some(g) = g else { continue };
            if !reaches.contains(&input.id()) || !input.dtype().is_float() {
                continue;
            }
            assert_eq!(g.shape(), input.shape(), "the gradient rule of {} gives a wrong shape", t.op().name());
            let sum = match grads.remove(&input.id()) {
                Some(other) => other + g,
                None => g,
            };
            grads.insert(input.id(), sum);
        }
    }
    wrt.iter().map(|t| found.get(&t.id()).cloned().unwrap_or_else(|| Tensor::zeros(t.shape(), t.dtype()))).collect()
}

/// Every node that `root` needs, by id.
pub(crate) fn topological(root: &Tensor) -> BTreeMap<u64, Tensor> {
    let mut seen = BTreeMap::new();
    let mut stack = vec![root.clone()];
    while let Some(t) = stack.pop() {
        if let std::collections::btree_map::Entry::Vacant(place) = seen.entry(t.id()) {
            stack.extend(t.inputs().iter().cloned());
            place.insert(t);
        }
    }
    seen
}
