//! Names in published checkpoints.

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
