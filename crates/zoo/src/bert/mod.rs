//! BERT (Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional transformers for language
//! understanding", 2018): the encoder, the two heads that it learns from text with, and what it is used for afterwards.

mod heads;
mod layer;
#[cfg(test)]
mod tests;

use crate::ZooError;
use crate::error::{divides, positive};
pub use heads::{BertClassifier, BertPreTraining, PreTraining, UNPICKED, mean_pool, sentence_embedding};
use layer::EncoderLayer;
use wgrad_graph::{DType, Init, Tensor, fail};
use wgrad_nn::{Dropout, Layer, LayerNorm, Linear, Scope, WeightInit};

/// What an encoder reads: token numbers, and what is to be known of them.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Token numbers: u32 [N, L].
    pub ids: Tensor,
    /// Which sentence each token is of, 0 or 1 (`token_type_ids`): u32 [N, L]. All are of the first if not given.
    pub segments: Option<Tensor>,
    /// 1 where there is a token, 0 where there is padding (`attention_mask`): u32 [N, L]. All are tokens if not given.
    pub mask: Option<Tensor>,
}

impl Tokens {
    /// Whole sequences of one sentence each.
    pub fn new(ids: &Tensor) -> Tokens {
        Tokens { ids: ids.clone(), segments: None, mask: None }
    }

    /// With segment numbers.
    pub fn segments(self, segments: &Tensor) -> Tokens {
        Tokens { segments: Some(segments.clone()), ..self }
    }

    /// With a padding mask.
    pub fn mask(self, mask: &Tensor) -> Tokens {
        Tokens { mask: Some(mask.clone()), ..self }
    }
}

/// BERT's encoder: from [`Tokens`] to a vector for each token, [N, L, width], that depends on the whole sequence.
///
/// Post-norm layers, GELU by the error function, LayerNorm with eps 1e-12, learned positions and segments. Names are those of
/// Hugging Face's `BertModel`: `embeddings.word_embeddings.weight`, `encoder.layer.0.attention.self.query.weight`,
/// `pooler.dense.weight` and so on, below the scope's path: a checkpoint of a model with a head has them below `bert`, so the
/// encoder alone takes it through `scope.enter("bert")`. (Files from before 2019 call a norm's tensors `gamma` and `beta`:
/// [`current_name`].) Initial values are Hugging Face's: weights and tables normal with standard deviation 0.02, biases 0. Its
/// table starts with zeros for token 0; here that row is drawn as the others.
///
/// [`Layer::forward`] takes the token numbers alone.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// # use wgrad_zoo::bert::{Bert, Tokens};
/// let model = Bert::base(30_522);
/// let tokens = Tokens::new(&Tensor::input("ids", [2, 128], DType::U32));
/// let scope = Scope::eval();
/// let hidden = model.encode(&scope, &tokens);
/// assert_eq!(hidden.shape(), [2, 128, 768]);
/// assert_eq!(model.pool(&scope, &hidden).shape(), [2, 768]);
/// assert_eq!(scope.param_count(), 109_482_240);
/// ```
#[derive(Clone, Debug)]
pub struct Bert {
    vocabulary: usize,
    width: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    positions: usize,
    segments: usize,
    dropout: f32,
    eps: f32,
    deviation: f32,
}

impl Bert {
    /// An encoder of `layers` layers with `heads` heads each, for `vocabulary` tokens. The rest as in the paper: the inner
    /// layers are 4 times as wide, 512 positions, 2 segments, dropout 0.1.
    ///
    /// # Errors
    /// If a size is 0, or the heads do not divide the width.
    pub fn new(vocabulary: usize, width: usize, layers: usize, heads: usize) -> Result<Bert, ZooError> {
        positive("BERT", &[("vocabulary", vocabulary), ("layers", layers)])?;
        divides("BERT", heads, width)?;
        Ok(Bert::sized(vocabulary, width, layers, heads))
    }

    /// BERT-base: 12 layers, width 768, 12 heads.
    pub fn base(vocabulary: usize) -> Bert {
        Bert::sized(vocabulary, 768, 12, 12)
    }

    /// BERT-large: 24 layers, width 1024, 16 heads.
    pub fn large(vocabulary: usize) -> Bert {
        Bert::sized(vocabulary, 1024, 24, 16)
    }

    /// The size of the small published sentence encoders (all-MiniLM-L6-v2), for [`sentence_embedding`]: 6 layers, width 384,
    /// 12 heads.
    pub fn mini_lm(vocabulary: usize) -> Bert {
        Bert::sized(vocabulary, 384, 6, 12)
    }

    fn sized(vocabulary: usize, width: usize, layers: usize, heads: usize) -> Bert {
        Bert {
            vocabulary,
            width,
            layers,
            heads,
            inner: 4 * width,
            positions: 512,
            segments: 2,
            dropout: 0.1,
            eps: 1e-12,
            deviation: 0.02,
        }
    }

    /// How wide the layers are inside (`intermediate_size`).
    pub fn inner(mut self, width: usize) -> Self {
        self.inner = width;
        self
    }

    /// How long sequences can be (`max_position_embeddings`).
    pub fn positions(mut self, positions: usize) -> Self {
        self.positions = positions;
        self
    }

    /// How many segments are told apart (`type_vocab_size`).
    pub fn segments(mut self, segments: usize) -> Self {
        self.segments = segments;
        self
    }

    /// In training, drops embeddings, sub-layers' results and attention's weights with this probability.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// What norms add to the variance (`layer_norm_eps`).
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The standard deviation that weights and tables start with (`initializer_range`).
    pub fn deviation(mut self, deviation: f32) -> Self {
        self.deviation = deviation;
        self
    }

    /// Numbers that stand for each token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How long sequences can be.
    pub fn max_length(&self) -> usize {
        self.positions
    }

    /// A vector for each token: [N, L, width].
    ///
    /// # Panics
    /// With an error that names the model, if the tokens' shapes do not fit.
    #[track_caller]
    pub fn encode(&self, scope: &Scope, tokens: &Tokens) -> Tensor {
        self.hidden_states(scope, tokens).pop().expect("the embeddings at least")
    }

    /// The embeddings and what each layer makes of them, all [N, L, width] (`output_hidden_states`).
    ///
    /// # Panics
    /// With an error that names the model, if the tokens' shapes do not fit.
    #[track_caller]
    pub fn hidden_states(&self, scope: &Scope, tokens: &Tokens) -> Vec<Tensor> {
        self.check(scope, tokens);
        let mut states = vec![self.embed(&scope.enter("embeddings"), tokens)];
        for i in 0..self.layers {
            let layer = EncoderLayer { bert: self, mask: tokens.mask.as_ref() };
            let next = layer.forward(&scope.enter(&format!("encoder.layer.{i}")), &states[i]);
            states.push(next);
        }
        states
    }

    /// What stands for the whole sequence: a dense layer and tanh of the first token's vector, [N, width].
    #[track_caller]
    pub fn pool(&self, scope: &Scope, hidden: &Tensor) -> Tensor {
        let first = hidden.slice(1, 0..1).flatten(1);
        self.linear(self.width, self.width).forward(&scope.enter("pooler.dense"), &first).tanh()
    }

    /// Token, position and segment, each by its table.
    fn embed(&self, scope: &Scope, tokens: &Tokens) -> Tensor {
        let words = self.words(scope).embedding(&tokens.ids, None);
        let length = tokens.ids.shape()[1];
        let positions = self.table(scope, "position_embeddings", self.positions).slice(0, 0..length);
        let kinds = self.table(scope, "token_type_embeddings", self.segments);
        let kinds = match &tokens.segments {
            Some(segments) => kinds.embedding(segments, None),
            None => kinds.slice(0, 0..1),
        };
        self.drop(scope, &self.norm(scope, &(words + positions + kinds)))
    }

    /// The table of tokens, which the output layer of masked tokens shares. `scope` is that of the embeddings.
    fn words(&self, scope: &Scope) -> Tensor {
        self.table(scope, "word_embeddings", self.vocabulary)
    }

    fn table(&self, scope: &Scope, name: &str, rows: usize) -> Tensor {
        scope.enter(name).param("weight", &[rows, self.width], Init::Normal(0.0, self.deviation))
    }

    fn linear(&self, inputs: usize, outputs: usize) -> Linear {
        let normal = WeightInit::Fixed(Init::Normal(0.0, self.deviation));
        Linear::new(inputs, outputs).weight_init(normal).bias_init(Init::Constant(0.0))
    }

    fn norm(&self, scope: &Scope, x: &Tensor) -> Tensor {
        LayerNorm::new([self.width]).eps(self.eps).forward(&scope.enter("LayerNorm"), x)
    }

    fn drop(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if self.dropout > 0.0 { Dropout::new(self.dropout).forward(scope, x) } else { x.clone() }
    }

    #[track_caller]
    fn check(&self, scope: &Scope, tokens: &Tokens) {
        let name = scope.describe("Bert");
        let ids = &tokens.ids;
        if ids.rank() != 2 || ids.dtype() != DType::U32 || ids.shape()[1] > self.positions || ids.shape()[1] == 0 {
            let (dtype, shape, most) = (ids.dtype(), ids.shape(), self.positions);
            fail(&name, format!("token numbers u32 [N, 1 to {most}] expected, not {dtype} {shape:?}"));
        }
        for (what, given) in [("segments", &tokens.segments), ("the mask", &tokens.mask)] {
            if let Some(t) = given
                && (t.shape(), t.dtype()) != (ids.shape(), DType::U32)
            {
                let shape = ids.shape();
                fail(&name, format!("{what} u32 {shape:?} expected, not {} {:?}", t.dtype(), t.shape()));
            }
        }
    }
}

impl Layer for Bert {
    #[track_caller]
    fn forward(&self, scope: &Scope, ids: &Tensor) -> Tensor {
        self.encode(scope, &Tokens::new(ids))
    }
}

/// The name by which a tensor of a published checkpoint goes today: Google's first ones, `bert-base-uncased` among them, call
/// the tensors of a norm `gamma` and `beta`.
///
/// ```
/// use wgrad_zoo::bert::current_name;
/// assert_eq!(current_name("bert.embeddings.LayerNorm.gamma"), "bert.embeddings.LayerNorm.weight");
/// assert_eq!(current_name("bert.embeddings.LayerNorm.weight"), "bert.embeddings.LayerNorm.weight");
/// ```
pub fn current_name(name: &str) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(path) = name.strip_suffix(old) {
            return format!("{path}{new}");
        }
    }
    name.to_string()
}
