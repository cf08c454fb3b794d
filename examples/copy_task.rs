//! Trains a transformer to write sequences again, and reports how many that it has never seen it gets right to the last token.
//!
//! ```sh
//! cargo run --release --example copy_task
//! cargo run --release --example copy_task -- --layers 2 --width 512 --heads 8    # as in The Annotated Transformer
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::data::copying::{Copying, PADDING, START};
use wgrad::train::data::{Loader, LoaderOptions};
use wgrad::train::picture::Picture;
use wgrad::train::trainer::{Evaluation, Headline, Inputs, Task, Values};
use wgrad::train::{Scores, TrainError, exit_with};
use wgrad::zoo::Transformer;
use wgrad::zoo::transformer::Greedy;

/// Tokens: the symbols 1 to 10, and padding.
const SYMBOLS: u32 = 10;

/// Trains an encoder-decoder transformer on the copy task.
#[derive(Parser)]
#[command(name = "copy_task")]
struct Args {
    /// Layers of the encoder, and of the decoder
    #[arg(long, value_name = "N", default_value = "2")]
    layers: usize,

    /// Numbers that stand for a token between layers
    #[arg(long, value_name = "N", default_value = "64")]
    width: usize,

    /// Heads of each attention
    #[arg(long, value_name = "N", default_value = "4")]
    heads: usize,

    /// Tokens of the longest sequences
    #[arg(long, value_name = "N", default_value = "10")]
    length: usize,

    /// Tokens of the shortest ones
    #[arg(long, value_name = "N", default_value = "5")]
    shortest: usize,

    /// Norms after the residual sums, as in the paper, not before the sub-layers
    #[arg(long)]
    post_norm: bool,

    #[command(flatten)]
    run: RunOptions,
}

struct Copies {
    model: Transformer,
    device: Device,
    lr: f64,
}

impl Copies {
    fn loss(&self, scope: &Scope, batch: &Inputs) -> Tensor {
        self.model.loss(scope, &batch.get("source"), &batch.get("target"), &batch.get("next"), 0.0)
    }

    /// Where the last layer of the decoder looks while it writes each token: one square for each head.
    fn picture(&self, run: &mut Evaluation<'_>, source: &[u32], written: &[u32]) -> Result<Picture, TrainError> {
        let n = source.len();
        let inputs =
            [("source", &[1, n][..], Data::from(source)), ("target", &[1, n - 1], Data::from(&written[..n - 1]))];
        let mut out = run.program("attention", &inputs, |scope, batch| {
            let last = self.model.layer_count() - 1;
            vec![("weights", self.model.attention(scope, &batch.get("source"), &batch.get("target"), last))]
        })?;
        let heads = out.f32("weights")?;
        let squares: Vec<Picture> = (heads.chunks_exact((n - 1) * n))
            .map(|head| Picture::from_chw(head, [1, n - 1, n], [0.0, 1.0]).enlarged(12))
            .collect();
        Ok(Picture::grid(&squares, squares.len(), 6, [255; 3]))
    }
}

impl Task for Copies {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let loss = self.loss(scope, batch);
        let updates = Adam::new(self.lr).betas(0.9, 0.98).minimize(scope, &loss);
        (vec![("loss", loss)], updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        vec![("loss", self.loss(scope, batch))]
    }

    /// The model writes every held-out sequence by itself.
    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let mut scores = run.means()?;
        let (mut right, mut all, mut shown) = (0, 0, None);
        for batch in run.test().epoch(0, 0)? {
            let batch = batch?;
            let source = batch.u32("source");
            let length = source.len() / batch.len();
            let greedy = Greedy::new(&self.device, &self.model, batch.len(), length, length)?;
            let written = greedy.run(run.state(), source, START, None)?;
            for (source, written) in source.chunks_exact(length).zip(written.chunks_exact(length)) {
                right += usize::from(Copying::matches(source, written));
                all += 1;
                shown = shown.or_else(|| (source[length - 1] != PADDING).then(|| (source.to_vec(), written.to_vec())));
            }
        }
        scores.set("exact match", right as f64 / all as f64);
        if let Some((source, written)) = shown {
            if !run.is_quiet() {
                eprintln!("{source:?} was written as\n{written:?}");
            }
            let picture = self.picture(run, &source, &written)?;
            picture.save(run.out_dir().join("attention.png"))?;
        }
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::higher("exact match", "exact match")
    }
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let (epochs, batch_size) = (options.epochs.unwrap_or(4), options.batch_size.unwrap_or(64));
    let (lr, seed) = (options.lr.unwrap_or(2e-3), options.seed.unwrap_or(0));
    let train = Copying::train(16_000, SYMBOLS, args.shortest, args.length)?;
    let test = Copying::test(1_000, SYMBOLS, args.shortest, args.length, seed)?;
    let train = Loader::new(train, LoaderOptions::train(batch_size, seed))?;
    let test = Loader::new(test, LoaderOptions::test(250))?;

    let device = Device::open(options.device.parse()?)?;
    let tokens = SYMBOLS as usize + 1;
    let model = Transformer::new(tokens, tokens).layers(args.layers).width(args.width).heads(args.heads);
    let model = model.hidden(4 * args.width).pre_norm(!args.post_norm).padding(PADDING);
    model.check()?;
    let name = format!("transformer of {} layers, width {}, {} heads", args.layers, args.width, args.heads);

    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 10;
    let trainer = Trainer::new(&device, name, Copies { model, device: device.clone(), lr })
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.01))
        .epochs(epochs)
        .setting("lr", lr)
        .setting("length", args.length)
        .setting("shortest", args.shortest)
        .setting("post-norm", args.post_norm)
        .with_options(options, "copy_task");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}
