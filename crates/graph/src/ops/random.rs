//! Random numbers in the graph: Philox, keyed by seed, step and a stream number.
//!
//! The generator's state is a u32 tensor [seed low, seed high, step, 0] (see [`crate::Init::Generator`]). A value depends
//! on that state, the stream and the element's position only: not on the backend, on fusion or on order.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
use wgrad_device::{DType, philox, special};

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

    /// Uniform in [lo, hi). This tensor is the generator's state.
    #[track_caller]
    pub fn random_uniform_in(&self, shape: impl Into<Vec<usize>>, stream: u32, lo: f32, hi: f32) -> Tensor {
        if !(lo <= hi && (hi - lo).is_finite()) {
            crate::fail("random_uniform_in", format!("[{lo}, {hi}) is no range"));
        }
        self.random_uniform(shape, stream) * (hi - lo) + lo
    }

    /// Uniform in (0, 1), in steps of 2^-23 that begin at half of one: exact in f32, and so are x and 1 - x.
    #[track_caller]
    fn random_open(&self, shape: impl Into<Vec<usize>>, stream: u32) -> Tensor {
        let bits = self.random_bits(shape, stream, 0).shr(&Tensor::scalar(9u32));
        (bits.cast(DType::F32) + 0.5).mul_scalar(1.0 / (1 << 23) as f64)
    }

    /// Integers from `lo` to `hi - 1`, i32; that their number may not divide 2^32 favours the first ones by at most one part
    /// in `2^32 / (hi - lo)`. This tensor is the generator's state.
    #[track_caller]
    pub fn random_int(&self, shape: impl Into<Vec<usize>>, stream: u32, lo: i32, hi: i32) -> Tensor {
        let Some(count) = hi.checked_sub(lo).filter(|&n| n > 0) else {
            crate::fail("random_int", format!("from {lo} to below {hi} there are no integers, or more than 2^31"))
        };
        let below = self.random_bits(shape, stream, 0).rem(&Tensor::scalar(count as u32));
        below.cast(DType::I32) + Tensor::scalar(lo)
    }

    /// True with the probability that `p` holds for each element: bool, of p's shape. This tensor is the generator's state.
    #[track_caller]
    pub fn random_bernoulli(&self, p: &Tensor, stream: u32) -> Tensor {
        self.random_uniform(p.shape(), stream).lt(&p.stop_gradient())
    }

    /// Exponential with this rate (mean `1 / rate`). This tensor is the generator's state.
    #[track_caller]
    pub fn random_exponential(&self, shape: impl Into<Vec<usize>>, stream: u32, rate: f32) -> Tensor {
        if rate <= 0.0 || !rate.is_finite() {
            crate::fail("random_exponential", format!("rate = {rate} is not positive"));
        }
        (-self.random_open(shape, stream)).log1p() * (-1.0 / rate)
    }

    /// Standard Gumbel, `-log(-log u)`. This tensor is the generator's state.
    #[track_caller]
    pub fn random_gumbel(&self, shape: impl Into<Vec<usize>>, stream: u32) -> Tensor {
        -self.random_exponential(shape, stream, 1.0).log()
    }

    /// Normal with `mean` and standard deviation `std`, but within [lo, hi]: by the inverse of the distribution function, as
    /// PyTorch's `trunc_normal_`. This tensor is the generator's state.
    #[track_caller]
    pub fn random_truncated_normal(
        &self,
        shape: impl Into<Vec<usize>>,
        stream: u32,
        (mean, std): (f32, f32),
        (lo, hi): (f32, f32),
    ) -> Tensor {
        if !(std > 0.0 && lo < hi) {
            crate::fail("random_truncated_normal", format!("std = {std} in [{lo}, {hi}]"));
        }
        // 2 Phi(x) - 1 at the ends.
        let at = |end: f32| special::erf((end - mean) as f64 / std as f64 * FRAC_1_SQRT_2);
        let (from, to) = (at(lo), at(hi));
        let u = self.random_open(shape, stream).mul_scalar(to - from) + from as f32;
        (u.erfinv() * (std * SQRT_2 as f32) + mean).clamp(lo, hi)
    }

    /// A class for each set of unnormalised log-probabilities along `axis`, which is dropped: u32, by the greatest of the
    /// logits with Gumbel noise. This tensor is the generator's state.
    #[track_caller]
    pub fn random_categorical(&self, logits: &Tensor, axis: isize, stream: u32) -> Tensor {
        let noise = self.random_gumbel(logits.shape(), stream);
        (logits.stop_gradient() + noise).argmax(&[axis])
    }

    /// A class for each set of probabilities along `axis` (which need not add up to 1), which is dropped: u32, by the
    /// distribution function: one random number a set. This tensor is the generator's state.
    #[track_caller]
    pub fn random_categorical_cdf(&self, p: &Tensor, axis: isize, stream: u32) -> Tensor {
        let d = p.axis("random_categorical_cdf", axis);
        let n = p.shape()[d];
        if n == 0 {
            crate::fail("random_categorical_cdf", format!("no class along axis {axis} of {:?}", p.shape()));
        }
        let sums = p.stop_gradient().cumsum(axis);
        let total = sums.slice(axis, n - 1..n);
        let u = self.random_uniform(total.shape(), stream) * &total;
        // The classes that lie wholly below; never all, and never one of probability 0 at the end.
        let below = sums.le(&u).cast(DType::U32).sum(&[d as isize]);
        let top = sums.lt(&total).cast(DType::U32).sum(&[d as isize]);
        below.minimum(&top)
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
        check_probability("dropout", p);
        if p == 0.0 {
            return self.clone();
        }
        if p == 1.0 {
            return self * 0.0;
        }
        self.drop_by(self.shape(), p, generator, stream)
    }

    /// Dropout with a mask of this shape, which stretches.
    #[track_caller]
    fn drop_by(&self, mask: &[usize], p: f32, generator: &Tensor, stream: u32) -> Tensor {
        let keep = generator.random_uniform(mask, stream).ge(&Tensor::scalar(p));
        keep.select(&self.mul_scalar(1.0 / (1.0 - p as f64)), &self.lit(0.0))
    }

    /// Dropout of whole channels of [N, C, ...]: PyTorch's `dropout1d`, `dropout2d` and `dropout3d`, by the number of further
    /// axes.
    #[track_caller]
    pub fn dropout_channels(&self, p: f32, generator: &Tensor, stream: u32) -> Tensor {
        if self.rank() < 3 {
            crate::fail("dropout_channels", format!("[N, C, spatial...] expected, not {:?}", self.shape()));
        }
        check_probability("dropout_channels", p);
        if p == 0.0 || p == 1.0 {
            return self.dropout(p, generator, stream);
        }
        let mut mask = vec![1; self.rank()];
        mask[..2].copy_from_slice(&self.shape()[..2]);
        self.drop_by(&mask, p, generator, stream)
    }

    /// Dropout for self-normalising networks: elements take SELU's lower limit with probability `p`, and the result is scaled
    /// and shifted so that mean 0 and variance 1 stay (Klambauer et al., 2017).
    #[track_caller]
    pub fn alpha_dropout(&self, p: f32, generator: &Tensor, stream: u32) -> Tensor {
        check_probability("alpha_dropout", p);
        if p == 0.0 {
            return self.clone();
        }
        if p == 1.0 {
            return self * 0.0;
        }
        const LIMIT: f64 = -1.758_099_340_847_376_6;
        let p64 = p as f64;
        let scale = 1.0 / ((1.0 - p64) * (1.0 + p64 * LIMIT * LIMIT)).sqrt();
        let keep = generator.random_uniform(self.shape(), stream).ge(&Tensor::scalar(p));
        keep.select(self, &self.lit(LIMIT)).mul_scalar(scale) + (-scale * p64 * LIMIT) as f32
    }

    /// Normal noise of this standard deviation added. `generator` is the generator's state.
    #[track_caller]
    pub fn gaussian_noise(&self, std: f32, generator: &Tensor, stream: u32) -> Tensor {
        self + (generator.random_normal(self.shape(), stream) * std).cast(self.dtype())
    }
}

#[track_caller]
fn check_probability(op: &str, p: f32) {
    if !(0.0..=1.0).contains(&p) {
        crate::fail(op, format!("p = {p} is no probability"));
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let generator = || {
        let word = |i: usize, v: u32| Tensor::full([1], v).pad(0, i, 3 - i, 0.0);
        word(0, 0x1234_5678) + word(1, 0x9abc_def0) + word(2, 7)
    };
    let mut all = vec![
        OpCase::new("random_bits", "random_bits", &[&[37]], move |x| {
            let bits = generator().random_bits([37], 5, 2);
            &x[0] * &bits.cast(DType::F32).mul_scalar(1.0 / 4294967296.0).cast(x[0].dtype())
        }),
        OpCase::new("random_uniform", "random_uniform", &[&[4, 9]], move |x| {
            &x[0] * &generator().random_uniform([4, 9], 3).cast(x[0].dtype())
        }),
        OpCase::new("random_normal", "random_normal", &[&[4, 9]], move |x| {
            &x[0] * &generator().random_normal([4, 9], 3).cast(x[0].dtype())
        })
        .tolerance(1e-4),
        OpCase::new("dropout", "dropout", &[&[11, 7]], move |x| x[0].dropout(0.3, &generator(), 1)),
        OpCase::new("dropout_channels", "dropout_channels", &[&[3, 4, 5]], move |x| {
            x[0].dropout_channels(0.4, &generator(), 2).exp()
        }),
        OpCase::new("dropout_channels", "dropout_channels of images", &[&[2, 5, 2, 3]], move |x| {
            x[0].dropout_channels(0.5, &generator(), 9)
        }),
        OpCase::new("dropout_channels", "dropout_channels of all", &[&[2, 3, 2]], move |x| {
            x[0].dropout_channels(1.0, &generator(), 2) + &x[0]
        }),
        OpCase::new("alpha_dropout", "alpha_dropout", &[&[11, 7]], move |x| x[0].alpha_dropout(0.3, &generator(), 1)),
        OpCase::new("alpha_dropout", "alpha_dropout of a row", &[&[1, 9]], move |x| {
            x[0].alpha_dropout(0.5, &generator(), 4).exp()
        }),
        OpCase::new("alpha_dropout", "alpha_dropout of nothing", &[&[0, 3]], move |x| {
            x[0].alpha_dropout(0.5, &generator(), 4)
        }),
        OpCase::new("gaussian_noise", "gaussian_noise", &[&[5, 7]], move |x| x[0].gaussian_noise(0.1, &generator(), 6)),
    ];
    // Each drawn in three shapes.
    type Draw = fn(&Tensor, &[usize]) -> Tensor;
    let draws: &[(&'static str, Draw)] = &[
        ("random_uniform_in", |g, s| g.random_uniform_in(s, 3, -2.0, 0.5)),
        ("random_int", |g, s| g.random_int(s, 3, -4, 9).cast(DType::F32)),
        ("random_int", |g, s| g.random_int(s, 3, -9, i32::MAX - 9).cast(DType::F32).mul_scalar(0.5f64.powi(31))),
        ("random_bernoulli", |g, s| {
            let p = g.random_uniform(s, 8);
            g.random_bernoulli(&p, 3).cast(DType::F32)
        }),
        ("random_exponential", |g, s| g.random_exponential(s, 3, 2.5)),
        ("random_gumbel", |g, s| g.random_gumbel(s, 3)),
        ("random_truncated_normal", |g, s| g.random_truncated_normal(s, 3, (0.5, 2.0), (-1.0, 3.0))),
        ("random_categorical", |g, s| {
            let mut wide = s.to_vec();
            wide.insert(0, 5);
            g.random_categorical(&g.random_normal(wide, 8), 0, 3).cast(DType::F32)
        }),
        ("random_categorical_cdf", |g, s| {
            let mut wide = s.to_vec();
            wide.push(5);
            g.random_categorical_cdf(&g.random_uniform(wide, 8), -1, 3).cast(DType::F32)
        }),
    ];
    for &(name, draw) in draws {
        for shape in [&[4usize, 9][..], &[1], &[3, 0]] {
            let text = format!("{name} {shape:?}");
            all.push(OpCase::new(name, text, &[shape], move |x| {
                &x[0] * &draw(&generator(), x[0].shape()).cast(x[0].dtype())
            }));
        }
    }
    all
}
