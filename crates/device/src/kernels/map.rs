//! Fused elementwise work: every output element is an expression of input elements.

use crate::{Adapter, Cost, CpuIo, DType, Expr, ExprId, ExprNode, Kernel, Pass, cpu, gpu::codegen};

/// `out[o][i] = expr[outputs[o]](i)` for every index `i` of `domain`. Outputs are dense and row-major.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Map {
    /// The extents of the index.
    pub domain: Vec<usize>,
    /// What is computed.
    pub expr: Expr,
    /// The types of the inputs' elements.
    pub inputs: Vec<DType>,
    /// For each output, the node that it stores; the node's type is the output's.
    pub outputs: Vec<ExprId>,
}

impl Map {
    /// Number of elements in the domain.
    pub fn len(&self) -> usize {
        self.domain.iter().product()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Kernel for Map {
    fn name(&self) -> String {
        let dims: Vec<_> = self.domain.iter().map(|d| d.to_string()).collect();
        format!("map {}", dims.join("x"))
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::interpret::run(self, io);
    }

    fn passes(&self, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
        codegen::map_passes(self, adapter, aliases)
    }

    fn may_alias(&self, output: usize, input: usize) -> bool {
        // In place only where every read of the input is of the element about to be written.
        self.inputs[input].size() == self.expr.dtypes[self.outputs[output]].size()
            && self.expr.nodes.iter().all(|n| match n {
                ExprNode::Load { input: i, access } => *i != input || access.is_linear(&self.domain),
                ExprNode::LoadAt { input: i, .. } => *i != input,
                _ => true,
            })
    }

    fn cost(&self) -> Cost {
        let n = self.len() as f64;
        Cost {
            flops: n * self.expr.flops() as f64,
            bytes: expr_bytes(&self.expr, &self.domain, &self.inputs) + {
                self.outputs.iter().map(|&o| n * self.expr.dtypes[o].size() as f64).sum::<f64>()
            },
        }
    }
}

/// Bytes that an expression reads from its inputs, each distinct load counted once over the extents it walks.
pub(crate) fn expr_bytes(expr: &Expr, domain: &[usize], inputs: &[DType]) -> f64 {
    expr.nodes
        .iter()
        .map(|n| match n {
            ExprNode::Load { input, access } => {
                let walked: usize = (0..domain.len())
                    .filter(|&d| access.affines().any(|a| a.strides[d] != 0))
                    .map(|d| domain[d])
                    .product();
                (walked * inputs[*input].size()) as f64
            }
            // Each index reads one element, the input at most once if it stays in a cache.
            ExprNode::LoadAt { input, len, .. } => {
                (domain.iter().product::<usize>().min(*len) * inputs[*input].size()) as f64
            }
            _ => 0.0,
        })
        .sum()
}
