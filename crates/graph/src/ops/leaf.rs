//! Leaves: inputs, state, constants, the index along an axis.

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use std::fmt;
use std::sync::Arc;
use wgrad_device::DType;

/// One value with its type.
#[derive(Clone, Copy, PartialEq)]
pub struct Scalar {
    dtype: DType,
    bits: u32,
}

impl Scalar {
    /// `value`, rounded to `dtype`.
    pub fn new(dtype: DType, value: f64) -> Scalar {
        let bits = match dtype {
            DType::F32 => (value as f32).to_bits(),
            DType::F16 => half::f16::from_f64(value).to_f32().to_bits(),
            DType::U32 => value as u32,
            DType::I32 => value as i32 as u32,
            DType::Bool => (value != 0.0) as u32,
        };
        Scalar { dtype, bits }
    }

    /// The value.
    pub fn value(self) -> f64 {
        match self.dtype {
            DType::F32 | DType::F16 => f32::from_bits(self.bits) as f64,
            DType::U32 | DType::Bool => self.bits as f64,
            DType::I32 => self.bits as i32 as f64,
        }
    }

    /// The value's 32 bits (f16 values as f32).
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The type.
    pub fn dtype(self) -> DType {
        self.dtype
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bits as well, so that -0 and 0, or two NaNs, print differently.
        write!(f, "{}{}#{:x}", self.value(), self.dtype, self.bits)
    }
}

impl From<f32> for Scalar {
    fn from(x: f32) -> Self {
        Scalar { dtype: DType::F32, bits: x.to_bits() }
    }
}

impl From<u32> for Scalar {
    fn from(x: u32) -> Self {
        Scalar { dtype: DType::U32, bits: x }
    }
}

impl From<i32> for Scalar {
    fn from(x: i32) -> Self {
        Scalar { dtype: DType::I32, bits: x as u32 }
    }
}

impl From<bool> for Scalar {
    fn from(x: bool) -> Self {
        Scalar { dtype: DType::Bool, bits: x as u32 }
    }
}

/// What a state tensor holds before the first run.
///
/// Random values are drawn on the host from Philox, keyed by the seed and the tensor's name: they are the same on every
/// backend, and do not depend on what else a model has.
#[derive(Clone, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform in [lo, hi).
    Uniform(f32, f32),
    /// Normal with mean and standard deviation.
    Normal(f32, f32),
    /// Given values, row-major.
    Data(Arc<[f32]>),
    /// The state of the random generator: the seed's two words, step 0, and 0 (u32, shape `[4]`).
    Generator,
}

impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Init::Constant(c) => write!(f, "constant {c}"),
            Init::Uniform(a, b) => write!(f, "uniform {a}..{b}"),
            Init::Normal(m, s) => write!(f, "normal {m}, {s}"),
            Init::Data(d) => write!(f, "data {:?}", Arc::as_ptr(d)),
            Init::Generator => f.write_str("generator"),
        }
    }
}

/// See [`Tensor::input`].
#[derive(Debug)]
pub struct Input {
    /// The name that a run binds.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its type.
    pub dtype: DType,
}

impl Op for Input {
    fn name(&self) -> &'static str {
        "input"
    }
    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((self.shape.clone(), self.dtype))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![])
    }
    fn reference(&self, _: &[&Array], _: &[usize]) -> Array {
        unreachable!("leaves are bound by the evaluator")
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Input(self)
    }
    fn leaf_name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

/// See [`Tensor::state`].
#[derive(Debug)]
pub struct StateLeaf {
    /// The name in the state and in checkpoints.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its type.
    pub dtype: DType,
    /// What it starts as.
    pub init: Init,
}

impl Op for StateLeaf {
    fn name(&self) -> &'static str {
        "state"
    }
    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let count: usize = self.shape.iter().product();
        match &self.init {
            Init::Data(d) if d.len() != count => {
                Err(format!("{:?} has {count} elements, but {} initial values are given", self.shape, d.len()))
            }
            Init::Generator if self.shape != [4] || self.dtype != DType::U32 => {
                Err(format!("a generator is u32 [4], not {} {:?}", self.dtype, self.shape))
            }
            _ => Ok((self.shape.clone(), self.dtype)),
        }
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![])
    }
    fn reference(&self, _: &[&Array], _: &[usize]) -> Array {
        unreachable!("leaves are bound by the evaluator")
    }
    fn lower(&self) -> Lower<'_> {
        Lower::State(self)
    }
    fn leaf_name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

/// See [`Tensor::full`].
#[derive(Debug)]
pub struct Full {
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its value.
    pub value: Scalar,
}

impl Op for Full {
    fn name(&self) -> &'static str {
        "full"
    }
    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((self.shape.clone(), self.value.dtype()))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![])
    }
    fn reference(&self, _: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |_| self.value.value())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Constant(self.value.bits())
    }
}

/// See [`Tensor::iota`].
#[derive(Debug)]
pub struct Iota {
    shape: Vec<usize>,
    axis: usize,
}

impl Op for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }
    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if self.axis >= self.shape.len() {
            return Err(format!("no axis {} in shape {:?}", self.axis, self.shape));
        }
        Ok((self.shape.clone(), DType::U32))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![])
    }
    fn reference(&self, _: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| i[self.axis] as f64)
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Iota(self.axis)
    }
}

impl Tensor {
    /// The index along `axis`, as u32.
    #[track_caller]
    pub fn iota(shape: impl Into<Vec<usize>>, axis: usize) -> Tensor {
        Tensor::apply(Iota { shape: shape.into(), axis }, &[])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    vec![
        OpCase::new("full", "full [3,2]", &[&[3, 2]], |x| {
            &x[0] * &Tensor::full([3, 2], Scalar::new(x[0].dtype(), 1.5))
        }),
        OpCase::new("iota", "iota axis 1", &[&[3, 5]], |x| &x[0] * &Tensor::iota([3, 5], 1).cast(x[0].dtype())),
        OpCase::new("iota", "iota axis 0 of 1", &[&[1]], |x| &x[0] * &Tensor::iota([1], 0).cast(x[0].dtype())),
        OpCase::new("input", "an empty input", &[&[0, 3]], |x| &x[0] * 2.0),
        OpCase::new("state", "a state leaf", &[&[3]], |x| {
            &x[0] * &Tensor::state("case.state", [3], x[0].dtype(), Init::Constant(0.25))
        }),
    ]
}
