//! DCGAN (Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
//! networks", 2016).

use crate::ZooError;
use wgrad_graph::{Init, Tensor};
use wgrad_nn::{
    BatchNorm2d, Conv2d, ConvTranspose2d, InstanceNorm2d, Layer, Relu, Scope, Sequential, SpectralNorm, WeightInit,
};

/// The two networks of DCGAN for images [N, channels, size, size].
///
/// The generator is a stack of transposed convolutions, each of which doubles the resolution and halves the channels, with
/// batch norm and ReLU between them and tanh at the end; the discriminator is its mirror image, of strided convolutions with
/// leaky ReLU (slope 0.2). No pooling, and no layer that is fully connected.
///
/// Names and initial values follow PyTorch's DCGAN example, so its state dicts fit by name: `main.0.weight`, `main.1.*` and so
/// on, counting activations; convolutions start normal with deviation 0.02 and have no bias, norms with weights normal around 1.
/// Unlike there, the discriminator ends in a logit, without a sigmoid, and the size is free: the smallest resolution is
/// `size` halved until it is below 8 (64: 4, 8, 16, 32, 64, the paper's; 28: 7, 14, 28).
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let dcgan = wgrad_zoo::gan::Dcgan::new(64)?;
/// let scope = Scope::train();
/// let (g, d) = (scope.enter("generator"), scope.enter("discriminator"));
/// let images = dcgan.generator().forward(&g, &Tensor::input("z", [2, 100, 1, 1], DType::F32));
/// assert_eq!(images.shape(), [2, 3, 64, 64]);
/// assert_eq!(dcgan.discriminator().forward(&d, &images).shape(), [2]);
/// assert_eq!((g.param_count(), d.param_count()), (3_576_704, 2_765_568));
/// # Ok::<(), wgrad_zoo::ZooError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dcgan {
    /// The smallest resolution.
    base: usize,
    /// How often it doubles.
    doublings: usize,
    channels: usize,
    latent: usize,
    width: usize,
    norm: Norm,
    spectral: bool,
}

/// What normalises the discriminator's channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Norm {
    /// Batch norm.
    #[default]
    Batch,
    /// Instance norm with weight and bias: each image alone.
    Instance,
    /// Nothing: for a gradient penalty, whose critic must treat each image alone, and for spectral norm.
    None,
}

impl Dcgan {
    /// For square images of this size; 3 channels, 100 latent numbers, 64 channels at the highest resolution that has many.
    ///
    /// # Errors
    /// If halving the size does not lead to 4, 5, 6 or 7.
    pub fn new(size: usize) -> Result<Dcgan, ZooError> {
        let (mut base, mut doublings) = (size, 0);
        while base >= 8 && base % 2 == 0 {
            (base, doublings) = (base / 2, doublings + 1);
        }
        if !(4..8).contains(&base) || doublings == 0 {
            let reason = format!("no form for images of size {size}; it takes 4, 5, 6 or 7, doubled once or more");
            return Err(ZooError::Invalid { what: "DCGAN", reason });
        }
        Ok(Dcgan { base, doublings, channels: 3, latent: 100, width: 64, norm: Norm::Batch, spectral: false })
    }

    /// Channels of the images.
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Numbers that an image is made of (the example's `nz`): the generator takes [N, latent, 1, 1].
    pub fn latent(mut self, latent: usize) -> Self {
        self.latent = latent;
        self
    }

    /// Channels of the layer next to the images (the example's `ngf` and `ndf`); each further one has twice as many.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// What normalises the discriminator's channels.
    pub fn discriminator_norm(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Whether the discriminator's weights are divided by their greatest singular value (Miyato et al., 2018).
    pub fn spectral_norm(mut self, spectral: bool) -> Self {
        self.spectral = spectral;
        self
    }

    /// The side of the images.
    pub fn size(&self) -> usize {
        self.base << self.doublings
    }

    /// Extents of one latent.
    pub fn latent_shape(&self) -> [usize; 3] {
        [self.latent, 1, 1]
    }

    /// The generator: [N, latent, 1, 1] to images in [-1, 1].
    pub fn generator(&self) -> DcganGenerator {
        DcganGenerator(self.clone())
    }

    /// The discriminator: images to logits `[N]`.
    pub fn discriminator(&self) -> DcganDiscriminator {
        DcganDiscriminator(self.clone())
    }

    /// Channels between the networks' layers, nearest to the images first.
    fn widths(&self) -> Vec<usize> {
        (0..self.doublings).map(|i| self.width << i).collect()
    }
}

/// [`Dcgan`]'s generator.
#[derive(Clone, Debug)]
pub struct DcganGenerator(Dcgan);

impl Layer for DcganGenerator {
    #[track_caller]
    fn forward(&self, scope: &Scope, latents: &Tensor) -> Tensor {
        let Dcgan { base, latent, channels, .. } = self.0;
        let up = |inputs, outputs| weights(ConvTranspose2d::new(inputs, outputs, 4).stride(2).padding(1));
        let widths = self.0.widths();
        let deepest = widths[widths.len() - 1];

        let mut main = Sequential::new().then(weights(ConvTranspose2d::new(latent, deepest, base)));
        for pair in widths.windows(2).rev() {
            main = main.then(norm(pair[1])).then(Relu).then(up(pair[1], pair[0]));
        }
        let main = main.then(norm(widths[0])).then(Relu).then(up(widths[0], channels));
        main.forward(&scope.enter("main"), latents).tanh()
    }
}

/// [`Dcgan`]'s discriminator.
#[derive(Clone, Debug)]
pub struct DcganDiscriminator(Dcgan);

impl Layer for DcganDiscriminator {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let Dcgan { base, channels, width, .. } = self.0;
        let widths = self.0.widths();
        let down = |inputs, outputs| Conv2d::new(inputs, outputs, 4).stride(2).padding(1);

        let mut main = self.then_conv(Sequential::new(), down(channels, width)).then(leaky);
        for pair in widths.windows(2) {
            main = self.then_norm(self.then_conv(main, down(pair[0], pair[1])), pair[1]).then(leaky);
        }
        let main = self.then_conv(main, Conv2d::new(widths[widths.len() - 1], 1, base));
        let scores = main.forward(&scope.enter("main"), images);
        scores.reshape([images.shape()[0]])
    }
}

impl DcganDiscriminator {
    fn then_conv(&self, main: Sequential, conv: Conv2d) -> Sequential {
        let conv = weights(conv);
        if self.0.spectral { main.then(SpectralNorm::of(conv)) } else { main.then(conv) }
    }

    /// With a place in the counting where there is no norm, so that names do not depend on it.
    fn then_norm(&self, main: Sequential, channels: usize) -> Sequential {
        match self.0.norm {
            Norm::Batch => main.then(norm(channels)),
            Norm::Instance => main.then(InstanceNorm2d::new(channels).affine(true)),
            Norm::None => main.then(|_: &Scope, x: &Tensor| x.clone()),
        }
    }
}

/// The convolutions of these networks: no bias, and the paper's small weights.
fn weights<const T: bool>(conv: wgrad_nn::Convolution<2, T>) -> wgrad_nn::Convolution<2, T> {
    conv.bias(false).weight_init(WeightInit::Fixed(Init::Normal(0.0, 0.02)))
}

fn norm(channels: usize) -> BatchNorm2d {
    BatchNorm2d::new(channels).weight_init(Init::Normal(1.0, 0.02))
}

fn leaky(_: &Scope, x: &Tensor) -> Tensor {
    x.leaky_relu(0.2)
}
