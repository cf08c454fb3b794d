//! Trains a YOLOv3 detector on generated shapes, or on a data set in COCO's or Pascal VOC's form, and reports its mean average
//! precision at an overlap of 0.5. Pictures with boxes are written after each epoch.
//!
//! ```sh
//! cargo run --release --example yolov3
//! cargo run --release --example yolov3 -- --model v3 --size 416 --data-dir coco --weights darknet53.conv.74
//! cargo run --release --example yolov3 -- --help
//! ```

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use wgrad::prelude::*;
use wgrad::train::checkpoint::{self, TensorData, TensorMap};
use wgrad::train::data::{
    self, DetectionAugment, DetectionSet, DetectionSource, DetectionSplit, Loader, LoaderOptions,
};
use wgrad::train::detection::{CocoMetrics, Detection, anchors, annotated};
use wgrad::train::metrics::Scores;
use wgrad::train::trainer::{Evaluation, Headline, Inputs, Task, Values};
use wgrad::train::{Picture, TrainError, exit_with};
use wgrad::zoo::Yolo;
use wgrad::zoo::yolo::{Predictions, Truth, YoloLoss};

/// Trains YOLOv3 to find objects.
#[derive(Parser)]
#[command(name = "yolov3")]
struct Args {
    /// The network
    #[arg(long, value_name = "NAME", default_value = "small")]
    model: Form,

    /// Width and height of the network's input
    #[arg(long, value_name = "PIXELS", default_value = "96")]
    size: usize,

    /// Generated pictures to learn from
    #[arg(long, value_name = "N", default_value = "2000")]
    pictures: usize,

    #[command(flatten)]
    run: RunOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// Strides 16 and 8, for small images
    Small,
    /// The published tiny form
    Tiny,
    /// The published network
    V3,
}

/// The most objects of a picture that are learnt.
const OBJECTS: usize = 64;
/// How many test pictures are drawn after each epoch.
const DRAWN: usize = 12;

struct Detector {
    model: Yolo,
    lr: f64,
    test: Arc<dyn DetectionSet>,
    /// Knows how a test picture was fitted.
    frames: DetectionSource,
}

impl Detector {
    fn predict(&self, scope: &Scope, batch: &Inputs) -> (Predictions, Values) {
        let predictions = self.model.forward(scope, &batch.get("images"));
        let truth = Truth { boxes: batch.get("boxes"), classes: batch.get("classes") };
        let losses = YoloLoss::default().ignore(0.5).forward(&predictions, &truth);
        let parts = [("box", losses.boxes), ("objectness", losses.objectness), ("class", losses.class)];
        (predictions, [vec![("loss", losses.total)], parts.to_vec()].concat())
    }
}

impl Task for Detector {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let (_, values) = self.predict(scope, batch);
        let updates = AdamW::new(self.lr).weight_decay(5e-4).minimize(scope, &values[0].1);
        (values, updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let (predictions, mut values) = self.predict(scope, batch);
        values.push(("detections", predictions.detections()));
        values
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let mut metrics = CocoMetrics::new(self.model.classes());
        let mut drawn = Vec::new();
        let mut scores = run.each(|batch, outputs| {
            let rows = outputs.f32("detections")?;
            let size = rows.len() / batch.len();
            for (&index, rows) in batch.u32("index").iter().zip(rows.chunks_exact(size)) {
                let index = index as usize;
                let (found, objects) = (self.frames.found(index, rows, 0.01)?, self.test.objects(index)?);
                metrics.add(&found, &objects);
                if drawn.len() < DRAWN {
                    let sure: Vec<Detection> = found.into_iter().filter(|d| d.score >= 0.4).collect();
                    let picture = self.test.picture(index)?;
                    let scale = 192usize.div_ceil(picture.width().max(1));
                    drawn.push(annotated(&picture, scale, &objects, &sure, self.test.class_names()));
                }
            }
            Ok(())
        })?;
        let name = format!("epoch_{:03}.png", run.epoch());
        Picture::grid(&drawn, 4, 4, [255; 3]).save(run.out_dir().join("pictures").join(name))?;
        let found = metrics.scores();
        scores.set("map50", found.ap50.unwrap_or(0.0));
        scores.set("map", found.ap.unwrap_or(0.0));
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::higher("map50", "map50")
    }
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let seed = args.run.seed.unwrap_or(0);
    let DetectionSplit { train, test } = match &args.run.data_dir {
        Some(dir) => data::open_detection(dir)?,
        None => data::shapes(args.pictures, 300, [args.size; 2], seed)?,
    };
    let classes = train.class_names().len();
    let model = match args.model {
        Form::Small => Yolo::small(classes),
        Form::Tiny => Yolo::tiny(classes),
        Form::V3 => Yolo::v3(classes),
    };
    anyhow::ensure!(args.size % model.stride() == 0, "--size must be a multiple of {}", model.stride());

    // Generated shapes have every colour and size already.
    let augment = match args.run.data_dir {
        Some(_) => DetectionAugment::yolov3(),
        None => DetectionAugment { flip: true, jitter: 0.1, scale: [0.8, 1.2], ..DetectionAugment::default() },
    };
    let source = DetectionSource::new(train, args.size, OBJECTS, augment)?;
    let count = if matches!(args.model, Form::V3) { 9 } else { 6 };
    let clusters = anchors(&source.sizes()?, count, seed);
    eprintln!("anchors: {:.0?}, mean overlap {:.3}", clusters.sizes, clusters.mean_iou);
    let model = model.anchors(&clusters.sizes)?.prior(0.01)?;

    let batch_size = args.run.batch_size.unwrap_or(8);
    let frames = || DetectionSource::new(test.clone(), args.size, OBJECTS, DetectionAugment::default());
    let train = Loader::new(source, LoaderOptions::train(batch_size, seed))?;
    let judged = Loader::new(frames()?, LoaderOptions::test(batch_size))?;

    let (epochs, lr) = (args.run.epochs.unwrap_or(12), args.run.lr.unwrap_or(2e-3));
    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = (steps / 20).max(1);
    let device = Device::open(args.run.device.parse()?)?;
    let mut options = args.run.clone();
    if let Some(path) = options.weights.as_deref().filter(|path| path.extension().is_none_or(|e| e != "safetensors")) {
        let converted = options.out_dir("yolov3").join("darknet.safetensors");
        convert(&model, path, &converted)?;
        options.weights = Some(converted);
    }
    let name = format!("{} ({classes} classes)", model.name());
    let trainer = Trainer::new(&device, name, Detector { model, lr, test: test.clone(), frames: frames()? })
        .schedule(Schedule::cosine(lr, steps.saturating_sub(warm_up)).warm_up(warm_up, 0.05))
        .epochs(epochs)
        .setting("lr", lr)
        .setting("size", args.size)
        .with_options(&options, "yolov3");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &judged)?.as_bytes())?)
}

/// Writes the tensors of a Darknet `.weights` file as safetensors, which the trainer reads.
fn convert(model: &Yolo, path: &Path, to: &Path) -> anyhow::Result<()> {
    let read = model.darknet_weights(&std::fs::read(path)?, 3)?;
    let tensors = read.tensors.into_iter().map(|t| (t.name, TensorData::from_f32(t.shape, &t.values)));
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(checkpoint::save(to, &tensors.collect::<TensorMap>())?)
}
