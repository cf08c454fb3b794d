//! Scalar expressions: what a fused kernel computes for each element.
//!
//! An [`Expr`] is a list of nodes in which each refers to earlier ones only. Both backends run the same list: the GPU as
//! generated WGSL (`gpu/codegen.rs`), the CPU block by block (`cpu/interpret.rs`).

use crate::{Access, Coord, DType};

/// A position in [`Expr::nodes`].
pub type ExprId = usize;

/// One step of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExprNode {
    /// The same value everywhere, given by its bits (f16 constants hold f32 bits).
    Const(u32),
    /// An element of input `input`; 0 where the access is not valid.
    Load {
        /// Which of the kernel's inputs.
        input: usize,
        /// Which element.
        access: Access,
    },
    /// The element at a computed position of input `input`, seen flat; 0 where the position is `len` or more.
    LoadAt {
        /// Which of the kernel's inputs.
        input: usize,
        /// The position, u32.
        index: ExprId,
        /// Elements of the input.
        len: usize,
    },
    /// The value of an affine function of the index, as u32 (it must not be negative).
    Index(crate::Affine),
    /// Whether all coordinates are valid here, as bool.
    Mask(Vec<Coord>),
    /// A function of one value.
    Unary(Unary, ExprId),
    /// A function of two values of the same type.
    Binary(Binary, ExprId, ExprId),
    /// `if cond { a } else { b }`: cond, a, b.
    Select(ExprId, ExprId, ExprId),
    /// Conversion to the node's type. Float to integer truncates and saturates; anything to bool compares with 0.
    Cast(ExprId),
    /// The same bits read as another 32-bit type.
    Bitcast(ExprId),
    /// The first word of Philox4x32-10 (Salmon et al., SC 2011) with key (`k0`, `k1`) and counter (`c0`, `c1`, `c2`, 0),
    /// all u32. `lane` picks one of the four words.
    Philox {
        /// Key and counter: k0, k1, c0, c1, c2.
        args: [ExprId; 5],
        /// Which output word, 0 to 3.
        lane: u32,
    },
    /// The sum that a contraction has formed for this element, rounded if it is f16 (only in an epilogue).
    Accumulator,
    /// The result of this fold of the element's row (only in [`crate::kernels::Rows`]).
    Folded(usize),
}

/// Functions of one value. The type of the result is the type of the argument unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// Arithmetic negation.
    Neg,
    /// Absolute value.
    Abs,
    /// e to the power of x.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// 1 / x.
    Recip,
    /// Sine, radians.
    Sin,
    /// Cosine, radians.
    Cos,
    /// Hyperbolic tangent.
    Tanh,
    /// e to the power of x, less 1: exact near 0 too.
    Expm1,
    /// Natural logarithm of 1 + x: exact near 0 too.
    Log1p,
    /// The angle in (-pi/2, pi/2) whose tangent is x.
    Atan,
    /// The error function.
    Erf,
    /// Its inverse.
    ErfInv,
    /// Greatest integer not above x.
    Floor,
    /// Least integer not below x.
    Ceil,
    /// Nearest integer, halves to even.
    Round,
    /// Logical not (bool).
    Not,
    /// Whether a float is neither infinite nor NaN, found by its bits. Float to bool.
    IsFinite,
}

/// Functions of two values of the same type. Comparisons yield bool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Sum (logical or on bool).
    Add,
    /// Difference.
    Sub,
    /// Product (logical and on bool).
    Mul,
    /// Quotient; integer division truncates, and by 0 is unspecified.
    Div,
    /// Remainder with the sign of the dividend, as Rust's `%`.
    Rem,
    /// The lesser.
    Min,
    /// The greater.
    Max,
    /// a to the power of b (floats).
    Pow,
    /// a < b.
    Lt,
    /// a <= b.
    Le,
    /// a == b.
    Eq,
    /// a != b.
    Ne,
    /// Bitwise or logical and (integers, bool).
    And,
    /// Bitwise or logical or (integers, bool).
    Or,
    /// Bitwise exclusive or (integers, bool).
    Xor,
    /// Shift left (u32).
    Shl,
    /// Shift right (u32, zeros come in).
    Shr,
}

impl Binary {
    /// Whether the result is bool whatever the arguments are.
    pub fn is_comparison(self) -> bool {
        matches!(self, Binary::Lt | Binary::Le | Binary::Eq | Binary::Ne)
    }
}

/// A list of scalar operations, each with the type of its result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expr {
    /// The operations; each refers to earlier ones.
    pub nodes: Vec<ExprNode>,
    /// The type of each node's value. A value of type f16 is held as f32 that has been rounded to f16.
    pub dtypes: Vec<DType>,
}

impl Expr {
    /// Adds a node, or finds the equal one that is already there.
    pub fn push(&mut self, node: ExprNode, dtype: DType) -> ExprId {
        // Expressions have tens of nodes; a linear search is faster than hashing them.
        if let Some(i) = (0..self.nodes.len()).find(|&i| self.dtypes[i] == dtype && self.nodes[i] == node) {
            return i;
        }
        self.nodes.push(node);
        self.dtypes.push(dtype);
        self.nodes.len() - 1
    }

    /// The nodes that node `id` refers to.
    pub fn args(&self, id: ExprId) -> Vec<ExprId> {
        match &self.nodes[id] {
            ExprNode::Unary(_, a) | ExprNode::Cast(a) | ExprNode::Bitcast(a) => vec![*a],
            ExprNode::LoadAt { index, .. } => vec![*index],
            ExprNode::Binary(_, a, b) => vec![*a, *b],
            ExprNode::Select(c, a, b) => vec![*c, *a, *b],
            ExprNode::Philox { args, .. } => args.to_vec(),
            _ => vec![],
        }
    }

    /// The same node with every reference passed through `f`.
    pub fn map_args(node: &ExprNode, f: impl Fn(ExprId) -> ExprId) -> ExprNode {
        match node {
            ExprNode::LoadAt { input, index, len } => ExprNode::LoadAt { input: *input, index: f(*index), len: *len },
            ExprNode::Unary(u, a) => ExprNode::Unary(*u, f(*a)),
            ExprNode::Cast(a) => ExprNode::Cast(f(*a)),
            ExprNode::Bitcast(a) => ExprNode::Bitcast(f(*a)),
            ExprNode::Binary(b, x, y) => ExprNode::Binary(*b, f(*x), f(*y)),
            ExprNode::Select(c, a, b) => ExprNode::Select(f(*c), f(*a), f(*b)),
            ExprNode::Philox { args, lane } => ExprNode::Philox { args: args.map(&f), lane: *lane },
            other => other.clone(),
        }
    }

    /// Every affine function in the expression, to be changed in place.
    pub fn affines_mut(&mut self) -> Vec<&mut crate::Affine> {
        let mut all = vec![];
        for node in &mut self.nodes {
            match node {
                ExprNode::Load { access, .. } => all.extend(access.affines_mut()),
                ExprNode::Index(a) => all.push(a),
                ExprNode::Mask(coords) => all.extend(coords.iter_mut().map(|c| &mut c.affine)),
                _ => {}
            }
        }
        all
    }

    /// Arithmetic operations done for each element.
    pub fn flops(&self) -> usize {
        self.nodes
            .iter()
            .map(|n| match n {
                ExprNode::Unary(..) | ExprNode::Binary(..) | ExprNode::Select(..) => 1,
                ExprNode::Philox { .. } => 60,
                _ => 0,
            })
            .sum()
    }
}

/// The nodes that `ids` depend on.
pub(crate) fn reachable(expr: &Expr, ids: &[ExprId]) -> Vec<bool> {
    let mut used = vec![false; expr.nodes.len()];
    let mut stack = ids.to_vec();
    while let Some(id) = stack.pop() {
        if !std::mem::replace(&mut used[id], true) {
            stack.extend(expr.args(id));
        }
    }
    used
}

/// Merges neighbouring dimensions of a domain that every affine function walks as one, and drops those of extent 1.
/// `barrier` is a dimension that must stay a boundary (the first reduced one), given and returned as a count of the
/// dimensions before it.
pub fn collapse(shape: &mut Vec<usize>, barrier: usize, expr: &mut Expr) -> usize {
    let mut affines = expr.affines_mut();
    let mut d = 0;
    let mut barrier = barrier;
    while d < shape.len() {
        if shape[d] == 1 {
            shape.remove(d);
            affines.iter_mut().for_each(|a| {
                a.strides.remove(d);
            });
            if d < barrier {
                barrier -= 1;
            }
        } else {
            d += 1;
        }
    }
    let mut d = 0;
    while d + 1 < shape.len() {
        let n = shape[d + 1] as i64;
        if d + 1 != barrier && affines.iter().all(|a| a.strides[d] == a.strides[d + 1] * n) {
            shape[d + 1] *= shape[d];
            shape.remove(d);
            affines.iter_mut().for_each(|a| {
                a.strides.remove(d);
            });
            if d < barrier {
                barrier -= 1;
            }
        } else {
            d += 1;
        }
    }
    barrier
}
