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
    vjp(&[output], wrt, &[seed])
}

/// The gradients of `sum(f(arguments) * seed)` with respect to each argument alone: what an operation's gradient rule wants,
/// where `f` is its plain form. Arguments may depend on each other, and on each other's sources, which [`gradients_of`] would
/// follow. `None` for arguments that are no floats.
///
/// # Panics
/// As [`gradients`].
#[track_caller]
pub fn partial_gradients(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    arguments: &[Tensor],
    seed: &Tensor,
) -> Vec<Option<Tensor>> {
    // Tensors that are equal to the arguments, and that nothing else depends on.
    let mut own = vec![];
    for t in arguments {
        own.push(if t.dtype().is_float() { t.with_gradient(&[t], |_, _, g| vec![Some(g.clone())]) } else { t.clone() });
    }
    let floats: Vec<&Tensor> = own.iter().filter(|t| t.dtype().is_float()).collect();
    let mut grads = gradients_of(&f(&own), &floats, seed).into_iter();
    own.iter().map(|t| if t.dtype().is_float() { grads.next() } else { None }).collect()
}

/// The vector-Jacobian product of several outputs: the gradients of `sum(outputs[0] * seeds[0]) + sum(outputs[1] *
/// seeds[1]) + ...` with respect to each of `wrt`, which may be any tensors on the way: inputs, parameters, activations.
///
/// # Panics
/// If a seed has not its output's shape and type, or as [`gradients`].
#[track_caller]
pub fn vjp(outputs: &[&Tensor], wrt: &[&Tensor], seeds: &[&Tensor]) -> Vec<Tensor> {
    if outputs.len() != seeds.len() {
        crate::fail("gradients", format!("{} outputs, but {} seeds", outputs.len(), seeds.len()));
    }
    let mut grads: HashMap<u64, Tensor> = HashMap::new();
    for (&output, &seed) in outputs.iter().zip(seeds) {
        if (seed.shape(), seed.dtype()) != (output.shape(), output.dtype()) || !output.dtype().is_float() {
            crate::fail(
                "gradients",
                format!(
                    "a seed {} {:?} for an output {} {:?}",
                    seed.dtype(),
                    seed.shape(),
                    output.dtype(),
                    output.shape()
                ),
            );
        }
        let sum = match grads.remove(&output.id()) {
            Some(other) => other + seed,
            None => seed.clone(),
        };
        grads.insert(output.id(), sum);
    }
    // Only nodes between `wrt` and the outputs matter. Ids grow from arguments to results, so nothing made before all of
    // `wrt` needs them; but a leaf may have been declared before under the same name.
    let oldest = match wrt.iter().any(|t| t.name().is_some()) {
        true => 0,
        false => wrt.iter().map(|t| t.id()).min().unwrap_or(u64::MAX),
    };
    let order = above(outputs.iter().copied(), oldest);
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

/// Every node that `roots` need, by id.
pub(crate) fn topological<'a>(roots: impl IntoIterator<Item = &'a Tensor>) -> BTreeMap<u64, Tensor> {
    above(roots, 0)
}

/// Every node that `roots` need and whose id is at least `oldest`, by id.
pub(crate) fn above<'a>(roots: impl IntoIterator<Item = &'a Tensor>, oldest: u64) -> BTreeMap<u64, Tensor> {
    let mut seen = BTreeMap::new();
    let mut stack: Vec<Tensor> = roots.into_iter().cloned().collect();
    while let Some(t) = stack.pop() {
        if t.id() < oldest {
            continue;
        }
        if let std::collections::btree_map::Entry::Vacant(place) = seen.entry(t.id()) {
            stack.extend(t.inputs().iter().cloned());
            place.insert(t);
        }
    }
    seen
}

/// The Jacobian-vector product: how each of `outputs` changes when `wrt` moves along `tangents`, which is the derivative
/// at 0 of `outputs(wrt + s * tangents)` by `s`. Of the outputs' shapes.
///
/// Computed as the gradient of a vector-Jacobian product (which is linear in its seed) with respect to the seed, so every
/// operation that has a gradient has this too.
///
/// # Panics
/// If a tangent has not its tensor's shape and type, or as [`gradients`].
#[track_caller]
pub fn jvp(outputs: &[&Tensor], wrt: &[&Tensor], tangents: &[&Tensor]) -> Vec<Tensor> {
    check_tangents("jvp", wrt, tangents);
    let seeds: Vec<Tensor> = outputs.iter().map(|t| Tensor::zeros(t.shape(), t.dtype())).collect();
    let seeds: Vec<&Tensor> = seeds.iter().collect();
    let pulled = vjp(outputs, wrt, &seeds);
    vjp(&pulled.iter().collect::<Vec<_>>(), &seeds, tangents)
}

/// The Hessian-vector product: the gradient of `sum(gradient(loss, wrt) * tangents)` with respect to each of `wrt`,
/// without the Hessian ever being there.
///
/// # Panics
/// If a tangent has not its tensor's shape and type, or as [`gradients`].
#[track_caller]
pub fn hvp(loss: &Tensor, wrt: &[&Tensor], tangents: &[&Tensor]) -> Vec<Tensor> {
    check_tangents("hvp", wrt, tangents);
    let first = gradients(loss, wrt);
    vjp(&first.iter().collect::<Vec<_>>(), wrt, tangents)
}

#[track_caller]
fn check_tangents(op: &str, wrt: &[&Tensor], tangents: &[&Tensor]) {
    if wrt.len() != tangents.len() {
        crate::fail(op, format!("{} tensors, but {} tangents", wrt.len(), tangents.len()));
    }
    for (x, t) in wrt.iter().zip(tangents) {
        if (x.shape(), x.dtype()) != (t.shape(), t.dtype()) {
            crate::fail(
                op,
                format!("a tangent {} {:?} for a tensor {} {:?}", t.dtype(), t.shape(), x.dtype(), x.shape()),
            );
        }
    }
}

/// The whole Jacobian: the derivative of every element of `output` by every element of `wrt`, of shape
/// `[output..., wrt...]`. It is built row by row, one vector-Jacobian product for each element of `output`: meant for small
/// outputs.
///
/// # Panics
/// As [`gradients`].
#[track_caller]
pub fn jacobian(output: &Tensor, wrt: &Tensor) -> Tensor {
    let n = output.count();
    let shape = [output.shape(), wrt.shape()].concat();
    if n == 0 || wrt.count() == 0 {
        return Tensor::zeros(shape, wrt.dtype());
    }
    let flat = output.reshape([n]);
    let place = Tensor::iota([n], 0);
    let mut rows = vec![];
    for i in 0..n {
        let here = place.equal(&Tensor::scalar(i as u32)).cast(output.dtype());
        rows.push(gradients_of(&flat, &[wrt], &here).remove(0).unsqueeze(0));
    }
    Tensor::concat(&rows.iter().collect::<Vec<_>>(), 0).reshape(shape)
}

/// The whole Hessian of `loss`, which has one element: all second derivatives by pairs of elements of `wrt`, of shape
/// `[wrt..., wrt...]`. For small `wrt`, as [`jacobian`].
///
/// # Panics
/// If `loss` has not exactly one element, or as [`gradients`].
#[track_caller]
pub fn hessian(loss: &Tensor, wrt: &Tensor) -> Tensor {
    if loss.count() != 1 {
        crate::fail("hessian", format!("of {:?}: reduce it to one number", loss.shape()));
    }
    jacobian(&gradients(loss, &[wrt]).remove(0), wrt)
}
