//! Loops over time.

use wgrad_graph::{Tensor, fail};

/// Tensors of one shape as one, along a new axis 0. Their makers write into it: no copy where it can be helped, and the cost
/// of building and compiling grows linearly with their number (where [`Tensor::concat`] chooses element by element).
///
/// # Panics
/// If there are none, or shapes differ.
#[track_caller]
pub(super) fn stack(parts: &[Tensor]) -> Tensor {
    let Some(first) = parts.first() else { fail("scan", "there is nothing to stack") };
    let shape = first.shape();
    if let Some(other) = parts.iter().find(|p| p.shape() != shape) {
        fail("scan", format!("steps gave {shape:?} and {:?}", other.shape()));
    }
    let n = first.count();
    let packed = Tensor::pack(&parts.iter().collect::<Vec<_>>());
    // Each part starts at its own aligned place.
    let each = packed.count() / parts.len();
    packed.reshape([parts.len(), each]).slice(1, 0..n).reshape([&[parts.len()], shape].concat())
}

/// A loop over time: `f(t, states)` gives the next states and an output for t = 0, 1, ... Returns the last states and the
/// outputs along a new axis 0.
///
/// With `truncate` = k no gradient flows from a step to before the last multiple of k steps (truncated backpropagation
/// through time); without, it flows through all of them.
///
/// The loop is unrolled: the graph, the time to compile it, and the list of launches grow with `steps`, while the kernels
/// that differ, and so the pipelines, do not. [`super::Recurrent`] has fewer expressions for each step than the same cell
/// written by hand.
///
/// ```
/// use wgrad_graph::{DType, Tensor};
/// use wgrad_nn::scan;
/// let x = Tensor::input("x", [10, 4], DType::F32);
/// let sum = Tensor::zeros([4], DType::F32);
/// let (last, sums) = scan(10, &[sum], Some(5), |t, s| {
///     let sum = &s[0] + x.slice(0, t..t + 1).reshape([4]);
///     (vec![sum.clone()], sum)
/// });
/// assert_eq!((last[0].shape(), sums.shape()), (&[4][..], &[10, 4][..]));
/// ```
///
/// # Panics
/// If there are no steps, `truncate` is 0, or `f` changes the number, the shapes or the types of the states.
#[track_caller]
pub fn scan(
    steps: usize,
    states: &[Tensor],
    truncate: Option<usize>,
    mut f: impl FnMut(usize, &[Tensor]) -> (Vec<Tensor>, Tensor),
) -> (Vec<Tensor>, Tensor) {
    if steps == 0 || truncate == Some(0) {
        fail("scan", format!("{steps} steps, truncated to {truncate:?}: at least one is needed"));
    }
    let kinds = |states: &[Tensor]| states.iter().map(|s| (s.shape().to_vec(), s.dtype())).collect::<Vec<_>>();
    let expected = kinds(states);
    let (mut states, mut outputs) = (states.to_vec(), vec![]);
    for t in 0..steps {
        if truncate.is_some_and(|k| t > 0 && t % k == 0) {
            states = states.iter().map(Tensor::stop_gradient).collect();
        }
        let (next, output) = f(t, &states);
        if kinds(&next) != expected {
            fail("scan", format!("step {t} made states {:?} of {expected:?}", kinds(&next)));
        }
        states = next;
        outputs.push(output);
    }
    (states, stack(&outputs))
}
