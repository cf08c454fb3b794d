//! Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale",
//! 2020).

mod layer;
#[cfg(test)]
mod tests;

use crate::ZooError;
use crate::error::positive;
use layer::EncoderLayer;
use wgrad_graph::{Init, Tensor, fail};
use wgrad_nn::{Conv2d, Dropout, Layer, LayerNorm, Linear, Scope, WeightInit};

/// A vision transformer for square images [N, channels, image, image], giving logits [N, classes].
///
/// The image is cut into patches; each becomes a vector by one linear map (a convolution whose stride is its kernel), a class
/// token is put before them, positions are added, and pre-norm layers follow. What the class token has become goes to the
/// head.
///
/// Names and initial values follow torchvision: `class_token`, `conv_proj.weight`, `encoder.pos_embedding`,
/// `encoder.layers.encoder_layer_0.self_attention.in_proj_weight`, `encoder.ln.weight`, `heads.head.weight` and so on; the
/// head starts at 0, so that all classes are equally likely at first. A torchvision state dict fits by name. Norms have eps
/// 1e-6. No dropout unless asked for.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let model = wgrad_zoo::Vit::base(16, 1000)?;
/// let images = Tensor::input("images", [2, 3, 224, 224], DType::F32);
/// let scope = Scope::eval();
/// assert_eq!(model.forward(&scope, &images).shape(), [2, 1000]);
/// assert_eq!(scope.param_count(), 86_567_656);
/// # Ok::<(), wgrad_zoo::ZooError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vit {
    image: usize,
    patch: usize,
    channels: usize,
    width: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    classes: usize,
    dropout: f32,
    attention_dropout: f32,
    representation: Option<usize>,
}

impl Vit {
    /// ViT-B for images of 224x224: 12 layers, width 768, 12 heads. Patches of 16 or 32 are the published ones.
    ///
    /// # Errors
    /// If a size is 0, or patches of this size do not fill the image.
    pub fn base(patch: usize, classes: usize) -> Result<Vit, ZooError> {
        Ok(Vit::new(224, patch, classes)?.layers(12).width(768, 12).inner(3072))
    }

    /// ViT-L for images of 224x224: 24 layers, width 1024, 16 heads. Patches of 16 or 32 are the published ones.
    ///
    /// # Errors
    /// If a size is 0, or patches of this size do not fill the image.
    pub fn large(patch: usize, classes: usize) -> Result<Vit, ZooError> {
        Ok(Vit::new(224, patch, classes)?.layers(24).width(1024, 16).inner(4096))
    }

    /// ViT-H for images of 224x224: 32 layers, width 1280, 16 heads. Patches of 14 are the published ones.
    ///
    /// # Errors
    /// If a size is 0, or patches of this size do not fill the image.
    pub fn huge(patch: usize, classes: usize) -> Result<Vit, ZooError> {
        Ok(Vit::new(224, patch, classes)?.layers(32).width(1280, 16).inner(5120))
    }

    /// A small one for images of `image` x `image`, 3 channels, cut into patches of `patch` x `patch`: 6 layers, width 64, 4
    /// heads, 128 inside. (The paper has none so small.)
    ///
    /// # Errors
    /// If a size is 0, or the patches do not fill the image.
    pub fn new(image: usize, patch: usize, classes: usize) -> Result<Vit, ZooError> {
        positive("ViT", &[("image", image), ("patch", patch), ("classes", classes)])?;
        if !image.is_multiple_of(patch) {
            let reason = format!("patches of {patch}x{patch} do not fill an image of {image}x{image}");
            return Err(ZooError::Invalid { what: "ViT", reason });
        }
        Ok(Vit {
            image,
            patch,
            channels: 3,
            width: 64,
            layers: 6,
            heads: 4,
            inner: 128,
            classes,
            dropout: 0.0,
            attention_dropout: 0.0,
            representation: None,
        })
    }

    /// Channels of the images.
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// How many layers.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// Numbers that stand for each patch, and heads, which divide them.
    pub fn width(mut self, width: usize, heads: usize) -> Self {
        self.width = width;
        self.heads = heads;
        self
    }

    /// How wide the layers are inside (`mlp_dim`).
    pub fn inner(mut self, width: usize) -> Self {
        self.inner = width;
        self
    }

    /// In training, drops embeddings and sub-layers' results with this probability.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// In training, drops attention's weights with this probability.
    pub fn attention_dropout(mut self, p: f32) -> Self {
        self.attention_dropout = p;
        self
    }

    /// A hidden layer with tanh in the head, as the paper has it in pre-training (`representation_size`).
    pub fn representation(mut self, width: usize) -> Self {
        self.representation = Some(width);
        self
    }

    /// The model's name as torchvision writes it, `vit_b_16`; other sizes are told by their own: `vit_64x6_2` has width 64, 6
    /// layers and patches of 2.
    pub fn name(&self) -> String {
        let size = match (self.width, self.layers) {
            (768, 12) => "b".into(),
            (1024, 24) => "l".into(),
            (1280, 32) => "h".into(),
            (width, layers) => format!("{width}x{layers}"),
        };
        format!("vit_{size}_{}", self.patch)
    }

    /// Patches along each side of an image.
    pub fn grid(&self) -> usize {
        self.image / self.patch
    }

    /// The class token and the patches, [N, 1 + grid², width]: as embedded, after each layer, and after the last norm.
    ///
    /// # Panics
    /// With an error that names the model, if the images have another shape.
    #[track_caller]
    pub fn hidden_states(&self, scope: &Scope, images: &Tensor) -> Vec<Tensor> {
        let encoder = scope.enter("encoder");
        let mut states = vec![self.embed(scope, images)];
        for i in 0..self.layers {
            states.push(self.layer().forward(&self.layer_scope(scope, i), &states[i]));
        }
        states.push(self.norm().forward(&encoder.enter("ln"), &states[self.layers]));
        states
    }

    /// Each layer's attention weights, [N, heads, 1 + grid², 1 + grid²]: how much each token (the class token first) takes from
    /// every other.
    ///
    /// # Panics
    /// With an error that names the model, if the images have another shape.
    #[track_caller]
    pub fn attention_weights(&self, scope: &Scope, images: &Tensor) -> Vec<Tensor> {
        let states = self.hidden_states(scope, images);
        (0..self.layers).map(|i| self.layer().weights(&self.layer_scope(scope, i), &states[i])).collect()
    }

    /// Where the class token's information comes from, by attention rollout (Abnar and Zuidema, "Quantifying attention flow in
    /// transformers", 2020): [N, grid, grid]. Each layer passes on half of what a token was and half of what its heads, on the
    /// average, take from others; the layers' matrices are multiplied.
    ///
    /// # Panics
    /// With an error that names the model, if the images have another shape.
    #[track_caller]
    pub fn rollout(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let (batch, grid) = (images.shape()[0], self.grid());
        let tokens = 1 + grid * grid;
        let same = Tensor::iota([tokens, tokens], 0).equal(&Tensor::iota([tokens, tokens], 1)).cast(images.dtype());
        let flows = self.attention_weights(scope, images).into_iter();
        let flows = flows.map(|w| (w.mean(&[1]) + &same).mul_scalar(0.5));
        // The class token's row of the product, from the last layer down.
        let mut row = Tensor::iota([batch, 1, tokens], 2).equal(&Tensor::scalar(0u32)).cast(images.dtype());
        for flow in flows.rev() {
            row = row.matmul(&flow);
        }
        row.slice(2, 1..tokens).reshape([batch, grid, grid])
    }

    fn layer(&self) -> EncoderLayer<'_> {
        EncoderLayer { vit: self }
    }

    fn layer_scope(&self, scope: &Scope, i: usize) -> Scope {
        scope.enter(&format!("encoder.layers.encoder_layer_{i}"))
    }

    fn norm(&self) -> LayerNorm {
        LayerNorm::new([self.width]).eps(1e-6)
    }

    fn drop(&self, scope: &Scope, x: &Tensor) -> Tensor {
        if self.dropout > 0.0 { Dropout::new(self.dropout).forward(scope, x) } else { x.clone() }
    }

    /// Patches as vectors, the class token before them, and positions.
    #[track_caller]
    fn embed(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let Vit { image, channels, width, .. } = *self;
        if images.rank() != 4 || images.shape()[1..] != [channels, image, image] {
            let expected = format!("[N, {channels}, {image}, {image}]");
            fail(&scope.describe("Vit"), format!("images {expected} expected, not {:?}", images.shape()));
        }
        let (batch, patches) = (images.shape()[0], self.grid() * self.grid());
        let class = scope.param("class_token", &[1, 1, width], Init::Constant(0.0));
        // LeCun's normal: torchvision cuts it off so far out that nothing is cut.
        let patch = Conv2d::new(channels, width, self.patch)
            .stride(self.patch)
            .weight_init(WeightInit::LecunNormal)
            .bias_init(Init::Constant(0.0));
        let x = patch.forward(&scope.enter("conv_proj"), images);
        let x = x.reshape([batch, width, patches]).permute(&[0, 2, 1]);
        let x = Tensor::concat(&[&class.broadcast_to([batch, 1, width]), &x], 1);
        let at = scope.enter("encoder").param("pos_embedding", &[1, 1 + patches, width], Init::Normal(0.0, 0.02));
        self.drop(scope, &(x + at))
    }

    fn head(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let zeros = || Init::Constant(0.0);
        let (mut x, mut width) = (x.clone(), self.width);
        if let Some(inner) = self.representation {
            let hidden = Linear::new(width, inner).weight_init(WeightInit::LecunNormal).bias_init(zeros());
            x = hidden.forward(&scope.enter("pre_logits"), &x).tanh();
            width = inner;
        }
        let head = Linear::new(width, self.classes).weight_init(WeightInit::Fixed(zeros())).bias_init(zeros());
        head.forward(&scope.enter("head"), &x)
    }
}

impl Layer for Vit {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let last = self.hidden_states(scope, images).pop().expect("the embeddings at least");
        let class = last.slice(1, 0..1).flatten(1);
        self.head(&scope.enter("heads"), &class)
    }
}
