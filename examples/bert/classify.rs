//! Fine-tuning: from which document is a passage?

use std::io::{self, Write};
use std::path::Path;

use anyhow::bail;
use wgrad::nn::loss;
use wgrad::prelude::*;
use wgrad::train::Task;
use wgrad::train::data::{Documents, Loader, LoaderOptions, Passages};
use wgrad::train::tokenizer::WordPiece;
use wgrad::train::trainer::{Headline, Inputs, Values};
use wgrad::zoo::BertClassifier;
use wgrad::zoo::bert::{Tokens, current_name};

use crate::sentences::Config;

/// Trains a new head on the encoder of `--weights`, with the encoder or, if it is `frozen`, alone.
pub fn run(options: &RunOptions, vocab: &Path, length: usize, frozen: bool) -> anyhow::Result<()> {
    let Some(weights) = &options.weights else { bail!("--weights names no checkpoint") };
    let (config, tokenizer) = (Config::beside(weights)?, WordPiece::load(vocab)?);
    config.check(&tokenizer, vocab)?;
    let epochs = options.epochs.unwrap_or(10);
    let batch_size = options.batch_size.unwrap_or(32);
    let lr = options.lr.unwrap_or(if frozen { 1e-2 } else { 3e-4 });

    let text = Documents::read(options.data_dir.as_deref())?;
    let (learn, judge) = Passages::split(&text, &tokenizer, length.min(config.max_position_embeddings), 10)?;
    let train = Loader::new(learn, LoaderOptions::train(batch_size, options.seed.unwrap_or(0)))?;
    let test = Loader::new(judge, LoaderOptions::test(batch_size))?;

    let device = Device::open(options.device.parse()?)?;
    let classes = text.documents.len();
    let task = Telling { model: BertClassifier::new(config.bert()?, classes), lr, frozen };
    let steps = (epochs * train.batches_per_epoch()) as u64;
    let warm_up = steps / 10;
    let name = format!("bert {}x{}, {classes} classes", config.hidden_size, config.num_hidden_layers);
    let trainer = Trainer::new(&device, name, task)
        .schedule(Schedule::cosine(lr, steps - warm_up).warm_up(warm_up, 0.01))
        .epochs(epochs)
        .setting("lr", lr)
        .setting("frozen", frozen)
        // The encoder's names in a file of the encoder alone have nothing before them.
        .weight_names(|name| Some(with_prefix(&current_name(name))))
        .with_options(options, "bert");
    Ok(io::stdout().write_all(trainer.printed(options.dump, &train, &test)?.as_bytes())?)
}

fn with_prefix(name: &str) -> String {
    let bare = ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part));
    if bare { format!("bert.{name}") } else { name.to_string() }
}

/// The task of telling documents apart.
struct Telling {
    model: BertClassifier,
    lr: f64,
    frozen: bool,
}

impl Telling {
    fn values(&self, scope: &Scope, batch: &Inputs) -> Values {
        let tokens = Tokens::new(&batch.get("ids")).mask(&batch.get("mask"));
        let labels = batch.get("labels");
        let logits = self.model.classify(scope, &tokens);
        let accuracy = loss::correct(&logits, &labels) / labels.count() as f32;
        vec![("loss", logits.cross_entropy(&labels)), ("accuracy", accuracy)]
    }
}

impl Task for Telling {
    fn train(&self, _phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let values = self.values(scope, batch);
        let optimizer = AdamW::new(self.lr).weight_decay(0.01).decay_if(|_, shape| shape.len() > 1);
        // What the optimiser does not see stays as it is.
        let trained = if self.frozen { scope.enter("classifier") } else { scope.clone() };
        let updates = optimizer.minimize(&trained, &values[0].1);
        (values, updates)
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        self.values(scope, batch)
    }

    fn headline(&self) -> Headline {
        Headline::higher("test accuracy", "accuracy")
    }
}
