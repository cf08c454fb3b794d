//! Text as sentences in their order, document by document.

use std::collections::HashSet;
use std::path::Path;

use super::text::{LICENSES, files, read_text};
use crate::error::DataError;

/// A sentence is cut here at the latest, in characters.
const LONGEST_SENTENCE: usize = 10_000;

/// Documents, each a list of sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// What the text is called.
    pub name: String,
    /// The sentences of each document.
    pub documents: Vec<Vec<String>>,
}

impl Documents {
    /// Reads all files of a directory, in the order of their names, each as a document: [`LICENSES`] if no other is named. A
    /// paragraph that an earlier one repeats is left out, and so are files that then have nothing left.
    ///
    /// # Errors
    /// When there is no such directory, no text in it, or a file that cannot be read or is no UTF-8.
    pub fn read(dir: Option<&Path>) -> Result<Self, DataError> {
        let (dir, name) = match dir {
            Some(dir) => (dir, dir.display().to_string()),
            None => (Path::new(LICENSES), "the texts of licences".to_string()),
        };
        let texts: Vec<String> = files(dir)?.iter().map(read_text).collect::<Result<_, _>>()?;
        let all = Self::of(name, texts.iter().map(String::as_str));
        if all.documents.is_empty() {
            let hint = "name a directory of plain text files".into();
            return Err(DataError::Missing { what: "sentence".into(), path: dir.into(), hint });
        }
        Ok(all)
    }

    /// The sentences of these texts, without paragraphs that an earlier one repeats, and without texts that then have nothing
    /// left.
    pub fn of<'a>(name: impl Into<String>, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = HashSet::new();
        let mut documents = Vec::new();
        for text in texts {
            let new = paragraphs(text).into_iter().filter(|p| seen.insert(p.to_lowercase()));
            let sentences: Vec<String> = new.flat_map(|p| sentences(&p)).collect();
            if !sentences.is_empty() {
                documents.push(sentences);
            }
        }
        Self { name: name.into(), documents }
    }

    /// The first sentences of every document, and the last: a share of `1 / parts`, at least one where there are two.
    pub fn split_end(self, parts: usize) -> (Self, Self) {
        let (mut first, mut last) = (vec![], vec![]);
        for mut document in self.documents {
            let share = document.len().div_ceil(parts.max(1)).min(document.len().saturating_sub(1));
            let end = document.split_off(document.len() - share);
            first.push(document);
            if !end.is_empty() {
                last.push(end);
            }
        }
        (Self { name: self.name.clone(), documents: first }, Self { name: self.name, documents: last })
    }

    /// All sentences.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.documents.iter().flatten().map(String::as_str)
    }
}

/// What blank lines part, each on one line with single spaces; without lines of marks only.
fn paragraphs(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.chars().any(char::is_alphanumeric) {
            all.push(String::new());
            continue;
        }
        if let Some(last) = all.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(&words);
        }
    }
    all.retain(|p| !p.is_empty());
    all
}

/// Cuts a paragraph after `.`, `!` and `?` (and a closing bracket or quote) where a space and then no lower-case letter
/// follows; but not after a number or a single letter, which are of lists and names.
fn sentences(paragraph: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut words = paragraph.split(' ').peekable();
    while let Some(word) = words.next() {
        let Some(sentence) = all.last_mut() else { break };
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(word);
        let bare = word.trim_end_matches([')', '"', '\'', '”']);
        let ends = bare.ends_with(['!', '?'])
            || bare.strip_suffix('.').is_some_and(|w| w.chars().filter(|c| c.is_alphabetic()).count() > 1);
        let begins = words.peek().is_some_and(|next| !next.starts_with(char::is_lowercase));
        if (ends && begins) || sentence.len() > LONGEST_SENTENCE {
            all.push(String::new());
        }
    }
    all.retain(|s| !s.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const TEXT: &str = "Title\n=====\n\nThis is  one.\nThis is 1. of two (or\nthree!) \"Quoted.\" See J. Smith, e.g. here.\n\n\
                        again\n\nAgain\n";

    #[test]
    fn sentences_in_their_order() {
        let text = Documents::of("text", [TEXT, "AGAIN", "Other? Yes."]);
        let expected: [&[&str]; 2] = [
            &[
                "Title",
                "This is one.",
                "This is 1. of two (or three!)",
                "\"Quoted.\"",
                "See J. Smith, e.g. here.",
                "again",
            ],
            &["Other?", "Yes."],
        ];
        assert_eq!(text.documents, expected);
        assert_eq!(text.sentences().count(), 8);
    }

    #[test]
    fn a_share_from_each_end() {
        let one = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let all = Documents { name: "n".into(), documents: vec![one(25), one(1), one(2)] };
        let (first, last) = all.split_end(10);
        let sizes = |d: &Documents| d.documents.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((sizes(&first), sizes(&last)), (vec![22, 1, 1], vec![3, 1]));
        assert_eq!(last.documents[0], ["22", "23", "24"]);
    }

    #[test]
    fn a_directory_of_files() {
        let dir = TempDir::new("documents");
        let missing = |dir: &Path| Documents::read(Some(dir)).unwrap_err().to_string();
        assert!(missing(&dir.path().join("none")).contains("a directory of them"));
        std::fs::write(dir.path().join("empty"), "--\n").unwrap();
        assert!(missing(dir.path()).starts_with("no sentence at"));
        std::fs::write(dir.path().join("b"), "Second.").unwrap();
        std::fs::write(dir.path().join("a.txt"), "First. One.").unwrap();
        std::fs::create_dir(dir.path().join("c")).unwrap();
        let text = Documents::read(Some(dir.path())).unwrap();
        assert_eq!(text.documents, [vec!["First.", "One."], vec!["Second."]]);
        std::fs::write(dir.path().join("d"), [b'a', 0xff]).unwrap();
        let error = missing(dir.path());
        assert!(error.ends_with("d is not text in UTF-8: see its byte 1"), "{error}");
    }
}
