//! Trains a U-Net to find cells in microscope images, and reports how well it covers those of images that it has not seen.
//!
//! ```sh
//! cargo run --release --example unet
//! cargo run --release --example unet -- --original --width 8 --epochs 4
//! cargo run --release --example unet -- --data-dir stage1_train
//! cargo run --release --example unet -- --help
//! ```
//!
//! Cells are generated unless `--data-dir` names images with masks. After each epoch the run's directory has a picture with the
//! outlines of what is true (green) and what is predicted (red); in the end `whole.png` has a whole image, segmented by
//! overlapping tiles.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use wgrad::graph::Interpolation;
use wgrad::prelude::*;
use wgrad::train::data::segmentation::{
    Cells, Outlined, OutlinedImages, OutlinedSet, Tiles, Warp, WeightMap, open_masks, overlay, separated,
};
use wgrad::train::data::{Loader, LoaderOptions};
use wgrad::train::{DataError, Report, Segmenter, checkpoint, exit_with, tensors};
use wgrad::zoo::UNet;
use wgrad::zoo::unet::{OverlapTile, UpPath, labels_of};

/// Trains a U-Net to find cells in microscope images.
#[derive(Parser)]
#[command(name = "unet")]
struct Args {
    /// The form of the paper: convolutions without padding, no batch norm, 64 channels unless --width says otherwise
    #[arg(long)]
    original: bool,

    /// Channels at full resolution; twice as many at each lower one
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,

    /// How often the resolution is halved
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=8))]
    depth: Option<usize>,

    /// Resize on the way up, and convolve, instead of transposed convolutions
    #[arg(long)]
    resize: bool,

    /// The side of the tiles that the network segments
    #[arg(long, value_name = "PIXELS", default_value = "96", value_parser = RangedU64ValueParser::<usize>::new().range(16..=4096))]
    tile: usize,

    /// How much the dice loss counts beside the cross-entropy
    #[arg(long, value_name = "SHARE", default_value = "1")]
    dice: f32,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

type Set = Arc<dyn OutlinedSet>;

/// Images to learn from and to be judged by.
fn data(args: &Args, seed: u64) -> Result<(Set, Set), DataError> {
    if let Some(dir) = &args.run.data_dir {
        let (learn, judge) = open_masks(dir, 1)?;
        return Ok((Arc::new(learn), Arc::new(judge)));
    }
    // Other numbers, so other images.
    let cells = |first, len| OutlinedImages::of(&Cells::new(seed, first, len, 192)?).map(Arc::new);
    Ok((cells(0, 120)?, cells(120, 20)?))
}

fn model(args: &Args, channels: usize) -> anyhow::Result<UNet> {
    let (model, width, depth) = match args.original {
        true => (UNet::original(channels, 2), 64, 4),
        false => (UNet::padded(channels, 2), 16, 3),
    };
    let bilinear = UpPath::Resize(Interpolation::Linear { align_corners: true });
    let up = if args.resize { bilinear } else { UpPath::Transposed };
    Ok(model.width(args.width.unwrap_or(width)).depth(args.depth.unwrap_or(depth))?.up(up))
}

/// Segments an image of any size by overlapping tiles, and draws the result to `whole.png`.
fn whole(device: &Device, model: &UNet, report: &Report, image: &Outlined, tile: usize) -> anyhow::Result<()> {
    // Of the padded form's tiles, what is near the border is left out.
    let overlap = if model.margin() > 0 { 0 } else { tile / 4 };
    let tiles = OverlapTile::new(device, model, [tile; 2], overlap, 4)?;
    let mut state = State::init(device, tiles.program(), 0)?;
    let names: Vec<String> = state.tensors().map(|(name, ..)| name.to_string()).collect();
    let saved = checkpoint::load(&report.checkpoint)?;
    tensors::import(&mut state, names.iter().map(String::as_str), &saved, &report.checkpoint, &model.name())?;
    let answers = labels_of(&tiles.run(&mut state, &image.normalized(), image.size)?, 2);
    let [height, width] = image.size;
    let labels: Vec<u32> = separated(&image.objects, image.size).iter().map(|&inside| u32::from(inside)).collect();
    let picture = overlay(&image.normalized(), [model.in_channels(), height, width], &labels, &answers, image.size);
    Ok(picture.save(report.checkpoint.with_file_name("whole.png"))?)
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let seed = options.seed.unwrap_or(0);
    let (learn, judge) = data(args, seed)?;
    let model = model(args, learn.channels())?;
    let input = model.input_size(args.tile);
    let sizes = [input, model.output_size(input).unwrap_or(args.tile)];
    // As many tiles as cover the images.
    let area: usize = (0..learn.len()).map(|i| learn.size(i).iter().product::<usize>()).sum();
    let per_image = area.div_ceil(sizes[1] * sizes[1] * learn.len().max(1)).max(1);

    let batch_size = options.batch_size.unwrap_or(4);
    let train = Tiles::random(learn, sizes, per_image, Warp::of_tile(input))?.weights(WeightMap::default());
    let train = Loader::new(train, LoaderOptions::train(batch_size, seed))?;
    let test = Loader::new(Tiles::all(judge.clone(), sizes)?, LoaderOptions::test(batch_size))?;

    let device = Device::open(options.device.parse()?)?;
    let (epochs, lr) = (options.epochs.unwrap_or(12), options.lr.unwrap_or(2e-3));
    let steps = (epochs * train.batches_per_epoch()) as u64;
    let name = format!("{} ({} channels)", model.name(), model.in_channels());
    let judged_model = model.clone();
    let task = Segmenter::new(model, 2, move |scope, loss| Adam::new(lr).minimize(scope, loss)).loss(1.0, args.dice);
    let trainer = Trainer::new(&device, name, task)
        .schedule(Schedule::cosine(lr, steps - steps / 20).warm_up(steps / 20, 0.1))
        .epochs(epochs)
        .setting("lr", lr)
        .setting("tile", args.tile)
        .setting("dice", args.dice)
        .with_options(options, "unet");
    if let Some(stage) = options.dump {
        return Ok(io::stdout().write_all(trainer.dump(stage, &train)?.as_bytes())?);
    }
    let report = trainer.fit(&train, &test)?;
    whole(&device, &judged_model, &report, &judge.get(0)?, input)?;
    Ok(writeln!(io::stdout(), "{report}")?)
}
