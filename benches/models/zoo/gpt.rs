//! GPT-2 in three sizes, without dropout.

use super::{Input, LONG, Model};
use anyhow::Result;
use wgrad::prelude::*;
use wgrad::zoo::gpt::{Gpt, Gpt2};

/// A model, and the length and number of its texts.
pub struct Writing {
    model: Gpt,
    batch: usize,
    length: usize,
    adam: bool,
}

/// The model of this name.
pub fn named(name: &str, batch: usize) -> Result<Writing> {
    let (model, length) = match name {
        "gpt_small" => (Gpt::new(256, 64, 4, 4, 128)?, 64),
        "gpt10m" => (Gpt::new(65, 256, 6, 6, 384)?, 256),
        _ => (Gpt::gpt2(Gpt2::Small), if name == LONG { 1024 } else { 128 }),
    };
    Ok(Writing { model: model.dropout(0.0), batch, length, adam: name == "gpt_small" })
}

impl Model for Writing {
    fn batch(&self) -> Vec<Input> {
        let ids = |name| Input::indices(name, [self.batch, self.length], self.model.vocabulary());
        vec![ids("tokens"), ids("targets")]
    }

    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)> {
        let scope = Scope::train();
        let loss = self.model.loss(&scope, &batch[0], &batch[1]);
        let updates = match self.adam {
            true => Adam::new(self.rate()).minimize(&scope, &loss),
            false => AdamW::new(self.rate()).minimize(&scope, &loss),
        };
        vec![(loss, updates)]
    }

    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor {
        self.model.forward(scope, &batch[0])
    }

    fn rate(&self) -> f64 {
        if self.adam { 1e-3 } else { 3e-4 }
    }
}
