//! Arithmetic in terms of other functions: constant powers, remainders, limits, steps.

use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// The integer part, towards zero; gradient 0.
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        self.lt(&self.lit(0.0)).select(&self.ceil(), &self.floor())
    }

    /// Each element to the power of a constant. Unlike [`Tensor::pow`], small integer exponents are products, and the
    /// gradient is right for negative bases too.
    #[track_caller]
    pub fn pow_scalar(&self, exponent: f32) -> Tensor {
        const PRODUCTS: f32 = 16.0;
        match exponent {
            0.0 => Tensor::ones(self.shape(), self.dtype()),
            0.5 => self.sqrt(),
            -0.5 => self.rsqrt(),
            n if n.fract() == 0.0 && (1.0..=PRODUCTS).contains(&n) => self.power_of(n as u32),
            n if n.fract() == 0.0 && (-PRODUCTS..=-1.0).contains(&n) => self.power_of(-n as u32).recip(),
            _ => self.pointwise(
                |x| x.pow(&x.lit(exponent as f64)),
                move |x, _| x.pow_scalar(exponent - 1.0).mul_scalar(exponent as f64),
            ),
        }
    }

    /// By repeated squares; `n` is 1 or more.
    #[track_caller]
    fn power_of(&self, n: u32) -> Tensor {
        match n {
            1 => self.clone(),
            n if n.is_multiple_of(2) => self.power_of(n / 2).square(),
            n => self.power_of(n - 1) * self,
        }
    }

    /// `a - b * floor(a / b)`: the remainder with the sign of the divisor, as Python's `%` and PyTorch's `remainder`. See
    /// [`Tensor::rem`] for the one with the sign of the dividend.
    #[track_caller]
    pub fn remainder(&self, divisor: &Tensor) -> Tensor {
        let r = self.rem(divisor);
        let zero = r.lit(0.0);
        let crosses = r.lt(&zero).not_equal(&divisor.lt(&zero)).logical_and(&r.not_equal(&zero));
        crosses.select(&(&r + divisor), &r)
    }

    /// `floor(a / b)` without the error of a rounded quotient; gradient 0. Integers by 0 give what is unspecified.
    #[track_caller]
    pub fn floor_div(&self, divisor: &Tensor) -> Tensor {
        let (a, b) = (self.stop_gradient(), divisor.stop_gradient());
        let whole = (&a - a.remainder(&b)) / b;
        if self.dtype().is_float() { whole.round() } else { whole }
    }

    /// x limited to [lo, hi]; the gradient is 0 outside and at the limits, as in PyTorch 2.15 (older ones let it pass at the limits).
    #[track_caller]
    pub fn clamp(&self, lo: f32, hi: f32) -> Tensor {
        let (lo, hi) = (self.lit(lo as f64), self.lit(hi as f64));
        let inside = self.gt(&lo).logical_and(&self.lt(&hi));
        inside.select(self, &self.stop_gradient().maximum(&lo).minimum(&hi))
    }

    /// `min(max(x, lo), hi)` with tensors that broadcast. The gradient goes to the limit where x is outside, else to x, and half
    /// to each where they are equal; where lo is above hi, to hi.
    #[track_caller]
    pub fn clamp_between(&self, lo: &Tensor, hi: &Tensor) -> Tensor {
        self.maximum(lo).minimum(hi)
    }

    /// `self + weight * (end - self)`: linear interpolation. All three broadcast.
    #[track_caller]
    pub fn lerp(&self, end: &Tensor, weight: &Tensor) -> Tensor {
        self + (end - self) * weight
    }

    /// 0 where x < 0, 1 where x > 0, and `values` where x is 0 (where a gradient flows to them). PyTorch's `heaviside`.
    #[track_caller]
    pub fn heaviside(&self, values: &Tensor) -> Tensor {
        let (zero, one) = (self.lit(0.0), self.lit(1.0));
        self.gt(&zero).select(&one, &self.lt(&zero).select(&zero, values))
    }

    /// 1 where x > 0, else 0; gradient 0.
    #[track_caller]
    pub fn step(&self) -> Tensor {
        self.heaviside(&self.lit(0.0))
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let x = |name: &'static str, text: &str, shape: &[usize], f: fn(&Tensor) -> Tensor| {
        OpCase::new(name, text, &[shape], move |x| f(&x[0])).domain(-3.0, 3.0)
    };
    let xy = |name: &'static str, text: &str, a: &[usize], b: &[usize], f: fn(&Tensor, &Tensor) -> Tensor| {
        OpCase::new(name, text, &[a, b], move |x| f(&x[0], &x[1])).domain(-2.0, 2.0)
    };
    // A divisor that is not near 0, of either sign.
    fn divisor(y: &Tensor) -> Tensor {
        y + y.sign() * 0.7
    }
    fn integer(x: &Tensor) -> Tensor {
        (x * 9.0).stop_gradient().cast(DType::I32)
    }
    let mut all = vec![
        x("trunc", "trunc", &[40], |x| x.trunc() * x),
        x("trunc", "trunc of a transpose", &[3, 5], |x| x.transpose(0, 1).trunc() * x.transpose(0, 1)),
        x("trunc", "trunc of one", &[1], |x| x.trunc() * x),
        x("clamp", "clamp", &[6, 7], |x| x.clamp(-0.5, 0.7)),
        x("clamp", "clamp below", &[7, 3], |x| x.clamp(f32::MIN, 0.7).square()),
        x("clamp", "clamp above, every second", &[9], |x| x.slice_step(0, 1, 4, 2).clamp(-1.0, f32::MAX)),
        x("step", "step", &[6, 7], |x| x.step() * x),
        x("step", "step of one", &[1], |x| x.step() * x),
        x("step", "step of a transpose", &[2, 5], |x| x.transpose(0, 1).step() * x.transpose(0, 1)),
        xy("remainder", "remainder", &[6, 7], &[6, 7], |a, b| a.remainder(&divisor(b))),
        xy("remainder", "remainder by a row", &[4, 5], &[5], |a, b| (a * 3.0).remainder(&divisor(b))),
        xy("remainder", "remainder of integers", &[23], &[1], |a, b| {
            integer(a).remainder(&integer(&divisor(b))).cast(a.dtype()) * a
        }),
        xy("floor_div", "floor_div", &[6, 7], &[6, 7], |a, b| a.floor_div(&divisor(b)) * a),
        xy("floor_div", "floor_div by a column", &[4, 5], &[4, 1], |a, b| (a * 9.0).floor_div(&divisor(b)) * a),
        xy("floor_div", "floor_div of integers", &[23], &[23], |a, b| {
            integer(a).floor_div(&integer(&divisor(b))).cast(a.dtype()) * a
        }),
        xy("lerp", "lerp", &[6, 7], &[6, 7], |a, b| a.lerp(b, &a.lit(0.3))),
        xy("lerp", "lerp with a row of weights", &[4, 5], &[5], |a, w| a.lerp(&a.square(), w)),
        xy("lerp", "lerp past the end", &[1], &[3, 2], |a, b| a.lerp(b, &a.lit(-1.5))),
        xy("heaviside", "heaviside", &[6, 7], &[7], |x, v| x.round().heaviside(v) * x),
        xy("heaviside", "heaviside of zeros", &[0, 7], &[7], |x, v| x.heaviside(v)),
        xy("heaviside", "heaviside of one", &[1], &[3], |x, v| (x * 0.0).heaviside(v) * x),
    ];
    for (n, shape) in [(0.0, &[3usize, 4][..]), (1.0, &[1]), (3.0, &[5, 7]), (-2.0, &[13]), (7.0, &[2, 0])] {
        // Negative bases, but none near 0.
        all.push(x_pow(n, shape, divisor));
    }
    all.push(x_pow(20.0, &[6], |x| divisor(x) * 0.6));
    for n in [0.5, -0.5, 1.7, -2.3] {
        all.push(x_pow(n, &[6, 3], |x| x.square() + 0.3).domain(-1.0, 1.0));
    }
    for (text, shape) in [("", &[6usize, 7][..]), (" of one", &[1]), (" of a row", &[3, 1, 4])] {
        all.push(
            OpCase::new("clamp_between", format!("clamp_between{text}"), &[shape, &[1], &[1]], |x| {
                // Sometimes the lower limit is above the higher.
                x[0].clamp_between(&(&x[1] * 0.5), &(&x[2] + 0.3)) * &x[0]
            })
            .domain(-1.5, 1.5),
        );
    }
    all
}

fn x_pow(n: f32, shape: &[usize], base: fn(&Tensor) -> Tensor) -> OpCase {
    OpCase::new("pow_scalar", format!("pow_scalar {n} {shape:?}"), &[shape], move |x| base(&x[0]).pow_scalar(n))
        .domain(-0.7, 0.7)
}
