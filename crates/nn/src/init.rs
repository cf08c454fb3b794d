//! What weights start as.
//!
//! Formulas and names follow `torch.nn.init`. All of them keep the variance of activations (fan in) or of gradients (fan
//! out) from layer to layer, for some assumption on what lies between.

use wgrad_graph::{Init, fail};

/// Inputs that each output of a weight [out, in, kernel...] is a sum of: `in * kernel`. Weights of fewer than two
/// dimensions have no fans.
pub fn fan_in(shape: &[usize]) -> usize {
    fans(shape).0
}

/// Outputs that each input of a weight [out, in, kernel...] goes into: `out * kernel`.
pub fn fan_out(shape: &[usize]) -> usize {
    fans(shape).1
}

fn fans(shape: &[usize]) -> (usize, usize) {
    let [out, inputs, kernel @ ..] = shape else {
        fail("init", format!("a weight has two or more dimensions, not {shape:?}"))
    };
    let taps: usize = kernel.iter().product();
    // At least 1, so that an empty weight has finite bounds.
    ((inputs * taps).max(1), (out * taps).max(1))
}

/// Which number of connections a standard deviation is scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Keeps the variance of activations.
    In,
    /// Keeps the variance of gradients.
    Out,
}

impl Fan {
    fn of(self, shape: &[usize]) -> f64 {
        match self {
            Fan::In => fan_in(shape) as f64,
            Fan::Out => fan_out(shape) as f64,
        }
    }
}

/// What follows a layer; decides the gain of its weights (`torch.nn.init.calculate_gain`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// Nothing, or a convolution: gain 1.
    Linear,
    /// Sigmoid: gain 1.
    Sigmoid,
    /// Hyperbolic tangent: gain 5/3.
    Tanh,
    /// ReLU: gain sqrt(2).
    Relu,
    /// Leaky ReLU with this slope: gain sqrt(2 / (1 + slope^2)).
    LeakyRelu(f32),
    /// SELU: gain 3/4.
    Selu,
}

impl Nonlinearity {
    /// By how much larger the weights' standard deviation is to be.
    pub fn gain(self) -> f64 {
        match self {
            Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Relu => 2f64.sqrt(),
            Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + (slope as f64).powi(2))).sqrt(),
            Nonlinearity::Selu => 0.75,
        }
    }
}

/// How a layer's weight is initialised; the weight's shape makes it a distribution.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightInit {
    /// PyTorch's default for linear and convolution layers: uniform within `1 / sqrt(fan_in)`, which it writes as
    /// `kaiming_uniform_(a=sqrt(5))`.
    TorchDefault,
    /// Uniform within `gain * sqrt(3 / fan)` (He et al., 2015).
    KaimingUniform(Fan, Nonlinearity),
    /// Normal with standard deviation `gain / sqrt(fan)` (He et al., 2015).
    KaimingNormal(Fan, Nonlinearity),
    /// Uniform within `gain * sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    XavierUniform {
        /// 1 in the paper; [`Nonlinearity::gain`] otherwise.
        gain: f64,
    },
    /// Normal with standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    XavierNormal {
        /// 1 in the paper; [`Nonlinearity::gain`] otherwise.
        gain: f64,
    },
    /// Normal with standard deviation `1 / sqrt(fan_in)` (LeCun et al., 1998); what SELU networks want.
    LecunNormal,
    /// The same whatever the shape.
    Fixed(Init),
}

impl WeightInit {
    /// The distribution for a weight [out, in, kernel...].
    ///
    /// # Panics
    /// If the rule needs fans and `shape` has fewer than two dimensions.
    #[track_caller]
    pub fn init(&self, shape: &[usize]) -> Init {
        let both = || (fan_in(shape) + fan_out(shape)) as f64;
        match self {
            WeightInit::TorchDefault => uniform(1.0 / Fan::In.of(shape).sqrt()),
            WeightInit::KaimingUniform(fan, after) => uniform(after.gain() * (3.0 / fan.of(shape)).sqrt()),
            WeightInit::KaimingNormal(fan, after) => normal(after.gain() / fan.of(shape).sqrt()),
            WeightInit::XavierUniform { gain } => uniform(gain * (6.0 / both()).sqrt()),
            WeightInit::XavierNormal { gain } => normal(gain * (2.0 / both()).sqrt()),
            WeightInit::LecunNormal => normal(1.0 / Fan::In.of(shape).sqrt()),
            WeightInit::Fixed(init) => init.clone(),
        }
    }
}

fn uniform(bound: f64) -> Init {
    Init::Uniform(-bound as f32, bound as f32)
}

fn normal(deviation: f64) -> Init {
    Init::Normal(0.0, deviation as f32)
}

/// PyTorch's default for the bias beside a weight of this shape: uniform within `1 / sqrt(fan_in)`.
pub fn torch_bias(weight: &[usize]) -> Init {
    uniform(1.0 / Fan::In.of(weight).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::checked;

    /// A convolution from 4 to 6 channels, 3x3: fan in 36, fan out 54.
    const SHAPE: &[usize] = &[6, 4, 3, 3];

    fn width(init: Init) -> f32 {
        match init {
            Init::Uniform(lo, hi) => {
                assert_eq!(lo, -hi);
                hi
            }
            Init::Normal(mean, deviation) => {
                assert_eq!(mean, 0.0);
                deviation
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bounds_and_deviations() {
        let near = |init: WeightInit, expected: f64| {
            let got = width(init.init(SHAPE)) as f64;
            assert!((got / expected - 1.0).abs() < 1e-6, "{init:?}: {got}, not {expected}");
        };
        near(WeightInit::TorchDefault, 1.0 / 6.0);
        near(WeightInit::KaimingUniform(Fan::In, Nonlinearity::Relu), (6.0f64 / 36.0).sqrt());
        near(WeightInit::KaimingNormal(Fan::Out, Nonlinearity::Relu), (2.0f64 / 54.0).sqrt());
        near(WeightInit::KaimingUniform(Fan::In, Nonlinearity::LeakyRelu(5f32.sqrt())), 1.0 / 6.0);
        near(WeightInit::XavierUniform { gain: Nonlinearity::Tanh.gain() }, 5.0 / 3.0 * (6.0f64 / 90.0).sqrt());
        near(WeightInit::XavierNormal { gain: 1.0 }, (2.0f64 / 90.0).sqrt());
        near(WeightInit::LecunNormal, 1.0 / 6.0);
    }

    #[test]
    fn a_vector_has_no_fans() {
        assert!(checked(|| WeightInit::LecunNormal.init(&[5])).is_err());
        assert_eq!(WeightInit::Fixed(Init::Constant(1.0)).init(&[5]), Init::Constant(1.0));
    }
}
