//! The one tiled contraction behind matrix product, convolution and both gradients of convolution.
//!
//! `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`, where each of the four axes may itself be a product of several
//! (an output pixel is image, row and column; an inner index is channel, kernel row and kernel column), and the readers
//! of A and B and the writer of C say where an element lies in memory. What differs between the operations is only these.

use crate::{Access, Adapter, Affine, Choices, Cost, CpuIo, DType, Expr, ExprId, Kernel, Pass, cpu, gpu};

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
    /// The nodes that are stored: the first is C and has its type, others are outputs of their own, laid out as C is. (What a
    /// gradient needs of a value, say: the sum, beside the activation of it.)
    pub outputs: Vec<ExprId>,
    /// The types of the expression's inputs.
    pub inputs: Vec<DType>,
}

/// See the module's comment. Input 0 is A, input 1 is B, the output is C, and what else the epilogue stores. Each is f32 or f16; products are summed in f32.
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
    /// The types of A's and B's elements.
    pub operands: [DType; 2],
    /// The type of C's elements: a sum is rounded to it when it is stored.
    pub output: DType,
    /// Applied to each sum.
    pub epilogue: Option<Epilogue>,
}

impl Contraction {
    /// The same contraction with as few sub-axes and guards as possible: sub-axes of extent 1 are dropped, neighbours
    /// that every reader and writer walks as one are merged, guards that cannot fail are removed.
    pub fn simplified(mut self) -> Contraction {
        let domain = |x: &[usize], y: &[usize]| [&self.batch[..], x, y].concat();
        self.a = self.a.clone().simplify(&domain(&self.m, &self.k));
        self.b = self.b.clone().simplify(&domain(&self.k, &self.n));
        // Which lists of strides hold a sub-axis, and where: a is over (batch, m, k), b over (batch, k, n), c and the
        // epilogue over (batch, m, n).
        for axis in [Axis::Batch, Axis::M, Axis::N, Axis::K] {
            let mut d = 0;
            while d < self.extents(axis).len() {
                if self.extents(axis)[d] == 1 {
                    self.strides(axis, d).into_iter().for_each(|(s, at)| {
                        s.remove(at);
                    });
                    self.extents_mut(axis).remove(d);
                } else {
                    d += 1;
                }
            }
            let mut d = 0;
            while d + 1 < self.extents(axis).len() {
                let n = self.extents(axis)[d + 1];
                let one = self.strides(axis, d).iter().all(|(s, at)| s[*at] == s[at + 1] * n as i64);
                if one {
                    self.strides(axis, d).into_iter().for_each(|(s, at)| {
                        s.remove(at);
                    });
                    let merged = self.extents(axis)[d] * n;
                    self.extents_mut(axis)[d + 1] = merged;
                    self.extents_mut(axis).remove(d);
                } else {
                    d += 1;
                }
            }
        }
        self
    }

    /// The same contraction with the sub-axes of C cut so that each lies within one dimension of C seen as a dense tensor of
    /// this `shape`; or `None` if one would have to be cut in the middle of an element of another dimension.
    pub fn cut(mut self, shape: &[usize]) -> Option<Contraction> {
        let steps = crate::row_major_strides(shape);
        let mut first = 0;
        for axis in [Axis::Batch, Axis::M, Axis::N] {
            let mut d = 0;
            while d < self.extents(axis).len() {
                let (n, step) = (self.extents(axis)[d], self.c.strides[first + d]);
                let inside = |s: &&i64| step < **s && **s < step * n as i64;
                match steps.iter().filter(inside).max() {
                    Some(s) if s % step != 0 || step * n as i64 % s != 0 => return None,
                    Some(s) => {
                        let inner = s / step;
                        self.strides(axis, d).into_iter().for_each(|(all, at)| all.insert(at, all[at] * inner));
                        self.extents_mut(axis)[d] = inner as usize;
                        self.extents_mut(axis).insert(d, n / inner as usize);
                    }
                    None => d += 1,
                }
            }
            first += d;
        }
        Some(self)
    }

    fn extents(&self, axis: Axis) -> &Vec<usize> {
        match axis {
            Axis::Batch => &self.batch,
            Axis::M => &self.m,
            Axis::N => &self.n,
            Axis::K => &self.k,
        }
    }

    fn extents_mut(&mut self, axis: Axis) -> &mut Vec<usize> {
        match axis {
            Axis::Batch => &mut self.batch,
            Axis::M => &mut self.m,
            Axis::N => &mut self.n,
            Axis::K => &mut self.k,
        }
    }

    /// Every list of strides that has sub-axis `d` of `axis`, with its place in the list.
    fn strides(&mut self, axis: Axis, d: usize) -> Vec<(&mut Vec<i64>, usize)> {
        let (b, m, k) = (self.batch.len(), self.m.len(), self.k.len());
        let (in_a, in_b, in_c) = match axis {
            Axis::Batch => (Some(d), Some(d), Some(d)),
            Axis::M => (Some(b + d), None, Some(b + d)),
            Axis::N => (None, Some(b + k + d), Some(b + m + d)),
            Axis::K => (Some(b + m + d), Some(b + d), None),
        };
        let mut all: Vec<(&mut Vec<i64>, usize)> = vec![];
        if let Some(at) = in_a {
            all.extend(self.a.affines_mut().map(|a| (&mut a.strides, at)));
        }
        if let Some(at) = in_b {
            all.extend(self.b.affines_mut().map(|a| (&mut a.strides, at)));
        }
        if let Some(at) = in_c {
            all.push((&mut self.c.strides, at));
            if let Some(e) = &mut self.epilogue {
                all.extend(e.expr.affines_mut().into_iter().map(|a| (&mut a.strides, at)));
            }
        }
        all
    }

    /// The types of the outputs: C's, and those of what else the epilogue stores.
    pub fn outputs(&self) -> Vec<DType> {
        match &self.epilogue {
            Some(e) => e.outputs.iter().map(|&o| e.expr.dtypes[o]).collect(),
            None => vec![self.output],
        }
    }

    /// Batch count, rows, columns and inner extent.
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        let p = |v: &[usize]| v.iter().product();
        (p(&self.batch), p(&self.m), p(&self.n), p(&self.k))
    }
}

#[derive(Clone, Copy)]
enum Axis {
    Batch,
    M,
    N,
    K,
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

    fn choices(&self, adapter: &Adapter) -> Option<Choices> {
        gpu::contraction::choices(self, adapter)
    }

    fn cost(&self) -> Cost {
        let (b, m, n, k) = self.sizes();
        Cost {
            flops: 2.0 * b as f64 * m as f64 * n as f64 * k as f64,
            // A tight bound would need each operand's own size; the three matrices are close enough for a profile.
            bytes: (self.outputs().iter().map(|t| t.size()).sum::<usize>() * b * m * n) as f64
                + (self.operands[0].size() * b * m * k) as f64
                + (self.operands[1].size() * b * k * n) as f64,
        }
    }
}
