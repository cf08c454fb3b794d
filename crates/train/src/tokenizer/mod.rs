//! Text as numbers, and numbers as text.

mod characters;
#[cfg(feature = "tokenizers")]
mod published;
mod wordpiece;

pub use characters::Characters;
#[cfg(feature = "tokenizers")]
pub use published::Published;
pub use wordpiece::{PieceScore, SpecialPieces, WordPiece, WordPieceLearner, words};

use crate::error::DataError;

/// A way to write texts as numbers below [`Tokenizer::size`].
pub trait Tokenizer: Send + Sync {
    /// How many tokens there are.
    fn size(&self) -> usize;

    /// The text's tokens.
    ///
    /// # Errors
    /// If there are no tokens for it.
    fn encode(&self, text: &str) -> Result<Vec<u32>, DataError>;

    /// The text of these tokens. What is none, or no whole character, becomes the replacement character.
    fn decode(&self, tokens: &[u32]) -> String;
}
