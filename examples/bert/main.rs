//! Pre-trains a small BERT on text: tokens that were masked, and whether one sentence follows another. At the end it fills in
//! masks in sentences that it has not seen. Or, from a checkpoint of its own or a published one: sentence embeddings and how
//! similar they are, or a classifier of passages.
//!
//! ```sh
//! cargo run --release --example bert                          # the licence texts that Debian ships
//! cargo run --release --example bert -- --data-dir texts      # plain text files, each a document
//! cargo run --release --example bert -- --weights model.safetensors --vocab vocab.txt --sentences sentences.txt
//! cargo run --release --example bert -- --weights model.safetensors --vocab vocab.txt --classify --freeze
//! ```

mod classify;
mod sentences;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sentences::Config;
use wgrad::prelude::*;
use wgrad::train::data::{Documents, Loader, LoaderOptions, MaskedPairs, UNPICKED};
use wgrad::train::tokenizer::{WordPiece, WordPieceLearner};
use wgrad::train::trainer::{Evaluation, Headline, Inputs, Values};
use wgrad::train::{Scores, Task, TrainError, exit_with};
use wgrad::zoo::bert::{BertPreTraining, PreTraining, Tokens, current_name};

/// Pre-trains a small BERT on text, or compares sentences by a published one.
#[derive(Parser)]
#[command(name = "bert")]
struct Args {
    /// Pieces in the vocabulary that is learnt from the text
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pieces: usize,

    /// Tokens in a sequence
    #[arg(long, value_name = "N", default_value_t = 64)]
    length: usize,

    /// The vocabulary of the checkpoint that --weights names: its vocab.txt
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,

    /// Do not train: compare the lines of this file by the checkpoint's embeddings of them
    #[arg(long, value_name = "FILE", requires_all = ["weights", "vocab"])]
    sentences: Option<PathBuf>,

    /// Fine-tune the encoder of --weights to tell from which of the documents a passage is
    #[arg(long, requires_all = ["weights", "vocab"], conflicts_with = "sentences")]
    classify: bool,

    /// With --classify: train the new head only
    #[arg(long, requires = "classify")]
    freeze: bool,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> ExitCode {
    let args = Args::parse();
    exit_with(match (&args.sentences, &args.vocab) {
        (Some(lines), Some(vocab)) => sentences::compare(&args.run, vocab, lines),
        (None, Some(vocab)) if args.classify => classify::run(&args.run, vocab, args.length, args.freeze),
        _ => run(&args),
    })
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.run;
    let epochs = options.epochs.unwrap_or(100);
    let batch_size = options.batch_size.unwrap_or(32);
    let lr = options.lr.unwrap_or(1e-3);

    let (text, held_out) = Documents::read(options.data_dir.as_deref())?.split_end(10);
    let tokenizer = match &args.vocab {
        Some(path) => WordPiece::load(path)?,
        None => WordPieceLearner::new(args.pieces).learn(text.sentences())?,
    };
    let learnt = MaskedPairs::new(&text, &tokenizer, args.length)?;
    let train = Loader::new(learnt, LoaderOptions::train(batch_size, options.seed.unwrap_or(0)))?;
    let judged = MaskedPairs::new(&held_out, &tokenizer, args.length)?;
    let test = Loader::new(judged, LoaderOptions::test(batch_size))?;

    let device = Device::open(options.device.parse()?)?;
    let config = Config {
        vocab_size: tokenizer.len(),
        hidden_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 512,
        max_position_embeddings: args.length,
        type_vocab_size: 2,
    };
    let name = format!("bert 128x2 ({} pieces, {} tokens)", tokenizer.len(), args.length);
    let model = BertPreTraining::new(config.bert()?.dropout(0.0));
    let task = Reading { model, config: serde_json::to_string_pretty(&config)?, tokenizer, lr };

    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 10;
    let trainer = Trainer::new(&device, name, task)
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.01))
        .epochs(epochs)
        .setting("lr", lr)
        .weight_names(|name| Some(current_name(name)))
        .with_options(options, "bert");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}

/// The task of reading: masked tokens and next sentences.
struct Reading {
    model: BertPreTraining,
    /// As in `config.json`.
    config: String,
    tokenizer: WordPiece,
    lr: f64,
}

impl Reading {
    fn predict(&self, scope: &Scope, batch: &Inputs) -> (PreTraining, Values) {
        let tokens = Tokens::new(&batch.get("ids")).segments(&batch.get("segments")).mask(&batch.get("mask"));
        let heads = self.model.predict(scope, &tokens, &batch.get("positions"));
        let (labels, next) = (batch.get("labels"), batch.get("next"));
        let values = vec![
            ("loss", heads.loss(&labels, &next)),
            ("masked loss", heads.token_loss(&labels)),
            ("masked accuracy", heads.token_accuracy(&labels)),
            ("next accuracy", heads.next_accuracy(&next)),
        ];
        (heads, values)
    }
}

impl Task for Reading {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let values = self.predict(scope, batch).1;
        let optimizer = AdamW::new(self.lr).weight_decay(0.01).decay_if(|_, shape| shape.len() > 1).clip_norm(1.0);
        let updates = optimizer.minimize(scope, &values[0].1);
        (values, updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let (heads, mut values) = self.predict(scope, batch);
        values.push(("best", heads.tokens.topk(3, 2, true).1));
        values
    }

    fn headline(&self) -> Headline {
        Headline::lower("validation loss", "loss")
    }

    /// Keeps what belongs to the checkpoint beside it, so that `--weights` takes it; and at the end prints a few sentences with
    /// what was filled in.
    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let mut shown = String::new();
        let scores = run.each(|batch, outputs| {
            let best = outputs.u32("best")?;
            if batch.index == 0 {
                let length = batch.u32("ids").len() / batch.len();
                let picks = batch.u32("labels").len() / batch.len();
                for i in 0..batch.len().min(5) {
                    let row = |name: &str, n: usize| &batch.u32(name)[i * n..(i + 1) * n];
                    let best = &best[i * picks * 3..(i + 1) * picks * 3];
                    shown += &self.filled_in(row("ids", length), row("positions", picks), row("labels", picks), best);
                }
            }
            Ok(())
        })?;
        run.write("vocab.txt", self.tokenizer.vocab_txt().as_bytes())?;
        run.write("config.json", self.config.as_bytes())?;
        if run.is_last() && !run.is_quiet() {
            eprint!("{shown}");
        }
        Ok(scores)
    }
}

impl Reading {
    /// The text with its masks, and below it the three best guesses for each, with what stood there.
    fn filled_in(&self, ids: &[u32], positions: &[u32], labels: &[u32], best: &[u32]) -> String {
        let special = self.tokenizer.special();
        let text: Vec<u32> = ids.iter().copied().filter(|t| ![special.pad, special.class].contains(t)).collect();
        let mut shown = format!("{}\n", self.tokenizer.text(&text));
        for ((&at, &label), guesses) in positions.iter().zip(labels).zip(best.chunks(3)) {
            if label != UNPICKED && ids[at as usize] == special.mask {
                let piece = |t: &u32| self.tokenizer.piece(*t).unwrap_or("?").to_string();
                let guesses: Vec<String> = guesses.iter().map(piece).collect();
                shown += &format!("    {}: {}\n", piece(&label), guesses.join(", "));
            }
        }
        shown
    }
}
