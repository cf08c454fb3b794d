//! Operations and layers against PyTorch, where a convention matters. The file is written by scripts/golden/ops.py.

mod support;

use support::{Backend, Golden, Leaves, Session, assert_close};
use wgrad_graph::{Array, CrossEntropy, DType, Tensor, gradients};
use wgrad_nn::{AvgPool2d, BatchNorm2d, Conv2d, GlobalAvgPool, Layer, Linear, MaxPool2d, Reduction, Scope, loss};

/// A case of the file: what its tensors are called after `name.`, and their values.
struct Case {
    name: &'static str,
    arrays: Leaves,
}

impl Case {
    fn load(name: &'static str) -> Case {
        let file = Golden::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ops.safetensors"));
        let part = |full: &str| full.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).map(str::to_string);
        let arrays: Leaves =
            file.names().into_iter().filter_map(|full| Some((part(full)?, file.get(full).clone()))).collect();
        assert!(!arrays.is_empty(), "the golden file has no case {name}");
        Case { name, arrays }
    }

    fn input(&self, name: &str) -> Tensor {
        // Class numbers have no gradient.
        let given = self.arrays.contains_key(&format!("grad.{name}")) || name == "r";
        Tensor::input(name, self.arrays[name].shape.clone(), if given { DType::F32 } else { DType::U32 })
    }

    fn compare(&self, backend: Backend, part: &str, got: &Array) {
        assert_close(&format!("{} on {backend}: {part}", self.name), got, &self.arrays[part], backend.tolerance());
    }

    /// Compares the value of `build`, given the named inputs, the gradients of sum(y * r) with respect to these and to the
    /// parameters, and the buffers' new values. Parameters and buffers are bound by the layer's own names for them.
    fn check(&self, scope: Scope, inputs: &[&str], build: impl Fn(&Scope, &[Tensor]) -> Tensor) {
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
}

/// A layer of one input, in training.
fn layer(name: &'static str, layer: impl Layer) {
    Case::load(name).check(Scope::train(), &["x"], |scope, t| layer.forward(scope, &t[0]));
}

#[test]
fn convolution() {
    layer("conv.plain", Conv2d::new(3, 4, 3));
    layer("conv.padded", Conv2d::new(3, 4, 3).padding(1));
    layer("conv.strided", Conv2d::new(2, 3, (3, 2)).stride(2).padding(1));
    layer("conv.uneven", Conv2d::new(2, 3, (3, 2)).stride((1, 2)).padding((2, 1)).dilation((2, 3)));
    layer("conv.grouped", Conv2d::new(4, 6, 3).padding(1).groups(2));
    layer("conv.depthwise", Conv2d::new(3, 3, 3).stride(2).padding(1).groups(3));
    layer("conv.pointwise", Conv2d::new(3, 2, 1).stride(2));
}

#[test]
fn max_pooling() {
    layer("max_pool.side_by_side", MaxPool2d::new(2));
    layer("max_pool.padded", MaxPool2d::new(3).stride(2).padding(1));
    layer("max_pool.uneven", MaxPool2d::new((3, 2)).stride((1, 2)).padding((1, 0)).dilation((2, 3)));
}

#[test]
fn average_pooling() {
    layer("avg_pool.side_by_side", AvgPool2d::new(2));
    layer("avg_pool.padded", AvgPool2d::new(3).stride(2).padding(1));
    layer("avg_pool.not_counted", AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false));
    layer("avg_pool.global", GlobalAvgPool);
}

#[test]
fn batch_norm() {
    layer("batch_norm.train", BatchNorm2d::new(3));
    let norm = BatchNorm2d::new(3);
    Case::load("batch_norm.eval").check(Scope::eval(), &["x"], |scope, t| norm.forward(scope, &t[0]));
    Case::load("batch_norm.twice")
        .check(Scope::train(), &["x", "z"], |scope, t| norm.forward(scope, &t[0]) + norm.forward(scope, &t[1]));
}

#[test]
fn cross_entropy() {
    let check = |name, label_smoothing, ignore| {
        let options = CrossEntropy { label_smoothing, ignore };
        let case = Case::load(name);
        case.check(Scope::train(), &["x", "t"], |_, t| t[0].cross_entropy_with(&t[1], &options));
    };
    check("cross_entropy.plain", 0.0, None);
    check("cross_entropy.large", 0.0, None);
    check("cross_entropy.smoothed", 0.1, None);
    check("cross_entropy.ignored", 0.0, Some(3));
    check("cross_entropy.both", 0.2, Some(3));
    check("cross_entropy.grid", 0.0, Some(2));
    check("cross_entropy.soft", 0.1, None);
}

#[test]
fn linear() {
    layer("linear", Linear::new(4, 5));
}

#[test]
fn losses() {
    let check = |name, f: fn(&Tensor, &Tensor, Reduction) -> Tensor| {
        Case::load(name).check(Scope::train(), &["x", "t"], |_, t| f(&t[0], &t[1], Reduction::Mean));
    };
    check("mse", loss::mse);
    check("l1", loss::l1);
}
