//! What becomes of the losses of single elements.

use crate::Tensor;

/// What becomes of the losses of single elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum divided by the extent of axis 0: what a sample loses, on average. PyTorch's `batchmean`.
    BatchMean,
    /// Nothing: they are given as they are.
    None,
}

impl Reduction {
    /// Reduces losses.
    ///
    /// # Panics
    /// For [`Reduction::BatchMean`], if there is no axis 0.
    #[track_caller]
    pub fn apply(self, losses: Tensor) -> Tensor {
        match self {
            Reduction::Mean => losses.mean_all(),
            Reduction::Sum => losses.sum_all(),
            Reduction::BatchMean => {
                let Some(&n) = losses.shape().first() else {
                    crate::fail("batch mean", "the losses have no axis 0");
                };
                losses.sum_all() / losses.lit(n as f64)
            }
            Reduction::None => losses,
        }
    }
}
