//! Tensors as immutable expressions.

use crate::error::{ShapeError, raise};
use crate::op::Op;
use crate::ops::leaf::{Full, Init, Input, Scalar, StateLeaf};
use crate::shape::count;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wgrad_device::DType;

/// An expression: an operation, its arguments, and the shape and type of its value, known when it is built.
///
/// A tensor is a handle that is cheap to clone. Building one computes nothing; [`crate::Program::compile`] turns the
/// expressions that are wanted into kernels.
///
/// # Panics
/// Builders panic with a [`ShapeError`] that names the operation, both shapes and the caller's file and line;
/// [`crate::checked`] turns that into a `Result`.
#[derive(Clone)]
pub struct Tensor(Arc<Node>);

struct Node {
    id: u64,
    op: Arc<dyn Op>,
    inputs: Vec<Tensor>,
    shape: Vec<usize>,
    dtype: DType,
    site: &'static Location<'static>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Tensor {
    /// Applies an operation: one of this crate's, or a user's own.
    #[track_caller]
    pub fn apply(op: impl Op, inputs: &[&Tensor]) -> Tensor {
        let site = Location::caller();
        match op.infer(inputs) {
            Ok((shape, dtype)) => {
                if count(&shape) >= 1 << 31 {
                    raise(ShapeError {
                        op: op.name().into(),
                        reason: format!("a result of shape {shape:?} has 2^31 elements or more"),
                        site,
                    })
                }
                Tensor::from_parts(Arc::new(op), inputs.iter().map(|&t| t.clone()).collect(), shape, dtype, site)
            }
            Err(reason) => raise(ShapeError { op: op.name().into(), reason, site }),
        }
    }

    fn from_parts(
        op: Arc<dyn Op>,
        inputs: Vec<Tensor>,
        shape: Vec<usize>,
        dtype: DType,
        site: &'static Location<'static>,
    ) -> Tensor {
        // Ids grow from arguments to results, so ascending ids are a topological order.
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Tensor(Arc::new(Node { id, op, inputs, shape, dtype, site }))
    }

    /// The same operation on other arguments of the same shapes and types.
    pub(crate) fn with_inputs(&self, inputs: Vec<Tensor>) -> Tensor {
        Tensor::from_parts(self.0.op.clone(), inputs, self.0.shape.clone(), self.0.dtype, self.0.site)
    }

    /// The same elementwise operation on arguments of another shape.
    pub(crate) fn with_shape(&self, shape: &[usize], inputs: Vec<Tensor>) -> Tensor {
        Tensor::from_parts(self.0.op.clone(), inputs, shape.to_vec(), self.0.dtype, self.0.site)
    }

    /// Another operation in this tensor's place: of the same shape and type, from the same place in the user's code.
    pub(crate) fn replaced_by(&self, op: impl Op, inputs: Vec<Tensor>) -> Tensor {
        Tensor::from_parts(Arc::new(op), inputs, self.0.shape.clone(), self.0.dtype, self.0.site)
    }

    /// A tensor that is given at each run, by name.
    #[track_caller]
    pub fn input(name: impl Into<String>, shape: impl Into<Vec<usize>>, dtype: DType) -> Tensor {
        Tensor::apply(Input { name: name.into(), shape: shape.into(), dtype }, &[])
    }

    /// A tensor that lives in [`crate::State`] under `name`, from run to run: a parameter, a running statistic, an
    /// optimiser's moment. Leaves of the same name are the same tensor.
    #[track_caller]
    pub fn state(name: impl Into<String>, shape: impl Into<Vec<usize>>, dtype: DType, init: Init) -> Tensor {
        Tensor::apply(StateLeaf { name: name.into(), shape: shape.into(), dtype, init }, &[])
    }

    /// A tensor of one value.
    #[track_caller]
    pub fn full(shape: impl Into<Vec<usize>>, value: impl Into<Scalar>) -> Tensor {
        Tensor::apply(Full { shape: shape.into(), value: value.into() }, &[])
    }

    /// A tensor of zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Vec<usize>>, dtype: DType) -> Tensor {
        Tensor::full(shape, Scalar::new(dtype, 0.0))
    }

    /// A tensor of ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Vec<usize>>, dtype: DType) -> Tensor {
        Tensor::full(shape, Scalar::new(dtype, 1.0))
    }

    /// A tensor without dimensions that holds `value`.
    #[track_caller]
    pub fn scalar(value: impl Into<Scalar>) -> Tensor {
        Tensor::full(vec![], value)
    }

    /// `value` in this tensor's type, without dimensions.
    #[track_caller]
    pub(crate) fn lit(&self, value: f64) -> Tensor {
        Tensor::full(vec![], Scalar::new(self.dtype(), value))
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.shape.len()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        count(&self.0.shape)
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The extents as an array.
    ///
    /// # Panics
    /// If the tensor has another rank.
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        match self.shape().try_into() {
            Ok(d) => d,
            Err(_) => crate::fail("dims", format!("{N} dimensions expected, but the shape is {:?}", self.shape())),
        }
    }

    /// The operation that makes this tensor.
    pub fn op(&self) -> &dyn Op {
        &*self.0.op
    }

    /// The operation's arguments.
    pub fn inputs(&self) -> &[Tensor] {
        &self.0.inputs
    }

    /// Where in the user's code the expression was built.
    pub fn site(&self) -> &'static Location<'static> {
        self.0.site
    }

    /// A number that grows from arguments to results.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name, if this is an input or a state tensor.
    pub fn name(&self) -> Option<&str> {
        self.op().leaf_name()
    }

    /// Axis `axis`, counted from the end if negative.
    #[track_caller]
    pub(crate) fn axis(&self, op: &str, axis: isize) -> usize {
        let rank = self.rank() as isize;
        let a = if axis < 0 { axis + rank } else { axis };
        if a < 0 || a >= rank {
            crate::fail(op, format!("no axis {axis} in shape {:?}", self.shape()));
        }
        a as usize
    }

    /// Axes without repeats, ascending; counted from the end where negative.
    #[track_caller]
    pub(crate) fn axes(&self, op: &str, axes: &[isize]) -> Vec<usize> {
        let mut all = Vec::with_capacity(axes.len());
        // A loop, because a closure would hide the caller's place from the error.
        for &a in axes {
            all.push(self.axis(op, a));
        }
        all.sort_unstable();
        if all.windows(2).any(|w| w[0] == w[1]) {
            crate::fail(op, format!("an axis is named twice in {axes:?}"));
        }
        all
    }
}

impl Drop for Node {
    /// Frees long chains without recursion: a deep graph would overflow the stack.
    fn drop(&mut self) {
        let mut stack = std::mem::take(&mut self.inputs);
        while let Some(Tensor(node)) = stack.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                stack.append(&mut node.inputs);
            }
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?} {} {:?})", self.op(), self.dtype(), self.shape())
    }
}
