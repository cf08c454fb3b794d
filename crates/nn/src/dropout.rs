//! Dropout.

use crate::{Layer, Scope};
use wgrad_graph::Tensor;

/// In training each element is zeroed with probability `p` and the others are divided by `1 - p` (Srivastava et al.,
/// 2014, in the inverted form); in evaluation nothing happens. As `torch.nn.Dropout`, on wgrad's own random stream.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Zeroes with probability `p`, from 0 to 1.
    pub fn new(p: f32) -> Dropout {
        Dropout { p }
    }
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if !scope.is_train() || self.p == 0.0 {
            return x.clone();
        }
        let (generator, stream) = scope.rng();
        x.dropout(self.p, &generator, stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, DType, reference::evaluate};

    #[test]
    fn layers_and_steps_draw_apart() {
        let x = Tensor::input("x", [1000], DType::F32);
        let scope = Scope::train();
        let layer = Dropout::new(0.5);
        let (a, b) = (layer.forward(&scope, &x), layer.forward(&scope, &x));
        let updates = scope.updates();
        let (state, next) = updates.values().remove(0);
        assert_eq!(state.name(), Some("rng"));
        let mut leaves = HashMap::from([
            ("x".to_string(), Array::new([1000], vec![3.0; 1000])),
            ("rng".to_string(), Array::new([4], vec![7.0, 8.0, 0.0, 0.0])),
        ]);
        let first = evaluate(&[&a, &b, &next], &leaves);
        assert_eq!(first[2].data, [7.0, 8.0, 1.0, 0.0]);
        leaves.insert("rng".into(), first[2].clone());
        let second = evaluate(&[&a], &leaves);
        assert_ne!(first[0], first[1]);
        assert_ne!(first[0], second[0]);
        let kept = first[0].data.iter().filter(|&&v| v == 6.0).count();
        let dropped = first[0].data.iter().filter(|&&v| v == 0.0).count();
        assert_eq!(kept + dropped, 1000);
        assert!((450..550).contains(&dropped), "{dropped} of 1000 dropped with p = 0.5");
        assert_eq!(layer.forward(&Scope::eval(), &x).id(), x.id());
    }
}
