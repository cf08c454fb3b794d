//! The transformer (Vaswani et al., "Attention is all you need", 2017): an encoder that reads a sequence, and a decoder that
//! writes another one token by token.

mod greedy;
mod layers;
#[cfg(test)]
mod tests;

pub use greedy::Greedy;

use crate::ZooError;
use layers::{Block, dropped, norm};
use wgrad_graph::{Attention, CrossEntropy, DType, Init, Tensor, fail};
use wgrad_nn::init::WeightInit;
use wgrad_nn::{Layer, Linear, Scope};

/// How tokens tell their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Sines and cosines of wavelengths from 2 pi to 10000 * 2 pi (section 3.5), for any length.
    Sinusoidal,
    /// A table of this many rows that is learned: `src_pos.weight` and `tgt_pos.weight`, both from
    /// `U(-sqrt(6 / (rows + width)), ..)` as every matrix.
    Learned(usize),
}

/// An encoder-decoder for token numbers (u32).
///
/// As published: post-norm (each sub-layer's value is `norm(x + dropout(f(x)))`), sinusoidal positions, embeddings scaled by
/// `sqrt(width)`. With [`Transformer::pre_norm`] it is `x + dropout(f(norm(x)))`, and a norm after each stack. Dropout is where
/// the paper has it (section 5.4: on each sub-layer's value, and on the sums of embeddings and positions), and where
/// PyTorch has it as well: on attention's weights and inside the feed-forward layers.
///
/// Names are those of `torch.nn.Transformer`: `encoder.layers.0.self_attn.in_proj_weight`,
/// `decoder.layers.0.multihead_attn.out_proj.weight`, `encoder.layers.0.linear1.weight`, `encoder.norm.weight` and so on; what
/// it does not have is `src_embed.weight`, `tgt_embed.weight`, `generator.weight` and `generator.bias`. PyTorch's class has the
/// norms after the stacks even where it is post-norm; [`Transformer::final_norm`] makes such a model. Matrices start as
/// Xavier-uniform, biases as in PyTorch.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// # use wgrad_zoo::Transformer;
/// // The form of The Annotated Transformer's copy task.
/// let model = Transformer::new(11, 11).layers(2).pre_norm(true);
/// let [source, target] = ["source", "target"].map(|name| Tensor::input(name, [3, 10], DType::U32));
/// let scope = Scope::eval();
/// assert_eq!(model.logits(&scope, &source, &target).shape(), [3, 10, 11]);
/// assert_eq!(scope.param_count(), 14_731_787);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    source_tokens: usize,
    target_tokens: usize,
    layers: usize,
    width: usize,
    heads: usize,
    hidden: usize,
    dropout: f32,
    pre_norm: bool,
    final_norm: Option<bool>,
    positions: Positions,
    tied: bool,
    padding: Option<u32>,
}

impl Transformer {
    /// The paper's base model, for vocabularies of these sizes: six layers each, width 512, eight heads, 2048 inside the
    /// feed-forward layers, dropout 0.1.
    pub fn new(source_tokens: usize, target_tokens: usize) -> Transformer {
        Transformer {
            source_tokens,
            target_tokens,
            layers: 6,
            width: 512,
            heads: 8,
            hidden: 2048,
            dropout: 0.1,
            pre_norm: false,
            final_norm: None,
            positions: Positions::Sinusoidal,
            tied: false,
            padding: None,
        }
    }

    /// Layers of the encoder, and of the decoder.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// Numbers that stand for a token between layers.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Heads of each attention.
    pub fn heads(mut self, heads: usize) -> Self {
        self.heads = heads;
        self
    }

    /// Width inside the feed-forward layers.
    pub fn hidden(mut self, hidden: usize) -> Self {
        self.hidden = hidden;
        self
    }

    /// The share that is dropped in training.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// Whether norms come before sub-layers, not after the sums.
    pub fn pre_norm(mut self, on: bool) -> Self {
        self.pre_norm = on;
        self
    }

    /// Whether there is a norm after each stack: if not said, where norms come before sub-layers.
    pub fn final_norm(mut self, on: bool) -> Self {
        self.final_norm = Some(on);
        self
    }

    /// How tokens tell their places.
    pub fn positions(mut self, positions: Positions) -> Self {
        self.positions = positions;
        self
    }

    /// Whether one table, `src_embed.weight`, embeds source and target and gives the logits, without a bias (section 3.4). The
    /// vocabularies must be the same.
    pub fn tied(mut self, on: bool) -> Self {
        self.tied = on;
        self
    }

    /// The token that stands where sequences have ended: nothing attends to it, and the loss leaves it out.
    pub fn padding(mut self, token: u32) -> Self {
        self.padding = Some(token);
        self
    }

    /// The token that stands where sequences have ended, if there is one.
    pub fn padding_token(&self) -> Option<u32> {
        self.padding
    }

    /// Size of the vocabulary that is written in.
    pub fn target_tokens(&self) -> usize {
        self.target_tokens
    }

    /// Layers of the encoder, and of the decoder.
    pub fn layer_count(&self) -> usize {
        self.layers
    }

    /// What follows each token of `target` [N, T], having read `source` [N, S]: logits [N, T, tokens]. A place sees the target
    /// up to itself only.
    ///
    /// # Panics
    /// If shapes or options do not fit each other ([`Transformer::check`]).
    #[track_caller]
    pub fn logits(&self, scope: &Scope, source: &Tensor, target: &Tensor) -> Tensor {
        let memory = self.encode(scope, source);
        self.decode(scope, target, &memory, source)
    }

    /// The mean loss of writing `next` [N, T], each token being what follows the one in the same place of `target`. Padding
    /// does not count.
    ///
    /// # Panics
    /// As [`Transformer::logits`].
    #[track_caller]
    pub fn loss(&self, scope: &Scope, source: &Tensor, target: &Tensor, next: &Tensor, label_smoothing: f32) -> Tensor {
        let logits = self.logits(scope, source, target);
        let [batch, length, tokens] = logits.dims();
        if next.shape() != [batch, length] {
            fail("Transformer::loss", format!("the target is {:?}, what follows {:?}", target.shape(), next.shape()));
        }
        let options = CrossEntropy { ignore: self.padding, label_smoothing, ..CrossEntropy::default() };
        let rows = [batch * length];
        logits.reshape([batch * length, tokens]).cross_entropy_with(&next.reshape(rows), &options)
    }

    /// What the encoder makes of `source` [N, S]: [N, S, width].
    #[track_caller]
    pub fn encode(&self, scope: &Scope, source: &Tensor) -> Tensor {
        let seen = self.look_across(source);
        let mut x = self.embed(scope, source, "src");
        for i in 0..self.layers {
            let block = self.block(&scope.enter("encoder").enter("layers").enter(&i.to_string()));
            x = block.attend("self_attn", "norm1", &x, None, &seen);
            x = block.feed_forward("norm2", &x);
        }
        self.last_norm(&scope.enter("encoder"), x)
    }

    /// What follows each token of `target` [N, T], given the encoder's `memory` of `source`: logits [N, T, tokens].
    #[track_caller]
    pub fn decode(&self, scope: &Scope, target: &Tensor, memory: &Tensor, source: &Tensor) -> Tensor {
        let mut x = self.embed(scope, target, self.target_side());
        for i in 0..self.layers {
            let block = self.block(&scope.enter("decoder").enter("layers").enter(&i.to_string()));
            x = self.look_back(&block, target, &x);
            x = block.attend("multihead_attn", "norm2", &x, Some(memory), &self.look_across(source));
            x = block.feed_forward("norm3", &x);
        }
        let x = self.last_norm(&scope.enter("decoder"), x);
        if self.tied {
            let [batch, length, width] = x.dims();
            let table = self.table(scope, "src_embed", self.source_tokens);
            let logits = x.reshape([batch * length, width]).matmul(&table.transpose(0, 1));
            return logits.reshape([batch, length, self.source_tokens]);
        }
        let generator =
            Linear::new(self.width, self.target_tokens).weight_init(WeightInit::XavierUniform { gain: 1.0 });
        generator.forward(&scope.enter("generator"), &x)
    }

    /// How much each place of `target` [N, T] looks at each of `source` [N, S] in the decoder's layer number `layer`: weights [N,
    /// heads, T, S].
    #[track_caller]
    pub fn attention(&self, scope: &Scope, source: &Tensor, target: &Tensor, layer: usize) -> Tensor {
        if layer >= self.layers {
            fail("Transformer::attention", format!("there is no layer {layer}, only {}", self.layers));
        }
        let memory = self.encode(scope, source);
        let mut x = self.embed(scope, target, self.target_side());
        for i in 0.. {
            let block = self.block(&scope.enter("decoder").enter("layers").enter(&i.to_string()));
            x = self.look_back(&block, target, &x);
            if i == layer {
                return block.weights("multihead_attn", "norm2", &x, &memory, &self.look_across(source));
            }
            x = block.attend("multihead_attn", "norm2", &x, Some(&memory), &self.look_across(source));
            x = block.feed_forward("norm3", &x);
        }
        unreachable!("the layer was found")
    }

    /// Attention over the target up to each place.
    #[track_caller]
    fn look_back(&self, block: &Block, target: &Tensor, x: &Tensor) -> Tensor {
        let before = Attention { causal: true, mask: self.mask(target), ..Attention::default() };
        block.attend("self_attn", "norm1", x, None, &before)
    }

    /// What of the source is seen.
    fn look_across(&self, source: &Tensor) -> Attention {
        Attention { mask: self.mask(source), ..Attention::default() }
    }

    fn target_side(&self) -> &'static str {
        if self.tied { "src" } else { "tgt" }
    }

    /// Scaled embeddings and positions, added up.
    #[track_caller]
    fn embed(&self, scope: &Scope, tokens: &Tensor, side: &str) -> Tensor {
        if let Err(error) = self.check() {
            fail(&scope.describe("Transformer"), error.to_string());
        }
        if tokens.rank() != 2 || tokens.dtype() != DType::U32 {
            let given = format!("{} {:?}", tokens.dtype(), tokens.shape());
            fail(&scope.describe("Transformer"), format!("tokens u32 [N, length] expected, not {given}"));
        }
        let length = tokens.shape()[1];
        let rows = if side == "src" { self.source_tokens } else { self.target_tokens };
        let table = self.table(scope, &format!("{side}_embed"), rows);
        let x = table.embedding(tokens, None).mul_scalar((self.width as f64).sqrt());
        let places = match self.positions {
            Positions::Sinusoidal => sinusoids(length, self.width),
            Positions::Learned(rows) if length <= rows => {
                self.table(scope, &format!("{side}_pos"), rows).slice(0, 0..length)
            }
            Positions::Learned(rows) => {
                fail(&scope.describe("Transformer"), format!("{length} tokens, but only {rows} places"))
            }
        };
        dropped(scope, &(x + places), self.dropout)
    }

    #[track_caller]
    fn table(&self, scope: &Scope, name: &str, rows: usize) -> Tensor {
        let shape = [rows, self.width];
        scope.enter(name).param("weight", &shape, WeightInit::XavierUniform { gain: 1.0 }.init(&shape))
    }

    /// Which tokens are seen: all but padding.
    fn mask(&self, tokens: &Tensor) -> Option<Tensor> {
        self.padding.map(|p| tokens.not_equal(&Tensor::scalar(p)))
    }

    fn block(&self, scope: &Scope) -> Block {
        let Transformer { width, heads, hidden, dropout, pre_norm, .. } = *self;
        Block { scope: scope.clone(), width, heads, hidden, dropout, pre_norm }
    }

    #[track_caller]
    fn last_norm(&self, scope: &Scope, x: Tensor) -> Tensor {
        if self.final_norm.unwrap_or(self.pre_norm) { norm(scope, "norm", &x) } else { x }
    }

    /// That the options fit each other: for those that a user chose.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), ZooError> {
        let sizes = [
            ("source tokens", self.source_tokens),
            ("target tokens", self.target_tokens),
            ("hidden", self.hidden),
            ("heads", self.heads),
        ];
        crate::error::positive("transformer", &sizes)?;
        crate::error::divides("transformer", self.heads, self.width)?;
        let wrong = |reason: String| Err(ZooError::Invalid { what: "transformer", reason });
        if self.positions == Positions::Sinusoidal && self.width % 2 == 1 {
            return wrong(format!("sines and cosines take turns, but width {} is odd", self.width));
        }
        if self.tied && self.source_tokens != self.target_tokens {
            let (source, target) = (self.source_tokens, self.target_tokens);
            return wrong(format!("one table cannot serve {source} source and {target} target tokens"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong(format!("dropout {} is not at least 0 and below 1", self.dropout));
        }
        Ok(())
    }
}

/// `sin(pos / 10000^(2i / width))` in column 2i, the cosine in the next: [length, width].
#[track_caller]
fn sinusoids(length: usize, width: usize) -> Tensor {
    // Worked out in f64 here: in f32 the angle of a late place has few digits left.
    let angle = |pos: usize, pair: usize| pos as f64 / 10000f64.powf(2.0 * pair as f64 / width as f64);
    let value = |pos: usize, column: usize| match column % 2 {
        0 => angle(pos, column / 2).sin() as f32,
        _ => angle(pos, column / 2).cos() as f32,
    };
    let values: Vec<f32> = (0..length).flat_map(|pos| (0..width).map(move |c| value(pos, c))).collect();
    Tensor::state(format!("positions.{length}x{width}"), [length, width], DType::F32, Init::Data(values.into()))
}
