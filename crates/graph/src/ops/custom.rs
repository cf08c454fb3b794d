//! Gradients other than the one that follows from the expression.

use crate::op::{Array, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wgrad_device::DType;

/// (value, arguments, gradient with respect to the value) to one gradient for each argument.
type Rule = dyn Fn(&Tensor, &[Tensor], &Tensor) -> Vec<Option<Tensor>> + Send + Sync;

/// Input 0 is the value; the others are what the rule gives gradients for.
struct Custom {
    rule: Arc<Rule>,
    /// Rules cannot be compared, so no two of these are shared.
    id: u64,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({})", self.id)
    }
}

impl Op for Custom {
    fn name(&self) -> &'static str {
        "with_gradient"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let arguments = &output.inputs()[1..];
        let grads = (self.rule)(output, arguments, grad);
        if grads.len() != arguments.len() {
            return Err(format!("the rule gave {} gradients for {} arguments", grads.len(), arguments.len()));
        }
        for (g, a) in grads.iter().zip(arguments) {
            if let Some(g) = g
                && (g.shape(), g.dtype()) != (a.shape(), a.dtype())
            {
                return Err(format!(
                    "the rule gave a gradient {} {:?} for an argument {} {:?}",
                    g.dtype(),
                    g.shape(),
                    a.dtype(),
                    a.shape()
                ));
            }
        }
        Ok(std::iter::once(None).chain(grads).collect())
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].clone()
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Custom {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        Some(map.clone())
    }
    fn is_reshape(&self) -> bool {
        true
    }
}

static NEXT_RULE: AtomicU64 = AtomicU64::new(0);

impl Tensor {
    /// This value, but no gradient flows through it.
    #[track_caller]
    pub fn stop_gradient(&self) -> Tensor {
        Tensor::apply(StopGradient, &[self])
    }

    /// This value, but with `rule` as its gradient with respect to `arguments`, and none to anything else.
    ///
    /// The rule gets the value, the arguments and the gradient with respect to the value, and returns a gradient of each
    /// argument's shape and type, as an expression; so second gradients follow from the rule.
    #[track_caller]
    pub fn with_gradient(
        &self,
        arguments: &[&Tensor],
        rule: impl Fn(&Tensor, &[Tensor], &Tensor) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let op = Custom { rule: Arc::new(rule), id: NEXT_RULE.fetch_add(1, Ordering::Relaxed) };
        let mut inputs = vec![self];
        inputs.extend_from_slice(arguments);
        Tensor::apply(op, &inputs)
    }
}

#[derive(Debug)]
struct StopGradient;

impl Op for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        Ok((inputs[0].shape().to_vec(), inputs[0].dtype()))
    }
    fn gradient(&self, _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        Ok(vec![None])
    }
    fn reference(&self, inputs: &[&Array], _: &[usize]) -> Array {
        inputs[0].clone()
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for StopGradient {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        Some(map.clone())
    }
    fn is_reshape(&self) -> bool {
        true
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    vec![
        OpCase::new("with_gradient", "the rule of a square", &[&[3, 4]], |x| {
            x[0].square().with_gradient(&[&x[0]], |_, x, g| vec![Some(g * &x[0] * 2.0)])
        }),
        // d/dx of x * stop(x) is x, not 2x: differences cannot see that, so the case only compares values.
        OpCase::new("stop_gradient", "stop_gradient", &[&[5]], |x| &x[0] * &x[0].stop_gradient()).no_difference(),
    ]
}
