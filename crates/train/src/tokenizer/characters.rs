//! A token for each character.

use super::Tokenizer;
use crate::error::DataError;

/// The characters of some text, numbered in the order of their code points.
///
/// ```
/// use wgrad_train::tokenizer::{Characters, Tokenizer};
/// let tokenizer = Characters::of("hello");
/// assert_eq!(tokenizer.encode("hole")?, [1, 3, 2, 0]);
/// assert_eq!(tokenizer.decode(&[1, 0, 2, 2, 3]), "hello");
/// # Ok::<(), wgrad_train::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters(Vec<char>);

impl Characters {
    /// Those that occur in `text`.
    pub fn of(text: &str) -> Characters {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all.dedup();
        Characters(all)
    }
}

impl Tokenizer for Characters {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let number = |c| {
            let reason = || format!("the character {c:?} does not occur in it");
            let known = self.0.binary_search(&c).map_err(|_| reason());
            known.map(|i| i as u32).map_err(|reason| DataError::Invalid { name: "the model's text".into(), reason })
        };
        text.chars().map(number).collect()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().map(|&t| self.0.get(t as usize).copied().unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = "Zwölf Boxkämpfer\n\tjagen 🥊";
        let tokenizer = Characters::of(text);
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokens.len(), text.chars().count());
        assert!(tokens.iter().all(|&t| (t as usize) < tokenizer.size()));
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(tokenizer.decode(&[999]), "\u{fffd}");
    }

    #[test]
    fn other_characters_are_an_error() {
        let error = Characters::of("abc").encode("abd").unwrap_err().to_string();
        assert!(error.contains("'d'"), "{error}");
        assert_eq!(Characters::of("").encode("").unwrap(), [0u32; 0]);
    }
}
