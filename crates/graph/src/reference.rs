//! The f64 reference: evaluates expressions op by op with the plainest code. Slow, and meant for tests.

use crate::Tensor;
use crate::autodiff::topological;
use crate::op::Array;
use std::collections::HashMap;

/// Evaluates `outputs` in f64, with inputs and state bound by name.
///
/// # Panics
/// If a leaf is not bound, or is bound to another shape.
pub fn evaluate(outputs: &[&Tensor], leaves: &HashMap<String, Array>) -> Vec<Array> {
    let mut values: HashMap<u64, Array> = HashMap::new();
    for output in outputs {
        for (id, t) in topological(output) {
            if values.contains_key(&id) {
                continue;
            }
            let value = match t.name() {
                Some(name) => {
                    let value = leaves.get(name).unwrap_or_else(|| panic!("\"{name}\" is not bound")).clone();
                    assert_eq!(value.shape, t.shape(), "\"{name}\"");
                    value
                }
                None => {
                    let inputs: Vec<&Array> = t.inputs().iter().map(|i| &values[&i.id()]).collect();
                    t.op().reference(&inputs, t.shape())
                }
            };
            values.insert(id, value);
        }
    }
    outputs.iter().map(|t| values[&t.id()].clone()).collect()
}
