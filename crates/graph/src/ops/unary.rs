//! Functions of one value, element by element: one table of primitives, and what is written in terms of them.
//!
//! To add a primitive: a row in [`TABLE`], a method below, a `Unary` in the device crate with its WGSL and CPU forms.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use std::f32::consts::FRAC_2_SQRT_PI;
use wgrad_device::{DType, Unary, special};

/// A row: the function, its name, its f64 form, and the gradient from (x, y, gradient with respect to y).
struct Row {
    op: Unary,
    name: &'static str,
    f: fn(f64) -> f64,
    gradient: fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    /// Where test inputs are drawn from.
    domain: (f64, f64),
}

const TABLE: &[Row] = &[
    Row { op: Unary::Neg, name: "neg", f: |x| -x, gradient: |_, _, g| -g, domain: (-2.0, 2.0) },
    Row { op: Unary::Abs, name: "abs", f: f64::abs, gradient: |x, _, g| g * &x.sign(), domain: (-2.0, 2.0) },
    Row { op: Unary::Exp, name: "exp", f: f64::exp, gradient: |_, y, g| g * y, domain: (-3.0, 3.0) },
    Row { op: Unary::Log, name: "log", f: f64::ln, gradient: |x, _, g| g / x, domain: (0.1, 4.0) },
    Row { op: Unary::Sqrt, name: "sqrt", f: f64::sqrt, gradient: |_, y, g| g * 0.5 / y, domain: (0.1, 4.0) },
    Row { op: Unary::Recip, name: "recip", f: |x| 1.0 / x, gradient: |_, y, g| -(g * y * y), domain: (0.3, 4.0) },
    Row { op: Unary::Sin, name: "sin", f: f64::sin, gradient: |x, _, g| g * &x.cos(), domain: (-3.0, 3.0) },
    Row { op: Unary::Cos, name: "cos", f: f64::cos, gradient: |x, _, g| -(g * &x.sin()), domain: (-3.0, 3.0) },
    Row { op: Unary::Tanh, name: "tanh", f: f64::tanh, gradient: |_, y, g| g * (1.0 - y * y), domain: (-3.0, 3.0) },
    Row { op: Unary::Expm1, name: "expm1", f: f64::exp_m1, gradient: |_, y, g| g * (y + 1.0), domain: (-3.0, 3.0) },
    Row { op: Unary::Log1p, name: "log1p", f: f64::ln_1p, gradient: |x, _, g| g / (x + 1.0), domain: (-0.8, 4.0) },
    Row { op: Unary::Atan, name: "atan", f: f64::atan, gradient: |x, _, g| g / (x * x + 1.0), domain: (-3.0, 3.0) },
    Row {
        op: Unary::Erf,
        name: "erf",
        f: special::erf,
        gradient: |x, _, g| g * &(-(x * x)).exp() * FRAC_2_SQRT_PI,
        domain: (-2.0, 2.0),
    },
    Row {
        op: Unary::ErfInv,
        name: "erfinv",
        f: special::erfinv,
        gradient: |_, y, g| g * &(y * y).exp() * (1.0 / FRAC_2_SQRT_PI),
        domain: (-0.9, 0.9),
    },
    // Piecewise constant: the gradient is zero where it exists, as PyTorch has it.
    Row { op: Unary::Floor, name: "floor", f: f64::floor, gradient: |_, _, g| g * 0.0, domain: (-3.0, 3.0) },
    Row { op: Unary::Ceil, name: "ceil", f: f64::ceil, gradient: |_, _, g| g * 0.0, domain: (-3.0, 3.0) },
    Row { op: Unary::Round, name: "round", f: f64::round_ties_even, gradient: |_, _, g| g * 0.0, domain: (-3.0, 3.0) },
    Row {
        op: Unary::Not,
        name: "logical_not",
        f: |x| (x == 0.0) as u8 as f64,
        gradient: |_, _, g| g.clone(), // never asked for: the result is bool
        domain: (0.0, 1.0),
    },
    Row {
        op: Unary::IsFinite,
        name: "is_finite",
        f: |x| x.is_finite() as u8 as f64,
        gradient: |_, _, g| g.clone(), // never asked for: the result is bool
        domain: (-1.0, 1.0),
    },
];

#[derive(Debug)]
struct UnaryOp(Unary);

impl UnaryOp {
    fn row(&self) -> &'static Row {
        TABLE.iter().find(|r| r.op == self.0).expect("every unary function has its row")
    }
}

impl Op for UnaryOp {
    fn name(&self) -> &'static str {
        self.row().name
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        let fits = match self.0 {
            Unary::Not => x.dtype() == DType::Bool,
            Unary::Neg | Unary::Abs => x.dtype().is_float() || x.dtype() == DType::I32,
            _ => x.dtype().is_float(),
        };
        if !fits {
            return Err(format!("not defined for {}", x.dtype()));
        }
        Ok((x.shape().to_vec(), if self.0 == Unary::IsFinite { DType::Bool } else { x.dtype() }))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![Some((self.row().gradient)(&output.inputs()[0], output, grad))])
    }

    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].map(self.row().f)
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Unary(self.0)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                Tensor::apply(UnaryOp(Unary::$op), &[self])
            })*
        }
    };
}

methods! {
    /// Absolute value; the gradient at 0 is 0.
    abs => Abs;
    /// e to the power of x.
    exp => Exp;
    /// Natural logarithm.
    log => Log;
    /// Square root.
    sqrt => Sqrt;
    /// 1 / x.
    recip => Recip;
    /// Sine of x in radians.
    sin => Sin;
    /// Cosine of x in radians.
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// e to the power of x, less 1; exact near 0, where the difference would cancel.
    expm1 => Expm1;
    /// Natural logarithm of 1 + x; exact near 0.
    log1p => Log1p;
    /// The angle in (-pi/2, pi/2), in radians, whose tangent is x.
    atan => Atan;
    /// The error function, `2 / sqrt(pi) * integral of e^(-t^2) from 0 to x`.
    erf => Erf;
    /// The inverse of the error function, for x in (-1, 1); infinite at the ends.
    erfinv => ErfInv;
    /// Greatest integer not above x; gradient 0.
    floor => Floor;
    /// Least integer not below x; gradient 0.
    ceil => Ceil;
    /// Nearest integer, halves to even as in PyTorch; gradient 0.
    round => Round;
    /// Logical not of a bool.
    logical_not => Not;
    /// Whether a float is neither infinite nor NaN, found by its bits: bool.
    is_finite => IsFinite;
}

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::apply(UnaryOp(Unary::Neg), &[self])
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}

/// Compositions; fusion makes them one pass.
impl Tensor {
    /// x².
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// 1 / sqrt(x).
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        self.sqrt().recip()
    }

    /// -1, 0 or 1; gradient 0.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        let zero = self.lit(0.0);
        let one = self.lit(1.0);
        self.gt(&zero).select(&one, &self.lt(&zero).select(&-&one, &zero))
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    for row in TABLE {
        let op = row.op;
        for shape in [&[7usize, 5][..], &[1], &[0], &[263]] {
            let case = match op {
                Unary::Not => OpCase::new(row.name, format!("not {shape:?}"), &[shape], |x| {
                    let b = x[0].gt(&x[0].lit(0.4));
                    b.logical_not().select(&x[0], &(&x[0] * 2.0))
                }),
                Unary::IsFinite => OpCase::new(row.name, format!("is_finite {shape:?}"), &[shape], |x| {
                    // Infinite where x > 0.5.
                    let y = x[0].gt(&x[0].lit(0.5)).select(&x[0].lit(f64::INFINITY), &x[0]).stop_gradient();
                    y.is_finite().select(&x[0], &(&x[0] * 3.0))
                }),
                _ => OpCase::new(row.name, format!("{} {shape:?}", row.name), &[shape], move |x| {
                    Tensor::apply(UnaryOp(op), &[&x[0]])
                }),
            };
            all.push(case.domain(row.domain.0, row.domain.1));
        }
    }
    let x = |name: &'static str, f: fn(&Tensor) -> Tensor| {
        OpCase::new(name, name, &[&[6, 7]], move |x| f(&x[0])).domain(-2.0, 2.0)
    };
    all.extend([x("square", Tensor::square), x("rsqrt", Tensor::rsqrt).domain(0.2, 3.0), x("sign", |x| x.sign() * x)]);
    all
}
