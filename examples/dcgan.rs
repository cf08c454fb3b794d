//! Trains a generator of images against a discriminator (DCGAN and its kin), and reports how far its samples are from real
//! images.
//!
//! ```sh
//! cargo run --release --example dcgan
//! cargo run --release --example dcgan -- --loss wgan-gp --conditional
//! cargo run --release --example dcgan -- --data digits --epochs 60
//! ```

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use wgrad::nn::Gan;
use wgrad::nn::loss::Adversarial;
use wgrad::prelude::*;
use wgrad::train::data::{self, Augment, ImageDataset, ImageSource, Loader, LoaderOptions, Normalize, Source};
use wgrad::train::exit_with;
use wgrad::train::generative::{GanTask, Judge};
use wgrad::zoo::gan::{ConditionalDcgan, Dcgan, Norm};

/// Trains a generator of images against a discriminator (DCGAN and its kin).
#[derive(Parser)]
#[command(name = "dcgan")]
struct Args {
    /// What the two play for
    #[arg(long, value_enum, default_value = "bce")]
    loss: Loss,

    /// Tell both networks the class of an image; the pictures then have a column for each class
    #[arg(long)]
    conditional: bool,

    /// Numbers that an image is made of
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=4096))]
    latent: u16,

    /// Channels next to the images; deeper layers have more
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    width: u16,

    /// Divide the discriminator's weights by their greatest singular value
    #[arg(long)]
    spectral_norm: bool,

    /// Steps of the discriminator for each of the generator [default: 1, and 5 of a Wasserstein critic]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    critic_steps: Option<u64>,

    /// The discriminator's learning rate, if it is not to be the generator's (two time scales)
    #[arg(long, value_name = "RATE")]
    discriminator_lr: Option<f64>,

    /// What real images' labels fall short of 1 (one-sided smoothing)
    #[arg(long, value_name = "SHARE", default_value = "0")]
    smooth: f32,

    /// The share of wrong labels for the discriminator
    #[arg(long, value_name = "SHARE", default_value = "0")]
    flip: f32,

    /// Noise on all that the discriminator sees, falling to nothing over the run
    #[arg(long, value_name = "DEVIATION", default_value = "0")]
    noise: f32,

    /// Generated images that are kept, and shown to the discriminator again
    #[arg(long, value_name = "N")]
    replay: Option<usize>,

    /// Samples that are judged
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(250..=100_000))]
    samples: u32,

    #[command(flatten)]
    run: RunOptions,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// Cross-entropy, the generator's not saturating
    Bce,
    /// Least squares
    Lsgan,
    /// Hinge
    Hinge,
    /// Wasserstein, the critic's weights clipped to 0.01
    Wgan,
    /// Wasserstein with gradient penalty
    WganGp,
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

/// The networks, with the loss and the tricks that were asked for.
fn gan(args: &Args, [channels, size, _]: [usize; 3], classes: usize, steps: usize) -> anyhow::Result<Gan> {
    let model = Dcgan::new(size)?.channels(channels).latent(args.latent.into()).width(args.width.into());
    let norm = if args.loss == Loss::WganGp || args.spectral_norm { Norm::None } else { Norm::Batch };
    let model = model.discriminator_norm(norm).spectral_norm(args.spectral_norm);
    let latent = model.latent_shape();
    let mut gan = if args.conditional {
        let (g, d) = (ConditionalDcgan::new(model.clone(), classes), ConditionalDcgan::new(model, classes));
        let generate = move |scope: &Scope, z: &Tensor, y: &Tensor| g.generate(scope, z, y);
        Gan::conditional(generate, move |scope: &Scope, x: &Tensor, y: &Tensor| d.judge(scope, x, y), latent, classes)
    } else {
        Gan::new(model.generator(), model.discriminator(), latent)
    };
    gan = gan.label_smoothing(args.smooth).flip_labels(args.flip).loss(match args.loss {
        Loss::Bce => Adversarial::NonSaturating,
        Loss::Lsgan => Adversarial::LeastSquares,
        Loss::Hinge => Adversarial::Hinge,
        Loss::Wgan | Loss::WganGp => Adversarial::Wasserstein,
    });
    if args.loss == Loss::WganGp {
        gan = gan.gradient_penalty(10.0);
    }
    if args.noise != 0.0 {
        gan = gan.instance_noise(args.noise, steps);
    }
    if let Some(capacity) = args.replay {
        gan = gan.replay(capacity);
    }
    Ok(gan)
}

/// The optimisers that the losses' papers use, at this learning rate.
fn optimizer(loss: Loss, clip: bool, lr: f64) -> impl Fn(&Scope, &Tensor) -> Updates + Send + Sync {
    move |scope, value| match loss {
        Loss::Wgan if clip => RmsProp::new(lr).clamp_weights(0.01).minimize(scope, value),
        Loss::Wgan => RmsProp::new(lr).minimize(scope, value),
        Loss::WganGp => Adam::new(lr).betas(0.0, 0.9).minimize(scope, value),
        Loss::Bce | Loss::Lsgan | Loss::Hinge => Adam::new(lr).betas(0.5, 0.999).minimize(scope, value),
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let name = options.data.as_deref().unwrap_or("fashion-mnist");
    let data = data::open(name, options.data_dir.as_deref())?;
    let (shape, classes) = (data.train.shape(), data.train.classes());
    let wasserstein = matches!(args.loss, Loss::Wgan | Loss::WganGp);
    let epochs = options.epochs.unwrap_or(if name == "digits" { 60 } else { 1 });
    let batch_size = options.batch_size.unwrap_or(64);
    // The papers' 2e-4 and 1e-4 are for many epochs, clipped weights need small steps.
    let lr = options.lr.unwrap_or(if wasserstein { 2e-4 } else { 1e-3 });
    let critic_lr = args.discriminator_lr.unwrap_or(lr);
    let critic_steps = args.critic_steps.unwrap_or(if wasserstein { 5 } else { 1 });
    let seed = options.seed.unwrap_or(0);

    // From -1 to 1, as tanh gives them.
    let scale = Normalize { mean: vec![0.5; shape[0]], std: vec![0.5; shape[0]] };
    let images: Arc<dyn Source> = Arc::new(ImageSource::new(data.train, Augment::default(), &scale)?);
    let unseen: Arc<dyn Source> = Arc::new(ImageSource::plain(data.test, &scale)?);
    let train = Loader::shared(images.clone(), LoaderOptions::train(batch_size, seed))?;
    let test = Loader::shared(unseen.clone(), LoaderOptions::test(250))?;

    let device = Device::open(options.device.parse()?)?;
    let steps = epochs * train.batches_per_epoch();
    let gan = gan(args, shape, classes, steps)?;
    let kind = if args.conditional { ", conditional" } else { "" };
    let model = format!("dcgan{} ({:?}{kind}, latent {}, width {})", shape[1], args.loss, args.latent, args.width);

    let judge_dir = options.out_dir("dcgan").join(format!("judge-{name}"));
    let judge = Judge::open(&device, images.clone(), unseen.clone(), classes, &judge_dir)?;
    let accuracy = judge.accuracy();
    let (critic, generator) = (optimizer(args.loss, true, critic_lr), optimizer(args.loss, false, lr));
    let task = GanTask::new(gan, critic, generator, judge, unseen)?.critic_steps(critic_steps);
    let task = task.samples(args.samples as usize);
    let [real, noise] = task.scale(images)?;
    eprintln!("judge: accuracy {accuracy:.4}; frechet distance of real images {real:.2}, of noise {noise:.2}");

    let trainer = Trainer::new(&device, model, task)
        .epochs(epochs)
        .evaluate_every((train.batches_per_epoch() as u64).div_ceil(8).max(50))
        .setting("lr", format!("{lr} {critic_lr}"))
        .setting("critic-steps", critic_steps)
        .setting(
            "tricks",
            format!("{} {} {} {:?} {}", args.smooth, args.flip, args.noise, args.replay, args.spectral_norm),
        )
        .with_options(options, "dcgan");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}
