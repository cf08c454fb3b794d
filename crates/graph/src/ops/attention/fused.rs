//! Attention of a sequence to itself, with queries, keys and values in one tensor.

use super::{Attend, Attention, NAME, backward_inputs, problem};
use crate::Tensor;
use wgrad_device::DType;
use wgrad_device::kernels::{AttentionKernel, AttentionPart};

impl Tensor {
    /// [`Tensor::attention`] of a sequence to itself, with queries, keys and values side by side as one product makes them: of
    /// this tensor [batch, length, 3, heads, size], the result is [batch, length, heads, size], which is what the next product
    /// takes. Values and gradients are those of `attention`; the gradient is written as one tensor at once.
    ///
    /// # Panics
    /// If shapes or types do not fit.
    #[track_caller]
    pub fn self_attention(&self, options: &Attention) -> Tensor {
        if self.rank() != 5 || self.shape()[2] != 3 || !self.dtype().is_float() {
            let (given, shape) = (self.dtype(), self.shape());
            crate::fail(NAME, format!("{given} {shape:?} given; floats [batch, length, 3, heads, size] expected"));
        }
        let x = self.cast(DType::F32);
        let [q, k, v] = queries_keys_values(&x);
        if options.bias.is_some() {
            // Which has a gradient too.
            return q.attention(&k, &v, options).transpose(1, 2).cast(self.dtype());
        }
        let [batch, length, _, heads, size] = self.dims();
        let (a, inputs) = problem(&q, &k, &v, options);
        let apply = |part, inputs: &[Tensor]| {
            Tensor::apply(Attend(AttentionKernel::new(a.clone(), part)), &inputs.iter().collect::<Vec<_>>())
        };
        let both = apply(AttentionPart::Forward, &inputs);
        let value = both.slice(0, 0..a.count_o()).reshape([batch, length, heads, size]);
        let logs = both.slice(0, a.count_o()..a.count_o() + a.rows()).reshape([batch, heads, length]);
        let (a, o, words) = (a.clone(), value.clone(), inputs[3..].to_vec());
        let rule = move |_: &Tensor, arguments: &[Tensor], g: &Tensor| {
            let inputs = [&queries_keys_values(&arguments[0])[..], &words].concat();
            let all = backward_inputs(&a, &inputs, [&o, &logs], g, None);
            let kernel = AttentionKernel::new(a.clone(), AttentionPart::BackwardAll);
            vec![Some(Tensor::apply(Attend(kernel), &all.iter().collect::<Vec<_>>()))]
        };
        value.with_gradient(&[&x], rule).cast(self.dtype())
    }
}

/// The three parts, each [batch, heads, length, size].
fn queries_keys_values(x: &Tensor) -> [Tensor; 3] {
    let [batch, length, _, heads, size] = x.dims();
    [0, 1, 2].map(|i| x.slice(2, i..i + 1).reshape([batch, length, heads, size]).transpose(1, 2))
}
