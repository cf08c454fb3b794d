//! The operations, one file each.

pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod custom;
pub(crate) mod expand;
pub mod leaf;
pub(crate) mod matmul;
pub(crate) mod pack;
pub(crate) mod pad;
pub(crate) mod permute;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod reshape;
pub(crate) mod select;
pub(crate) mod slice;
pub(crate) mod softmax;
pub(crate) mod taps;
pub(crate) mod unary;

use crate::Tensor;
use std::fmt;
use std::sync::Arc;

/// Builds an expression from its arguments.
pub type Build = dyn Fn(&[Tensor]) -> Tensor + Send + Sync;

/// A small expression that tests run an operation through: against the f64 reference, against finite differences, on
/// every backend, optimised and not.
#[derive(Clone)]
pub struct OpCase {
    /// The operation under test.
    pub op: &'static str,
    /// What is special about this case.
    pub name: String,
    /// Shapes of the f32 arguments.
    pub inputs: Vec<Vec<usize>>,
    /// Arguments are drawn uniformly from here.
    pub domain: (f64, f64),
    /// Builds the expression.
    pub build: Arc<Build>,
    /// Allowed difference from the reference, relative to 1 + |reference|.
    pub tolerance: f64,
    /// Whether the gradient is the limit of difference quotients.
    pub differences: bool,
}

impl OpCase {
    pub(crate) fn new(
        op: &'static str,
        name: impl Into<String>,
        inputs: &[&[usize]],
        build: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> OpCase {
        OpCase {
            op,
            name: name.into(),
            inputs: inputs.iter().map(|s| s.to_vec()).collect(),
            domain: (-1.0, 1.0),
            build: Arc::new(build),
            tolerance: 1e-5,
            differences: true,
        }
    }

    pub(crate) fn domain(mut self, lo: f64, hi: f64) -> OpCase {
        self.domain = (lo, hi);
        self
    }

    pub(crate) fn tolerance(mut self, tolerance: f64) -> OpCase {
        self.tolerance = tolerance;
        self
    }

    /// For gradients that are defined otherwise than by differences (rounding, stopped gradients).
    pub(crate) fn no_difference(mut self) -> OpCase {
        self.differences = false;
        self
    }
}

impl fmt::Debug for OpCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.name)
    }
}

/// Every primitive operation, by the name that [`crate::op::Op::name`] gives. Building one that is not listed fails in
/// debug builds, and one that no case covers fails a test.
pub const NAMES: &[&str] = &[
    "input",
    "state",
    "full",
    "iota",
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "recip",
    "sin",
    "cos",
    "tanh",
    "floor",
    "ceil",
    "round",
    "not",
    "is_finite",
    "cast",
    "bitcast",
    "add",
    "sub",
    "mul",
    "div",
    "rem",
    "minimum",
    "maximum",
    "pow",
    "lt",
    "le",
    "eq",
    "ne",
    "and",
    "or",
    "xor",
    "shl",
    "shr",
    "select",
    "random_bits",
    "reshape",
    "permute",
    "expand",
    "slice",
    "pad",
    "tap_gather",
    "tap_scatter",
    "with_gradient",
    "stop_gradient",
    "sum",
    "max",
    "min",
    "argmax",
    "argmin",
    "matmul",
    "conv",
    "conv_input_grad",
    "conv_weight_grad",
    "pack",
];

/// Every operation's test cases, file by file. An operation that is built but stands in no case fails a test.
pub fn registry() -> Vec<OpCase> {
    [
        leaf::cases(),
        unary::cases(),
        binary::cases(),
        select::cases(),
        random::cases(),
        reshape::cases(),
        permute::cases(),
        expand::cases(),
        slice::cases(),
        pad::cases(),
        taps::cases(),
        custom::cases(),
        reduce::cases(),
        matmul::cases(),
        conv::cases(),
        pack::cases(),
        pool::cases(),
        batch_norm::cases(),
        softmax::cases(),
        cross_entropy::cases(),
    ]
    .concat()
}
