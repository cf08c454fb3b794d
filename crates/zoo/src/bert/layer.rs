//! One layer of the encoder.

use super::Bert;
use wgrad_graph::{Attention, DropWeights, Tensor};
use wgrad_nn::{Layer, Scope};

/// Attention of all over all, and a perceptron at each place; each is added to what it was given, and then normed.
pub(super) struct EncoderLayer<'a> {
    pub(super) bert: &'a Bert,
    /// 1 where there is a token.
    pub(super) mask: Option<&'a Tensor>,
}

impl Layer for EncoderLayer<'_> {
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let bert = self.bert;
        let attended = self.attend(&scope.enter("attention.self"), x);
        let x = self.join(&scope.enter("attention.output"), x, &attended);
        let inner = bert.linear(bert.width, bert.inner).forward(&scope.enter("intermediate.dense"), &x).gelu();
        self.join(&scope.enter("output"), &x, &inner)
    }
}

impl EncoderLayer<'_> {
    fn attend(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let Bert { width, heads, dropout, .. } = *self.bert;
        let [batch, length, _] = x.dims();
        let part = |name: &str| {
            let y = self.bert.linear(width, width).forward(&scope.enter(name), x);
            y.reshape([batch, length, heads, width / heads]).permute(&[0, 2, 1, 3])
        };
        let mut options = Attention { mask: self.mask.cloned(), ..Attention::default() };
        if scope.is_train() && dropout > 0.0 {
            let (generator, stream) = scope.rng();
            options.dropout = Some(DropWeights { p: dropout, generator, stream });
        }
        let heads = part("query").attention(&part("key"), &part("value"), &options);
        heads.permute(&[0, 2, 1, 3]).reshape(x.shape())
    }

    /// `LayerNorm(x + dense(y))`.
    fn join(&self, scope: &Scope, x: &Tensor, y: &Tensor) -> Tensor {
        let dense = self.bert.linear(y.shape()[2], self.bert.width).forward(&scope.enter("dense"), y);
        self.bert.norm(scope, &(x + self.bert.drop(scope, &dense)))
    }
}
