//! Fully connected GANs of 28x28 images, from the same textbook as [`super::MnistGenerator`]: a conditional one and Wasserstein's.

use wgrad_graph::{Init, Tensor};
use wgrad_nn::{BatchNorm1d, Layer, Linear, Scope, WeightInit};

const PIXELS: usize = 28 * 28;

/// A conditional GAN (Mirza and Osindero, 2014) of fully connected layers. The class reaches each network as an embedding that
/// its input is multiplied with, element by element: the generator's latents (64), the discriminator's pixels.
///
/// Norms come after the activations, and have Keras' momentum 0.8. Embeddings start uniform in [-0.05, 0.05], so first images
/// are nearly the same.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// let model = wgrad_zoo::gan::FlatConditional::new(10);
/// let (z, labels) = (Tensor::input("z", [2, 64], DType::F32), Tensor::input("labels", [2], DType::U32));
/// let scope = Scope::train();
/// let (g, d) = (scope.enter("generator"), scope.enter("discriminator"));
/// let images = model.generate(&g, &z, &labels);
/// assert_eq!(images.shape(), [2, 1, 28, 28]);
/// assert_eq!(model.judge(&d, &images, &labels).shape(), [2]);
/// assert_eq!((g.param_count(), d.param_count()), (577_552, 241_825));
/// ```
#[derive(Clone, Debug)]
pub struct FlatConditional {
    classes: usize,
    latent: usize,
}

impl FlatConditional {
    /// With this many classes and 64 latent numbers.
    pub fn new(classes: usize) -> FlatConditional {
        FlatConditional { classes, latent: 64 }
    }

    /// Images [N, 1, 28, 28] of these classes (u32 `[N]`) from latents [N, 64].
    #[track_caller]
    pub fn generate(&self, scope: &Scope, latents: &Tensor, labels: &Tensor) -> Tensor {
        let mut x = latents * self.embed(scope, labels, self.latent);
        for (i, pair) in [self.latent, 128, 256, 512].windows(2).enumerate() {
            x = dense(scope, &format!("fc{}", i + 1), &x, pair[0], pair[1]).leaky_relu(0.2);
            x = norm(pair[1]).forward(&scope.enter(&format!("bn{}", i + 1)), &x);
        }
        as_images(&dense(scope, "fc4", &x, 512, PIXELS).tanh())
    }

    /// Logits `[N]`: whether images are real ones of these classes.
    #[track_caller]
    pub fn judge(&self, scope: &Scope, images: &Tensor, labels: &Tensor) -> Tensor {
        let x = images.flatten(1) * self.embed(scope, labels, PIXELS);
        let x = dense(scope, "fc1", &x, PIXELS, 256).leaky_relu(0.2);
        let x = dense(scope, "fc2", &x, 256, 128).leaky_relu(0.2);
        dense(scope, "fc3", &x, 128, 1).reshape([images.shape()[0]])
    }

    #[track_caller]
    fn embed(&self, scope: &Scope, labels: &Tensor, width: usize) -> Tensor {
        let table = scope.enter("label").param("weight", &[self.classes, width], Init::Uniform(-0.05, 0.05));
        table.embedding(labels, None)
    }
}

/// The generator of a Wasserstein GAN (Arjovsky et al., 2017) of fully connected layers: latents [N, 100] to images
/// [N, 1, 28, 28], by 64, 128, 256 and 512 features, each with batch norm and then leaky ReLU (slope 0.2).
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let scope = Scope::train();
/// let images = wgrad_zoo::gan::WganGenerator.forward(&scope, &Tensor::input("z", [2, 100], DType::F32));
/// assert_eq!((images.shape(), scope.param_count()), (&[2, 1, 28, 28][..], 583_504));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WganGenerator;

impl Layer for WganGenerator {
    #[track_caller]
    fn forward(&self, scope: &Scope, latents: &Tensor) -> Tensor {
        let mut x = latents.clone();
        for (i, pair) in [100, 64, 128, 256, 512].windows(2).enumerate() {
            x = dense(scope, &format!("fc{}", i + 1), &x, pair[0], pair[1]);
            x = norm(pair[1]).forward(&scope.enter(&format!("bn{}", i + 1)), &x).leaky_relu(0.2);
        }
        as_images(&dense(scope, "fc5", &x, 512, PIXELS).tanh())
    }
}

/// The critic to [`WganGenerator`]: images to unbounded values `[N]`, by 512 and 256 features with leaky ReLU (slope 0.2). Its
/// weights are to be clipped ([`wgrad_nn::optim::Optimizer::clamp_weights`], 0.01 in the paper), or its slope penalised.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let scope = Scope::train();
/// wgrad_zoo::gan::WganCritic.forward(&scope, &Tensor::input("images", [2, 1, 28, 28], DType::F32));
/// assert_eq!(scope.param_count(), 533_505);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WganCritic;

impl Layer for WganCritic {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let x = dense(scope, "fc1", &images.flatten(1), PIXELS, 512).leaky_relu(0.2);
        let x = dense(scope, "fc2", &x, 512, 256).leaky_relu(0.2);
        dense(scope, "fc3", &x, 256, 1).reshape([images.shape()[0]])
    }
}

#[track_caller]
fn dense(scope: &Scope, name: &str, x: &Tensor, inputs: usize, outputs: usize) -> Tensor {
    let layer = Linear::new(inputs, outputs).weight_init(WeightInit::XavierUniform { gain: 1.0 });
    layer.bias_init(Init::Constant(0.0)).forward(&scope.enter(name), x)
}

/// Keras' momentum 0.8 is the share of the old statistics.
fn norm(features: usize) -> BatchNorm1d {
    BatchNorm1d::new(features).momentum(0.2).eps(1e-3)
}

fn as_images(x: &Tensor) -> Tensor {
    x.reshape([x.shape()[0], 1, 28, 28])
}
