//! Weights that are functions of other parameters: spectral and weight normalisation of any layer.

use crate::{Layer, Scope};
use wgrad_graph::{DType, Init, Tensor};

/// A layer whose weight is divided by its greatest singular value (Miyato et al., 2018): [`Tensor::spectral_norm`]. As
/// `torch.nn.utils.parametrizations.spectral_norm`.
///
/// The layer's parameter `weight` becomes `parametrizations.weight.original`, and the singular vectors are the buffers
/// `parametrizations.weight.0._u` and `._v`. In training every forward makes one step of the power method (unless said
/// otherwise) before it uses them; evaluation uses them as they are. They start as random vectors, without the 15 steps
/// that PyTorch makes then, so the first few training steps see too small a value.
///
/// ```
/// use wgrad_graph::{DType, Tensor};
/// use wgrad_nn::{Layer, Linear, Scope, SpectralNorm};
/// let scope = Scope::train();
/// SpectralNorm::of(Linear::new(3, 2)).forward(&scope.enter("fc"), &Tensor::input("x", [5, 3], DType::F32));
/// let names: Vec<_> = scope.params().iter().map(|p| p.name().unwrap().to_string()).collect();
/// assert_eq!(names, ["fc.parametrizations.weight.original", "fc.bias"]);
/// ```
#[derive(Clone, Debug)]
pub struct SpectralNorm<L> {
    layer: L,
    dim: isize,
    steps: usize,
    eps: f32,
}

impl<L: Layer> SpectralNorm<L> {
    /// Of this layer's weight, with axis 0 as its rows.
    pub fn of(layer: L) -> Self {
        SpectralNorm { layer, dim: 0, steps: 1, eps: 1e-12 }
    }

    /// The axis of the weight that holds the outputs; 1 for transposed convolutions.
    pub fn dim(mut self, dim: isize) -> Self {
        self.dim = dim;
        self
    }

    /// Steps of the power method in each forward of training.
    pub fn n_power_iterations(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The least length that the singular vectors are divided by.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }
}

impl<L: Layer> Layer for SpectralNorm<L> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let SpectralNorm { dim, steps, eps, .. } = *self;
        let weight = move |scope: &Scope, shape: &[usize], init: Init| {
            let scope = scope.enter("parametrizations").enter("weight");
            let w = scope.param("original", shape, init);
            let rows = shape[if dim < 0 { dim + shape.len() as isize } else { dim } as usize];
            let own = scope.enter("0");
            let vector = |name, n| own.buffer(name, &[n], DType::F32, Init::Normal(0.0, 1.0));
            let (mut u, mut v) = (vector("_u", rows), vector("_v", w.count() / rows));
            if scope.is_train() {
                (u, v) = w.singular_vectors(&u, &v, dim, steps, eps);
                own.update("_u", &u);
                own.update("_v", &v);
            }
            w.spectral_norm(&u, &v, dim)
        };
        self.layer.forward(&scope.reparametrize("weight", weight), x)
    }
}

/// A layer whose weight is a direction times a length (Salimans and Kingma, 2016): [`Tensor::weight_norm`]. As
/// `torch.nn.utils.parametrizations.weight_norm`: the parameter `weight` becomes `parametrizations.weight.original0` (the
/// lengths g) and `.original1` (v). v starts as the layer's weight would; g starts as the root mean square length of such
/// a v (where PyTorch takes the very lengths that were drawn).
#[derive(Clone, Debug)]
pub struct WeightNorm<L> {
    layer: L,
    dim: isize,
}

impl<L: Layer> WeightNorm<L> {
    /// Of this layer's weight, with one length for each index of axis 0.
    pub fn of(layer: L) -> Self {
        WeightNorm { layer, dim: 0 }
    }

    /// The axis along which each index has its own length.
    pub fn dim(mut self, dim: isize) -> Self {
        self.dim = dim;
        self
    }
}

impl<L: Layer> Layer for WeightNorm<L> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let dim = self.dim;
        let weight = move |scope: &Scope, shape: &[usize], init: Init| {
            let scope = scope.enter("parametrizations").enter("weight");
            let at = if dim < 0 { dim + shape.len() as isize } else { dim } as usize;
            let mut each = vec![1; shape.len()];
            each[at] = shape[at];
            let g = scope.param("original0", &each, lengths(&init, shape, at));
            scope.param("original1", shape, init).weight_norm(&g, dim)
        };
        self.layer.forward(&scope.reparametrize("weight", weight), x)
    }
}

/// The lengths, along all axes but `dim`, of a weight that starts as `init`: exact where it is not random.
fn lengths(init: &Init, shape: &[usize], dim: usize) -> Init {
    let count: usize = shape.iter().product::<usize>() / shape[dim].max(1);
    let square = match init {
        Init::Constant(c) => c * c,
        Init::Uniform(lo, hi) => (lo * lo + lo * hi + hi * hi) / 3.0,
        Init::Normal(mean, deviation) => mean * mean + deviation * deviation,
        Init::Data(data) => {
            let inner: usize = shape[dim + 1..].iter().product();
            let mut sums = vec![0f64; shape[dim]];
            for (i, &x) in data.iter().enumerate() {
                sums[i / inner % shape[dim]] += x as f64 * x as f64;
            }
            return Init::Data(sums.into_iter().map(|s| s.sqrt() as f32).collect());
        }
        Init::Generator => 0.0, // no weight starts so
    };
    Init::Constant((square * count as f32).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv2d, Linear};
    use std::collections::HashMap;
    use wgrad_graph::{Array, reference::evaluate};

    #[test]
    fn the_greatest_singular_value_becomes_one() {
        // Diagonal, so the singular values are known: 3, 2, 1.
        let data: Vec<f64> = [3.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0].into();
        let scope = Scope::train();
        let x = Tensor::full([1, 3], 1f32);
        let y = SpectralNorm::of(Linear::new(3, 3).bias(false)).n_power_iterations(60).forward(&scope, &x);
        let vector = Array::new([3], vec![0.3, 0.9, -0.4]);
        let leaves = HashMap::from([
            ("parametrizations.weight.original".to_string(), Array::new([3, 3], data)),
            ("parametrizations.weight.0._u".to_string(), vector.clone()),
            ("parametrizations.weight.0._v".to_string(), vector),
        ]);
        for (got, expected) in evaluate(&[&y], &leaves)[0].data.iter().zip([1.0, 2.0 / 3.0, 1.0 / 3.0]) {
            assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        }
        assert_eq!(scope.updates().states().count(), 2);
        let eval = Scope::eval();
        SpectralNorm::of(Conv2d::new(2, 4, 3)).forward(&eval, &Tensor::input("x", [1, 2, 5, 5], DType::F32));
        assert_eq!(eval.updates().states().count(), 0);
    }

    #[test]
    fn weight_norm_starts_as_its_layer() {
        let scope = Scope::train();
        let fixed = Init::Data([3.0f32, 4.0, 0.0, 2.0].into());
        let layer = Linear::new(2, 2).bias(false).weight_init(crate::WeightInit::Fixed(fixed.clone()));
        let y = WeightNorm::of(layer).forward(&scope, &Tensor::full([1, 2], 1f32));
        let Init::Data(g) = lengths(&fixed, &[2, 2], 0) else { panic!("data") };
        assert_eq!(&g[..], [5.0, 2.0]);
        let leaves = HashMap::from([
            ("parametrizations.weight.original0".to_string(), Array::new([2, 1], vec![5.0, 2.0])),
            ("parametrizations.weight.original1".to_string(), Array::new([2, 2], vec![3.0, 4.0, 0.0, 2.0])),
        ]);
        assert_eq!(evaluate(&[&y], &leaves)[0].data, [7.0, 2.0]);
        assert_eq!(lengths(&Init::Uniform(-1.0, 1.0), &[4, 12], 0), Init::Constant(2.0));
    }
}
