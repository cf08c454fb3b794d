//! What each scalar operation does to a block. Blocks are whole vectors, so that the loops compile to plain vector code.

use super::interpret::LANES;
use super::math;
use crate::special::erfinv_f32;
use crate::{Binary, DType, Unary, philox};
use half::f16;
use pulp::{Arch, Simd, WithSimd};

/// A block's words, a multiple of [`LANES`].
type Words = [u32];

/// `out[i] = f(a[i], b[i], c[i])`, compiled for the widest vectors there are.
struct Loop<'a, F> {
    a: &'a Words,
    b: &'a Words,
    c: &'a Words,
    out: &'a mut Words,
    f: F,
}

impl<F: Fn(u32, u32, u32) -> u32> WithSimd for Loop<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // A plain loop over whole vectors: one over chunks of fixed size gets unrolled first, and then badly vectorised.
        let n = self.out.len() / LANES * LANES;
        let (a, b, c, out) = (&self.a[..n], &self.b[..n], &self.c[..n], &mut self.out[..n]);
        for i in 0..n {
            out[i] = (self.f)(a[i], b[i], c[i]);
        }
    }
}

#[inline(always)]
fn w1(a: &Words, out: &mut Words, f: impl Fn(u32) -> u32) {
    Arch::new().dispatch(Loop { a, b: a, c: a, out, f: |x, _, _| f(x) });
}

#[inline(always)]
fn w2(a: &Words, b: &Words, out: &mut Words, f: impl Fn(u32, u32) -> u32) {
    Arch::new().dispatch(Loop { a, b, c: a, out, f: |x, y, _| f(x, y) });
}

#[inline(always)]
fn f1(a: &Words, out: &mut Words, f: impl Fn(f32) -> f32) {
    w1(a, out, |x| f(f32::from_bits(x)).to_bits());
}

#[inline(always)]
fn f2(a: &Words, b: &Words, out: &mut Words, f: impl Fn(f32, f32) -> f32) {
    w2(a, b, out, |x, y| f(f32::from_bits(x), f32::from_bits(y)).to_bits());
}

#[inline(always)]
fn f2b(a: &Words, b: &Words, out: &mut Words, f: impl Fn(f32, f32) -> bool) {
    w2(a, b, out, |x, y| f(f32::from_bits(x), f32::from_bits(y)) as u32);
}

#[inline(always)]
fn i2(a: &Words, b: &Words, out: &mut Words, f: impl Fn(i32, i32) -> i32) {
    w2(a, b, out, |x, y| f(x as i32, y as i32) as u32);
}

pub(super) fn unary(op: Unary, dtype: DType, a: &Words, out: &mut Words) {
    match (op, dtype) {
        (Unary::Neg, DType::I32 | DType::U32) => w1(a, out, u32::wrapping_neg),
        (Unary::Abs, DType::I32) => w1(a, out, |x| (x as i32).wrapping_abs() as u32),
        (Unary::Abs, DType::U32) => w1(a, out, |x| x),
        (Unary::Neg, _) => f1(a, out, |x| -x),
        (Unary::Abs, _) => f1(a, out, f32::abs),
        (Unary::Exp, _) => f1(a, out, math::exp),
        (Unary::Log, _) => f1(a, out, math::log),
        (Unary::Sqrt, _) => f1(a, out, f32::sqrt),
        (Unary::Recip, _) => f1(a, out, |x| 1.0 / x),
        (Unary::Sin, _) => f1(a, out, f32::sin),
        (Unary::Cos, _) => f1(a, out, f32::cos),
        (Unary::Tanh, _) => f1(a, out, math::tanh),
        (Unary::Expm1, _) => f1(a, out, math::expm1),
        (Unary::Log1p, _) => f1(a, out, math::log1p),
        (Unary::Atan, _) => f1(a, out, f32::atan),
        (Unary::Erf, _) => f1(a, out, math::erf),
        (Unary::ErfInv, _) => f1(a, out, erfinv_f32),
        (Unary::Floor, _) => f1(a, out, f32::floor),
        (Unary::Ceil, _) => f1(a, out, f32::ceil),
        (Unary::Round, _) => f1(a, out, f32::round_ties_even),
        (Unary::Not, _) => w1(a, out, |x| (x == 0) as u32),
        (Unary::IsFinite, _) => w1(a, out, |x| (x & 0x7fff_ffff < 0x7f80_0000) as u32),
    }
}

pub(super) fn binary(op: Binary, dtype: DType, a: &Words, b: &Words, out: &mut Words) {
    use Binary::*;
    match dtype {
        DType::F32 | DType::F16 => match op {
            Add => f2(a, b, out, |x, y| x + y),
            Sub => f2(a, b, out, |x, y| x - y),
            Mul => f2(a, b, out, |x, y| x * y),
            Div => f2(a, b, out, |x, y| x / y),
            Rem => f2(a, b, out, |x, y| x % y),
            // Written as a comparison: `f32::min` has rules for NaN that vector instructions lack.
            Min => f2(a, b, out, |x, y| if x < y { x } else { y }),
            Max => f2(a, b, out, |x, y| if x > y { x } else { y }),
            Pow => f2(a, b, out, f32::powf),
            Lt => f2b(a, b, out, |x, y| x < y),
            Le => f2b(a, b, out, |x, y| x <= y),
            Eq => f2b(a, b, out, |x, y| x == y),
            Ne => f2b(a, b, out, |x, y| x != y),
            And | Or | Xor | Shl | Shr => unreachable!("{op:?} of floats"),
        },
        DType::I32 => match op {
            Add => i2(a, b, out, i32::wrapping_add),
            Sub => i2(a, b, out, i32::wrapping_sub),
            Mul => i2(a, b, out, i32::wrapping_mul),
            Div => i2(a, b, out, |x, y| if y == 0 { 0 } else { x.wrapping_div(y) }),
            Rem => i2(a, b, out, |x, y| if y == 0 { 0 } else { x.wrapping_rem(y) }),
            Min => i2(a, b, out, i32::min),
            Max => i2(a, b, out, i32::max),
            Lt => i2(a, b, out, |x, y| (x < y) as i32),
            Le => i2(a, b, out, |x, y| (x <= y) as i32),
            _ => words(op, a, b, out),
        },
        DType::U32 | DType::Bool => match op {
            Add if dtype == DType::Bool => w2(a, b, out, |x, y| x | y),
            Add => w2(a, b, out, u32::wrapping_add),
            Sub => w2(a, b, out, u32::wrapping_sub),
            Mul => w2(a, b, out, u32::wrapping_mul),
            Div => w2(a, b, out, |x, y| x.checked_div(y).unwrap_or(0)),
            Rem => w2(a, b, out, |x, y| x.checked_rem(y).unwrap_or(0)),
            Min => w2(a, b, out, u32::min),
            Max => w2(a, b, out, u32::max),
            Lt => w2(a, b, out, |x, y| (x < y) as u32),
            Le => w2(a, b, out, |x, y| (x <= y) as u32),
            _ => words(op, a, b, out),
        },
    }
}

/// What does not depend on the sign.
fn words(op: Binary, a: &Words, b: &Words, out: &mut Words) {
    match op {
        Binary::Eq => w2(a, b, out, |x, y| (x == y) as u32),
        Binary::Ne => w2(a, b, out, |x, y| (x != y) as u32),
        Binary::And => w2(a, b, out, |x, y| x & y),
        Binary::Or => w2(a, b, out, |x, y| x | y),
        Binary::Xor => w2(a, b, out, |x, y| x ^ y),
        Binary::Shl => w2(a, b, out, |x, y| x << (y & 31)),
        Binary::Shr => w2(a, b, out, |x, y| x >> (y & 31)),
        _ => unreachable!("{op:?} of integers"),
    }
}

pub(super) fn select(c: &Words, a: &Words, b: &Words, out: &mut Words) {
    Arch::new().dispatch(Loop { a: c, b: a, c: b, out, f: |c, a, b| if c != 0 { a } else { b } });
}

pub(super) fn cast(from: DType, to: DType, a: &Words, out: &mut Words) {
    use DType::*;
    match (from, to) {
        (F32 | F16, Bool) => w1(a, out, |x| (f32::from_bits(x) != 0.0) as u32),
        (_, Bool) => w1(a, out, |x| (x != 0) as u32),
        (F32 | F16, U32) => w1(a, out, |x| f32::from_bits(x) as u32),
        (F32 | F16, I32) => w1(a, out, |x| f32::from_bits(x) as i32 as u32),
        (U32 | Bool, F32) => w1(a, out, |x| (x as f32).to_bits()),
        (I32, F32) => w1(a, out, |x| (x as i32 as f32).to_bits()),
        (F32, F16) => f1(a, out, |x| f16::from_f32(x).to_f32()),
        (U32 | Bool, F16) => w1(a, out, |x| f16::from_f32(x as f32).to_f32().to_bits()),
        (I32, F16) => w1(a, out, |x| f16::from_f32(x as i32 as f32).to_f32().to_bits()),
        // Between integers, and f16 to f32: the words stay.
        _ => out.copy_from_slice(a),
    }
}

pub(super) fn philox_block(args: [&Words; 5], lane: u32, out: &mut Words) {
    Arch::new().dispatch(Philox { args, lane: lane as usize, out });
}

/// Lane `lane` of the generator for each key and counter.
struct Philox<'a> {
    args: [&'a Words; 5],
    lane: usize,
    out: &'a mut Words,
}

impl WithSimd for Philox<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let n = self.out.len();
        let [k0, k1, c0, c1, c2] = self.args.map(|a| &a[..n]);
        for i in 0..n {
            self.out[i] = philox([k0[i], k1[i]], [c0[i], c1[i], c2[i], 0])[self.lane];
        }
    }
}
