//! Trains a residual network on real images, and reports its accuracy on images that it has not seen.
//!
//! ```sh
//! cargo run --release --example resnet
//! cargo run --release --example resnet -- --data fashion-mnist --epochs 2
//! cargo run --release --example resnet -- --help
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::data::{self, Augment, ImageDataset, ImageSource, Loader, LoaderOptions, Normalize};
use wgrad::train::exit_with;
use wgrad::zoo::ResNet;
use wgrad::zoo::resnet::{CIFAR_DEPTHS, IMAGENET_DEPTHS};

/// Trains a residual network (ResNet) to tell images apart.
#[derive(Parser)]
#[command(name = "resnet")]
struct Args {
    /// Layers: 20, 32, 44, 56 or 110 for small images, 18, 34, 50, 101 or 152 for large ones
    #[arg(long, value_name = "N", default_value = "20", value_parser = depth)]
    depth: usize,

    #[command(flatten)]
    run: RunOptions,
}

fn depth(text: &str) -> Result<usize, String> {
    let known = || CIFAR_DEPTHS.iter().chain(IMAGENET_DEPTHS);
    let found = text.parse().ok().filter(|depth| known().any(|d| d == depth));
    found.ok_or_else(|| {
        let depths: Vec<String> = known().map(usize::to_string).collect();
        format!("choose one of {}", depths.join(", "))
    })
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
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit_with(error),
    }
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
    let model = if CIFAR_DEPTHS.contains(&args.depth) {
        ResNet::cifar(args.depth, classes)?
    } else {
        ResNet::imagenet(args.depth, classes)?
    };
    let model = model.in_channels(channels).zero_init_residual(true);
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
    if let Some(stage) = options.dump {
        return Ok(io::stdout().write_all(trainer.dump(stage, &train)?.as_bytes())?);
    }
    let report = trainer.fit(&train, &test)?;
    Ok(writeln!(io::stdout(), "{report}")?)
}
