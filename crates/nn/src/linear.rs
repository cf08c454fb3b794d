//! The fully connected layer.

use crate::init::{WeightInit, torch_bias};
use crate::{Layer, Scope};
use wgrad_graph::{Init, Tensor, fail};

/// `x @ weight^T + bias`, over the last axis of [..., inputs]: [..., outputs].
///
/// Parameters as in `torch.nn.Linear`: `weight` [outputs, inputs] and `bias` `[outputs]`, both uniform within
/// `1 / sqrt(inputs)` unless said otherwise.
#[derive(Clone, Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    bias: bool,
    weight_init: WeightInit,
    bias_init: Option<Init>,
}

impl Linear {
    /// From `inputs` to `outputs` features, with a bias.
    pub fn new(inputs: usize, outputs: usize) -> Linear {
        Linear { inputs, outputs, bias: true, weight_init: WeightInit::TorchDefault, bias_init: None }
    }

    /// With or without a bias.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// What the weight starts as.
    pub fn weight_init(mut self, init: WeightInit) -> Self {
        self.weight_init = init;
        self
    }

    /// What the bias starts as.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }
}

impl Layer for Linear {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if x.shape().last() != Some(&self.inputs) {
            fail(&scope.describe("Linear"), format!("[..., {}] expected, not {:?}", self.inputs, x.shape()));
        }
        let shape = [self.outputs, self.inputs];
        let weight = scope.param("weight", &shape, self.weight_init.init(&shape));
        // One matrix product whatever the leading axes: they are rows.
        let lead = &x.shape()[..x.rank() - 1];
        let rows = x.reshape([lead.iter().product(), self.inputs]);
        let mut y = rows.matmul(&weight.transpose(0, 1));
        if self.bias {
            let init = self.bias_init.clone().unwrap_or_else(|| torch_bias(&shape));
            y = y + scope.param("bias", &[self.outputs], init);
        }
        y.reshape([lead, &[self.outputs]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::{DType, checked};

    #[test]
    fn keeps_leading_axes() {
        let scope = Scope::train();
        let y = Linear::new(3, 5).forward(&scope, &Tensor::input("x", [2, 4, 3], DType::F32));
        assert_eq!(y.shape(), [2, 4, 5]);
        assert_eq!(scope.param_count(), 20);
        assert_eq!(Linear::new(3, 5).forward(&scope, &Tensor::input("x", [3], DType::F32)).shape(), [5]);
    }

    #[test]
    fn an_error_names_the_layer_and_the_callers_file() {
        let x = Tensor::input("x", [2, 4], DType::F32);
        let error = checked(|| Linear::new(3, 5).forward(&Scope::train().enter("fc"), &x)).unwrap_err().to_string();
        assert!(error.starts_with("Linear \"fc\": [..., 3] expected, not [2, 4], at "), "{error}");
        assert!(error.contains("linear.rs"), "{error}");
    }
}
