//! One case of a golden file: an operation's arguments, its value, and its gradients, as PyTorch computed them.

use super::{Backend, Golden, Leaves, Session, assert_close};
use wgrad_graph::{Array, DType, Init, Tensor, gradients};
use wgrad_nn::{Layer, Scope};

/// A case of the file: what its tensors are called after `name.`, and their values.
pub struct Case {
    name: &'static str,
    /// The stored values, by what stands after the case's name.
    pub arrays: Leaves,
}

impl Case {
    /// Case `name` of tests/golden/`file`.safetensors.
    pub fn load(file: &str, name: &'static str) -> Case {
        let file = Golden::load(format!("{}/tests/golden/{file}.safetensors", env!("CARGO_MANIFEST_DIR")));
        let part = |full: &str| full.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).map(str::to_string);
        let arrays: Leaves =
            file.names().into_iter().filter_map(|full| Some((part(full)?, file.get(full).clone()))).collect();
        assert!(!arrays.is_empty(), "the golden file has no case {name}");
        Case { name, arrays }
    }

    /// A leaf for a stored tensor: f32 if it has a gradient, else u32.
    pub fn input(&self, name: &str) -> Tensor {
        // Class numbers have no gradient.
        let given = self.arrays.contains_key(&format!("grad.{name}")) || name == "r";
        Tensor::input(name, self.arrays[name].shape.clone(), if given { DType::F32 } else { DType::U32 })
    }

    /// A stored tensor as it is, without a gradient: a state tensor that holds it.
    pub fn constant(&self, name: &str) -> Tensor {
        let array = &self.arrays[name];
        let data: Vec<f32> = array.data.iter().map(|&x| x as f32).collect();
        Tensor::state(name, array.shape.clone(), DType::F32, Init::Data(data.into()))
    }

    /// Compares a value with the stored one called `part`.
    pub fn compare(&self, backend: Backend, part: &str, got: &Array) {
        assert_close(&format!("{} on {backend}: {part}", self.name), got, &self.arrays[part], backend.tolerance());
    }

    /// Compares the value of `build`, given the named inputs, the gradients of sum(y * r) with respect to these and to the
    /// parameters, and the buffers' new values. Parameters and buffers are bound by the layer's own names for them.
    pub fn check(&self, scope: Scope, inputs: &[&str], build: impl Fn(&Scope, &[Tensor]) -> Tensor) {
        let inputs: Vec<Tensor> = inputs.iter().map(|i| self.input(i)).collect();
        let y = build(&scope, &inputs);
        let mut wrt = scope.params();
        wrt.extend(inputs.into_iter().filter(|t| t.dtype() == DType::F32));
        let grads = gradients(&(&y * self.input("r")).sum_all(), &wrt.iter().collect::<Vec<_>>());
        let outputs: Vec<&Tensor> = std::iter::once(&y).chain(&grads).collect();
        let updates = scope.updates();
        for &backend in Backend::all() {
            let mut session = Session::new(backend, &outputs, &updates, &self.arrays);
            let values = session.run(&self.arrays);
            self.compare(backend, "y", &values[0]);
            for (t, value) in wrt.iter().zip(&values[1..]) {
                self.compare(backend, &format!("grad.{}", t.name().unwrap()), value);
            }
            for state in updates.states() {
                let name = state.name().unwrap();
                self.compare(backend, &format!("new.{name}"), &session.state(name));
            }
        }
        let known = self.arrays.keys().filter(|k| k.starts_with("grad.")).count();
        assert_eq!(wrt.len(), known, "{}: a gradient was not compared", self.name);
    }

    /// Checks a layer of one input `x`, in training.
    pub fn layer(&self, layer: impl Layer) {
        self.check(Scope::train(), &["x"], |scope, t| layer.forward(scope, &t[0]));
    }
}
