//! Pieces of text, to be told apart by where they are from.

use super::documents::Documents;
use super::source::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tokenizer::WordPiece;

/// Passages `[CLS] text [SEP]` of documents, with the document's number as label.
///
/// Fields, all u32: `ids` and `mask` (0 for padding) `[length]`, and `labels` []. A passage begins with each sentence, and goes
/// on for as long as there is room.
pub struct Passages {
    name: String,
    passages: Vec<(Vec<u32>, u32)>,
    length: usize,
    pad: u32,
}

impl Passages {
    /// Passages of at most `length` tokens: those of the first sentences of every document, to learn from, and those of the
    /// last `1 / parts` of them, to be judged by. No sentence is in both.
    ///
    /// # Errors
    /// When there is no room for text, or one of the two has no passages.
    pub fn split(
        text: &Documents,
        tokenizer: &WordPiece,
        length: usize,
        parts: usize,
    ) -> Result<(Self, Self), DataError> {
        let invalid = |reason: &str| DataError::Invalid { name: text.name.clone(), reason: reason.into() };
        if length < 3 {
            return Err(invalid("passages of fewer than 3 tokens hold no text"));
        }
        let (mut learn, mut judge) = (vec![], vec![]);
        for (label, document) in text.documents.iter().enumerate() {
            let end = document.len() - document.len().div_ceil(parts.max(1)).min(document.len() - 1);
            for (part, sentences) in [(&mut learn, &document[..end]), (&mut judge, &document[end..])] {
                for start in 0..sentences.len() {
                    part.push((tokenizer.sentence(&sentences[start..].join(" "), length), label as u32));
                }
            }
        }
        if learn.is_empty() || judge.is_empty() {
            return Err(invalid("no document has two sentences"));
        }
        let pad = tokenizer.special().pad;
        let of = |passages| Self { name: text.name.clone(), passages, length, pad };
        Ok((of(learn), of(judge)))
    }
}

impl Source for Passages {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.passages.len()
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::u32("ids", [self.length]), Field::u32("mask", [self.length]), Field::u32("labels", [])]
    }

    fn read(&self, index: usize, _: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let (tokens, label) = &self.passages[index];
        out.u32("ids").fill(self.pad);
        out.u32("ids")[..tokens.len()].copy_from_slice(tokens);
        out.u32("mask")[..tokens.len()].fill(1);
        out.u32("labels")[0] = *label;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Loader, LoaderOptions};
    use crate::tokenizer::WordPieceLearner;

    #[test]
    fn every_sentence_begins_a_passage() {
        let text = Documents::of("test", ["One two. Three four! Five six. Seven.", "Alone.", "Ab cd. Ef."]);
        let tokenizer = WordPieceLearner::new(100).least(1).learn(text.sentences()).unwrap();
        let (learn, judge) = Passages::split(&text, &tokenizer, 7, 4).unwrap();
        let all = |passages: Passages| {
            let loader = Loader::new(passages, LoaderOptions::test(1)).unwrap();
            let read = |batch: crate::data::Batch| {
                let (ids, mask) = (batch.u32("ids"), batch.u32("mask"));
                let used = mask.iter().filter(|&&m| m == 1).count();
                assert_eq!((ids[0], ids[used - 1]), (2, 3));
                assert!(ids[used..].iter().all(|&t| t == 0) && mask[used..].iter().all(|&m| m == 0));
                (tokenizer.text(&ids[1..used - 1]), batch.u32("labels")[0])
            };
            loader.epoch(0, 0).unwrap().map(|batch| read(batch.unwrap())).collect::<Vec<_>>()
        };
        let expected = [
            ("one two . three four", 0),
            ("three four ! five six", 0),
            ("five six .", 0),
            ("alone .", 1),
            ("ab cd .", 2),
        ];
        let found = all(learn);
        assert_eq!(found.iter().map(|(t, l)| (t.as_str(), *l)).collect::<Vec<_>>(), expected);
        assert_eq!(all(judge), [("seven .".to_string(), 0), ("ef .".to_string(), 2)]);
        let single = Documents::of("test", ["One."]);
        assert!(Passages::split(&single, &tokenizer, 7, 4).is_err());
        assert!(Passages::split(&text, &tokenizer, 2, 4).is_err());
    }
}
