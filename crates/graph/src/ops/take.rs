//! Elements at computed positions, and their adjoint: sums of elements by position. What every gather and scatter is made
//! of. The adjoint is a sum in fixed order, without atomics.

use crate::op::{Array, Lower, Op, Same};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Arguments: x, seen flat, and positions.
#[derive(Debug)]
struct Take;

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if inputs[1].dtype() != DType::U32 {
            return Err(format!("the index must be u32, not {}", inputs[1].dtype()));
        }
        Ok((inputs[1].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let [x, index] = output.inputs() else { unreachable!("two arguments") };
        let sums = grad.scatter_flat(index, x.count());
        Ok(vec![Some(sums.reshape(x.shape())), None])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let at = |&i: &f64| inputs[0].data.get(i as usize).copied().unwrap_or(0.0);
        Array::new(shape, inputs[1].data.iter().map(at).collect())
    }
    fn lower(&self) -> Lower<'_> {
        Lower::Take
    }
}

/// An index that came from data and ought to be below `limit`: passed on as it is. A program counts the elements that are
/// not, and reports them when its outputs are read.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The operation that uses the index.
    pub op: &'static str,
    /// What the index must stay below.
    pub limit: usize,
}

impl Op for Checked {
    fn name(&self) -> &'static str {
        "checked_index"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if inputs[0].dtype() != DType::U32 {
            return Err(format!("the index must be u32, not {}", inputs[0].dtype()));
        }
        Ok((inputs[0].shape().to_vec(), DType::U32))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![None])
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].clone()
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(&Same)
    }
}

impl Tensor {
    /// The elements of this tensor, seen flat (row-major), at the positions that `index` (u32, any shape) holds. Where there
    /// is no such element the result is 0 (and no gradient flows). An index that is computed in the graph costs no memory.
    ///
    /// The gradient adds up what comes from equal positions.
    #[track_caller]
    pub fn take(&self, index: &Tensor) -> Tensor {
        Tensor::apply(Take, &[self, index])
    }

    /// This u32 index as it is; but elements not below `limit` are counted in every run, and reported, with `op` and the
    /// place where this was built, when outputs are read.
    #[track_caller]
    pub fn checked_index(&self, op: &'static str, limit: usize) -> Tensor {
        Tensor::apply(Checked { op, limit }, &[self])
    }

    /// `result[p] = sum of self[j] where index[j] = p`, for p below `len`: [len]. Positions beyond are dropped.
    #[track_caller]
    pub(crate) fn scatter_flat(&self, index: &Tensor, len: usize) -> Tensor {
        if index.dtype() != DType::U32 || index.shape() != self.shape() {
            crate::fail(
                "scatter",
                format!("an index u32 {:?} expected, not {} {:?}", self.shape(), index.dtype(), index.shape()),
            );
        }
        let n = self.count();
        let sums = self.reshape([n, 1]).sum_rows(Some(&index.reshape([n])), None, None, len);
        sums.reshape([len])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // Positions made from the second argument, since test inputs are floats; some are past the end.
    let case = |text: &str, x: &[usize], index: &[usize], reach: f32| {
        OpCase::new("take", format!("take {text} {x:?} at {index:?}"), &[x, index], move |t| {
            let at = (t[1].in_f32() * reach).floor().stop_gradient().cast(DType::U32);
            t[0].square().take(&at)
        })
        .domain(0.0, 1.0)
    };
    vec![
        case("repeated", &[5], &[13], 5.0),
        case("past the end", &[2, 3], &[4, 2], 9.0),
        case("many", &[97], &[3, 5, 7], 97.0),
        case("nothing", &[4], &[0], 4.0),
        case("of nothing", &[0], &[3], 4.0),
        OpCase::new("take", "take at a computed index", &[&[4, 5]], |t| {
            // The transpose, said the hard way.
            let (i, j) = (Tensor::iota([5, 4], 1), Tensor::iota([5, 4], 0));
            t[0].exp().take(&(i * Tensor::scalar(5u32) + j).checked_index("take", 20)) * 2.0
        }),
        OpCase::new("take", "take under a reduction", &[&[7], &[6, 3]], |t| {
            let at = (t[1].in_f32() * 7.0).floor().stop_gradient().cast(DType::U32);
            (t[0].take(&at) * &t[1]).sum(&[1])
        })
        .domain(0.0, 1.0)
        .no_difference(),
        OpCase::new("take", "scatter", &[&[11], &[11]], |t| {
            let at = (t[1].in_f32() * 9.0).floor().stop_gradient().cast(DType::U32);
            t[0].exp().scatter_flat(&at, 7)
        })
        .domain(0.0, 1.0),
    ]
}
