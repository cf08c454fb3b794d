//! Published checkpoints: their names, and the model that they are of.

use super::Gpt;
use crate::ZooError;

impl Gpt {
    /// The model that a checkpoint is of, by the names ([`local_name`]) and shapes of its tensors. The number of heads cannot be
    /// seen from them: without it, heads have 64 numbers, as in all of the published sizes.
    ///
    /// # Errors
    /// If these are not GPT-2's tensors, or there cannot be so many heads.
    pub fn of_checkpoint<'a>(
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
        heads: Option<usize>,
    ) -> Result<Gpt, ZooError> {
        let (mut words, mut places, mut layers) = (None, None, 0);
        for (name, shape) in tensors {
            match local_name(name) {
                Some("wte.weight") => words = Some(shape),
                Some("wpe.weight") => places = Some(shape),
                Some(name) => {
                    let block = name.strip_prefix("h.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
                    layers = layers.max(block.map_or(0, |n| n.saturating_add(1)));
                }
                None => {}
            }
        }
        match (words, places) {
            (Some(&[vocabulary, width]), Some(&[context, same])) if width == same => {
                Gpt::new(vocabulary, context, layers, heads.unwrap_or(width / 64), width)
            }
            (words, places) => {
                let reason = format!("no checkpoint: wte.weight is {words:?}, wpe.weight {places:?}");
                Err(ZooError::Invalid { what: "GPT", reason })
            }
        }
    }
}

/// The name that a tensor of a Hugging Face GPT-2 checkpoint has in [`super::Gpt`]: without the prefix `transformer.`. None
/// for what is no parameter of its own: the causal masks `attn.bias` and `attn.masked_bias` of old files, and
/// `lm_head.weight`, which is `wte.weight` again.
///
/// ```
/// use wgrad_zoo::gpt::local_name;
/// assert_eq!(local_name("transformer.h.0.ln_1.weight"), Some("h.0.ln_1.weight"));
/// assert_eq!(local_name("h.0.attn.bias"), None);
/// ```
pub fn local_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix("transformer.").unwrap_or(name);
    let is_mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
    (!is_mask && name != "lm_head.weight").then_some(name)
}
