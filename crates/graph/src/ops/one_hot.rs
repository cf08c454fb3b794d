//! Numbers as indicator vectors, and how often each number occurs.

use crate::ops::gather::index_of;
use crate::ops::order::numbers;
use crate::ops::segments::Groups;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// This u32 tensor as vectors that are 1 at the element's number and 0 elsewhere: f32 [..., classes]. As
    /// `torch.nn.functional.one_hot`.
    ///
    /// A number out of range gives zeros and is reported when outputs are read.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let index = index_of("one_hot", self, classes);
        let shape = [self.shape(), &[classes]].concat();
        Tensor::iota(shape, self.rank()).equal(&index.unsqueeze(self.rank())).cast(DType::F32)
    }

    /// How often each number below `len` occurs in this u32 tensor: u32 `[len]`. As `torch.bincount`, but the length of the
    /// result is given: larger numbers are left out and reported when outputs are read.
    #[track_caller]
    pub fn bincount(&self, len: usize) -> Tensor {
        let n = self.count();
        let index = index_of("bincount", self, len).reshape([n]);
        let starts = Groups::new(&index, len).starts;
        starts.slice(0, 1..len + 1) - starts.slice(0, 0..len)
    }

    /// The sum of the weights (of this tensor's shape) of each number below `len`: `[len]`. As `torch.bincount(weights)`.
    #[track_caller]
    pub fn weighted_bincount(&self, weights: &Tensor, len: usize) -> Tensor {
        if weights.shape() != self.shape() || !weights.dtype().is_float() {
            let (dtype, shape) = (weights.dtype(), weights.shape());
            crate::fail("bincount", format!("weights {dtype} {shape:?} for numbers {:?}", self.shape()));
        }
        weights.scatter_flat(&index_of("bincount", self, len), len)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let hot = |shape: &[usize], classes: usize| {
        OpCase::new("one_hot", format!("one_hot {shape:?} of {classes}"), &[shape], move |x| {
            numbers(&x[0], classes).one_hot(classes).cast(x[0].dtype()) * x[0].exp().unsqueeze(x[0].rank())
        })
        .domain(0.0, 1.0)
    };
    let count = |shape: &[usize], len: usize| {
        OpCase::new("bincount", format!("bincount {shape:?} below {len}"), &[shape, &[len]], move |x| {
            numbers(&x[0], len).bincount(len).cast(x[0].dtype()) * x[1].exp()
        })
        .domain(0.0, 1.0)
    };
    let weighted = |shape: &[usize], len: usize| {
        OpCase::new("bincount", format!("weighted bincount {shape:?} below {len}"), &[shape, shape], move |x| {
            numbers(&x[0], len).weighted_bincount(&x[1].exp(), len)
        })
        .domain(0.0, 1.0)
    };
    vec![
        hot(&[7], 5),
        hot(&[2, 3], 4),
        hot(&[0], 3),
        hot(&[], 3),
        count(&[11], 5),
        count(&[3, 70], 7),
        count(&[0], 3),
        weighted(&[13], 4),
        weighted(&[3, 5], 6),
        weighted(&[0], 2),
    ]
}
