//! Activation functions, with PyTorch's names, options and defaults. All are compositions that fuse into one pass; where the
//! chain rule would multiply infinity by zero, the derivative is written down.

use crate::{OpCase, Tensor};

impl Tensor {
    /// max(x, 0). The gradient at 0 is 0, as in PyTorch; it is taken from the result, so that x need not be kept.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        let y = self.stop_gradient().maximum(&self.lit(0.0));
        y.with_gradient(&[self], |y, _, g| {
            let y = y.stop_gradient();
            let zero = y.lit(0.0);
            vec![Some(y.gt(&zero).select(g, &zero))]
        })
    }

    /// min(max(x, 0), 6); the gradient at 0 and 6 is 0.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.hardtanh(0.0, 6.0)
    }

    /// x where positive, `slope * x` elsewhere (PyTorch's default slope is 0.01).
    #[track_caller]
    pub fn leaky_relu(&self, slope: f32) -> Tensor {
        self.gt(&self.lit(0.0)).select(self, &(self * slope))
    }

    /// x where positive, `slope * x` elsewhere, with a slope for each channel: `[C]` along axis 1 of [N, C, ...], or `[1]`
    /// for all (He et al., 2015).
    #[track_caller]
    pub fn prelu(&self, slope: &Tensor) -> Tensor {
        let channels = self.shape().get(1).copied().unwrap_or(1);
        if slope.rank() != 1 || (slope.count() != 1 && slope.count() != channels) {
            crate::fail(
                "prelu",
                format!("{:?} has {channels} channels, but the slope is {:?}", self.shape(), slope.shape()),
            );
        }
        let mut along = vec![1; self.rank()];
        if slope.count() != 1 {
            along[1] = channels;
        }
        self.gt(&self.lit(0.0)).select(self, &(self * &slope.reshape(along)))
    }

    /// x where positive, `alpha * (e^x - 1)` elsewhere (PyTorch's default alpha is 1).
    #[track_caller]
    pub fn elu(&self, alpha: f32) -> Tensor {
        self.exponential_unit(alpha, 1.0)
    }

    /// `1.0507 * elu(x, 1.67326)`: self-normalising (Klambauer et al., 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.elu(1.673_263_2).mul_scalar(1.050_700_987_355_480_5)
    }

    /// x where positive, `alpha * (e^(x / alpha) - 1)` elsewhere (PyTorch's default alpha is 1); `alpha` must not be 0.
    #[track_caller]
    pub fn celu(&self, alpha: f32) -> Tensor {
        if alpha == 0.0 {
            crate::fail("celu", "alpha must not be 0");
        }
        self.exponential_unit(alpha, alpha)
    }

    /// x where positive, `alpha * (e^(x / width) - 1)` elsewhere.
    #[track_caller]
    fn exponential_unit(&self, alpha: f32, width: f32) -> Tensor {
        // Of no positive number, which could overflow where the result is not used.
        let below = move |x: &Tensor| x.minimum(&x.lit(0.0)) * (1.0 / width);
        self.pointwise(
            move |x| x.gt(&x.lit(0.0)).select(x, &(below(x).expm1() * alpha)),
            move |x, _| x.gt(&x.lit(0.0)).select(&x.lit(1.0), &(below(x).exp() * (alpha / width))),
        )
    }

    /// 1 / (1 + e^-x).
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        // Through tanh, which does not overflow.
        ((self.in_f32() * 0.5).tanh() * 0.5 + 0.5).cast(self.dtype())
    }

    /// log(sigmoid(x)), without overflow or loss of digits.
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor {
        self.pointwise(|x| x.minimum(&x.lit(0.0)) - (-x.abs()).exp().log1p(), |x, _| (-x).sigmoid())
    }

    /// `log(1 + e^(beta x)) / beta`, and x itself where `beta x` is above `threshold` (PyTorch's defaults are 1 and 20).
    #[track_caller]
    pub fn softplus(&self, beta: f32, threshold: f32) -> Tensor {
        if beta <= 0.0 || !beta.is_finite() {
            crate::fail("softplus", format!("beta = {beta} is not positive"));
        }
        self.pointwise(
            move |x| {
                let z = x * beta;
                let soft = z.maximum(&z.lit(0.0)) + (-z.abs()).exp().log1p();
                z.gt(&z.lit(threshold as f64)).select(x, &(soft * (1.0 / beta)))
            },
            move |x, _| {
                let z = x * beta;
                z.gt(&z.lit(threshold as f64)).select(&z.lit(1.0), &z.sigmoid())
            },
        )
    }

    /// `x * Phi(x)` with the normal distribution function Phi, by the error function (Hendrycks and Gimpel, 2016).
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self * ((self * std::f32::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5)
    }

    /// The approximation of [`Tensor::gelu`] by tanh: `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)))`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let inner = self * (self.square() * 0.044_715 + 1.0) * (2.0 / std::f32::consts::PI).sqrt();
        self * (inner.tanh() * 0.5 + 0.5)
    }

    /// `x * sigmoid(x)`, also called swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// `x * tanh(softplus(x))` (Misra, 2019).
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self * self.softplus(1.0, 20.0).tanh()
    }

    /// [`Tensor::clamp`] by its name as an activation (PyTorch's defaults are -1 and 1).
    #[track_caller]
    pub fn hardtanh(&self, lo: f32, hi: f32) -> Tensor {
        if lo > hi {
            crate::fail("hardtanh", format!("the lower limit {lo} is above the upper one {hi}"));
        }
        self.clamp(lo, hi)
    }

    /// `min(max(x + 3, 0), 6) / 6`.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        (self + 3.0).relu6() * (1.0 / 6.0)
    }

    /// `x * hardsigmoid(x)`.
    #[track_caller]
    pub fn hardswish(&self) -> Tensor {
        self * self.hardsigmoid()
    }

    /// `x / (1 + |x|)`.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self.pointwise(|x| x / (x.abs() + 1.0), |x, _| (x.abs() + 1.0).square().recip())
    }

    /// `x - tanh(x)`.
    #[track_caller]
    pub fn tanhshrink(&self) -> Tensor {
        self - self.tanh()
    }

    /// x moved towards 0 by `lambda`, and 0 where |x| is not above it (PyTorch's default is 0.5).
    #[track_caller]
    pub fn softshrink(&self, lambda: f32) -> Tensor {
        check_lambda("softshrink", lambda);
        let beyond = self.abs().gt(&self.lit(lambda as f64));
        beyond.select(&(self - self.sign() * lambda), &self.lit(0.0))
    }

    /// x where |x| is above `lambda`, else 0 (PyTorch's default is 0.5).
    #[track_caller]
    pub fn hardshrink(&self, lambda: f32) -> Tensor {
        check_lambda("hardshrink", lambda);
        self.abs().gt(&self.lit(lambda as f64)).select(self, &self.lit(0.0))
    }

    /// x where above `threshold`, else `value`.
    #[track_caller]
    pub fn threshold(&self, threshold: f32, value: f32) -> Tensor {
        self.gt(&self.lit(threshold as f64)).select(self, &self.lit(value as f64))
    }

    /// The first half along `axis` times the sigmoid of the second (Dauphin et al., 2016); the extent must be even.
    #[track_caller]
    pub fn glu(&self, axis: isize) -> Tensor {
        let n = self.shape()[self.axis("glu", axis)];
        if n % 2 != 0 {
            crate::fail("glu", format!("axis {axis} of {:?} has no two halves", self.shape()));
        }
        self.slice(axis, 0..n / 2) * self.slice(axis, n / 2..n).sigmoid()
    }
}

#[track_caller]
fn check_lambda(op: &str, lambda: f32) {
    if !(lambda >= 0.0 && lambda.is_finite()) {
        crate::fail(op, format!("lambda = {lambda} is negative or not finite"));
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Function = fn(&Tensor) -> Tensor;
    // With three sets of options, or thrice the same.
    let functions: &[(&'static str, [Function; 3])] = &[
        ("relu", [Tensor::relu; 3]),
        ("relu6", [Tensor::relu6; 3]),
        ("leaky_relu", [|x| x.leaky_relu(0.01), |x| x.leaky_relu(0.2), |x| x.leaky_relu(-1.5)]),
        ("elu", [|x| x.elu(1.0), |x| x.elu(0.3), |x| x.elu(-2.0)]),
        ("selu", [Tensor::selu; 3]),
        ("celu", [|x| x.celu(1.0), |x| x.celu(0.3), |x| x.celu(2.0)]),
        ("sigmoid", [Tensor::sigmoid; 3]),
        ("logsigmoid", [Tensor::logsigmoid; 3]),
        ("softplus", [|x| x.softplus(1.0, 20.0), |x| x.softplus(2.0, 3.0), |x| x.softplus(0.5, 20.0)]),
        ("gelu", [Tensor::gelu; 3]),
        ("gelu_tanh", [Tensor::gelu_tanh; 3]),
        ("silu", [Tensor::silu; 3]),
        ("mish", [Tensor::mish; 3]),
        ("hardtanh", [|x| x.hardtanh(-1.0, 1.0), |x| x.hardtanh(0.5, 2.0), |x| x.hardtanh(-2.0, -0.3)]),
        ("hardsigmoid", [Tensor::hardsigmoid; 3]),
        ("hardswish", [Tensor::hardswish; 3]),
        ("softsign", [Tensor::softsign; 3]),
        ("tanhshrink", [Tensor::tanhshrink; 3]),
        ("softshrink", [|x| x.softshrink(0.5), |x| x.softshrink(1.2), |x| x.softshrink(0.0)]),
        ("hardshrink", [|x| x.hardshrink(0.5), |x| x.hardshrink(1.2), |x| x.hardshrink(0.0)]),
        ("threshold", [|x| x.threshold(0.0, 0.0), |x| x.threshold(0.5, -2.0), |x| x.threshold(-1.0, 3.0)]),
    ];
    let mut all = vec![];
    for &(name, f) in functions {
        all.extend([
            OpCase::new(name, name, &[&[6, 7]], move |x| f[0](&(&x[0] * 2.5))).domain(-3.0, 3.0),
            OpCase::new(name, format!("{name} of a transposed slice"), &[&[4, 9]], move |x| {
                f[1](&x[0].slice(1, 1..8).transpose(0, 1))
            })
            .domain(-3.0, 3.0),
            OpCase::new(name, format!("{name} of one"), &[&[1]], move |x| f[2](&x[0])).domain(-3.0, 3.0),
        ]);
    }
    for (shape, slopes) in [(&[4usize, 3, 5][..], 3), (&[7, 2], 1), (&[11], 1)] {
        all.push(
            OpCase::new("prelu", format!("prelu {shape:?} with {slopes}"), &[shape, &[slopes]], |x| x[0].prelu(&x[1]))
                .domain(-2.0, 2.0),
        );
    }
    for (shape, axis) in [(&[5usize, 6][..], -1), (&[4, 3, 2], 0), (&[1, 2], 1)] {
        all.push(
            OpCase::new("glu", format!("glu {shape:?} {axis}"), &[shape], move |x| x[0].glu(axis)).domain(-2.0, 2.0),
        );
    }
    all
}
