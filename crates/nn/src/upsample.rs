//! Resizing as a layer.

use crate::{Layer, Scope};
use wgrad_graph::{Interpolation, Tensor, fail};

#[derive(Clone, Debug)]
enum Goal {
    Sizes(Vec<usize>),
    Factors(Vec<f64>),
    Factor(f64),
}

/// Resizes the axes of [N, C, spatial...] from the third on. Modes and defaults as in `torch.nn.Upsample`: nearest unless said
/// otherwise.
#[derive(Clone, Debug)]
pub struct Upsample {
    goal: Goal,
    mode: Interpolation,
}

impl Upsample {
    /// To given extents, one for each spatial axis.
    pub fn to(sizes: impl Into<Vec<usize>>) -> Upsample {
        Upsample { goal: Goal::Sizes(sizes.into()), mode: Interpolation::Nearest }
    }

    /// By one factor for every spatial axis.
    pub fn by(factor: f64) -> Upsample {
        Upsample { goal: Goal::Factor(factor), mode: Interpolation::Nearest }
    }

    /// By given factors, one for each spatial axis.
    pub fn by_each(factors: impl Into<Vec<f64>>) -> Upsample {
        Upsample { goal: Goal::Factors(factors.into()), mode: Interpolation::Nearest }
    }

    /// How values between elements are found.
    pub fn mode(mut self, mode: Interpolation) -> Self {
        self.mode = mode;
        self
    }
}

impl Layer for Upsample {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let spatial = x.rank().saturating_sub(2);
        let given = match &self.goal {
            Goal::Sizes(s) => s.len(),
            Goal::Factors(f) => f.len(),
            Goal::Factor(_) => spatial,
        };
        if spatial == 0 || given != spatial {
            let name = scope.describe("Upsample");
            fail(
                &name,
                format!("[N, C, spatial...] with as many spatial axes as {self:?} expected, not {:?}", x.shape()),
            );
        }
        match &self.goal {
            Goal::Sizes(sizes) => x.interpolate(sizes, self.mode),
            Goal::Factors(factors) => x.interpolate_by(factors, self.mode),
            Goal::Factor(factor) => x.interpolate_by(&vec![*factor; spatial], self.mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn shapes() {
        let x = Tensor::input("x", [2, 3, 4, 5], DType::F32);
        let scope = Scope::train();
        assert_eq!(Upsample::by(2.0).forward(&scope, &x).shape(), [2, 3, 8, 10]);
        assert_eq!(Upsample::by_each([1.5, 0.5]).forward(&scope, &x).shape(), [2, 3, 6, 2]);
        assert_eq!(Upsample::to([7, 7]).forward(&scope, &x).shape(), [2, 3, 7, 7]);
        let error = checked(|| Upsample::to([7]).forward(&scope.enter("up"), &x)).unwrap_err().to_string();
        assert!(error.starts_with("Upsample \"up\": [N, C, spatial...]"), "{error}");
    }
}
