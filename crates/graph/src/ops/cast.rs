//! The same number in another type, the same bits in another type, and what is asked of a float's bits.

use crate::op::{Array, Lower, Op};
use crate::ops::leaf::Scalar;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// Conversion to another type. Float to integer truncates and saturates; anything to bool compares with 0.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() { self.clone() } else { Tensor::apply(Cast(dtype), &[self]) }
    }

    /// This tensor in f32 if it is f16, else itself. Sums, means and whatever else would overflow or lose digits in f16 are
    /// formed of this, and the result is cast back: then nothing is rounded in between, and fusion makes the casts free.
    #[track_caller]
    pub fn in_f32(&self) -> Tensor {
        if self.dtype() == DType::F16 { self.cast(DType::F32) } else { self.clone() }
    }

    /// The same bits as another 32-bit type. No gradient flows.
    #[track_caller]
    pub fn bitcast(&self, dtype: DType) -> Tensor {
        Tensor::apply(Bitcast(dtype), &[self])
    }

    /// Whether a float is NaN, found by its bits (shaders may assume that there is none): bool.
    #[track_caller]
    pub fn is_nan(&self) -> Tensor {
        Tensor::scalar(0x7f80_0000u32).lt(&self.magnitude_bits("is_nan"))
    }

    /// Whether a float is infinite, found by its bits: bool.
    #[track_caller]
    pub fn is_inf(&self) -> Tensor {
        self.magnitude_bits("is_inf").equal(&Tensor::scalar(0x7f80_0000u32))
    }

    /// Whether a float's sign bit is set: bool. True of -0.
    #[track_caller]
    pub fn signbit(&self) -> Tensor {
        self.single("signbit").bitcast(DType::I32).lt(&Tensor::scalar(0i32))
    }

    /// A float as f32, whose bits are to be seen.
    #[track_caller]
    fn single(&self, op: &str) -> Tensor {
        if !self.dtype().is_float() {
            crate::fail(op, format!("a float expected, not {} {:?}", self.dtype(), self.shape()));
        }
        self.stop_gradient().cast(DType::F32)
    }

    #[track_caller]
    fn magnitude_bits(&self, op: &str) -> Tensor {
        self.single(op).bitcast(DType::U32).logical_and(&Tensor::scalar(0x7fff_ffffu32))
    }
}

#[derive(Debug)]
struct Cast(DType);

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), self.0))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let x = &output.inputs()[0];
        Ok(vec![x.dtype().is_float().then(|| grad.cast(x.dtype()))])
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        // F32 stays f64: the reference is to be better than what it judges.
        match self.0 {
            DType::F32 => inputs[0].clone(),
            d => inputs[0].map(|x| Scalar::new(d, x).value()),
        }
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Cast
    }
}

#[derive(Debug)]
struct Bitcast(DType);

impl Op for Bitcast {
    fn name(&self) -> &'static str {
        "bitcast"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let ok = |d| matches!(d, DType::F32 | DType::U32 | DType::I32);
        if !ok(inputs[0].dtype()) || !ok(self.0) {
            return Err(format!("from {} to {}: only f32, u32 and i32 have 32 bits", inputs[0].dtype(), self.0));
        }
        Ok((inputs[0].shape().to_vec(), self.0))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Err("bitcast has no gradient; put stop_gradient before it if that is meant".into())
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        // The reference does not know the source's type; f32 to u32 is what the tests use.
        match self.0 {
            DType::F32 => inputs[0].map(|x| f32::from_bits(x as u32) as f64),
            DType::U32 => inputs[0].map(|x| (x as f32).to_bits() as f64),
            _ => inputs[0].map(|x| (x as f32).to_bits() as i32 as f64),
        }
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Bitcast
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let x = |name: &'static str, text: &str, shape: &[usize], f: fn(&Tensor) -> Tensor| {
        OpCase::new(name, text, &[shape], move |x| f(&x[0])).domain(-2.0, 2.0)
    };
    // Infinite, or NaN, where x > 0.5.
    fn holed(x: &Tensor, hole: f64) -> Tensor {
        x.gt(&x.lit(0.5)).select(&x.lit(hole), x).stop_gradient()
    }
    vec![
        x("cast", "cast to i32", &[6, 7], |x| (x * 3.0).stop_gradient().cast(DType::I32).cast(x.dtype()) * x),
        x("cast", "cast to bool", &[0, 3], |x| (x * 3.0).stop_gradient().cast(DType::Bool).select(x, &-x)),
        x("cast", "cast to f16 and back", &[6, 7], |x| x.cast(DType::F16).cast(DType::F32))
            .tolerance(2e-3)
            .by_rule("rounding is flat almost everywhere, but its gradient is 1"),
        x("bitcast", "bitcast to u32", &[6, 7], |x| {
            x * &x.stop_gradient().bitcast(DType::U32).cast(DType::F32).mul_scalar(1.0 / 4294967296.0)
        })
        .no_difference()
        .no_gradient("bits are no number to follow")
        .f32_only("it reads the 32 bits of an f32"),
        x("bitcast", "bitcast there and back", &[13], |x| {
            x * &x.stop_gradient().bitcast(DType::U32).bitcast(DType::F32).stop_gradient()
        })
        .no_difference()
        .f32_only("it reads the 32 bits of an f32"),
        x("is_nan", "is_nan", &[6, 7], |x| holed(x, f64::NAN).is_nan().select(x, &(x * 3.0))),
        x("is_nan", "is_nan of infinity", &[7], |x| holed(x, f64::INFINITY).is_nan().select(x, &(x * 3.0))),
        x("is_nan", "is_nan of f16", &[5], |x| holed(x, f64::NAN).cast(DType::F16).is_nan().select(x, &(x * 3.0))),
        x("is_inf", "is_inf", &[6, 7], |x| holed(x, f64::NEG_INFINITY).is_inf().select(x, &(x * 3.0))),
        x("is_inf", "is_inf of NaN", &[7], |x| holed(x, f64::NAN).is_inf().select(x, &(x * 3.0))),
        x("is_inf", "is_inf of one", &[1], |x| x.is_inf().select(x, &(x * 3.0))),
        x("signbit", "signbit", &[6, 7], |x| x.signbit().select(x, &(x * 3.0))),
        x("signbit", "signbit of f16", &[5, 1], |x| x.cast(DType::F16).signbit().select(x, &(x * 3.0))),
    ]
}
