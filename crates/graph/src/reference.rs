//! The f64 reference: evaluates expressions op by op with the plainest code. Slow, and meant for tests.

use crate::Tensor;
use crate::autodiff::topological;
use crate::op::Array;
use std::collections::HashMap;
use wgrad_device::DType;

/// Evaluates `outputs` in f64, with inputs and state bound by name.
///
/// # Panics
/// If a leaf is not bound, or is bound to another shape.
pub fn evaluate(outputs: &[&Tensor], leaves: &HashMap<String, Array>) -> Vec<Array> {
    let evaluator = Evaluator::new(outputs, leaves);
    outputs.iter().map(|t| evaluator.value(t).clone()).collect()
}

/// Evaluates expressions again and again, as one leaf changes.
pub struct Evaluator {
    /// In dependency order.
    nodes: Vec<Tensor>,
    /// For each node, where its arguments are among the nodes.
    arguments: Vec<Vec<usize>>,
    places: HashMap<u64, usize>,
    values: Vec<Array>,
}

impl Evaluator {
    /// The values of `outputs` and of everything they need.
    ///
    /// # Panics
    /// As [`evaluate`].
    pub fn new(outputs: &[&Tensor], leaves: &HashMap<String, Array>) -> Evaluator {
        let order = topological(outputs.iter().copied());
        let places: HashMap<u64, usize> = order.keys().enumerate().map(|(place, &id)| (id, place)).collect();
        let nodes: Vec<Tensor> = order.into_values().collect();
        let arguments = nodes.iter().map(|t| t.inputs().iter().map(|i| places[&i.id()]).collect()).collect();
        let mut evaluator = Evaluator { nodes, arguments, places, values: vec![] };
        for n in 0..evaluator.nodes.len() {
            let value = match evaluator.nodes[n].name() {
                Some(name) => {
                    let value = leaves.get(name).unwrap_or_else(|| panic!("\"{name}\" is not bound")).clone();
                    assert_eq!(value.shape, evaluator.nodes[n].shape(), "\"{name}\"");
                    value
                }
                None => evaluator.compute(n),
            };
            evaluator.values.push(value);
        }
        evaluator
    }

    /// The value of one of the tensors that the outputs need.
    pub fn value(&self, t: &Tensor) -> &Array {
        &self.values[self.places[&t.id()]]
    }

    /// The nodes that depend on the leaf `name`, itself included, in dependency order.
    pub fn dependents(&self, name: &str) -> Vec<usize> {
        let mut depends = vec![false; self.nodes.len()];
        for n in 0..self.nodes.len() {
            depends[n] = self.nodes[n].name() == Some(name) || self.arguments[n].iter().any(|&a| depends[a]);
        }
        (0..self.nodes.len()).filter(|&n| depends[n]).collect()
    }

    /// The value of `output`, of one element, if element `i` of the leaf in `dependents` had another value. Values
    /// of the dependents are of no use afterwards.
    pub fn vary(&mut self, dependents: &[usize], i: usize, value: f64, output: &Tensor) -> f64 {
        // Leaves of one name are one tensor, however often they were declared.
        let (leaves, rest): (Vec<usize>, Vec<usize>) =
            dependents.iter().partition(|&&n| self.nodes[n].name().is_some());
        let before: Vec<f64> = leaves.iter().map(|&l| std::mem::replace(&mut self.values[l].data[i], value)).collect();
        for n in rest {
            self.values[n] = self.compute(n);
        }
        leaves.iter().zip(before).for_each(|(&l, x)| self.values[l].data[i] = x);
        self.value(output).data[0]
    }

    fn compute(&self, n: usize) -> Array {
        let arguments: Vec<&Array> = self.arguments[n].iter().map(|&a| &self.values[a]).collect();
        let t = &self.nodes[n];
        let value = t.op().reference(&arguments, t.shape());
        // Integers divide to integers, which an operation's f64 code does not know.
        if matches!(t.dtype(), DType::U32 | DType::I32) { value.map(f64::trunc) } else { value }
    }
}
