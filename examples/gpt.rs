//! Trains a small GPT on the characters of a text and lets it write; or writes with the weights of a published GPT-2.
//!
//! ```sh
//! cargo run --release --example gpt
//! cargo run --release --example gpt -- --data-dir my-texts/ --epochs 20
//! cargo run --release --example gpt -- --weights runs/gpt/last.safetensors --prompt "This License" --write 500
//! cargo run --release --features tokenizers --example gpt -- \
//!     --weights gpt2/model.safetensors --tokenizer gpt2/tokenizer.json --prompt "The fox" --top-k 40 --write 60
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use wgrad::prelude::*;
use wgrad::train::data::{Loader, LoaderOptions, Windows, text};
use wgrad::train::tokenizer::{self, Arriving, Characters, Tokenizer};
use wgrad::train::trainer::{Evaluation, Headline, Inputs, Task, Values};
use wgrad::train::{Scores, TrainError, checkpoint, exit_with, tensors};
use wgrad::zoo::gpt::{Generator, Gpt, Sampler, Sampling, local_name};

/// Trains a language model on a text (Debian's licence texts, or --data-dir), or writes with one.
#[derive(Parser)]
#[command(name = "gpt")]
struct Args {
    /// Blocks
    #[arg(long, value_name = "N", default_value = "4")]
    layers: usize,
    /// Heads of each attention: 4, or, with a published tokenizer, one for every 64 of the width
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Numbers that stand for a token between blocks
    #[arg(long, value_name = "N", default_value = "128")]
    width: usize,
    /// Tokens that the model sees
    #[arg(long, value_name = "N", default_value = "64")]
    context: usize,
    /// The share that is dropped in training
    #[arg(long, value_name = "SHARE", default_value = "0")]
    dropout: f32,
    /// A published tokenizer.json, in place of one token for each character (feature `tokenizers`)
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// What samples begin with
    #[arg(long, value_name = "TEXT", default_value = "The ")]
    prompt: String,
    /// Write so many tokens with the model of --weights, and do not train
    #[arg(long, value_name = "N", requires = "weights")]
    write: Option<usize>,
    /// Below 1, likely tokens become likelier; at 0 the likeliest is taken
    #[arg(long, value_name = "T", default_value = "0.8")]
    temperature: f32,
    /// Draw from the N likeliest tokens only
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    #[command(flatten)]
    run: RunOptions,
}

impl Args {
    fn sampler(&self) -> anyhow::Result<Sampler> {
        let Args { temperature, top_k, top_p, .. } = *self;
        Ok(Sampler::new(Sampling { temperature, top_k, top_p }, self.run.seed.unwrap_or(0))?)
    }
}

/// The model at work on its text.
struct Writing {
    model: Gpt,
    lr: f64,
    tokenizer: Arc<dyn Tokenizer>,
    prompt: Vec<u32>,
    sampler: Sampler,
    generator: Mutex<Generator>,
}

impl Writing {
    fn loss(&self, scope: &Scope, batch: &Inputs) -> Tensor {
        self.model.loss(scope, &batch.get("tokens"), &batch.get("targets"))
    }
}

impl Task for Writing {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let loss = self.loss(scope, batch);
        let optimizer = AdamW::new(self.lr).betas(0.9, 0.99).weight_decay(0.1).clip_norm(1.0);
        let updates = optimizer.decay_if(|_, shape| shape.len() > 1).minimize(scope, &loss);
        (vec![("loss", loss)], updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        vec![("loss", self.loss(scope, batch))]
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let scores = run.means()?;
        let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
        let written = generator.generate(run.state(), &self.prompt, 400, &mut self.sampler.clone(), |_| true)?;
        let text = self.tokenizer.decode(&[&self.prompt[..], &written].concat());
        if !run.is_quiet() {
            eprintln!("{text}\n");
        }
        run.write("sample.txt", text.as_bytes())?;
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::lower("validation loss", "loss")
    }
}

fn main() -> ExitCode {
    exit_with(run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let text = || text::open(options.data.as_deref(), options.data_dir.as_deref());
    let tokenizer: Arc<dyn Tokenizer> = match &args.tokenizer {
        Some(file) => tokenizer::open(file)?,
        None => Arc::new(Characters::of(&text()?)),
    };
    let prompt = tokenizer.encode(&args.prompt)?;
    let device = Device::open(options.device.parse()?)?;
    if let (Some(count), Some(weights)) = (args.write, &options.weights) {
        return write(args, &device, weights, &*tokenizer, &prompt, count);
    }

    let (epochs, batch_size) = (options.epochs.unwrap_or(6), options.batch_size.unwrap_or(32));
    let (lr, seed) = (options.lr.unwrap_or(2e-3), options.seed.unwrap_or(0));
    let (train, test) = Windows::split("text", &tokenizer.encode(&text()?)?, args.context, 0.1)?;
    let train = Loader::new(train, LoaderOptions::train(batch_size, seed))?;
    let test = Loader::new(test, LoaderOptions::test(batch_size))?;

    let (layers, heads, width) = (args.layers, args.heads.unwrap_or(4), args.width);
    let model = Gpt::new(tokenizer.size(), args.context, layers, heads, width)?.dropout(args.dropout);
    let name = format!("GPT of {layers} layers, width {width}, {heads} heads, {} tokens", tokenizer.size());
    let generator = Mutex::new(Generator::new(&device, &model)?);
    let task = Writing { model, lr, tokenizer, prompt, sampler: args.sampler()?, generator };

    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 20;
    let trainer = Trainer::new(&device, name, task)
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.1))
        .epochs(epochs)
        .setting("lr", lr)
        .setting("context", args.context)
        .setting("dropout", args.dropout)
        .weight_names(|name| local_name(name).map(str::to_string))
        .with_options(options, "gpt");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}

/// Writes on from the prompt, each token as it comes.
fn write(
    args: &Args,
    device: &Device,
    weights: &Path,
    tokenizer: &dyn Tokenizer,
    prompt: &[u32],
    count: usize,
) -> anyhow::Result<()> {
    let found = checkpoint::renamed(checkpoint::load(weights)?, |name| local_name(name).map(str::to_string));
    let shapes = found.iter().map(|(name, tensor)| (name.as_str(), &tensor.shape[..]));
    let heads = args.heads.or(args.tokenizer.is_none().then_some(4));
    let model = Gpt::of_checkpoint(shapes, heads)?;
    let mut generator = Generator::new(device, &model)?;
    let mut state = generator.state(0)?;
    let names: Vec<String> =
        state.tensors().map(|(n, ..)| n.to_string()).filter(|n| !n.starts_with("cache.")).collect();
    tensors::import(&mut state, names.iter().map(String::as_str), &found, weights, "GPT")?;

    let (mut out, mut text) = (io::stdout(), Arriving::new(tokenizer));
    write!(out, "{}", args.prompt)?;
    generator.generate(&mut state, prompt, count, &mut args.sampler()?, |token| {
        out.write_all(text.push(token).as_bytes()).and_then(|()| out.flush()).is_ok()
    })?;
    Ok(writeln!(out)?)
}
