//! Generators against critics: two programs over one state.

use crate::support::numbers;
use crate::{Training, Values};
use wgrad::nn::Relu;
use wgrad::prelude::*;

const BATCH: usize = 16;
const NOISE: usize = 4;

/// WGAN-GP (Gulrajani et al., 2017): the critic's loss has the norm of its own gradient in it, so its update takes second
/// derivatives.
#[test]
fn wgan_gp() {
    let real = Tensor::input("real", [BATCH, 2], DType::F32);
    let noise = Tensor::input("noise", [BATCH, NOISE], DType::F32);
    let mix = Tensor::input("mix", [BATCH, 1], DType::F32);
    let generator = Sequential::new().then(Linear::new(NOISE, 16)).then(Relu).then(Linear::new(16, 2));
    let critic = |scope: &Scope, x: &Tensor| {
        let h = Linear::new(2, 16).forward(&scope.enter("fc1"), x).leaky_relu(0.2);
        Linear::new(16, 1).forward(&scope.enter("fc2"), &h.tanh())
    };
    let (g, d) = (Scope::train().enter("generator"), Scope::train().enter("critic"));

    let fake = generator.forward(&g, &noise);
    let held = fake.stop_gradient();
    let between = &mix * &real + (1.0 - &mix) * &held;
    let slope = &gradients(&critic(&d, &between).sum_all(), &[&between])[0];
    let penalty = ((slope.square().sum(&[1]) + 1e-12).sqrt() - 1.0).square().mean_all();
    let critic_loss = critic(&d, &held).mean_all() - critic(&d, &real).mean_all() + penalty * 10.0;
    let generator_loss = -critic(&d, &fake).mean_all();

    let adam = || Adam::new(2e-3).betas(0.0, 0.9);
    let programs = vec![
        (critic_loss.clone(), adam().minimize(&d, &critic_loss)),
        (generator_loss.clone(), adam().minimize(&g, &generator_loss)),
    ];
    let feed = |step: usize| {
        let ring = numbers(BATCH, step).into_iter().flat_map(|a| [(3.0 * a).cos(), (3.0 * a).sin()]).collect();
        let share = numbers(BATCH, step + 200).into_iter().map(|x| x * 0.5 + 0.5).collect();
        vec![
            ("real", Values::F32(ring)),
            ("noise", Values::F32(numbers(BATCH * NOISE, step + 100))),
            ("mix", Values::F32(share)),
        ]
    };
    let losses = Training { programs, feed: Box::new(feed) }.check();
    // The penalty starts near 10 and is learned away.
    assert!(losses[19][0] < losses[0][0], "{losses:?}");
}
