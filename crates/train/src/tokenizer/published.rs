//! Tokenizers in the ecosystem's own files, by Hugging Face's library.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::Tokenizer as Loaded;

use super::Tokenizer;
use crate::error::DataError;

/// A tokenizer as it was published beside a model's weights: byte-pair encoding, WordPiece, or whatever else the file says.
/// Needs the feature `tokenizers`.
pub struct Published(Loaded);

impl Published {
    /// From a `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Published, DataError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| DataError::Read { path: path.into(), source })?;
        let unsound = |reason: String| DataError::Tokenizer { path: path.into(), reason };
        Loaded::from_bytes(bytes).map(Published).map_err(|e| unsound(e.to_string()))
    }

    /// Byte-pair encoding as GPT-2 has it (Sennrich, Haddow and Birch, 2016, on bytes), from its `vocab.json` and
    /// `merges.txt`.
    ///
    /// # Errors
    /// If a file cannot be read or understood.
    pub fn gpt2(vocab: impl AsRef<Path>, merges: impl AsRef<Path>) -> Result<Published, DataError> {
        let (vocab, merges) = (vocab.as_ref(), merges.as_ref());
        for path in [vocab, merges] {
            std::fs::File::open(path).map_err(|source| DataError::Read { path: path.into(), source })?;
        }
        let unsound = |reason: String| DataError::Tokenizer { path: vocab.into(), reason };
        let model = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build();
        let mut loaded = Loaded::new(model.map_err(|e| unsound(e.to_string()))?);
        let bytes = ByteLevel::new(false, true, true);
        loaded.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
        Ok(Published(loaded))
    }
}

impl Tokenizer for Published {
    fn size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// Without what some tokenizers put before and after a text (`[CLS]`, `[SEP]`).
    fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoded = self.0.encode(text, false);
        let encoded = encoded.map_err(|e| DataError::Invalid { name: "text".into(), reason: e.to_string() })?;
        Ok(encoded.get_ids().to_vec())
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.0.decode(tokens, false).unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.into())
    }
}
