//! What the golden tests share: files that PyTorch wrote (see scripts/golden), and how expressions are evaluated.

#![allow(dead_code)] // each test file uses a part

use safetensors::{Dtype, SafeTensors};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use wgrad_graph::{Array, Tensor, Updates, reference};

/// Values by the name of the leaf that they are bound to.
pub type Leaves = HashMap<String, Array>;

/// Runs a program once: gives the outputs, and writes the updates back into `leaves`.
///
/// This is the one place where golden tests evaluate anything. Leaves that are not bound yet get their initial value.
pub fn run(outputs: &[&Tensor], updates: &Updates, leaves: &mut Leaves) -> Vec<Array> {
    let written = updates.values();
    let all: Vec<&Tensor> = outputs.iter().copied().chain(written.iter().map(|(_, value)| value)).collect();
    bind_initial(&all, leaves);
    let mut values = reference::evaluate(&all, leaves);
    let new = values.split_off(outputs.len());
    for ((state, _), value) in written.iter().zip(new) {
        leaves.insert(state.name().expect("state has a name").to_string(), value);
    }
    values
}

/// Evaluates expressions that write nothing.
pub fn evaluate(outputs: &[&Tensor], leaves: &Leaves) -> Vec<Array> {
    run(outputs, &Updates::new(), &mut leaves.clone())
}

/// Binds the constant initial values of state that is not bound: an optimiser's slots.
fn bind_initial(outputs: &[&Tensor], leaves: &mut Leaves) {
    let mut seen = HashSet::new();
    let mut stack: Vec<Tensor> = outputs.iter().map(|&t| t.clone()).collect();
    while let Some(t) = stack.pop() {
        if !seen.insert(t.id()) {
            continue;
        }
        stack.extend(t.inputs().iter().cloned());
        let Some(name) = t.name().filter(|&n| !leaves.contains_key(n)) else { continue };
        // The leaf's own text is the only public place that tells its initial value.
        let text = format!("{:?}", t.op());
        let value = text.split_once("init: constant ").and_then(|(_, rest)| rest.trim_end_matches(" }").parse().ok());
        let Some(value) = value else { panic!("\"{name}\" is not bound: {text}") };
        leaves.insert(name.to_string(), Array::new(t.shape(), vec![value; t.count()]));
    }
}

/// The tensors of a safetensors file.
pub struct Golden {
    arrays: HashMap<String, Array>,
}

impl Golden {
    /// Reads a file.
    pub fn load(path: impl AsRef<Path>) -> Golden {
        let path = path.as_ref();
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let arrays = file.iter().map(|(name, view)| {
            let data = view.data();
            let data: Vec<f64> = match view.dtype() {
                Dtype::U8 => data.iter().map(|&b| b as f64).collect(),
                Dtype::I32 => each(data, |b| i32::from_le_bytes(b) as f64),
                Dtype::I64 => each(data, |b| i64::from_le_bytes(b) as f64),
                Dtype::F32 => each(data, |b| f32::from_le_bytes(b) as f64),
                Dtype::F64 => each(data, f64::from_le_bytes),
                other => panic!("{name}: {other:?}"),
            };
            (name.to_string(), Array::new(view.shape(), data))
        });
        Golden { arrays: arrays.collect() }
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> &Array {
        self.arrays.get(name).unwrap_or_else(|| panic!("the golden file has no \"{name}\""))
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// Little-endian values of `N` bytes.
fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.chunks_exact(N).map(|b| value(b.try_into().expect("chunks of N bytes"))).collect()
}

/// Row `i` of an array.
pub fn row(array: &Array, i: usize) -> Array {
    let shape = &array.shape[1..];
    let n: usize = shape.iter().product();
    Array::new(shape, array.data[i * n..(i + 1) * n].to_vec())
}

/// Asserts that two arrays agree: no element differs by more than `tolerance` times the greatest one expected. (Relative to
/// the tensor and not to each element, since elements near 0 are sums of larger terms that cancel.)
#[track_caller]
pub fn assert_close(what: &str, got: &Array, expected: &Array, tolerance: f64) {
    assert_eq!(got.shape, expected.shape, "{what}");
    let scale = expected.data.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.data.iter().zip(&expected.data).enumerate() {
        // Written so that NaN fails.
        let close = (g - e).abs() <= tolerance * scale;
        assert!(close, "{what}: element {i} of {:?} is {g}, PyTorch has {e}", got.shape);
    }
}
