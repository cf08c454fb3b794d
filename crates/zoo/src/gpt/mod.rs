//! GPT-2 (Radford, Wu, Child, Luan, Amodei and Sutskever, "Language models are unsupervised multitask learners", 2019): a
//! stack of transformer decoder blocks that predicts the next token.

mod cache;
mod checkpoint;
mod sample;
#[cfg(test)]
mod tests;

pub use cache::Generator;
pub use checkpoint::local_name;
pub use sample::{Sampler, Sampling};

use crate::ZooError;
use wgrad_graph::{Attention, DType, DropWeights, Init, Tensor, fail};
use wgrad_nn::{Dropout, Layer, LayerNorm, Scope};

/// A causal language model for token numbers [N, length] (u32), giving the logits of each next token [N, length, vocabulary].
///
/// Layout, names and initial values follow Hugging Face's GPT-2: `wte.weight`, `wpe.weight`, `h.0.ln_1.weight`,
/// `h.0.attn.c_attn.weight` ([inputs, outputs], where a linear layer has [outputs, inputs]), `h.0.mlp.c_fc.weight`,
/// `ln_f.weight` and so on. Weights start normal with standard deviation 0.02, those that end a branch with
/// `0.02 / sqrt(2 * layers)`, biases at 0. The output layer is the table of tokens, `wte.weight`. A checkpoint's names become
/// these by [`local_name`].
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// # use wgrad_zoo::gpt::{Gpt, Gpt2};
/// let model = Gpt::gpt2(Gpt2::Small);
/// let tokens = Tensor::input("tokens", [1, 8], DType::U32);
/// let scope = Scope::eval();
/// assert_eq!(model.forward(&scope, &tokens).shape(), [1, 8, 50257]);
/// assert_eq!(scope.param_count(), 124_439_808);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt {
    vocabulary: usize,
    context: usize,
    width: usize,
    layers: usize,
    heads: usize,
    dropout: f32,
    eps: f32,
}

/// The published sizes (table 2), with 50,257 tokens and a context of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpt2 {
    /// 12 layers of 768: 124,439,808 parameters.
    Small,
    /// 24 layers of 1024: 354,823,168 parameters.
    Medium,
    /// 36 layers of 1280: 774,030,080 parameters.
    Large,
    /// 48 layers of 1600: 1,557,611,200 parameters.
    Xl,
}

impl Gpt {
    /// A model of `layers` blocks of `width` numbers a token, with `heads` heads, for at most `context` tokens at a time.
    ///
    /// # Errors
    /// If one of them is 0, or the heads do not divide the width.
    pub fn new(vocabulary: usize, context: usize, layers: usize, heads: usize, width: usize) -> Result<Gpt, ZooError> {
        let sizes = [("vocabulary", vocabulary), ("context", context), ("layers", layers), ("heads", heads)];
        crate::error::positive("GPT", &sizes)?;
        crate::error::divides("GPT", heads, width)?;
        Ok(Gpt { vocabulary, context, width, layers, heads, dropout: 0.1, eps: 1e-5 })
    }

    /// A model of a published size.
    pub fn gpt2(size: Gpt2) -> Gpt {
        let (layers, heads, width) = match size {
            Gpt2::Small => (12, 12, 768),
            Gpt2::Medium => (24, 16, 1024),
            Gpt2::Large => (36, 20, 1280),
            Gpt2::Xl => (48, 25, 1600),
        };
        Gpt { vocabulary: 50257, context: 1024, width, layers, heads, dropout: 0.1, eps: 1e-5 }
    }

    /// In training, the share that is dropped of embeddings, attention's weights and what each branch adds: 0.1 unless said
    /// otherwise.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// What norms add to the variance: 1e-5 unless said otherwise.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// How many tokens the model sees at most.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Blocks.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The mean loss of predicting `targets` [N, length] (u32), each the token after the one in the same place of `tokens`.
    #[track_caller]
    pub fn loss(&self, scope: &Scope, tokens: &Tensor, targets: &Tensor) -> Tensor {
        let logits = self.forward(scope, tokens);
        let [batch, length, vocabulary] = logits.dims();
        if targets.shape() != [batch, length] {
            fail("Gpt::loss", format!("tokens are {:?}, targets {:?}", tokens.shape(), targets.shape()));
        }
        logits.reshape([batch * length, vocabulary]).cross_entropy(&targets.reshape([batch * length]))
    }

    /// The figure: tokens and places to vectors, through the blocks, normalised. `places` are the tokens' places [length];
    /// `attend` gives a block's attention [N, length, heads, width / heads] from its number and its queries, keys and values,
    /// side by side [N, length, 3, heads, width / heads].
    #[track_caller]
    fn hidden(&self, scope: &Scope, tokens: &Tensor, places: &Tensor, attend: &Attend) -> Tensor {
        let table = |name: &str, rows| scope.enter(name).param("weight", &[rows, self.width], normal(0.02));
        let x = table("wte", self.vocabulary).embedding(tokens, None);
        let x = x + table("wpe", self.context).embedding(places, None);
        let mut x = self.drop(scope, &x);
        for layer in 0..self.layers {
            let scope = scope.enter("h").enter(&layer.to_string());
            let attended = self.attention(&scope.enter("attn"), &self.norm(&scope, "ln_1", &x), layer, attend);
            x = x + self.drop(&scope, &attended);
            let widened = self.mlp(&scope.enter("mlp"), &self.norm(&scope, "ln_2", &x));
            x = x + self.drop(&scope, &widened);
        }
        self.norm(scope, "ln_f", &x)
    }

    #[track_caller]
    fn attention(&self, scope: &Scope, x: &Tensor, layer: usize, attend: &Attend) -> Tensor {
        let [batch, length, width] = x.dims();
        let parts = affine(scope, "c_attn", x, 3 * width, 0.02);
        let parts = parts.reshape([batch, length, 3, self.heads, width / self.heads]);
        let joined = attend(scope, layer, &parts).reshape(x.shape());
        affine(scope, "c_proj", &joined, width, self.last_deviation())
    }

    #[track_caller]
    fn mlp(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let x = affine(scope, "c_fc", x, 4 * self.width, 0.02).gelu_tanh();
        affine(scope, "c_proj", &x, self.width, self.last_deviation())
    }

    /// Attention over the tokens up to each, which is what a model does that remembers nothing.
    #[track_caller]
    fn attend_causally(&self, scope: &Scope, parts: &Tensor) -> Tensor {
        let mut options = Attention { causal: true, ..Attention::default() };
        if scope.is_train() && self.dropout > 0.0 {
            let (generator, stream) = scope.rng();
            options.dropout = Some(DropWeights { p: self.dropout, generator, stream });
        }
        parts.self_attention(&options)
    }

    /// Logits from the last norm's values, whatever their leading axes.
    #[track_caller]
    fn head(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let table = scope.enter("wte").param("weight", &[self.vocabulary, self.width], normal(0.02));
        let lead = &x.shape()[..x.rank() - 1];
        let rows = x.reshape([lead.iter().product(), self.width]);
        rows.matmul(&table.transpose(0, 1)).reshape([lead, &[self.vocabulary]].concat())
    }

    #[track_caller]
    fn norm(&self, scope: &Scope, name: &str, x: &Tensor) -> Tensor {
        LayerNorm::new([self.width]).eps(self.eps).forward(&scope.enter(name), x)
    }

    #[track_caller]
    fn drop(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if self.dropout > 0.0 { Dropout::new(self.dropout).forward(scope, x) } else { x.clone() }
    }

    /// Of the weights that end a branch: what the residual path adds up keeps its size.
    fn last_deviation(&self) -> f32 {
        (0.02 / (2.0 * self.layers as f64).sqrt()) as f32
    }
}

/// Attention of a block: its scope and number, and queries, keys and values side by side.
type Attend<'a> = dyn Fn(&Scope, usize, &Tensor) -> Tensor + 'a;

impl Layer for Gpt {
    #[track_caller]
    fn forward(&self, scope: &Scope, tokens: &Tensor) -> Tensor {
        check_tokens(scope, tokens, self.context);
        let places = Tensor::iota([tokens.shape()[1]], 0);
        let attend = |scope: &Scope, _, parts: &Tensor| self.attend_causally(scope, parts);
        self.head(scope, &self.hidden(scope, tokens, &places, &attend))
    }
}

#[track_caller]
fn check_tokens(scope: &Scope, tokens: &Tensor, context: usize) {
    let fits = tokens.rank() == 2 && tokens.dtype() == DType::U32 && (1..=context).contains(&tokens.shape()[1]);
    if !fits {
        let given = format!("{} {:?}", tokens.dtype(), tokens.shape());
        fail(&scope.describe("Gpt"), format!("u32 [N, 1 to {context}] expected, not {given}"));
    }
}

/// `x @ weight + bias` over the last axis, with the weight [inputs, outputs]: Hugging Face's `Conv1D`.
#[track_caller]
fn affine(scope: &Scope, name: &str, x: &Tensor, outputs: usize, deviation: f32) -> Tensor {
    let scope = scope.enter(name);
    let [batch, length, inputs] = x.dims();
    let weight = scope.param("weight", &[inputs, outputs], normal(deviation));
    let bias = scope.param("bias", &[outputs], Init::Constant(0.0));
    let y = x.reshape([batch * length, inputs]).matmul(&weight) + bias;
    y.reshape([batch, length, outputs])
}

fn normal(deviation: f32) -> Init {
    Init::Normal(0.0, deviation)
}
