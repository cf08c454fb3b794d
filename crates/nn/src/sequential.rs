//! Layers one after another.

use crate::{Layer, Scope};
use wgrad_graph::Tensor;

/// Layers one after another, each fed what the one before it gives. As `torch.nn.Sequential`: children are named by their
/// place ("0", "1", ...), those without parameters counted too, unless a name is given.
#[derive(Default)]
pub struct Sequential {
    children: Vec<(String, Box<dyn Layer>)>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// Adds a layer, named by its place.
    pub fn then(self, layer: impl Layer + 'static) -> Self {
        let name = self.children.len().to_string();
        self.then_named(name, layer)
    }

    /// Adds a layer under a name.
    pub fn then_named(mut self, name: impl Into<String>, layer: impl Layer + 'static) -> Self {
        self.children.push((name.into(), Box::new(layer)));
        self
    }
}

impl Layer for Sequential {
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        self.children.iter().fold(x.clone(), |x, (name, layer)| layer.forward(&scope.enter(name), &x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv2d, Flatten, Linear, Relu};
    use wgrad_graph::{DType, checked};

    #[test]
    fn children_are_named_by_place_or_by_name() {
        let model = Sequential::new()
            .then(Conv2d::new(1, 2, 3).bias(false))
            .then(Relu)
            .then(|_: &Scope, x: &Tensor| x * 2.0)
            .then(Flatten)
            .then_named("head", Sequential::new().then(Linear::new(8, 3)));
        let scope = Scope::train();
        let x = Tensor::input("x", [5, 1, 4, 4], DType::F32);
        assert_eq!(model.forward(&scope.enter("net"), &x).shape(), [5, 3]);
        let names: Vec<_> = scope.params().iter().map(|p| p.name().unwrap().to_string()).collect();
        assert_eq!(names, ["net.0.weight", "net.head.0.weight", "net.head.0.bias"]);
    }

    #[test]
    fn an_error_names_the_child() {
        let model = Sequential::new().then(Linear::new(4, 3)).then(Linear::new(2, 1));
        let x = Tensor::input("x", [5, 4], DType::F32);
        let error = checked(|| model.forward(&Scope::eval(), &x)).unwrap_err().to_string();
        assert!(error.starts_with("Linear \"1\": [..., 2] expected, not [5, 3]"), "{error}");
    }
}
