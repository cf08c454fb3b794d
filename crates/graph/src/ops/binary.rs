//! Functions of two values, element by element, broadcasting as NumPy does.

use crate::op::{Array, Lower, Op};
use crate::shape::broadcast;
use crate::{OpCase, Tensor};
use wgrad_device::{Binary, DType};

/// A row: the function, its name, its f64 form, and the gradients from (a, b, y, gradient with respect to y).
struct Row {
    op: Binary,
    name: &'static str,
    f: fn(f64, f64) -> f64,
    gradient: fn(&Tensor, &Tensor, &Tensor, &Tensor) -> (Tensor, Tensor),
}

/// For functions whose result is not a float: never asked for.
const NONE: fn(&Tensor, &Tensor, &Tensor, &Tensor) -> (Tensor, Tensor) = |_, _, _, g| (g.clone(), g.clone());

const TABLE: &[Row] = &[
    Row { op: Binary::Add, name: "add", f: |a, b| a + b, gradient: |_, _, _, g| (g.clone(), g.clone()) },
    Row { op: Binary::Sub, name: "sub", f: |a, b| a - b, gradient: |_, _, _, g| (g.clone(), -g) },
    Row { op: Binary::Mul, name: "mul", f: |a, b| a * b, gradient: |a, b, _, g| (g * b, g * a) },
    Row { op: Binary::Div, name: "div", f: |a, b| a / b, gradient: |_, b, y, g| (g / b, -(g * y / b)) },
    Row { op: Binary::Rem, name: "rem", f: |a, b| a % b, gradient: |a, b, _, g| (g.clone(), -(g * &(a / b).trunc())) },
    Row { op: Binary::Min, name: "minimum", f: f64::min, gradient: |a, b, _, g| pick(a, b, g, a.lt(b)) },
    Row { op: Binary::Max, name: "maximum", f: f64::max, gradient: |a, b, _, g| pick(a, b, g, b.lt(a)) },
    Row { op: Binary::Pow, name: "pow", f: f64::powf, gradient: pow_gradient },
    Row { op: Binary::Lt, name: "lt", f: |a, b| (a < b) as u8 as f64, gradient: NONE },
    Row { op: Binary::Le, name: "le", f: |a, b| (a <= b) as u8 as f64, gradient: NONE },
    Row { op: Binary::Eq, name: "equal", f: |a, b| (a == b) as u8 as f64, gradient: NONE },
    Row { op: Binary::Ne, name: "not_equal", f: |a, b| (a != b) as u8 as f64, gradient: NONE },
    Row { op: Binary::And, name: "logical_and", f: |a, b| (a as u32 & b as u32) as f64, gradient: NONE },
    Row { op: Binary::Or, name: "logical_or", f: |a, b| (a as u32 | b as u32) as f64, gradient: NONE },
    Row { op: Binary::Xor, name: "logical_xor", f: |a, b| (a as u32 ^ b as u32) as f64, gradient: NONE },
    Row { op: Binary::Shl, name: "shl", f: |a, b| ((a as u32) << (b as u32 & 31)) as f64, gradient: NONE },
    Row { op: Binary::Shr, name: "shr", f: |a, b| ((a as u32) >> (b as u32 & 31)) as f64, gradient: NONE },
];

/// The gradient of a choice between a and b: to the chosen one, and half to each where they are equal, as in PyTorch.
fn pick(a: &Tensor, b: &Tensor, g: &Tensor, is_a: Tensor) -> (Tensor, Tensor) {
    let zero = g.lit(0.0);
    let half = a.equal(b).select(&(g * 0.5), &zero);
    let to_a = is_a.select(g, &half);
    let to_b = g - &to_a;
    (to_a, to_b)
}

/// `b a^(b-1)`, and `a^b log a`; 0 where the exponent is 0, and where the base is 0 under an exponent that is not negative,
/// as PyTorch has them. What is not used there is kept finite, for second gradients.
fn pow_gradient(a: &Tensor, b: &Tensor, y: &Tensor, g: &Tensor) -> (Tensor, Tensor) {
    let (zero, one) = (g.lit(0.0), g.lit(1.0));
    let flat = b.equal(&zero);
    let slope = b * &a.pow(&(flat.select(&one, b) - 1.0));
    let to_a = flat.select(&zero, &(g * slope));
    let at_zero = a.equal(&zero).logical_and(&b.ge(&zero));
    let to_b = at_zero.select(&zero, &(g * y * &at_zero.select(&one, a).log()));
    (to_a, to_b)
}

#[derive(Debug)]
struct BinaryOp(Binary);

impl BinaryOp {
    fn row(&self) -> &'static Row {
        TABLE.iter().find(|r| r.op == self.0).expect("every binary function has its row")
    }
}

impl Op for BinaryOp {
    fn name(&self) -> &'static str {
        self.row().name
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype() != b.dtype() {
            return Err(format!("{} {:?} and {} {:?} differ in type", a.dtype(), a.shape(), b.dtype(), b.shape()));
        }
        let d = a.dtype();
        let fits = match self.0 {
            Binary::And | Binary::Or | Binary::Xor => !d.is_float(),
            Binary::Shl | Binary::Shr => d == DType::U32,
            Binary::Pow => d.is_float(),
            Binary::Eq | Binary::Ne => true,
            _ => d != DType::Bool,
        };
        if !fits {
            return Err(format!("not defined for {d}"));
        }
        Ok((a.shape().to_vec(), if self.0.is_comparison() { DType::Bool } else { d }))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let [a, b] = output.inputs() else { unreachable!("two arguments") };
        let (ga, gb) = (self.row().gradient)(a, b, output, grad);
        Ok(vec![Some(ga), Some(gb)])
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let f = self.row().f;
        Array::new(shape, inputs[0].data.iter().zip(&inputs[1].data).map(|(&a, &b)| f(a, b)).collect())
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Binary(self.0)
    }
}

impl Tensor {
    #[track_caller]
    fn binary(&self, op: Binary, other: &Tensor) -> Tensor {
        let Some(shape) = broadcast(self.shape(), other.shape()) else {
            crate::fail(
                BinaryOp(op).name(),
                format!("{:?} and {:?} do not broadcast to one shape", self.shape(), other.shape()),
            )
        };
        Tensor::apply(BinaryOp(op), &[&self.broadcast_to(shape.clone()), &other.broadcast_to(shape)])
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: &Tensor) -> Tensor {
                self.binary(Binary::$op, other)
            })*
        }
    };
}

methods! {
    /// The lesser of each pair; where equal, half of the gradient goes to each.
    minimum => Min;
    /// The greater of each pair; where equal, half of the gradient goes to each.
    maximum => Max;
    /// self to the power of `other`, with gradients to both. As in PyTorch the gradient to the exponent is
    /// 0 where the base is 0 and the exponent is not negative, and NaN where the base is negative; for constant exponents
    /// see [`Tensor::pow_scalar`].
    pow => Pow;
    /// Remainder with the sign of the dividend, as Rust's `%` and PyTorch's `fmod`.
    rem => Rem;
    /// self < other: bool.
    lt => Lt;
    /// self <= other: bool.
    le => Le;
    /// self == other: bool.
    equal => Eq;
    /// self != other: bool.
    not_equal => Ne;
    /// Logical and of bools; bitwise and of integers.
    logical_and => And;
    /// Logical or of bools; bitwise or of integers.
    logical_or => Or;
    /// Exclusive or.
    logical_xor => Xor;
    /// u32 shifted left.
    shl => Shl;
    /// u32 shifted right, zeros coming in.
    shr => Shr;
}

impl Tensor {
    /// self > other: bool.
    #[track_caller]
    pub fn gt(&self, other: &Tensor) -> Tensor {
        other.lt(self)
    }

    /// self >= other: bool.
    #[track_caller]
    pub fn ge(&self, other: &Tensor) -> Tensor {
        other.le(self)
    }

    /// Each element times a number, in the tensor's type.
    #[track_caller]
    pub fn mul_scalar(&self, factor: f64) -> Tensor {
        self.binary(Binary::Mul, &self.lit(factor))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl std::ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor { self.binary(Binary::$op, other) }
        }
        impl std::ops::$trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor { self.binary(Binary::$op, &other) }
        }
        impl std::ops::$trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor { self.binary(Binary::$op, other) }
        }
        impl std::ops::$trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor { self.binary(Binary::$op, &other) }
        }
        impl std::ops::$trait<f32> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor { self.binary(Binary::$op, &self.lit(other as f64)) }
        }
        impl std::ops::$trait<f32> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor { self.binary(Binary::$op, &self.lit(other as f64)) }
        }
        impl std::ops::$trait<&Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor { other.lit(self as f64).binary(Binary::$op, other) }
        }
        impl std::ops::$trait<Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor { other.lit(self as f64).binary(Binary::$op, &other) }
        }
    )* };
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

pub(crate) fn cases() -> Vec<OpCase> {
    let shapes: &[(&[usize], &[usize])] =
        &[(&[5, 7], &[5, 7]), (&[3, 1, 4], &[2, 1]), (&[1], &[6]), (&[0, 2], &[2]), (&[300], &[1])];
    let mut all = vec![];
    for row in TABLE {
        let op = row.op;
        for (a, b) in shapes {
            let name = format!("{} {a:?} {b:?}", row.name);
            let case = match op {
                Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
                    OpCase::new(row.name, name, &[a, b], move |x| {
                        let bits = |t: &Tensor, f: f32| (t * f).stop_gradient().cast(DType::U32);
                        let y = bits(&x[0], 9.0)
                            .binary(op, &bits(&x[1], 4.0))
                            .cast(DType::F32)
                            .mul_scalar(1.0 / 4096.0)
                            .cast(x[0].dtype());
                        &(&x[0] + &x[1]) * &y
                    })
                }
                _ if op.is_comparison() => OpCase::new(row.name, name, &[a, b], move |x| {
                    // Rounded, so that equality happens.
                    let r = |t: &Tensor| (t * 2.0).round();
                    r(&x[0]).binary(op, &r(&x[1])).select(&(&x[0] + &x[1]), &(&x[0] - &x[1]))
                }),
                _ => OpCase::new(row.name, name, &[a, b], move |x| x[0].binary(op, &x[1])),
            };
            all.push(case.domain(0.3, 2.0));
        }
    }
    all.push(OpCase::new("pow", "pow of a base that is 0 in places", &[&[9], &[9]], |x| {
        // The gradient to the exponent is 0 there; to the base, this exponent leaves it finite.
        let base = x[0].gt(&x[0].lit(0.3)).select(&x[0], &x[0].lit(0.0));
        base.pow(&(&x[1] * 0.5 + 2.2))
    }));
    all
}
