//! One layer of the encoder.

use super::Vit;
use wgrad_graph::{Attention, Init, Tensor};
use wgrad_nn::{Layer, Linear, MultiheadAttention, Scope, WeightInit};

/// Attention of all over all, and a perceptron at each place; both see what they are given normed, and add to it.
pub(super) struct EncoderLayer<'a> {
    pub(super) vit: &'a Vit,
}

impl Layer for EncoderLayer<'_> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let vit = self.vit;
        let seen = vit.norm().forward(&scope.enter("ln_1"), x);
        let x = x + vit.drop(scope, &self.attention().forward(&scope.enter("self_attention"), &seen));
        let seen = vit.norm().forward(&scope.enter("ln_2"), &x);
        &x + self.perceptron(&scope.enter("mlp"), &seen)
    }
}

impl EncoderLayer<'_> {
    fn attention(&self) -> MultiheadAttention {
        MultiheadAttention::new(self.vit.width, self.vit.heads).dropout(self.vit.attention_dropout)
    }

    /// torchvision's sequence has dropout as its members 2 and 4.
    fn perceptron(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let Vit { width, inner, .. } = *self.vit;
        let linear = |inputs, outputs| {
            let xavier = WeightInit::XavierUniform { gain: 1.0 };
            Linear::new(inputs, outputs).weight_init(xavier).bias_init(Init::Normal(0.0, 1e-6))
        };
        let y = linear(width, inner).forward(&scope.enter("0"), x).gelu();
        let y = linear(inner, width).forward(&scope.enter("3"), &self.vit.drop(scope, &y));
        self.vit.drop(scope, &y)
    }

    /// The attention's weights for the layer's input.
    #[track_caller]
    pub(super) fn weights(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let seen = self.vit.norm().forward(&scope.enter("ln_1"), x);
        self.attention().weights(&scope.enter("self_attention"), &seen, &seen, &seen, &Attention::default())
    }
}
