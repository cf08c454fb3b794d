//! The contract of an operation.

use crate::Tensor;
use crate::shape::{count, for_each_index, position};
use std::fmt::Debug;
use std::sync::Arc;
use wgrad_device::kernels::ReduceOp;
use wgrad_device::{Affine, Binary, DType, Kernel, Unary};

/// An operation: one file in `ops/`.
///
/// Equal operations must print equally by `Debug`, parameters included: the compiler shares equal expressions by that.
pub trait Op: Debug + Send + Sync + std::any::Any {
    /// The name under which users know it.
    fn name(&self) -> &'static str;

    /// The shape rule: shape and type of the result, or what does not fit (with the shapes).
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String>;

    /// The gradient rule: for each input, the gradient of the loss with respect to it, given `grad`, the gradient with
    /// respect to `output`; `None` where none flows by definition (integers). An operation that cannot be differentiated
    /// says so instead of stopping the gradient.
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String>;

    /// The value in f64, by the plainest code there is. Tests hold kernels and gradient rules against it.
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array;

    /// How the compiler turns it into kernels.
    fn lower(&self) -> Lower<'_>;

    /// The name, if this is a leaf that is bound by name.
    fn leaf_name(&self) -> Option<&str> {
        None
    }
}

impl dyn Op {
    /// The operation as a concrete type, if it is one.
    pub(crate) fn downcast<T: Op>(&self) -> Option<&T> {
        (self as &dyn std::any::Any).downcast_ref()
    }
}

/// How an operation becomes (part of) a kernel.
#[allow(clippy::large_enum_variant)] // short-lived
pub enum Lower<'a> {
    /// Given from outside by name: an input.
    Input(&'a crate::ops::leaf::Input),
    /// Given from outside by name: a state tensor.
    State(&'a crate::ops::leaf::StateLeaf),
    /// One value everywhere, by its bits (f16 as f32 bits).
    Constant(u32),
    /// The index along an axis.
    Iota(usize),
    /// A function of one value.
    Unary(Unary),
    /// A function of two values of one type and shape.
    Binary(Binary),
    /// Cond, a, b.
    Select,
    /// Conversion to the result's type.
    Cast,
    /// Reinterpretation of the bits.
    Bitcast,
    /// Word `lane` of Philox; input: the generator's state [seed low, seed high, step, 0]; counter: element, stream, step.
    Random {
        /// Distinguishes users of the same generator.
        stream: u32,
        /// Which of the four words.
        lane: u32,
    },
    /// Elements of input 0 in other places; [`View::map`] says which.
    View(&'a dyn View),
    /// A fold over axes, which are dropped.
    Reduce(ReduceOp, &'a [usize]),
    /// Elements of input 0, seen flat, at the positions that input 1 (u32) holds; 0 where there is no such element.
    Take,
    /// A contraction of inputs 0 and 1.
    Contraction(ContractionSpec),
    /// A kernel of the operation's own. Its inputs are the operation's, dense and row-major; its one output is the result.
    Kernel(Arc<dyn Kernel>),
    /// Inputs laid one after another in one buffer; `offsets[i]` is where input `i` starts, in elements.
    Pack(Vec<usize>),
}

/// A view: each element of the result is an element of input 0, or a fill value.
pub trait View {
    /// Turns a map of positions in the result into the map of positions in the input, or `None` if it cannot be written
    /// as affine functions (the input is then stored first).
    fn map(&self, map: &IndexMap, input: &[usize], output: &[usize]) -> Option<IndexMap>;

    /// What stands where the new guards fail. 0 unless said otherwise.
    fn fill(&self) -> f64 {
        0.0
    }

    /// Whether only the shape changes, not the order of the elements.
    fn is_reshape(&self) -> bool {
        false
    }
}

/// The view that changes nothing.
pub(crate) struct Same;

impl View for Same {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        Some(map.clone())
    }
    fn is_reshape(&self) -> bool {
        true
    }
}

/// A position in a tensor as a function of a kernel's index: one [`DimIndex`] for each dimension, valid where all guards
/// hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexMap {
    /// The coordinates.
    pub dims: Vec<DimIndex>,
    /// Conditions for the position to exist.
    pub guards: Vec<Guard>,
}

/// A coordinate `affine / div`, known to divide where the guards hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DimIndex {
    /// The numerator.
    pub affine: Affine,
    /// The divisor.
    pub div: usize,
}

/// `affine` is divisible by `div`, and `0 <= affine / div < len`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The numerator.
    pub affine: Affine,
    /// The divisor.
    pub div: usize,
    /// The extent.
    pub len: usize,
}

impl From<Affine> for DimIndex {
    fn from(affine: Affine) -> Self {
        DimIndex { affine, div: 1 }
    }
}

impl IndexMap {
    /// The map that yields the index itself.
    pub fn identity(rank: usize) -> IndexMap {
        IndexMap { dims: (0..rank).map(|d| Affine::dim(rank, d).into()).collect(), guards: vec![] }
    }
}

/// A contraction in terms of the operands' coordinates. See [`wgrad_device::kernels::Contraction`]; `a` and `b` map the
/// sub-axes (batch, m, k) and (batch, k, n) to positions in inputs 0 and 1.
#[derive(Clone, Debug)]
pub struct ContractionSpec {
    /// For profiles.
    pub label: &'static str,
    /// Sub-axes of the batch.
    pub batch: Vec<usize>,
    /// Sub-axes of the rows.
    pub m: Vec<usize>,
    /// Sub-axes of the columns.
    pub n: Vec<usize>,
    /// Sub-axes of the sum.
    pub k: Vec<usize>,
    /// Where A's elements are.
    pub a: IndexMap,
    /// Where B's elements are.
    pub b: IndexMap,
    /// Where C's elements go, in a dense result.
    pub c: Affine,
}

/// A tensor's value in the f64 reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The extents.
    pub shape: Vec<usize>,
    /// The elements, row-major. Integers and booleans are held exactly.
    pub data: Vec<f64>,
}

impl Array {
    /// An array from its elements.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f64>) -> Array {
        let shape = shape.into();
        assert_eq!(count(&shape), data.len(), "shape {shape:?}");
        Array { shape, data }
    }

    /// An array computed index by index.
    pub fn from_fn(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Array {
        let mut data = Vec::with_capacity(count(shape));
        for_each_index(shape, |i| data.push(f(i)));
        Array { shape: shape.to_vec(), data }
    }

    /// The element at `index`.
    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[position(&self.shape, index)]
    }

    /// `f` of each element.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array { shape: self.shape.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }
}
