//! A DCGAN for MNIST as textbooks have it (Vasilev, "Advanced deep learning with Python", 2019, chapter 5; the TensorFlow
//! tutorial has nearly the same): the generator begins with a fully connected layer, and the discriminator has dropout in place
//! of batch norm. Constants are Keras': slope 0.3, norms with momentum 0.99 and eps 1e-3, uniform weights by Glorot, no bias at
//! first.

use wgrad_graph::{Init, Tensor};
use wgrad_nn::{BatchNorm, Conv2d, ConvTranspose2d, Dropout, Layer, Linear, Scope, WeightInit};

const GLOROT: WeightInit = WeightInit::XavierUniform { gain: 1.0 };
const NO_BIAS: Init = Init::Constant(0.0);

/// Latents [N, 64] to images [N, 1, 28, 28] in [-1, 1], by 5x5 transposed convolutions.
///
/// Where the source reshapes to [7, 7, 256], channels come first here: weights of `fc` from there need their rows permuted.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let scope = Scope::train();
/// let images = wgrad_zoo::gan::MnistGenerator::new().forward(&scope, &Tensor::input("z", [2, 64], DType::F32));
/// assert_eq!(images.shape(), [2, 1, 28, 28]);
/// assert_eq!(scope.param_count(), 1_853_888);
/// ```
#[derive(Clone, Debug)]
pub struct MnistGenerator {
    latent: usize,
    width: usize,
}

impl Default for MnistGenerator {
    fn default() -> Self {
        MnistGenerator { latent: 64, width: 64 }
    }
}

impl MnistGenerator {
    /// 64 latent numbers; 256, 128 and 64 channels.
    pub fn new() -> MnistGenerator {
        MnistGenerator::default()
    }

    /// Channels before the last layer; the ones before have two and four times as many.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Numbers that an image is made of.
    pub fn latent(mut self, latent: usize) -> Self {
        self.latent = latent;
        self
    }
}

impl Layer for MnistGenerator {
    #[track_caller]
    fn forward(&self, scope: &Scope, latents: &Tensor) -> Tensor {
        let w = self.width;
        let up = |name: &str, x: &Tensor, (inputs, outputs), stride| {
            let conv = ConvTranspose2d::new(inputs, outputs, 5).stride(stride).bias(false).weight_init(GLOROT);
            // The adjoint of a convolution with SAME padding: an odd element is cut off at the end.
            let cut = if stride == 1 { (2, 2) } else { (1, 2) };
            conv.padding_each([cut, cut]).forward(&scope.enter(name), x)
        };
        let fc = Linear::new(self.latent, 4 * w * 49).bias(false).weight_init(GLOROT);
        let x = leaky(&norm::<1>(4 * w * 49).forward(&scope.enter("bn0"), &fc.forward(&scope.enter("fc"), latents)));
        let x = x.reshape([latents.shape()[0], 4 * w, 7, 7]);
        let x = leaky(&norm::<2>(2 * w).forward(&scope.enter("bn1"), &up("up1", &x, (4 * w, 2 * w), 1)));
        let x = leaky(&norm::<2>(w).forward(&scope.enter("bn2"), &up("up2", &x, (2 * w, w), 2)));
        up("up3", &x, (w, 1), 2).tanh()
    }
}

/// Images [N, 1, 28, 28] to logits `[N]`, by strided 5x5 convolutions with dropout.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let scope = Scope::train();
/// let images = Tensor::input("images", [2, 1, 28, 28], DType::F32);
/// assert_eq!(wgrad_zoo::gan::MnistDiscriminator::new().forward(&scope, &images).shape(), [2]);
/// assert_eq!(scope.param_count(), 212_865);
/// ```
#[derive(Clone, Debug)]
pub struct MnistDiscriminator {
    width: usize,
    dropout: f32,
}

impl Default for MnistDiscriminator {
    fn default() -> Self {
        MnistDiscriminator { width: 64, dropout: 0.3 }
    }
}

impl MnistDiscriminator {
    /// 64 and 128 channels; dropout 0.3.
    pub fn new() -> MnistDiscriminator {
        MnistDiscriminator::default()
    }

    /// Channels after the first layer; the second has twice as many.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// The probability that an element is dropped after each convolution.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }
}

impl Layer for MnistDiscriminator {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let w = self.width;
        let down = |name: &str, x: &Tensor, inputs, outputs| {
            let conv = Conv2d::new(inputs, outputs, 5).stride(2).same().weight_init(GLOROT).bias_init(NO_BIAS);
            Dropout::new(self.dropout).forward(scope, &leaky(&conv.forward(&scope.enter(name), x)))
        };
        let x = down("conv2", &down("conv1", images, 1, w), w, 2 * w);
        let fc = Linear::new(2 * w * 49, 1).weight_init(GLOROT).bias_init(NO_BIAS);
        fc.forward(&scope.enter("fc"), &x.flatten(1)).reshape([images.shape()[0]])
    }
}

fn leaky(x: &Tensor) -> Tensor {
    x.leaky_relu(0.3)
}

/// Keras' momentum is the share of the old statistics.
fn norm<const SPATIAL: usize>(channels: usize) -> BatchNorm<SPATIAL> {
    BatchNorm::new(channels).momentum(0.01).eps(1e-3)
}
