//! Text whose tokens come one by one.

use super::Tokenizer;

/// Shows a text as its tokens come. A character may be made of several tokens: it is shown when it is whole.
pub struct Arriving<'a> {
    tokenizer: &'a dyn Tokenizer,
    tokens: Vec<u32>,
    shown: usize,
}

impl<'a> Arriving<'a> {
    /// An empty text.
    pub fn new(tokenizer: &'a dyn Tokenizer) -> Arriving<'a> {
        Arriving { tokenizer, tokens: vec![], shown: 0 }
    }

    /// What can be shown after one more token.
    pub fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        let text = self.tokenizer.decode(&self.tokens);
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let new = whole.get(self.shown..).unwrap_or_default().to_string();
        self.shown = self.shown.max(whole.len());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DataError;

    /// A token for each byte.
    struct Bytes;

    impl Tokenizer for Bytes {
        fn size(&self) -> usize {
            256
        }
        fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
            Ok(text.bytes().map(u32::from).collect())
        }
        fn decode(&self, tokens: &[u32]) -> String {
            String::from_utf8_lossy(&tokens.iter().map(|&t| t as u8).collect::<Vec<_>>()).into_owned()
        }
    }

    #[test]
    fn characters_are_shown_when_they_are_whole() {
        let mut text = Arriving::new(&Bytes);
        let shown: Vec<String> = Bytes.encode("aü🥊b").unwrap().into_iter().map(|t| text.push(t)).collect();
        assert_eq!(shown, ["a", "", "ü", "", "", "", "🥊", "b"]);
    }
}
