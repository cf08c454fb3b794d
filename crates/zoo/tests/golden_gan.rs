//! GANs against PyTorch: a step of the discriminator, and one of the generator after it, with losses, scores, every gradient,
//! and every updated parameter and statistic. The files are written by scripts/golden/gan.py.

mod step;

use step::{Golden, Step, check_step, full, golden, input, leaves};
use wgrad_graph::{DType, Tensor};
use wgrad_nn::gan::{DISCRIMINATOR_PATH, Draws, GENERATOR_PATH};
use wgrad_nn::loss::Adversarial;
use wgrad_nn::optim::Sgd;
use wgrad_nn::{Gan, Scope};
use wgrad_zoo::gan::{Dcgan, MnistDiscriminator, MnistGenerator, Norm};

fn discriminator_step(gan: &Gan, file: &Golden) {
    let (root, f) = (Scope::train(), |name: &str| input(file, name, DType::F32));
    let draws = Draws { latents: f("z"), share: f("share") };
    let judged = gan.discriminator_loss_at(&root, &f("real"), None, &draws);
    let scope = root.enter(DISCRIMINATOR_PATH);
    let updates = gan.updates(&root, Sgd::new(0.1).momentum(0.9).minimize(&scope, &judged.loss));
    let mut outputs = vec![("loss", judged.loss), ("real", judged.real), ("fake", judged.fake)];
    outputs.extend(judged.penalty.map(|penalty| ("penalty", penalty)));
    check_step(file, &leaves(file), &scope, &Step { outputs, updates });
}

fn generator_step(gan: &Gan, file: &Golden) {
    let (root, z) = (Scope::train(), input(file, "z", DType::F32));
    let loss = gan.generator_loss_at(&root, &z, None);
    let scope = root.enter(GENERATOR_PATH);
    let updates = gan.updates(&root, Sgd::new(0.1).momentum(0.9).minimize(&scope, &loss));
    // Batch norm's statistics do not depend on being asked twice: the images of a scope of their own are the same.
    let images: Tensor = gan.generate(&Scope::train(), &z, None);
    check_step(file, &leaves(file), &scope, &Step { outputs: vec![("loss", loss), ("images", images)], updates });
}

fn check(gan: &Gan, name: &str) {
    discriminator_step(gan, &golden(&format!("{name}_discriminator")));
    generator_step(gan, &golden(&format!("{name}_generator")));
}

fn narrow() -> Dcgan {
    Dcgan::new(16).unwrap().channels(1).latent(6).width(4)
}

/// PyTorch's DCGAN example: batch norm sees real and generated images apart.
#[test]
fn dcgan() {
    let dcgan = narrow();
    check(&Gan::new(dcgan.generator(), dcgan.discriminator(), dcgan.latent_shape()), "dcgan");
}

/// The critic's gradient has second derivatives in it.
#[test]
fn wgan_gp() {
    let dcgan = narrow().discriminator_norm(Norm::None);
    let gan = Gan::new(dcgan.generator(), dcgan.discriminator(), dcgan.latent_shape());
    check(&gan.loss(Adversarial::Wasserstein).gradient_penalty(10.0), "wgan_gp");
}

/// Asymmetric padding both ways.
#[test]
fn textbook_dcgan() {
    let (generator, discriminator) = (MnistGenerator::new().latent(5).width(2), MnistDiscriminator::new().width(2));
    check(&Gan::new(generator, discriminator.dropout(0.0), [5]), "dcgan_mnist");
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/gan.py --full writes"]
fn full_dcgan() {
    let dcgan = Dcgan::new(64).unwrap().channels(1);
    let gan = Gan::new(dcgan.generator(), dcgan.discriminator(), dcgan.latent_shape());
    discriminator_step(&gan, &full("dcgan_discriminator"));
    generator_step(&gan, &full("dcgan_generator"));
}
