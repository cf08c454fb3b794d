//! Choice between two values.

use crate::op::{Array, Lower, Op};
use crate::shape::broadcast;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

#[derive(Debug)]
struct Select;

impl Op for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let [c, a, b] = inputs else { unreachable!("three arguments") };
        if c.dtype() != DType::Bool || a.dtype() != b.dtype() {
            return Err(format!(
                "a bool and two of one type expected, not {}, {}, {}",
                c.dtype(),
                a.dtype(),
                b.dtype()
            ));
        }
        Ok((c.shape().to_vec(), a.dtype()))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let c = &output.inputs()[0];
        let zero = grad.lit(0.0);
        Ok(vec![None, Some(c.select(grad, &zero)), Some(c.select(&zero, grad))])
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let [c, a, b] = inputs else { unreachable!("three arguments") };
        Array::new(shape, (0..c.data.len()).map(|i| if c.data[i] != 0.0 { a.data[i] } else { b.data[i] }).collect())
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Select
    }
}

impl Tensor {
    /// `a` where this bool is true, else `b`; all three broadcast together.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let shape = broadcast(self.shape(), a.shape()).and_then(|s| broadcast(&s, b.shape()));
        let Some(s) = shape else {
            crate::fail(
                "select",
                format!("{:?}, {:?} and {:?} do not broadcast to one shape", self.shape(), a.shape(), b.shape()),
            )
        };
        let wide = |t: &Tensor| t.broadcast_to(s.clone());
        Tensor::apply(Select, &[&wide(self), &wide(a), &wide(b)])
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |a: &[usize], b: &[usize]| {
        OpCase::new("select", format!("select {a:?} {b:?}"), &[a, b], |x| x[0].lt(&x[1]).select(&x[0], &(&x[1] * 2.0)))
    };
    vec![case(&[4, 5], &[4, 5]), case(&[3, 1], &[7]), case(&[0], &[1]), case(&[1], &[1])]
}
