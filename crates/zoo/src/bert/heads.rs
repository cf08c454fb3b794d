//! What is put on the encoder.

use super::{Bert, Tokens};
use wgrad_graph::{CrossEntropy, DType, Init, Tensor, fail};
use wgrad_nn::{Layer, Scope};

/// The label of a place in the list of picked ones that is not used: a sequence has fewer masked tokens than another.
pub const UNPICKED: u32 = u32::MAX;

/// BERT while it learns from text: which tokens were masked, and whether the second sentence follows the first. As Hugging
/// Face's `BertForPreTraining`, and by its names: `bert.*`, `cls.predictions.transform.dense.weight`,
/// `cls.predictions.transform.LayerNorm.weight`, `cls.predictions.bias`, `cls.seq_relationship.weight`. The output layer of
/// masked tokens is the table of words (a checkpoint's `cls.predictions.decoder.weight` repeats that table, its
/// `decoder.bias` the bias).
///
/// Logits of tokens are computed at picked places only, as the paper's own code does: those of the other 85 % would be dropped.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// # use wgrad_zoo::bert::{Bert, BertPreTraining, Tokens};
/// let model = BertPreTraining::new(Bert::base(30_522));
/// let tokens = Tokens::new(&Tensor::input("ids", [2, 128], DType::U32));
/// let scope = Scope::eval();
/// let heads = model.predict(&scope, &tokens, &Tensor::input("positions", [2, 20], DType::U32));
/// assert_eq!(heads.tokens.shape(), [2, 20, 30_522]);
/// assert_eq!(heads.next.shape(), [2, 2]);
/// assert_eq!(scope.param_count(), 110_106_428);
/// ```
#[derive(Clone, Debug)]
pub struct BertPreTraining {
    bert: Bert,
}

/// What [`BertPreTraining::predict`] gives.
#[derive(Clone, Debug)]
pub struct PreTraining {
    /// Logits of the tokens at the picked places: [N, P, vocabulary].
    pub tokens: Tensor,
    /// Logits of "B follows A" (class 0) and "B is from elsewhere" (class 1): [N, 2].
    pub next: Tensor,
}

impl BertPreTraining {
    /// Both heads on `bert`.
    pub fn new(bert: Bert) -> BertPreTraining {
        BertPreTraining { bert }
    }

    /// Both heads' logits. `positions` (u32 [N, P]) are the picked places in each sequence.
    ///
    /// # Panics
    /// With an error that names the model, if shapes do not fit.
    #[track_caller]
    pub fn predict(&self, scope: &Scope, tokens: &Tokens, positions: &Tensor) -> PreTraining {
        let body = scope.enter("bert");
        let hidden = self.bert.encode(&body, tokens);
        let pooled = self.bert.pool(&body, &hidden);
        let next = self.bert.linear(self.bert.width, 2).forward(&scope.enter("cls.seq_relationship"), &pooled);
        PreTraining { tokens: self.tokens(scope, &pick(scope, &hidden, positions)), next }
    }

    /// Logits [..., vocabulary] of vectors [N, P, width].
    fn tokens(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let Bert { width, vocabulary, .. } = self.bert;
        let predictions = scope.enter("cls.predictions");
        let transform = predictions.enter("transform");
        let x = self.bert.linear(width, width).forward(&transform.enter("dense"), x).gelu();
        let x = self.bert.norm(&transform, &x);
        let [batch, picked, _] = x.dims();
        let words = self.bert.words(&scope.enter("bert.embeddings"));
        let logits = x.reshape([batch * picked, width]).matmul(&words.transpose(0, 1));
        let bias = predictions.param("bias", &[vocabulary], Init::Constant(0.0));
        (logits + bias).reshape([batch, picked, vocabulary])
    }
}

impl PreTraining {
    /// Mean cross-entropy of the picked tokens. `labels` (u32 [N, P]) are what stood there; [`UNPICKED`] places do not count.
    /// NaN if none counts.
    #[track_caller]
    pub fn token_loss(&self, labels: &Tensor) -> Tensor {
        let [batch, picked, vocabulary] = self.tokens.dims();
        let logits = self.tokens.reshape([batch * picked, vocabulary]);
        let options = CrossEntropy { ignore: Some(UNPICKED), ..CrossEntropy::default() };
        logits.cross_entropy_with(&labels.reshape([batch * picked]), &options)
    }

    /// Mean cross-entropy of whether B follows A: u32 `[N]`, 0 where it does.
    #[track_caller]
    pub fn next_loss(&self, next: &Tensor) -> Tensor {
        self.next.cross_entropy(next)
    }

    /// What the paper minimises: the sum of both losses.
    #[track_caller]
    pub fn loss(&self, labels: &Tensor, next: &Tensor) -> Tensor {
        self.token_loss(labels) + self.next_loss(next)
    }

    /// Share of the picked tokens that were found.
    #[track_caller]
    pub fn token_accuracy(&self, labels: &Tensor) -> Tensor {
        let right = self.tokens.argmax(&[2]).equal(labels).cast(DType::F32).sum_all();
        right / labels.not_equal(&Tensor::scalar(UNPICKED)).cast(DType::F32).sum_all()
    }

    /// Share of the pairs that were told right.
    #[track_caller]
    pub fn next_accuracy(&self, next: &Tensor) -> Tensor {
        self.next.argmax(&[1]).equal(next).cast(DType::F32).mean_all()
    }
}

/// The vectors [N, P, width] at these places (u32 [N, P]) of [N, L, width].
#[track_caller]
fn pick(scope: &Scope, hidden: &Tensor, positions: &Tensor) -> Tensor {
    let [batch, length, width] = hidden.dims();
    if positions.rank() != 2 || positions.shape()[0] != batch || positions.dtype() != DType::U32 {
        let (dtype, shape) = (positions.dtype(), positions.shape());
        fail(&scope.describe("BertPreTraining"), format!("positions u32 [{batch}, P] expected, not {dtype} {shape:?}"));
    }
    let picked = positions.shape()[1];
    // A place past the end would else be one in the next sequence.
    let rows =
        positions.checked_index("positions", length) + Tensor::iota([batch, picked], 0) * Tensor::scalar(length as u32);
    hidden.reshape([batch * length, width]).embedding(&rows, None)
}

/// BERT that tells classes of sequences apart, as Hugging Face's `BertForSequenceClassification`: dropout and `classifier` on
/// the pooled vector, the encoder below `bert`.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// # use wgrad_zoo::bert::{Bert, BertClassifier, Tokens};
/// let model = BertClassifier::new(Bert::base(30_522), 3);
/// let scope = Scope::eval();
/// let logits = model.classify(&scope, &Tokens::new(&Tensor::input("ids", [2, 128], DType::U32)));
/// assert_eq!(logits.shape(), [2, 3]);
/// assert_eq!(scope.param_count(), 109_484_547);
/// ```
#[derive(Clone, Debug)]
pub struct BertClassifier {
    bert: Bert,
    classes: usize,
}

impl BertClassifier {
    /// A new head on `bert`.
    pub fn new(bert: Bert, classes: usize) -> BertClassifier {
        BertClassifier { bert, classes }
    }

    /// Logits [N, classes].
    ///
    /// # Panics
    /// With an error that names the model, if shapes do not fit.
    #[track_caller]
    pub fn classify(&self, scope: &Scope, tokens: &Tokens) -> Tensor {
        let body = scope.enter("bert");
        let pooled = self.bert.pool(&body, &self.bert.encode(&body, tokens));
        let pooled = self.bert.drop(scope, &pooled);
        self.bert.linear(self.bert.width, self.classes).forward(&scope.enter("classifier"), &pooled)
    }
}

/// The mean of the vectors [N, L, width] of tokens (not of padding, which `mask`, u32 [N, L], has 0 for): [N, width].
#[track_caller]
pub fn mean_pool(hidden: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let Some(mask) = mask else { return hidden.mean(&[1]) };
    let [batch, length] = mask.dims();
    let mask = mask.cast(DType::F32).reshape([batch, length, 1]);
    (hidden * &mask).sum(&[1]) / mask.sum(&[1]).clamp(1e-9, f32::MAX)
}

/// What sentence-transformers' models of this kind give for each sentence: the mean of its tokens' vectors, made 1 long:
/// [N, width]. Their cosine similarity is their scalar product.
#[track_caller]
pub fn sentence_embedding(bert: &Bert, scope: &Scope, tokens: &Tokens) -> Tensor {
    mean_pool(&bert.encode(scope, tokens), tokens.mask.as_ref()).normalize(2.0, 1, 1e-12)
}
