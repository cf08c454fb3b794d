//! Order: the stable sort that everything about ranks is made of, and keys that make any number sortable.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;
use wgrad_device::kernels::Sort;

/// Argument: u32 keys; along the last axis.
#[derive(Debug)]
struct Argsort(Sort);

impl Op for Argsort {
    fn name(&self) -> &'static str {
        "argsort"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), DType::U32))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![None])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let sorted = |row: &[f64]| {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
            order.into_iter().map(|i| i as f64).collect::<Vec<_>>()
        };
        Array::new(shape, inputs[0].data.chunks(self.0.n.max(1)).flat_map(sorted).collect())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.0.clone()))
    }
}

impl Tensor {
    /// u32 numbers in the order of these values: NaN comes last, -0 equals +0.
    #[track_caller]
    pub(crate) fn sort_keys(&self) -> Tensor {
        let word = |bits: u32| Tensor::scalar(bits);
        match self.dtype() {
            DType::U32 => self.clone(),
            DType::Bool => self.cast(DType::U32),
            DType::I32 => {
                // No sum leaves the range of its type.
                let low = (self - self.lit(i32::MIN as f64)).cast(DType::U32);
                let high = self.cast(DType::U32).logical_or(&word(1 << 31));
                self.lt(&self.lit(0.0)).select(&low, &high)
            }
            DType::F16 | DType::F32 => {
                let bits = self.stop_gradient().cast(DType::F32).bitcast(DType::U32);
                let magnitude = bits.logical_and(&word(0x7fff_ffff));
                let negative = bits.shr(&word(31)).equal(&word(1));
                // The more of a magnitude, the less of a negative number.
                let below = magnitude.logical_xor(&word(0x7fff_ffff));
                let above = magnitude.logical_or(&word(0x8000_0000));
                let zero = magnitude.equal(&word(0));
                let key = negative.select(&zero.select(&word(0x8000_0000), &below), &above);
                magnitude.gt(&word(0x7f80_0000)).select(&word(u32::MAX), &key)
            }
        }
    }

    /// The places along the last axis of these u32 keys in ascending order; equal ones keep their order.
    #[track_caller]
    pub(crate) fn argsort_keys(&self) -> Tensor {
        if self.dtype() != DType::U32 || self.rank() == 0 {
            crate::fail("argsort", format!("u32 keys along an axis expected, not {} {:?}", self.dtype(), self.shape()));
        }
        let n = self.shape()[self.rank() - 1];
        let rows = self.shape()[..self.rank() - 1].iter().product();
        Tensor::apply(Argsort(Sort { rows, n }), &[self])
    }
}

/// u32 numbers from 0 to `below` made from floats in [0, 1), since test inputs are floats.
pub(crate) fn numbers(x: &Tensor, below: usize) -> Tensor {
    (x.in_f32() * below as f32).floor().stop_gradient().cast(DType::U32)
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |text: &str, shape: &[usize], kinds: usize| {
        OpCase::new("argsort", format!("argsort of keys, {text} {shape:?}"), &[shape], move |x| {
            let order = numbers(&x[0], kinds).argsort_keys();
            &x[0].square() * &order.cast(x[0].dtype()).mul_scalar(0.1)
        })
        .domain(0.0, 1.0)
    };
    vec![
        case("different", &[3, 11], 1 << 20),
        case("equal", &[2, 3, 13], 4),
        case("past a run", &[1, 131], 40),
        case("of nothing", &[2, 0], 3),
        case("of one", &[3, 1], 3),
    ]
}
