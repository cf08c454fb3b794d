//! DCGAN that is told what to draw.

use super::Dcgan;
use wgrad_graph::{Init, Tensor};
use wgrad_nn::{Layer, Scope};

/// [`Dcgan`] with a class for each image (Mirza and Osindero, "Conditional generative adversarial nets", 2014, in
/// convolutional form). The generator's latents have an embedding of the class beside them, `label.weight` [classes, latent];
/// the discriminator's images have another channel, an embedding of the class with a number for each pixel, `label.weight`
/// [classes, size * size]. All other names are [`Dcgan`]'s.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// # use wgrad_zoo::gan::{ConditionalDcgan, Dcgan};
/// let model = ConditionalDcgan::new(Dcgan::new(28)?.channels(1), 10);
/// let (z, labels) = (Tensor::input("z", [2, 100, 1, 1], DType::F32), Tensor::input("labels", [2], DType::U32));
/// let scope = Scope::train();
/// let images = model.generate(&scope.enter("generator"), &z, &labels);
/// assert_eq!(images.shape(), [2, 1, 28, 28]);
/// assert_eq!(model.judge(&scope.enter("discriminator"), &images, &labels).shape(), [2]);
/// # Ok::<(), wgrad_zoo::ZooError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConditionalDcgan {
    plain: Dcgan,
    classes: usize,
}

impl ConditionalDcgan {
    /// These networks with this many classes.
    pub fn new(plain: Dcgan, classes: usize) -> ConditionalDcgan {
        ConditionalDcgan { plain, classes }
    }

    /// Images of these classes (u32 `[N]`) from latents [N, latent, 1, 1].
    #[track_caller]
    pub fn generate(&self, scope: &Scope, latents: &Tensor, labels: &Tensor) -> Tensor {
        let [width, ..] = self.plain.latent_shape();
        let class = self.embed(scope, labels, &[width, 1, 1]);
        let plain = self.plain.clone().latent(2 * width);
        plain.generator().forward(scope, &Tensor::concat(&[latents, &class], 1))
    }

    /// Logits `[N]`: whether images are real ones of these classes.
    #[track_caller]
    pub fn judge(&self, scope: &Scope, images: &Tensor, labels: &Tensor) -> Tensor {
        let (channels, size) = (images.shape()[1], self.plain.size());
        let class = self.embed(scope, labels, &[1, size, size]);
        let plain = self.plain.clone().channels(channels + 1);
        plain.discriminator().forward(scope, &Tensor::concat(&[images, &class], 1))
    }

    /// A row of `label.weight` for each label, as a tensor of this shape. As PyTorch's embedding it starts standard normal.
    #[track_caller]
    fn embed(&self, scope: &Scope, labels: &Tensor, shape: &[usize]) -> Tensor {
        let width = shape.iter().product();
        let table = scope.enter("label").param("weight", &[self.classes, width], Init::Normal(0.0, 1.0));
        table.embedding(labels, None).reshape([labels.shape(), shape].concat())
    }
}
