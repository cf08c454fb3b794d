//! Gradients other than the one that follows from the expression.

use crate::op::{Array, Lower, Op, Same};
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
        Lower::View(&Same)
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
    ///
    /// ```
    /// use wgrad_graph::{gradients, DType, Tensor};
    /// // log(1 + e^x), with the gradient written so that a large x gives 1 and not infinity / infinity.
    /// fn log1p_exp(x: &Tensor) -> Tensor {
    ///     (x.exp() + 1.0).log().with_gradient(&[x], |_value, arguments, g| vec![Some(g * arguments[0].sigmoid())])
    /// }
    /// let x = Tensor::input("x", [3], DType::F32);
    /// let slope = gradients(&log1p_exp(&x), &[&x]).remove(0);
    /// assert_eq!(slope.shape(), [3]);
    /// // The rule is an expression, so there is a second gradient too.
    /// assert_eq!(gradients(&slope, &[&x])[0].shape(), [3]);
    /// ```
    ///
    /// # Panics
    /// When a gradient is taken, if the rule gives another number of gradients than arguments, or one of another shape.
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

impl Tensor {
    /// This value with the gradient of `other`: the straight-through estimator. The gradient that arrives goes to `other`
    /// unchanged, and none to this tensor: `x.round().straight_through(&x)` rounds, and learns as if it did not.
    ///
    /// # Panics
    /// If shapes or types differ.
    #[track_caller]
    pub fn straight_through(&self, other: &Tensor) -> Tensor {
        if (self.shape(), self.dtype()) != (other.shape(), other.dtype()) {
            crate::fail(
                "straight_through",
                format!(
                    "the value is {} {:?}, what gets its gradient {} {:?}",
                    self.dtype(),
                    self.shape(),
                    other.dtype(),
                    other.shape()
                ),
            );
        }
        self.with_gradient(&[other], |_, _, g| vec![Some(g.clone())])
    }

    /// This value; the gradient is multiplied by `-scale` (Ganin and Lempitsky, 2015): what comes before learns to do the
    /// opposite of what comes after.
    #[track_caller]
    pub fn reverse_gradient(&self, scale: f32) -> Tensor {
        self.with_gradient(&[self], move |_, _, g| vec![Some(g * -scale)])
    }

    /// `value(x)` element by element, whose derivative with respect to x is `derivative(x, y)`, y being the value: for
    /// functions whose expression has a worse one, with infinity times zero somewhere.
    #[track_caller]
    pub(crate) fn pointwise(
        &self,
        value: impl Fn(&Tensor) -> Tensor,
        derivative: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
    ) -> Tensor {
        let x = self.in_f32();
        let value = value(&x.stop_gradient());
        value.with_gradient(&[&x], move |y, x, g| vec![Some(g * &derivative(&x[0], y))]).cast(self.dtype())
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
        Lower::View(&Same)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    vec![
        OpCase::new("with_gradient", "the rule of a square", &[&[3, 4]], |x| {
            x[0].square().with_gradient(&[&x[0]], |_, x, g| vec![Some(g * &x[0] * 2.0)])
        }),
        OpCase::new("stop_gradient", "stop_gradient", &[&[5]], |x| &x[0] * &x[0].stop_gradient())
            .by_rule("d/dx of x * stop(x) is x, not 2x: differences cannot see that"),
        // As above: these are not the gradients of what they compute. tests/gradients.rs has them exactly.
        OpCase::new("straight_through", "straight_through", &[&[3, 5]], |x| {
            (&x[0] * 3.0).round().straight_through(&x[0])
        })
        .no_difference(),
        OpCase::new("straight_through", "straight_through of a bit", &[&[7]], |x| {
            x[0].gt(&x[0].lit(0.0)).cast(x[0].dtype()).straight_through(&x[0].sigmoid()) * &x[0]
        })
        .no_difference(),
        OpCase::new("straight_through", "straight_through of a value by itself", &[&[1, 4]], |x| {
            x[0].square().straight_through(&x[0].square())
        }),
        OpCase::new("reverse_gradient", "reverse_gradient", &[&[2, 3]], |x| x[0].exp().reverse_gradient(0.3))
            .no_difference(),
        // A negative scale lets the gradient through.
        OpCase::new("reverse_gradient", "reverse_gradient, twice", &[&[5]], |x| {
            x[0].exp().reverse_gradient(0.5).reverse_gradient(2.0).sin()
        }),
        OpCase::new("reverse_gradient", "reverse_gradient by -1", &[&[0, 2]], |x| x[0].reverse_gradient(-1.0).square()),
    ]
}
