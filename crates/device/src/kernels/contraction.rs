//! The one tiled contraction behind matrix product, convolution and both gradients of convolution.
//!
//! `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`, where each of the four axes may itself be a product of several
//! (an output pixel is image, row and column; an inner index is channel, kernel row and kernel column), and the readers
//! of A and B and the writer of C say where an element lies in memory. What differs between the operations is only these.

use crate::{Access, Adapter, Affine, Cost, CpuIo, DType, Expr, ExprId, Kernel, Pass, cpu, gpu};

/// Where the elements of an operand lie.
///
/// The access is a function of the sub-axes in the order batch, row, column of that operand: for A batch, m, k; for B
/// batch, k, n; for C batch, m, n. Elements at invalid positions read as 0.
pub type Reader = Access;

/// What is done to a sum before it is stored: an expression over the C index (batch, m, n sub-axes) in which
/// [`crate::ExprNode::Accumulator`] is the sum. Its inputs are the contraction's inputs 2, 3, ... in order (input 0 of the
/// expression is the contraction's input 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// The expression.
    pub expr: Expr,
    /// The node that is stored; it must be f32.
    pub output: ExprId,
    /// The types of the expression's inputs.
    pub inputs: Vec<DType>,
}

/// See the module's comment. All operands are f32; input 0 is A, input 1 is B, the output is C.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contraction {
    /// What it stands for in profiles: `matmul`, `conv2d`, ...
    pub label: &'static str,
    /// Sub-axes of the batch.
    pub batch: Vec<usize>,
    /// Sub-axes of C's rows.
    pub m: Vec<usize>,
    /// Sub-axes of C's columns. The last one should be contiguous in B and C where there is a choice.
    pub n: Vec<usize>,
    /// Sub-axes of the sum.
    pub k: Vec<usize>,
    /// Reads A.
    pub a: Reader,
    /// Reads B.
    pub b: Reader,
    /// Writes C: every element of the output exactly once.
    pub c: Affine,
    /// Applied to each sum.
    pub epilogue: Option<Epilogue>,
}

impl Contraction {
    /// Batch count, rows, columns and inner extent.
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        let p = |v: &[usize]| v.iter().product();
        (p(&self.batch), p(&self.m), p(&self.n), p(&self.k))
    }
}

impl Kernel for Contraction {
    fn name(&self) -> String {
        let (b, m, n, k) = self.sizes();
        if b == 1 { format!("{} {m}x{n}x{k}", self.label) } else { format!("{} {b}*{m}x{n}x{k}", self.label) }
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::contraction::run(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        gpu::contraction::passes(self, adapter)
    }

    fn scratch(&self, adapter: &Adapter) -> usize {
        gpu::contraction::scratch(self, adapter)
    }

    fn cost(&self) -> Cost {
        let (b, m, n, k) = self.sizes();
        Cost {
            flops: 2.0 * b as f64 * m as f64 * n as f64 * k as f64,
            // A tight bound would need each operand's own size; the three matrices are close enough for a profile.
            bytes: 4.0 * (b * (m * n)) as f64 + 4.0 * (b * (m * k)) as f64 + 4.0 * (b * (k * n)) as f64,
        }
    }
}
