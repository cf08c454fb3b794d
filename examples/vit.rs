//! Trains a small vision transformer on real images, reports its accuracy on images that it has not seen, and writes pictures
//! of where it looks.
//!
//! ```sh
//! cargo run --release --example vit
//! cargo run --release --example vit -- --data fashion-mnist
//! cargo run --release --example vit -- --help
//! ```

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::data::{self, Augment, ImageDataset, ImageSet, ImageSource, Loader, LoaderOptions, Normalize};
use wgrad::train::picture::WHITE;
use wgrad::train::trainer::{Evaluation, Headline, Inputs, Values};
use wgrad::train::{Classifier, Picture, Scores, Task, TrainError, exit_with};
use wgrad::zoo::Vit;

/// Trains a small vision transformer (ViT) to tell images apart.
#[derive(Parser)]
#[command(name = "vit")]
struct Args {
    /// Height and width of a patch; without it, what suits the data
    #[arg(long, value_name = "N")]
    patch: Option<usize>,

    #[command(flatten)]
    run: RunOptions,
}

/// What suits a data set, unless the command line says otherwise.
struct Defaults {
    patch: usize,
    epochs: usize,
    augment: Augment,
}

impl Defaults {
    fn of(data: &str) -> Defaults {
        // Digits are not mirrored: that makes other signs of them.
        match data {
            "digits" => Defaults { patch: 2, epochs: 100, augment: Augment { flip: false, crop_padding: 1 } },
            "mnist" => Defaults { patch: 4, epochs: 5, augment: Augment { flip: false, crop_padding: 2 } },
            _ => Defaults { patch: 4, epochs: 10, augment: Augment { flip: true, crop_padding: 1 } },
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
    let ([channels, size, _], classes) = (data.train.shape(), data.train.classes());
    let epochs = options.epochs.unwrap_or(defaults.epochs);
    let batch_size = options.batch_size.unwrap_or(64);
    let lr = options.lr.unwrap_or(3e-3);

    let normalize = Normalize::measured(&data.train);
    let train = ImageSource::new(data.train, defaults.augment, &normalize)?;
    let train = Loader::new(train, LoaderOptions::train(batch_size, options.seed.unwrap_or(0)))?;
    let test = Loader::new(ImageSource::plain(data.test.clone(), &normalize)?, LoaderOptions::test(batch_size))?;

    let device = Device::open(options.device.parse()?)?;
    let model = Vit::new(size, args.patch.unwrap_or(defaults.patch), classes)?.in_channels(channels);
    let model_name = format!("{} ({channels}x{size}x{size}, {classes} classes)", model.name());
    let optimizer = move |scope: &Scope, loss: &Tensor| {
        AdamW::new(lr).weight_decay(0.05).decay_if(|_, shape| shape.len() > 1).minimize(scope, loss)
    };
    let classifier = Classifier::new(model.clone(), optimizer).label_smoothing(0.1);

    // The first tenth of the way up to the learning rate, the rest down to nothing.
    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 10;
    let trainer = Trainer::new(&device, model_name, Seeing { classifier, model, images: data.test })
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.01))
        .epochs(epochs)
        .setting("lr", lr)
        .with_options(options, "vit");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}

/// A classifier that draws where it looks, at the end.
struct Seeing {
    classifier: Classifier,
    model: Vit,
    images: Arc<ImageSet>,
}

impl Task for Seeing {
    fn train(&self, phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        self.classifier.train(phase, scope, batch)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        self.classifier.eval(scope, batch)
    }

    fn headline(&self) -> Headline {
        self.classifier.headline()
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let scores = self.classifier.evaluate(run)?;
        if run.is_last() {
            let path = run.out_dir().join("attention.png");
            self.draw(run)?.save(path)?;
        }
        Ok(scores)
    }
}

impl Seeing {
    /// The first test images, each beside what its class token takes from which patch.
    fn draw(&self, run: &mut Evaluation<'_>) -> Result<Picture, TrainError> {
        let Some(batch) = run.test().epoch(0, 0)?.next().transpose()? else { return Ok(Picture::new(1, 1)) };
        let shape @ [_, size, _] = self.images.shape();
        let (count, grid) = (batch.len(), self.model.grid());
        let input = ("images", &[&[count], &shape[..]].concat()[..], batch.f32("images").into());
        let mut seen = run.program("rollout", &[input], |scope, inputs| {
            vec![("rollout", self.model.rollout(scope, &inputs.get("images")))]
        })?;
        let seen = seen.f32("rollout")?;
        let scale = 56_usize.div_ceil(size);
        let pairs: Vec<Picture> = (0..count.min(16))
            .map(|i| {
                let bytes: Vec<f32> = self.images.image(i).iter().map(|&b| f32::from(b)).collect();
                let image = Picture::from_chw(&bytes, shape, [0.0, 255.0]).enlarged(scale);
                let flow = &seen[i * grid * grid..(i + 1) * grid * grid];
                let range = flow.iter().fold([f32::MAX, f32::MIN], |[lo, hi], &x| [lo.min(x), hi.max(x)]);
                let heat = Picture::heat(flow, grid, grid, range).resized(image.width(), image.height());
                let mut over = image.clone();
                over.blend(&heat, 0.7);
                Picture::grid(&[image, over], 2, 1, WHITE)
            })
            .collect();
        Ok(Picture::grid(&pairs, 8, 4, WHITE))
    }
}
