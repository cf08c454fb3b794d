//! Random numbers in the graph: Philox, keyed by seed, step and a stream number.
//!
//! The generator's state is a u32 tensor [seed low, seed high, step, 0] (see [`crate::Init::Generator`]). A value depends
//! on that state, the stream and the element's position only: not on the backend, on fusion or on order.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use wgrad_device::{DType, philox};

#[derive(Debug)]
struct RandomBits {
    shape: Vec<usize>,
    stream: u32,
    lane: u32,
}

impl Op for RandomBits {
    fn name(&self) -> &'static str {
        "random_bits"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if inputs[0].dtype() != DType::U32 || inputs[0].shape() != [4] {
            return Err(format!("a generator u32 [4] expected, not {} {:?}", inputs[0].dtype(), inputs[0].shape()));
        }
        Ok((self.shape.clone(), DType::U32))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![None])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let s: Vec<u32> = inputs[0].data.iter().map(|&x| x as u32).collect();
        let n: usize = shape.iter().product();
        let bits = |i: usize| philox([s[0], s[1]], [i as u32, self.stream, s[2], 0])[self.lane as usize];
        Array::new(shape, (0..n).map(|i| bits(i) as f64).collect())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Random { stream: self.stream, lane: self.lane }
    }
}

impl Tensor {
    /// 32 random bits for each element. This tensor is the generator's state; `lane` (0 to 3) picks one of four
    /// independent words.
    #[track_caller]
    pub fn random_bits(&self, shape: impl Into<Vec<usize>>, stream: u32, lane: u32) -> Tensor {
        if lane > 3 {
            crate::fail("random_bits", format!("lane {lane}, but Philox gives four words"));
        }
        Tensor::apply(RandomBits { shape: shape.into(), stream, lane }, &[self])
    }

    /// Uniform in [0, 1), in steps of 2^-24. This tensor is the generator's state.
    #[track_caller]
    pub fn random_uniform(&self, shape: impl Into<Vec<usize>>, stream: u32) -> Tensor {
        let bits = self.random_bits(shape, stream, 0);
        bits.shr(&Tensor::scalar(8u32)).cast(DType::F32).mul_scalar(1.0 / (1 << 24) as f64)
    }

    /// Standard normal, by Box and Muller. This tensor is the generator's state.
    #[track_caller]
    pub fn random_normal(&self, shape: impl Into<Vec<usize>>, stream: u32) -> Tensor {
        let shape = shape.into();
        let unit = |lane| {
            let bits = self.random_bits(shape.clone(), stream, lane);
            // In (0, 1], so that the logarithm exists.
            (bits.shr(&Tensor::scalar(8u32)).cast(DType::F32) + 1.0).mul_scalar(1.0 / (1 << 24) as f64)
        };
        (unit(0).log() * -2.0).sqrt() * (unit(1) * std::f32::consts::TAU).cos()
    }

    /// Each element zeroed with probability `p`, the others divided by `1 - p` (inverted dropout). `generator` is the
    /// generator's state; layers that should drop differently need different streams.
    #[track_caller]
    pub fn dropout(&self, p: f32, generator: &Tensor, stream: u32) -> Tensor {
        if !(0.0..=1.0).contains(&p) {
            crate::fail("dropout", format!("p = {p} is no probability"));
        }
        if p == 0.0 {
            return self.clone();
        }
        if p == 1.0 {
            return self * 0.0;
        }
        let keep = generator.random_uniform(self.shape(), stream).ge(&Tensor::scalar(p));
        keep.select(&self.mul_scalar(1.0 / (1.0 - p as f64)), &self.lit(0.0))
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let generator = || {
        let word = |i: usize, v: u32| Tensor::full([1], v).pad(0, i, 3 - i, 0.0);
        word(0, 0x1234_5678) + word(1, 0x9abc_def0) + word(2, 7)
    };
    vec![
        OpCase::new("random_bits", "random_bits", &[&[37]], move |x| {
            let bits = generator().random_bits([37], 5, 2);
            &x[0] * &bits.cast(DType::F32).mul_scalar(1.0 / 4294967296.0)
        }),
        OpCase::new("random_uniform", "random_uniform", &[&[4, 9]], move |x| {
            &x[0] * &generator().random_uniform([4, 9], 3)
        }),
        OpCase::new("random_normal", "random_normal", &[&[4, 9]], move |x| {
            &x[0] * &generator().random_normal([4, 9], 3)
        })
        .tolerance(1e-4),
        OpCase::new("dropout", "dropout", &[&[11, 7]], move |x| x[0].dropout(0.3, &generator(), 1)),
    ]
}
