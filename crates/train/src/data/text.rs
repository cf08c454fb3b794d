//! Texts: files as one string, and windows of its tokens for a language model.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::source::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::Stream;

/// Where Debian and its kin have the licences that their packages refer to.
pub const LICENSES: &str = "/usr/share/common-licenses";

/// Texts beyond this many bytes are refused: their tokens would not fit where training keeps them.
const LARGEST: u64 = 1 << 30;

/// The text that `--data` names (there is one: `licenses`), or that lies at `path`.
///
/// # Errors
/// As [`licenses`] and [`read_text`], or if there is no such name.
pub fn open(name: Option<&str>, path: Option<&Path>) -> Result<String, DataError> {
    match (name, path) {
        (_, Some(path)) => read_text(path),
        (None | Some("licenses"), None) => licenses(),
        (Some(name), None) => Err(DataError::UnknownSet { name: name.into(), known: "licenses".into() }),
    }
}

/// The licence texts that every Debian system has ([`LICENSES`]): some 240,000 characters of English.
///
/// # Errors
/// If there are none, or they cannot be read.
pub fn licenses() -> Result<String, DataError> {
    let hint = "they come with Debian and its kin; give a text of your own with --data-dir";
    match Path::new(LICENSES).is_dir() {
        true => read_text(LICENSES),
        false => Err(DataError::Missing { what: "licence texts".into(), path: LICENSES.into(), hint: hint.into() }),
    }
}

/// A text file; or all plain files of a directory, in the order of their names, with an empty line between two. Links are
/// left out, since they would give a text twice.
///
/// # Errors
/// If there is no such file, or no file in the directory, a file is not UTF-8 or cannot be read, or all together are larger
/// than 1 GiB.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, DataError> {
    let path = path.as_ref();
    let mut text = String::new();
    for (i, file) in files(path)?.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        let failed = |source| DataError::Read { path: file.clone(), source };
        let mut bytes = Vec::new();
        let left = LARGEST.saturating_sub(text.len() as u64);
        File::open(file).and_then(|f| f.take(left + 1).read_to_end(&mut bytes)).map_err(failed)?;
        if bytes.len() as u64 > left {
            let reason = format!("it is larger than {} MiB", LARGEST >> 20);
            return Err(DataError::Invalid { name: path.display().to_string(), reason });
        }
        let not_text = |e: std::string::FromUtf8Error| DataError::NotText {
            path: file.clone(),
            position: e.utf8_error().valid_up_to(),
        };
        text.push_str(&String::from_utf8(bytes).map_err(not_text)?);
    }
    Ok(text)
}

/// A file itself, or the plain files of a directory in the order of their names.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let missing = |what: &str| {
        let hint = "give a text file, or a directory of them".into();
        DataError::Missing { what: what.into(), path: path.into(), hint }
    };
    if !path.exists() {
        return Err(missing("text"));
    }
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let failed = |source| DataError::Read { path: path.into(), source };
    let mut files = vec![];
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() { Err(missing("text file")) } else { Ok(files) }
}

/// Windows of `length` neighbouring tokens, each with the tokens one further on: fields `tokens` and `targets`, u32 `[length]`.
///
/// An epoch has as many windows as lie side by side in the text. For learning ([`Windows::shifted`]) each begins up to a
/// window's length later, at random in each epoch, so that every place becomes a beginning.
#[derive(Clone, Debug)]
pub struct Windows {
    name: String,
    tokens: Arc<[u32]>,
    length: usize,
    shifted: bool,
}

impl Windows {
    /// Windows side by side.
    ///
    /// # Errors
    /// If the text is not longer than a window, or a window's length is 0.
    pub fn new(name: impl Into<String>, tokens: impl Into<Arc<[u32]>>, length: usize) -> Result<Windows, DataError> {
        let (name, tokens) = (name.into(), tokens.into());
        if length == 0 || tokens.len() <= length {
            let reason = format!("{} tokens are too few for windows of {length}", tokens.len());
            return Err(DataError::Invalid { name, reason });
        }
        Ok(Windows { name, tokens, length, shifted: false })
    }

    /// Windows that begin elsewhere in each epoch.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn shifted(
        name: impl Into<String>,
        tokens: impl Into<Arc<[u32]>>,
        length: usize,
    ) -> Result<Windows, DataError> {
        Ok(Windows { shifted: true, ..Windows::new(name, tokens, length)? })
    }

    /// Windows of the beginning, shifted, and windows of the last `share` of the text, side by side: to learn from, and to be
    /// judged by.
    ///
    /// # Errors
    /// As [`Windows::new`], for either part.
    pub fn split(name: &str, tokens: &[u32], length: usize, share: f64) -> Result<(Windows, Windows), DataError> {
        let kept = (tokens.len() as f64 * (1.0 - share.clamp(0.0, 1.0))).round() as usize;
        let (learn, judge) = tokens.split_at(kept.min(tokens.len()));
        Ok((Windows::shifted(name, learn, length)?, Windows::new(name, judge, length)?))
    }

    /// All tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

impl Source for Windows {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        (self.tokens.len() - 1) / self.length
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::u32("tokens", [self.length]), Field::u32("targets", [self.length])]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let shift = if self.shifted { stream.below(self.length as u32) as usize } else { 0 };
        // The last one has no room to go as far.
        let start = (index * self.length + shift).min(self.tokens.len() - 1 - self.length);
        out.u32("tokens").copy_from_slice(&self.tokens[start..start + self.length]);
        out.u32("targets").copy_from_slice(&self.tokens[start + 1..start + 1 + self.length]);
        Ok(())
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
