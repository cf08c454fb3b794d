//! Many tensors as one flat one, so that one kernel can work on all of them.
//!
//! This is how an optimiser updates every parameter in one launch: parameters, gradients and moments are packed in the
//! same order, and the update is ordinary elementwise arithmetic on the packs. Packing costs nothing: the planner has the
//! producers write into the pack, and state tensors that are packed lie next to each other in [`crate::State`].

use crate::op::{Array, Lower, Op};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Each tensor starts at a multiple of this many bytes: what any device wants of a binding's offset.
const ALIGN: usize = 256;

/// Where tensors of these sizes start in a pack, and how long it is, in elements.
pub(crate) fn offsets(counts: impl IntoIterator<Item = usize>, dtype: DType) -> (Vec<usize>, usize) {
    let mut at = 0;
    let starts = counts
        .into_iter()
        .map(|n| {
            let start = at;
            at += n.next_multiple_of(ALIGN / dtype.size());
            start
        })
        .collect();
    (starts, at)
}

#[derive(Debug)]
struct Pack {
    counts: Vec<usize>,
    dtype: DType,
}

impl Pack {
    fn offsets(&self) -> (Vec<usize>, usize) {
        offsets(self.counts.iter().copied(), self.dtype)
    }
}

impl Op for Pack {
    fn name(&self) -> &'static str {
        "pack"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if let Some(t) = inputs.iter().find(|t| t.dtype() != self.dtype || !t.dtype().is_float()) {
            return Err(format!("tensors of one float type expected, not {} {:?}", t.dtype(), t.shape()));
        }
        Ok((vec![self.offsets().1], self.dtype))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let (starts, _) = self.offsets();
        Ok(output
            .inputs()
            .iter()
            .zip(starts)
            .map(|(t, s)| Some(grad.slice(0, s..s + t.count()).reshape(t.shape())))
            .collect())
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let mut data = vec![0.0; shape[0]];
        let (starts, _) = self.offsets();
        for (x, s) in inputs.iter().zip(starts) {
            data[s..s + x.data.len()].copy_from_slice(&x.data);
        }
        Array::new(shape, data)
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Pack(self.offsets().0)
    }
}

impl Tensor {
    /// Tensors of one float type one after another in one flat tensor, each starting at a multiple of 256 bytes, zeros
    /// between.
    #[track_caller]
    pub fn pack(tensors: &[&Tensor]) -> Tensor {
        let dtype = tensors.first().map_or(DType::F32, |t| t.dtype());
        Tensor::apply(Pack { counts: tensors.iter().map(|t| t.count()).collect(), dtype }, tensors)
    }

    /// What [`Tensor::pack`] of tensors of these shapes was made of.
    #[track_caller]
    pub fn unpack(&self, shapes: &[&[usize]]) -> Vec<Tensor> {
        let counts: Vec<usize> = shapes.iter().map(|s| s.iter().product()).collect();
        let (starts, total) = offsets(counts.iter().copied(), self.dtype());
        if self.shape() != [total] {
            crate::fail("unpack", format!("a pack of these shapes is [{total}], not {:?}", self.shape()));
        }
        (0..shapes.len()).map(|i| self.slice(0, starts[i]..starts[i] + counts[i]).reshape(shapes[i])).collect()
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    vec![
        OpCase::new("pack", "pack of computed and given tensors", &[&[3, 5], &[70], &[1]], |x| {
            let flat = Tensor::pack(&[&x[0].exp(), &x[1], &x[2].square()]);
            &flat * &flat + &flat
        }),
        OpCase::new("pack", "pack and unpack", &[&[4, 2], &[3]], |x| {
            let parts = (Tensor::pack(&[&x[0], &x[1]]) * 2.0).unpack(&[&[4, 2], &[3]]);
            &parts[0] * &parts[1].sum_all()
        }),
        OpCase::new("pack", "pack of one tensor twice", &[&[5]], |x| {
            let y = x[0].exp();
            Tensor::pack(&[&y, &y]).square()
        }),
    ]
}
