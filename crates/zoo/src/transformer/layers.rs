//! The sub-layers of encoder and decoder, with their norms and residual sums.

use wgrad_graph::{Attention, Tensor};
use wgrad_nn::init::WeightInit;
use wgrad_nn::{Dropout, Layer, LayerNorm, Linear, MultiheadAttention, Scope};

/// A layer of either stack.
pub(super) struct Block {
    pub scope: Scope,
    pub width: usize,
    pub heads: usize,
    pub hidden: usize,
    pub dropout: f32,
    pub pre_norm: bool,
}

const XAVIER: WeightInit = WeightInit::XavierUniform { gain: 1.0 };

impl Block {
    /// Attention of `x` over `memory`, or else over itself.
    #[track_caller]
    pub fn attend(&self, name: &str, norm: &str, x: &Tensor, memory: Option<&Tensor>, seen: &Attention) -> Tensor {
        self.residual(norm, x, |x| {
            let other = memory.unwrap_or(x);
            self.attention().attend(&self.scope.enter(name), x, other, other, seen)
        })
    }

    /// The weights of that attention.
    #[track_caller]
    pub fn weights(&self, name: &str, before: &str, x: &Tensor, memory: &Tensor, seen: &Attention) -> Tensor {
        let x = if self.pre_norm { norm(&self.scope, before, x) } else { x.clone() };
        self.attention().weights(&self.scope.enter(name), &x, memory, memory, seen)
    }

    fn attention(&self) -> MultiheadAttention {
        MultiheadAttention::new(self.width, self.heads).dropout(self.dropout).out_init(XAVIER)
    }

    /// Two linear layers with a ReLU between, for each token by itself.
    #[track_caller]
    pub fn feed_forward(&self, norm: &str, x: &Tensor) -> Tensor {
        let linear = |name: &str, from: usize, to: usize, x: &Tensor| {
            Linear::new(from, to).weight_init(XAVIER).forward(&self.scope.enter(name), x)
        };
        self.residual(norm, x, |x| {
            let inner = linear("linear1", self.width, self.hidden, x).relu();
            linear("linear2", self.hidden, self.width, &dropped(&self.scope, &inner, self.dropout))
        })
    }

    #[track_caller]
    fn residual(&self, name: &str, x: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
        if self.pre_norm {
            return x + dropped(&self.scope, &f(&norm(&self.scope, name, x)), self.dropout);
        }
        norm(&self.scope, name, &(x + dropped(&self.scope, &f(x), self.dropout)))
    }
}

#[track_caller]
pub(super) fn norm(scope: &Scope, name: &str, x: &Tensor) -> Tensor {
    LayerNorm::new([x.shape()[x.rank() - 1]]).forward(&scope.enter(name), x)
}

#[track_caller]
pub(super) fn dropped(scope: &Scope, x: &Tensor, p: f32) -> Tensor {
    if p > 0.0 { Dropout::new(p).forward(scope, x) } else { x.clone() }
}
