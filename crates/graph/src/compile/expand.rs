//! Operations with a kernel of their own, said with ordinary operations where the adapter runs those faster.

use crate::Tensor;
use crate::autodiff::topological;
use crate::ops::attention;
use crate::ops::slice::Slice;
use std::collections::HashMap;
use wgrad_device::Adapter;

/// The same `roots`, expanded for `adapter`.
pub(super) fn expand(roots: &[Tensor], adapter: &Adapter) -> Vec<Tensor> {
    let order = topological(roots);
    if !order.values().any(|t| attention::is_better_plain(t, adapter)) {
        return roots.to_vec();
    }
    let mut done: HashMap<u64, Tensor> = HashMap::new();
    // The flat pieces that an expanded result consists of, of which users take slices.
    let mut pieces: HashMap<u64, Vec<Tensor>> = HashMap::new();
    for (&id, t) in &order {
        let inputs: Vec<Tensor> = t.inputs().iter().map(|i| done[&i.id()].clone()).collect();
        let new = if attention::is_better_plain(t, adapter) {
            let parts = attention::plain_pieces(t, &inputs);
            let whole = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0).reshape(t.shape());
            pieces.insert(id, parts);
            whole
        } else if let Some(piece) = t.inputs().first().and_then(|i| piece_of(t, pieces.get(&i.id())?)) {
            piece
        } else if inputs.iter().zip(t.inputs()).all(|(a, b)| a.id() == b.id()) {
            t.clone()
        } else {
            t.with_inputs(inputs)
        };
        done.insert(id, new);
    }
    roots.iter().map(|r| done[&r.id()].clone()).collect()
}

/// The piece that `t` is a slice of, if it is exactly one.
fn piece_of(t: &Tensor, pieces: &[Tensor]) -> Option<Tensor> {
    let slice = t.op().downcast::<Slice>().filter(|s| s.step == 1 && t.rank() == 1)?;
    let mut start = 0;
    for piece in pieces {
        if (slice.start, slice.len) == (start, piece.count()) {
            return Some(piece.clone());
        }
        start += piece.count();
    }
    None
}
