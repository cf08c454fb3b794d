//! Text as numbers, and numbers as text.

mod arriving;
mod characters;
#[cfg(feature = "tokenizers")]
mod published;
mod wordpiece;

use std::path::Path;
use std::sync::Arc;

pub use arriving::Arriving;
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

/// The tokenizer in a published `tokenizer.json`.
///
/// # Errors
/// If the file cannot be read or understood, or this was built without the feature `tokenizers`.
#[cfg(feature = "tokenizers")]
pub fn open(path: &Path) -> Result<Arc<dyn Tokenizer>, DataError> {
    Ok(Arc::new(Published::from_file(path)?))
}

/// The tokenizer in a published `tokenizer.json`.
///
/// # Errors
/// If the file cannot be read or understood, or this was built without the feature `tokenizers`.
#[cfg(not(feature = "tokenizers"))]
pub fn open(path: &Path) -> Result<Arc<dyn Tokenizer>, DataError> {
    let reason = "this program was built without the feature `tokenizers`".into();
    Err(DataError::Tokenizer { path: path.into(), reason })
}
