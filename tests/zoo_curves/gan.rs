//! GANs: both steps, by turns.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::nn::{Gan, loss::Adversarial};
use wgrad::prelude::*;
use wgrad::zoo::gan::{Dcgan, Norm};

const BATCH: usize = 8;

/// Both steps over one state. Latents are drawn on the device.
fn follows(name: &str, gan: Gan) {
    let real = Tensor::input("real", [BATCH, 1, 16, 16], DType::F32);
    let adam = || Adam::new(2e-3).betas(0.5, 0.999);
    let (first, second) = (Scope::train(), Scope::train());
    let judged = gan.discriminator_loss(&first, &real, None).loss;
    let critic = gan.updates(&first, adam().minimize(&first.enter("discriminator"), &judged));
    let loss = gan.generator_loss(&second, BATCH);
    let generator = gan.updates(&second, adam().minimize(&second.enter("generator"), &loss));
    let feed = |step: usize| {
        // Bars at random heights.
        let heights = numbers(BATCH, step);
        let bar = |i: usize| if (i / 16 % 16) as f32 / 8.0 - 1.0 < heights[i / 256] { 0.9 } else { -0.9 };
        vec![("real", Values::F32((0..BATCH * 256).map(bar).collect()))]
    };
    Training { programs: vec![(judged, critic), (loss, generator)], feed: Box::new(feed) }.follows(name);
}

fn narrow(norm: Norm) -> Gan {
    let dcgan = Dcgan::new(16).unwrap().channels(1).latent(8).width(4).discriminator_norm(norm);
    Gan::new(dcgan.generator(), dcgan.discriminator(), dcgan.latent_shape())
}

#[test]
fn dcgan() {
    follows("dcgan", narrow(Norm::Batch).label_smoothing(0.1).instance_noise(0.1, 10).replay(12));
}

/// The critic's update takes second derivatives.
#[test]
fn wgan_gp() {
    follows("wgan_gp", narrow(Norm::None).loss(Adversarial::Wasserstein).gradient_penalty(10.0));
}
