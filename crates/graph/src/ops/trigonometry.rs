//! Powers of two, and circular and hyperbolic functions, in terms of others. Angles are in radians.

use crate::shape::broadcast;
use crate::{OpCase, Tensor};
use std::f64::consts::{FRAC_PI_2, LN_2, LN_10, PI};

impl Tensor {
    /// 2 to the power of x.
    #[track_caller]
    pub fn exp2(&self) -> Tensor {
        self.mul_scalar(LN_2).exp()
    }

    /// Logarithm to base 2.
    #[track_caller]
    pub fn log2(&self) -> Tensor {
        self.log().mul_scalar(1.0 / LN_2)
    }

    /// Logarithm to base 10.
    #[track_caller]
    pub fn log10(&self) -> Tensor {
        self.log().mul_scalar(1.0 / LN_10)
    }

    /// Tangent.
    #[track_caller]
    pub fn tan(&self) -> Tensor {
        self.pointwise(|x| x.sin() / x.cos(), |_, y| y.square() + 1.0)
    }

    /// The angle in [-pi/2, pi/2] whose sine is x; the gradient is infinite at -1 and 1.
    #[track_caller]
    pub fn asin(&self) -> Tensor {
        // Half the angle: its tangent is sin / (1 + cos).
        self.pointwise(|x| (x / (one_minus_square(x).sqrt() + 1.0)).atan() * 2.0, |x, _| one_minus_square(x).rsqrt())
    }

    /// The angle in [0, pi] whose cosine is x; the gradient is infinite at -1 and 1.
    #[track_caller]
    pub fn acos(&self) -> Tensor {
        // Not pi/2 - asin(x), which has no digits left near 1. The square root of the half angle's tangent squared.
        self.pointwise(|x| angle(&(1.0 - x).sqrt(), &(x + 1.0).sqrt()) * 2.0, |x, _| -one_minus_square(x).rsqrt())
    }

    /// The angle in [-pi, pi] of the point (`x`, self), in the right quadrant: the argument of x + iy. At the origin (by the
    /// signs of the zeros, as C has it) the gradient is 0, where PyTorch's is NaN.
    #[track_caller]
    pub fn atan2(&self, x: &Tensor) -> Tensor {
        let Some(shape) = broadcast(self.shape(), x.shape()) else {
            crate::fail("atan2", format!("{:?} and {:?} do not broadcast to one shape", self.shape(), x.shape()))
        };
        let (y, x) = (self.broadcast_to(shape.clone()), x.broadcast_to(shape));
        angle(&y.stop_gradient(), &x.stop_gradient()).with_gradient(&[&y, &x], |_, point, g| {
            let [y, x] = point else { unreachable!("two arguments") };
            let n = x.square() + y.square();
            let zero = n.lit(0.0);
            let origin = n.equal(&zero);
            let d = origin.select(&zero, &(g / origin.select(&n.lit(1.0), &n)));
            vec![Some(&d * x), Some(-(d * y))]
        })
    }

    /// Hyperbolic sine, exact near 0 too.
    #[track_caller]
    pub fn sinh(&self) -> Tensor {
        (self.expm1() - (-self).expm1()) * 0.5
    }

    /// Hyperbolic cosine.
    #[track_caller]
    pub fn cosh(&self) -> Tensor {
        (self.exp() + (-self).exp()) * 0.5
    }
}

/// `1 - x²` without cancellation.
fn one_minus_square(x: &Tensor) -> Tensor {
    (1.0 - x) * (x + 1.0)
}

/// The value of atan2: the arc tangent in the first octant, mirrored into the others.
fn angle(y: &Tensor, x: &Tensor) -> Tensor {
    let (ay, ax) = (y.abs(), x.abs());
    let greater = ay.maximum(&ax);
    let divisor = greater.equal(&greater.lit(0.0)).select(&greater.lit(1.0), &greater);
    let octant = (ay.minimum(&ax) / divisor).atan();
    let quadrant = ay.gt(&ax).select(&(octant.lit(FRAC_PI_2) - &octant), &octant);
    let half = x.signbit().select(&(quadrant.lit(PI) - &quadrant), &quadrant);
    y.signbit().select(&-&half, &half)
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Function = fn(&Tensor) -> Tensor;
    let functions: &[(&'static str, Function, (f64, f64))] = &[
        ("exp2", Tensor::exp2, (-4.0, 4.0)),
        ("log2", Tensor::log2, (0.1, 4.0)),
        ("log10", Tensor::log10, (0.1, 4.0)),
        ("tan", Tensor::tan, (-1.2, 1.2)),
        ("asin", Tensor::asin, (-0.9, 0.9)),
        ("acos", Tensor::acos, (-0.9, 0.9)),
        ("sinh", Tensor::sinh, (-3.0, 3.0)),
        ("cosh", Tensor::cosh, (-3.0, 3.0)),
    ];
    let mut all = vec![];
    for &(name, f, (lo, hi)) in functions {
        all.push(OpCase::new(name, name, &[&[6, 7]], move |x| f(&x[0])).domain(lo, hi));
        all.push(
            OpCase::new(name, format!("{name} of a transposed slice"), &[&[4, 9]], move |x| {
                f(&x[0].slice(1, 1..8).transpose(0, 1))
            })
            .domain(lo, hi),
        );
        all.push(OpCase::new(name, format!("{name} of one"), &[&[1]], move |x| f(&x[0])).domain(lo, hi));
    }
    for (y, x) in [(&[6usize, 7][..], &[6usize, 7][..]), (&[5, 1], &[4]), (&[1], &[23])] {
        all.push(
            OpCase::new("atan2", format!("atan2 {y:?} {x:?}"), &[y, x], |t| {
                // Away from the origin, all around it.
                let away = |t: &Tensor| t + t.sign() * 0.2;
                away(&t[0]).atan2(&away(&t[1]))
            })
            .domain(-2.0, 2.0),
        );
    }
    all
}
