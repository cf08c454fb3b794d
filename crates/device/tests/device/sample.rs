//! A kernel to be tested, and data for it.

use crate::common::Random;
use half::f16;
use std::sync::Arc;
use wgrad_device::kernels::{Contraction, Map, Reduce, RowOutput, Rows};
use wgrad_device::{DType, Expr, ExprNode, Kernel};

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there are few
pub enum Work {
    Map(Map),
    Reduce(Reduce),
    Rows(Rows),
    Contraction(Contraction),
}

/// A kernel with the error it is allowed, relative and absolute.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub work: Work,
    pub aliases: Vec<Option<usize>>,
    pub tolerance: f64,
    /// Whether inputs are in [1, 2) and [1, 100) rather than around 0 (logarithms, divisors).
    pub positive: bool,
}

impl Sample {
    pub fn new(name: &str, work: Work, tolerance: f64) -> Sample {
        Sample { name: name.into(), work, aliases: vec![], tolerance, positive: false }
    }

    pub fn kernel(&self) -> Arc<dyn Kernel> {
        match &self.work {
            Work::Map(k) => Arc::new(k.clone()),
            Work::Reduce(k) => Arc::new(k.clone()),
            Work::Rows(k) => Arc::new(k.clone()),
            Work::Contraction(k) => Arc::new(k.clone()),
        }
    }

    /// The types of the inputs.
    pub fn input_types(&self) -> Vec<DType> {
        match &self.work {
            Work::Map(k) => k.inputs.clone(),
            Work::Reduce(k) => k.inputs.clone(),
            Work::Rows(k) => k.inputs.clone(),
            Work::Contraction(k) => {
                let epilogue = k.epilogue.iter().flat_map(|e| e.inputs.clone());
                k.operands.into_iter().chain(epilogue).collect()
            }
        }
    }

    /// Types and element counts of the outputs.
    pub fn outputs(&self) -> Vec<(DType, usize)> {
        match &self.work {
            Work::Map(k) => k.outputs.iter().map(|&o| (k.expr.dtypes[o], k.len())).collect(),
            Work::Reduce(k) => (0..k.outputs.len()).map(|o| (k.output_dtype(o), k.kept())).collect(),
            Work::Rows(k) => (k.outputs.iter().enumerate())
                .map(|(o, output)| match output {
                    RowOutput::Each(_) => (k.output_dtype(o), k.kept() * k.length()),
                    RowOutput::Once(_) => (k.output_dtype(o), k.kept()),
                })
                .collect(),
            Work::Contraction(k) => {
                let (b, m, n, _) = k.sizes();
                k.outputs().into_iter().map(|t| (t, b * m * n)).collect()
            }
        }
    }

    /// Elements that each input must have.
    fn input_lengths(&self) -> Vec<usize> {
        let mut lengths = vec![0; self.input_types().len()];
        let mut needs = |input: usize, length: usize| lengths[input] = lengths[input].max(length);
        let see =
            |needs: &mut dyn FnMut(usize, usize), access: &wgrad_device::Access, shape: &[usize], input: usize| {
                for p in indices(shape).filter_map(|index| access.at(&index)) {
                    needs(input, p + 1);
                }
            };
        let mut see_expr = |expr: &Expr, shape: &[usize], first: usize| {
            for node in &expr.nodes {
                match node {
                    ExprNode::Load { input, access } => see(&mut needs, access, shape, first + input),
                    ExprNode::LoadAt { input, len, .. } => needs(first + input, *len),
                    _ => {}
                }
            }
        };
        match &self.work {
            Work::Map(k) => see_expr(&k.expr, &k.domain, 0),
            Work::Reduce(k) => see_expr(&k.expr, &k.domain(), 0),
            Work::Rows(k) => see_expr(&k.expr, &k.domain(), 0),
            Work::Contraction(k) => {
                if let Some(e) = &k.epilogue {
                    see_expr(&e.expr, &[&k.batch[..], &k.m, &k.n].concat(), 2);
                }
                see(&mut needs, &k.a, &[&k.batch[..], &k.m, &k.k].concat(), 0);
                see(&mut needs, &k.b, &[&k.batch[..], &k.k, &k.n].concat(), 1);
            }
        }
        lengths
    }

    /// Random inputs.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut random = Random(42);
        let positive = self.positive;
        let float = |r: &mut Random| if positive { 1.5 + r.float() / 4.0 } else { r.float() };
        let fill = |(dtype, n): (DType, usize)| {
            let mut bytes = vec![];
            for _ in 0..n {
                match dtype {
                    DType::F32 => bytes.extend(float(&mut random).to_le_bytes()),
                    DType::F16 => bytes.extend(f16::from_f32(float(&mut random)).to_le_bytes()),
                    DType::U32 => bytes.extend((random.below(99) + 1).to_le_bytes()),
                    DType::I32 => {
                        let low = if positive { 1 } else { -50 };
                        bytes.extend((random.below(99) as i32 + low).to_le_bytes())
                    }
                    DType::Bool => bytes.extend(random.below(2).to_le_bytes()),
                }
            }
            bytes
        };
        self.input_types().into_iter().zip(self.input_lengths()).map(fill).collect()
    }
}

/// All indices of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..shape.iter().product()).map(|mut i: usize| {
        let mut index = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            index[d] = i % shape[d];
            i /= shape[d];
        }
        index
    })
}
