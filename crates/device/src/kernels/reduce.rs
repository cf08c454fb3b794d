//! Fused reductions: an expression is evaluated over a domain and folded over its last dimensions.

use crate::kernels::map::expr_bytes;
use crate::{Adapter, Cost, CpuIo, DType, Expr, ExprId, Kernel, Pass, cpu, gpu::codegen};

/// How values are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// Sum. Of nothing: 0.
    Sum,
    /// Product. Of nothing: 1.
    Prod,
    /// Greatest. Of nothing: the least finite value of the type.
    Max,
    /// Least. Of nothing: the greatest finite value of the type.
    Min,
    /// Position of the first greatest value among the reduced elements in row-major order, as u32. Of nothing: 0.
    ArgMax,
    /// Position of the first least value, as u32.
    ArgMin,
    /// Sum of squared distances from the mean of the same values, in one pass (Welford; parts by Chan, Golub and LeVeque), of
    /// f32. Of nothing: 0.
    SquaredDeviations,
}

/// One result of a [`Reduce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduction {
    /// How.
    pub op: ReduceOp,
    /// Which node of the expression.
    pub node: ExprId,
}

/// `out[r][i] = fold over j of expr[r](i, j)`, where the domain is `keep` dimensions (walked by `i`) followed by
/// `reduce` dimensions (walked by `j`). Outputs are dense over the kept dimensions; arg-reductions store u32, the others
/// the type of their node.
///
/// Summation order is fixed by the sizes alone, never by the number of threads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// Extents of the kept dimensions.
    pub keep: Vec<usize>,
    /// Extents of the reduced dimensions.
    pub reduce: Vec<usize>,
    /// What is folded, over the domain `keep ++ reduce`.
    pub expr: Expr,
    /// The types of the inputs' elements.
    pub inputs: Vec<DType>,
    /// The results, all of the same extents.
    pub outputs: Vec<Reduction>,
}

impl Reduce {
    /// Number of elements of each output.
    pub fn kept(&self) -> usize {
        self.keep.iter().product()
    }

    /// Number of elements folded into each output element.
    pub fn reduced(&self) -> usize {
        self.reduce.iter().product()
    }

    /// `keep ++ reduce`.
    pub fn domain(&self) -> Vec<usize> {
        [&self.keep[..], &self.reduce[..]].concat()
    }

    /// The type that output `o` stores.
    pub fn output_dtype(&self, o: usize) -> DType {
        match self.outputs[o].op {
            ReduceOp::ArgMax | ReduceOp::ArgMin => DType::U32,
            _ => self.expr.dtypes[self.outputs[o].node],
        }
    }
}

impl Kernel for Reduce {
    fn name(&self) -> String {
        let dims = |s: &[usize]| s.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("x");
        format!("reduce {} over {}", dims(&self.keep), dims(&self.reduce))
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::fold::run(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        codegen::reduce_passes(self, adapter)
    }

    fn scratch(&self, adapter: &Adapter) -> usize {
        codegen::reduce_scratch(self, adapter)
    }

    fn cost(&self) -> Cost {
        let n = (self.kept() * self.reduced()) as f64;
        Cost {
            flops: n * (self.expr.flops() + self.outputs.len()) as f64,
            bytes: expr_bytes(&self.expr, &self.domain(), &self.inputs)
                + (0..self.outputs.len()).map(|o| (self.kept() * self.output_dtype(o).size()) as f64).sum::<f64>(),
        }
    }
}
