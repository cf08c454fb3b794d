//! Generators against critics: two programs over one state.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::nn::{ConvTranspose2d, Relu};
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

/// DCGAN (Radford et al., 2016): transposed convolutions against strided ones, batch norm in both.
#[test]
fn dcgan() {
    let batch = 8;
    let real = Tensor::input("real", [batch, 1, 8, 8], DType::F32);
    let noise = Tensor::input("noise", [batch, NOISE, 1, 1], DType::F32);
    let (g, d) = (Scope::train().enter("generator"), Scope::train().enter("discriminator"));
    let generate = |x: &Tensor| {
        let h = ConvTranspose2d::new(NOISE, 8, 4).bias(false).forward(&g.enter("0"), x);
        let h = BatchNorm2d::new(8).forward(&g.enter("1"), &h).relu();
        ConvTranspose2d::new(8, 1, 4).stride(2).padding(1).bias(false).forward(&g.enter("3"), &h).tanh()
    };
    let judge = |x: &Tensor| {
        let h = Conv2d::new(1, 8, 4).stride(2).padding(1).forward(&d.enter("0"), x).leaky_relu(0.2);
        let h = Conv2d::new(8, 16, 4).stride(2).padding(1).bias(false).forward(&d.enter("2"), &h);
        let h = BatchNorm2d::new(16).forward(&d.enter("3"), &h).leaky_relu(0.2);
        Conv2d::new(16, 1, 2).forward(&d.enter("5"), &h).flatten(1)
    };
    // -log(sigmoid(x)) is softplus(-x).
    let fake = generate(&noise);
    let softplus = |x: Tensor| x.softplus(1.0, 20.0).mean_all();
    let judged = softplus(-judge(&real)) + softplus(judge(&fake.stop_gradient()));
    let fooled = softplus(-judge(&fake));
    let adam = || Adam::new(2e-3).betas(0.5, 0.999);
    let programs = vec![(judged.clone(), adam().minimize(&d, &judged)), (fooled.clone(), adam().minimize(&g, &fooled))];
    let feed = |step: usize| {
        // Bars at random heights.
        let image = (0..8 * 64).map(|i| if (i / 8 % 8 + i / 64 + step) % 4 == 0 { 0.9 } else { -0.9 }).collect();
        vec![("real", Values::F32(image)), ("noise", Values::F32(numbers(8 * NOISE, step + 100)))]
    };
    let losses = Training { programs, feed: Box::new(feed) }.check();
    assert!(losses[19][0] < losses[0][0], "the discriminator learned nothing: {losses:?}");
}
