//! Shows what a trained residual network looks at: for some test images, a row with the image, Grad-CAM's map over it, and
//! the gradient of guided backpropagation.
//!
//! ```sh
//! cargo run --release --example resnet
//! cargo run --release --example gradcam -- --weights runs/resnet/last.safetensors
//! ```

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use wgrad::graph::Outputs;
use wgrad::prelude::*;
use wgrad::train::data::{self, ImageDataset, ImageSet, ImageSource, Loader, LoaderOptions, Normalize};
use wgrad::train::picture::Picture;
use wgrad::train::{checkpoint, exit_with, tensors};
use wgrad::zoo::ResNet;
use wgrad::zoo::explain::{class_score, grad_cam};
use wgrad::zoo::resnet::CIFAR_DEPTHS;

/// Shows what a trained residual network looks at.
#[derive(Parser)]
#[command(name = "gradcam")]
struct Args {
    /// Layers of the network that --weights is of
    #[arg(long, value_name = "N", default_value = "20")]
    depth: usize,

    /// Explain this class for every image, rather than the network's answer
    #[arg(long, value_name = "NUMBER")]
    class: Option<u32>,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let weights = options.weights.as_deref().context("--weights FILE is needed: train with --example resnet first")?;
    let data = data::open(options.data.as_deref().unwrap_or("digits"), options.data_dir.as_deref())?;
    let normalize = Normalize::measured(&data.train);
    let set = data.test.clone();
    if let Some(class) = args.class.filter(|&class| class as usize >= set.classes()) {
        anyhow::bail!("there is no class {class}: the data has {}", set.classes());
    }
    let count = options.batch_size.unwrap_or(12).min(set.len());
    let test = Loader::new(ImageSource::plain(data.test, &normalize)?, LoaderOptions::test(count))?;
    let images = test.epoch(0, 0)?.next().context("there are no test images")??;

    let device = Device::open(options.device.parse()?)?.with_tuning(options.tune);
    let model = match CIFAR_DEPTHS.contains(&args.depth) {
        true => ResNet::cifar(args.depth, set.classes())?,
        false => ResNet::imagenet(args.depth, set.classes())?,
    };
    let [channels, height, width] = set.shape();
    let model = model.in_channels(channels);

    let program = checked(|| {
        let x = Tensor::input("images", [count, channels, height, width], DType::F32);
        let features = model.features(&Scope::eval(), &x);
        let last = features.last().expect("a network has stages");
        let logits = model.head(&Scope::eval(), last);
        let classes = match args.class {
            Some(class) => Tensor::full(vec![count], class),
            None => logits.argmax(&[1]),
        };
        let map = grad_cam(last, &class_score(&logits, &classes), [height, width]);
        let score = class_score(&model.clone().guided().forward(&Scope::eval(), &x), &classes);
        let guided = gradients(&score, &[&x]).remove(0);
        Program::compile(&device, &[&map, &guided, &classes], &Updates::new())
    })??;
    let mut state = State::init(&device, &program, 0)?;
    let names: Vec<String> = state.tensors().map(|(name, ..)| name.to_string()).collect();
    let file = checkpoint::load(weights)?;
    tensors::import(&mut state, names.iter().map(String::as_str), &file, weights, &model.name())?;
    let outputs = program.run(&mut state, &[("images", Data::from(images.f32("images")))])?;

    let path = options.out_dir("gradcam").join("gradcam.png");
    std::fs::create_dir_all(options.out_dir("gradcam"))?;
    let right = draw(&set, images.u32("labels"), outputs, &path)?;
    Ok(writeln!(io::stdout(), "picture {}\nright answers {right} of {count}", path.display())?)
}

/// Writes the picture, and gives how many of the explained classes are the right ones.
fn draw(set: &ImageSet, labels: &[u32], mut outputs: Outputs, path: &Path) -> anyhow::Result<usize> {
    let shape @ [channels, height, width] = set.shape();
    let (maps, guided, classes) = (outputs.f32(0)?, outputs.f32(1)?, outputs.u32(2)?);
    let factor = (96 / width).max(1);
    let mut cells = vec![];
    for i in 0..labels.len() {
        let bytes: Vec<f32> = set.image(i).iter().map(|&byte| f32::from(byte)).collect();
        let image = Picture::from_chw(&bytes, shape, [0.0, 255.0]);
        let mut over = image.to_grey();
        over.blend(&Picture::heat(&maps[i * height * width..][..height * width], width, height, [0.0, 1.0]), 0.6);
        let gradient = &guided[i * channels * height * width..][..channels * height * width];
        let greatest = gradient.iter().fold(1e-20f32, |m, g| m.max(g.abs()));
        let gradient = Picture::from_chw(gradient, shape, [-greatest, greatest]);
        let mut row = [image, over, gradient].map(|picture| picture.enlarged(factor));
        let name = |class: u32| set.class_names().get(class as usize).map_or("?", String::as_str);
        row[1].text(2, 2, name(classes[i]), [255, 255, 0], 1);
        cells.extend(row);
    }
    Picture::grid(&cells, 12, 2, [255; 3]).save(path)?;
    Ok(labels.iter().zip(&classes).filter(|(label, class)| label == class).count())
}
