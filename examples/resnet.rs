//! Trains a residual network on real images, and reports its accuracy on images that it has not seen.
//!
//! ```sh
//! cargo run --release --example resnet
//! cargo run --release --example resnet -- --data fashion-mnist --epochs 2
//! cargo run --release --example resnet -- --help
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wgrad::prelude::*;
use wgrad::train::data::{self, Augment, ImageDataset, ImageSource, Loader, LoaderOptions, Normalize};
use wgrad::train::exit_with;
use wgrad::zoo::resnet::{CIFAR_DEPTHS, Shortcut, Trained};
use wgrad::zoo::{ResNet, ZooError};

/// Trains a residual network (ResNet) to tell images apart.
#[derive(Parser)]
#[command(name = "resnet")]
struct Args {
    /// Layers: 20, 32, 44, 56, 110 or 1202 for small images, 18, 34, 50, 101 or 152 for large ones; wide ones have 16, 22, 28,
    /// 34 or 40
    #[arg(long, value_name = "N", default_value = "20")]
    depth: usize,

    /// Which kind of residual network
    #[arg(long, value_name = "KIND", default_value = "resnet")]
    kind: Kind,

    /// Which layers learn; of the others, --weights has the values
    #[arg(long, value_name = "LAYERS", default_value = "all")]
    train: Layers,

    #[command(flatten)]
    run: RunOptions,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
enum Kind {
    /// As first published
    Resnet,
    /// Without shortcuts
    Plain,
    /// Norm and activation before each convolution
    Preact,
    /// Four times as wide (small images) or twice (large ones)
    Wide,
    /// The middle convolution in 32 groups (50 layers and more)
    Resnext,
    /// With squeeze and excitation
    Se,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
enum Layers {
    /// The whole network
    All,
    /// The last layer
    Head,
    /// The last layer, while the norms below it keep the statistics that were loaded
    HeadFixed,
}

fn model(args: &Args, classes: usize) -> Result<ResNet, ZooError> {
    let by_depth = |depth| match CIFAR_DEPTHS.contains(&depth) {
        true => ResNet::cifar(depth, classes),
        false => ResNet::imagenet(depth, classes),
    };
    let model = match args.kind {
        Kind::Resnet => by_depth(args.depth)?,
        Kind::Plain => by_depth(args.depth)?.shortcut(Shortcut::None),
        Kind::Preact => by_depth(args.depth)?.pre_activation(true),
        Kind::Wide if args.depth >= 50 => ResNet::wide_imagenet(args.depth, classes)?,
        Kind::Wide => ResNet::wide(args.depth, 4, classes)?,
        Kind::Resnext => ResNet::resnext(args.depth, 32, 4, classes)?,
        Kind::Se => by_depth(args.depth)?.squeeze_excite(true),
    };
    // Blocks that start as the identity; without shortcuts that would be nothing at all.
    Ok(model.zero_init_residual(args.kind != Kind::Plain).trained(match args.train {
        Layers::All => Trained::All,
        Layers::Head => Trained::Head,
        Layers::HeadFixed => Trained::HeadFixedStatistics,
    }))
}

/// What suits a data set, unless the command line says otherwise.
struct Defaults {
    epochs: usize,
    batch_size: usize,
    lr: f64,
    augment: Augment,
}

impl Defaults {
    fn of(data: &str) -> Defaults {
        // Digits are not mirrored: that makes other signs of them.
        let shift = |crop_padding| Augment { flip: false, crop_padding };
        match data {
            "digits" => Defaults { epochs: 15, batch_size: 64, lr: 0.1, augment: shift(1) },
            "mnist" => Defaults { epochs: 5, batch_size: 128, lr: 0.1, augment: shift(2) },
            _ => Defaults { epochs: 15, batch_size: 128, lr: 0.1, augment: Augment { flip: true, crop_padding: 0 } },
        }
    }
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let name = options.data.as_deref().unwrap_or("digits");
    let defaults = Defaults::of(name);
    let data = data::open(name, options.data_dir.as_deref())?;
    let ([channels, ..], classes) = (data.train.shape(), data.train.classes());
    let epochs = options.epochs.unwrap_or(defaults.epochs);
    let batch_size = options.batch_size.unwrap_or(defaults.batch_size);
    let lr = options.lr.unwrap_or(defaults.lr);
    let seed = options.seed.unwrap_or(0);

    let normalize = Normalize::measured(&data.train);
    let class_names = data.train.class_names().to_vec();
    let train = ImageSource::new(data.train, defaults.augment, &normalize)?;
    let train = Loader::new(train, LoaderOptions::train(batch_size, seed))?;
    let test = Loader::new(ImageSource::plain(data.test, &normalize)?, LoaderOptions::test(batch_size))?;

    let device = Device::open(options.device.parse()?)?;
    let model = model(args, classes)?.in_channels(channels);
    let plural = if channels == 1 { "" } else { "s" };
    let model_name = format!("{} ({channels} channel{plural}, {classes} classes)", model.name());
    let optimizer = move |scope: &Scope, loss: &Tensor| {
        Sgd::new(lr).momentum(0.9).nesterov(true).weight_decay(5e-4).minimize(scope, loss)
    };

    // The first twentieth of the way up to the learning rate, the rest down to nothing.
    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 20;
    let task = Classifier::new(model, optimizer).confusion(&class_names);
    let trainer = Trainer::new(&device, model_name, task)
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.1))
        .epochs(epochs)
        .setting("lr", lr)
        .with_options(options, "resnet");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}
