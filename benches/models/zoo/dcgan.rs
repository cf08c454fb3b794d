//! DCGAN on 64x64 images: a step of the discriminator, then one of the generator, each with latents of its own.

use super::{Input, Model};
use anyhow::Result;
use wgrad::nn::Gan;
use wgrad::nn::gan::Draws;
use wgrad::prelude::*;
use wgrad::zoo::gan::Dcgan;

/// The two networks and their batch.
pub struct Adversaries {
    networks: Dcgan,
    gan: Gan,
    batch: usize,
}

impl Adversaries {
    /// With batches of this many images.
    pub fn new(batch: usize) -> Result<Adversaries> {
        let networks = Dcgan::new(64)?;
        let gan = Gan::new(networks.generator(), networks.discriminator(), networks.latent_shape());
        Ok(Adversaries { networks, gan, batch })
    }
}

impl Model for Adversaries {
    fn batch(&self) -> Vec<Input> {
        let size = self.networks.size();
        let latents = |name| Input::noise(name, [&[self.batch], &self.networks.latent_shape()[..]].concat());
        vec![Input::noise("images", [self.batch, 3, size, size]), latents("z.judged"), latents("z")]
    }

    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)> {
        let optimizer = Adam::new(self.rate()).betas(0.5, 0.999);
        let scope = Scope::train();
        let draws = Draws { latents: batch[1].clone(), share: Tensor::scalar(0.0) };
        let judged = self.gan.discriminator_loss_at(&scope, &batch[0], None, &draws).loss;
        let judge = self.gan.updates(&scope, optimizer.minimize(&scope.enter("discriminator"), &judged));
        let scope = Scope::train();
        let pleased = self.gan.generator_loss_at(&scope, &batch[2], None);
        let please = self.gan.updates(&scope, optimizer.minimize(&scope.enter("generator"), &pleased));
        vec![(judged, judge), (pleased, please)]
    }

    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor {
        self.gan.generate(scope, &batch[2], None)
    }

    /// A tenth of the usual one: with noise for images some inputs of a leaky ReLU are within rounding of 0, and at 2e-4 the two
    /// sides of such a kink are up to 3e-3 apart by the third loss (NOTES.md).
    fn rate(&self) -> f64 {
        2e-5
    }
}
