//! WordPiece: words as pieces of a fixed vocabulary (Schuster and Nakajima, 2012; Wu et al., 2016), as BERT has it.

mod basic;
mod learn;

use std::collections::HashMap;
use std::path::Path;

pub use basic::words;
pub use learn::{PieceScore, WordPieceLearner};

use super::Tokenizer;
use crate::data::text::read_text;
use crate::error::DataError;

/// Longer words are not looked up, as in BERT.
const LONGEST_WORD: usize = 100;

/// The numbers of the pieces that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialPieces {
    /// `[PAD]`: fills up a sequence.
    pub pad: u32,
    /// `[UNK]`: stands for a word that cannot be put together.
    pub unknown: u32,
    /// `[CLS]`: begins a sequence.
    pub class: u32,
    /// `[SEP]`: ends a sentence.
    pub separator: u32,
    /// `[MASK]`: stands for a token that is to be guessed.
    pub mask: u32,
}

/// The special pieces' names, in the order in which [`WordPieceLearner`] numbers them.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A vocabulary of pieces, and how text becomes their numbers.
///
/// A word is cut from the left, always into the longest piece that the vocabulary has; pieces within a word begin with `##`.
/// A word that cannot be cut so is `[UNK]`.
///
/// ```
/// use wgrad_train::tokenizer::WordPiece;
///
/// let pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "##a", "!"];
/// let tokenizer = WordPiece::new(pieces.map(String::from).to_vec())?;
/// assert_eq!(tokenizer.tokenize("Unaffable, un!"), [5, 6, 7, 1, 5, 9]);
/// assert_eq!(tokenizer.text(&[5, 6, 7, 9]), "unaffable !");
/// # Ok::<(), wgrad_train::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WordPiece {
    pieces: Vec<String>,
    numbers: HashMap<String, u32>,
    special: SpecialPieces,
    lower_case: bool,
}

impl WordPiece {
    /// A vocabulary of these pieces, numbered in their order. Text is lower-cased and its accents are dropped.
    ///
    /// # Errors
    /// When a special piece is missing, or there are more pieces than u32 can number.
    pub fn new(pieces: Vec<String>) -> Result<Self, DataError> {
        let invalid = |reason: String| DataError::Vocabulary { pieces: pieces.len(), reason };
        if u32::try_from(pieces.len()).is_err() {
            return Err(invalid("they are too many".into()));
        }
        let mut numbers = HashMap::with_capacity(pieces.len());
        for (i, piece) in pieces.iter().enumerate() {
            // Of equal ones the last counts, as in BERT's own reader.
            numbers.insert(piece.clone(), i as u32);
        }
        let find = |name: &str| numbers.get(name).copied().ok_or_else(|| invalid(format!("it has no {name}")));
        let [pad, unknown, class, separator, mask] = SPECIAL;
        let special = SpecialPieces {
            pad: find(pad)?,
            unknown: find(unknown)?,
            class: find(class)?,
            separator: find(separator)?,
            mask: find(mask)?,
        };
        Ok(Self { pieces, numbers, special, lower_case: true })
    }

    /// Reads a `vocab.txt`: a piece on each line.
    ///
    /// # Errors
    /// When the file cannot be read or is no UTF-8, or has not all special pieces.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let text = read_text(path)?;
        Self::new(text.lines().map(String::from).collect()).map_err(|error| match error {
            DataError::Vocabulary { reason, .. } => DataError::Tokenizer { path: path.into(), reason },
            other => other,
        })
    }

    /// The vocabulary as a `vocab.txt`.
    pub fn vocab_txt(&self) -> String {
        self.pieces.iter().map(|piece| format!("{piece}\n")).collect()
    }

    /// For vocabularies that tell upper from lower case: text is taken as it is.
    pub fn cased(mut self) -> Self {
        self.lower_case = false;
        self
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none; there are always the special ones.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The numbers of the special pieces.
    pub fn special(&self) -> SpecialPieces {
        self.special
    }

    /// The piece of this number, if there is one.
    pub fn piece(&self, number: u32) -> Option<&str> {
        self.pieces.get(number as usize).map(String::as_str)
    }

    /// The numbers of a text's pieces, without special ones around them.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        for word in words(text, self.lower_case) {
            self.cut(&word, &mut tokens);
        }
        tokens
    }

    /// `[CLS] text [SEP]`, cut to at most `length` tokens (at least 2).
    pub fn sentence(&self, text: &str, length: usize) -> Vec<u32> {
        let mut tokens = vec![self.special.class];
        tokens.extend(self.tokenize(text));
        tokens.truncate(length.max(2) - 1);
        tokens.push(self.special.separator);
        tokens
    }

    /// The pieces of these numbers as text: those within a word are joined to it.
    pub fn text(&self, tokens: &[u32]) -> String {
        let mut text = String::new();
        for piece in tokens.iter().filter_map(|&t| self.piece(t)) {
            match piece.strip_prefix("##") {
                Some(rest) => text.push_str(rest),
                None if text.is_empty() => text.push_str(piece),
                None => {
                    text.push(' ');
                    text.push_str(piece);
                }
            }
        }
        text
    }

    fn cut(&self, word: &str, tokens: &mut Vec<u32>) {
        let begun = tokens.len();
        let mut rest = word;
        let mut found = word.chars().count() <= LONGEST_WORD;
        while found && !rest.is_empty() {
            let inside = rest.len() < word.len();
            // Every end of a character, the last first.
            let mut ends = rest.char_indices().map(|(i, c)| i + c.len_utf8()).rev();
            let longest = ends.find_map(|end| {
                let piece = &rest[..end];
                let number = if inside { self.numbers.get(&format!("##{piece}")) } else { self.numbers.get(piece) };
                number.map(|&n| (n, end))
            });
            match longest {
                Some((number, end)) => {
                    tokens.push(number);
                    rest = &rest[end..];
                }
                None => found = false,
            }
        }
        if !found {
            tokens.truncate(begun);
            tokens.push(self.special.unknown);
        }
    }
}

impl Tokenizer for WordPiece {
    fn size(&self) -> usize {
        self.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        Ok(self.tokenize(text))
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.text(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(pieces: &[&str]) -> WordPiece {
        WordPiece::new(SPECIAL.iter().chain(pieces).map(|p| p.to_string()).collect()).unwrap()
    }

    /// What `transformers.BertTokenizer` gives with the same vocabulary (scripts/golden/wordpiece.py).
    #[test]
    fn as_in_transformers() {
        let pieces = [
            "the", "cafe", "##s", "un", "##aff", "##able", "run", "##ning", "don", "'", "t", ",", ".", "(", ")", "a",
            "##b", "naive", "中", "文", "-", "x", "##x", "$", "5",
        ];
        let all = tokenizer(&pieces);
        let cased = tokenizer(&pieces).cased();
        for (text, lower, as_it_is) in CASES {
            assert_eq!(all.tokenize(text), *lower, "{text:?}");
            assert_eq!(cased.tokenize(text), *as_it_is, "{text:?}, cased");
        }
    }

    type Case = (&'static str, &'static [u32], &'static [u32]);

    const CASES: &[Case] = &[
        ("the cafes", &[5, 6, 7], &[5, 6, 7]),
        ("The CAFÉS, unaffable.", &[5, 6, 7, 16, 8, 9, 10, 17], &[1, 1, 16, 8, 9, 10, 17]),
        ("running (don't)", &[11, 12, 18, 13, 14, 15, 19], &[11, 12, 18, 13, 14, 15, 19]),
        ("naïve naive Naïve", &[22, 22, 22], &[1, 22, 1]),
        ("中文the", &[23, 24, 5], &[23, 24, 5]),
        ("ab abb b", &[20, 21, 20, 21, 21, 1], &[20, 21, 20, 21, 21, 1]),
        ("x-xx xxx y", &[26, 25, 26, 27, 26, 27, 27, 1], &[26, 25, 26, 27, 26, 27, 27, 1]),
        ("$5 5$ 5.5", &[28, 29, 29, 28, 29, 17, 29], &[28, 29, 29, 28, 29, 17, 29]),
        ("a\u{200b}b a\u{ad}b", &[20, 21, 20, 21], &[20, 21, 20, 21]),
        ("t\u{9}t\u{a}\u{a}t", &[15, 15, 15], &[15, 15, 15]),
        ("«the»", &[1, 5, 1], &[1, 5, 1]),
        ("", &[], &[]),
        ("\u{0}a", &[20], &[20]),
        ("e\u{301} a\u{301}b", &[1, 20, 21], &[1, 1]),
        ("un un.un", &[8, 8, 17, 8], &[8, 8, 17, 8]),
        ("—the…", &[1, 5, 1], &[1, 5, 1]),
    ];

    #[test]
    fn long_words_and_long_sentences() {
        let t = tokenizer(&["a", "##a"]);
        assert_eq!(t.tokenize(&"a".repeat(100)).len(), 100);
        assert_eq!(t.tokenize(&"a".repeat(101)), [t.special().unknown]);
        assert_eq!(t.sentence("a a a a", 4), [2, 5, 5, 3]);
        assert_eq!(t.sentence("", 4), [2, 3]);
        assert_eq!(t.sentence("a", 0), [2, 3]);
    }

    #[test]
    fn a_file_of_pieces() {
        let dir = crate::testing::TempDir::new("vocab");
        let path = dir.path().join("vocab.txt");
        std::fs::write(&path, tokenizer(&["a", "##b"]).vocab_txt()).unwrap();
        let read = WordPiece::load(&path).unwrap();
        assert_eq!((read.len(), read.piece(6), read.piece(7)), (7, Some("##b"), None));
        std::fs::write(&path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n").unwrap();
        let error = WordPiece::load(&path).unwrap_err().to_string();
        assert!(error.contains("vocab.txt is not a tokenizer that can be read: it has no [MASK]"), "{error}");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(WordPiece::load(&path).unwrap_err().to_string().contains("UTF-8"));
        assert!(matches!(WordPiece::load(&dir.path().join("none")), Err(DataError::Missing { .. })));
    }
}
