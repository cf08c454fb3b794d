//! What BERT learns from: pairs of sentences with masked tokens.

use super::documents::Documents;
use super::source::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::Stream;
use crate::tokenizer::{SpecialPieces, WordPiece};

/// The label of a place in the list of picked ones that an example does not use.
pub const UNPICKED: u32 = u32::MAX;

/// Pairs of pieces of text, A and B, as `[CLS] A [SEP] B [SEP]`: in half of them B follows A, in the others it is from another
/// document. 15 % of the tokens are picked, to be guessed: of these 80 % are masked, 10 % replaced by a random piece, and 10 %
/// left as they are (Devlin et al., 2018, section 3.1 and appendix A).
///
/// Fields, all u32: `ids`, `segments` (1 for B and its `[SEP]`) and `mask` (0 for padding) `[length]`; `positions` of the
/// picked tokens and `labels`, what stood there, `[picks]`, the unused ones at the end 0 and [`UNPICKED`]; and `next`, 0 where B
/// follows A, else 1.
///
/// An epoch has one pair for each sentence that another follows: it is the first of A. Another epoch has other pairs, other
/// picks and other masks.
pub struct MaskedPairs {
    name: String,
    documents: Vec<Vec<Vec<u32>>>,
    /// The document and sentence with which each example begins.
    starts: Vec<(usize, usize)>,
    /// Sentences before each document, and in all.
    before: Vec<usize>,
    special: SpecialPieces,
    vocabulary: u32,
    length: usize,
    picks: usize,
}

/// A and B, and whether B is from elsewhere.
type Pair = (Vec<u32>, Vec<u32>, bool);

impl MaskedPairs {
    /// Sequences of `length` tokens from these documents.
    ///
    /// # Errors
    /// When sequences are shorter than 8, or no document has two sentences.
    pub fn new(text: &Documents, tokenizer: &WordPiece, length: usize) -> Result<Self, DataError> {
        let invalid = |reason: String| DataError::Invalid { name: text.name.clone(), reason };
        if length < 8 {
            return Err(invalid(format!("sequences of {length} tokens are too short; 8 are needed")));
        }
        let tokens = |sentence: &String| {
            let mut tokens = tokenizer.tokenize(sentence);
            tokens.truncate(length - 3);
            tokens
        };
        let mut documents = Vec::new();
        for document in &text.documents {
            let sentences: Vec<Vec<u32>> = document.iter().map(tokens).filter(|s| !s.is_empty()).collect();
            if !sentences.is_empty() {
                documents.push(sentences);
            }
        }
        let starts: Vec<(usize, usize)> =
            documents.iter().enumerate().flat_map(|(d, s)| (0..s.len() - 1).map(move |i| (d, i))).collect();
        if starts.is_empty() {
            return Err(invalid("no document has two sentences".into()));
        }
        let mut before = vec![0];
        for document in &documents {
            before.push(before[before.len() - 1] + document.len());
        }
        let name = text.name.clone();
        let picks = (length * 15).div_ceil(100);
        let vocabulary = tokenizer.len() as u32;
        Ok(Self { name, documents, starts, before, special: tokenizer.special(), vocabulary, length, picks })
    }

    /// Most tokens that are picked in a sequence.
    pub fn picks(&self) -> usize {
        self.picks
    }

    /// Tokens of the text in all.
    pub fn tokens(&self) -> usize {
        self.documents.iter().flatten().map(Vec::len).sum()
    }

    fn pair(&self, index: usize, stream: &mut Stream) -> Pair {
        let (document, first) = self.starts[index];
        let sentences = &self.documents[document];
        let room = self.length - 3;
        // About half is for A, and a sentence at least is left for B.
        let (mut a, mut at) = (Vec::new(), first);
        while at + 1 < sentences.len() && (a.is_empty() || a.len() + sentences[at].len() <= room / 2) {
            a.extend(&sentences[at]);
            at += 1;
        }
        let elsewhere = stream.below(2) == 1;
        let (document, from) = if elsewhere { self.elsewhere(document, at, stream) } else { (document, at) };
        let mut b: Vec<u32> = Vec::new();
        for sentence in &self.documents[document][from..] {
            if !b.is_empty() && a.len() + b.len() + sentence.len() > room {
                break;
            }
            b.extend(sentence);
        }
        // The longer loses a token at either end until both fit.
        while a.len() + b.len() > room {
            let longer = if a.len() > b.len() { &mut a } else { &mut b };
            if stream.below(2) == 0 {
                longer.remove(0);
            } else {
                longer.pop();
            }
        }
        (a, b, elsewhere)
    }

    /// A sentence of another document, all equally likely; with one document, any that does not follow.
    fn elsewhere(&self, document: usize, next: usize, stream: &mut Stream) -> (usize, usize) {
        let all = self.before[self.documents.len()];
        let own =
            if self.documents.len() > 1 { self.before[document]..self.before[document + 1] } else { next..next + 1 };
        let others = u32::try_from(all - own.len()).unwrap_or(u32::MAX);
        let mut chosen = stream.below(others) as usize;
        if chosen >= own.start {
            chosen += own.len();
        }
        let document = self.before.partition_point(|&n| n <= chosen) - 1;
        (document, chosen - self.before[document])
    }
}

impl Source for MaskedPairs {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn fields(&self) -> Vec<Field> {
        let sequence = |name| Field::u32(name, [self.length]);
        let picked = |name| Field::u32(name, [self.picks]);
        let (ids, segments, mask) = (sequence("ids"), sequence("segments"), sequence("mask"));
        vec![ids, segments, mask, picked("positions"), picked("labels"), Field::u32("next", [])]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let (a, b, elsewhere) = self.pair(index, stream);
        let SpecialPieces { pad, class, separator, mask, .. } = self.special;
        let mut ids = [&[class], &a[..], &[separator], &b[..], &[separator]].concat();
        let (first, used) = (a.len() + 2, ids.len());
        ids.resize(self.length, pad);
        out.u32("segments")[first..used].fill(1);
        out.u32("mask")[..used].fill(1);
        out.u32("next")[0] = u32::from(elsewhere);

        let mut places: Vec<usize> = (1..used - 1).filter(|&i| i != first - 1).collect();
        stream.shuffle(&mut places);
        places.truncate(((places.len() * 15 + 50) / 100).clamp(1, self.picks));
        places.sort_unstable();
        out.u32("labels").fill(UNPICKED);
        for (i, &place) in places.iter().enumerate() {
            out.u32("positions")[i] = place as u32;
            out.u32("labels")[i] = ids[place];
            match stream.below(10) {
                0 => ids[place] = stream.below(self.vocabulary),
                1 => {}
                _ => ids[place] = mask,
            }
        }
        out.u32("ids").copy_from_slice(&ids);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{} tokens, {} pieces, sequences of {}", self.tokens(), self.vocabulary, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, Loader, LoaderOptions};

    /// Documents whose words tell document and place: d0w0, d0w1, ... with `words` of them in each sentence.
    fn text(documents: usize, sentences: usize, words: usize) -> Documents {
        let sentence =
            |d: usize, s: usize| (0..words).map(|w| format!("d{d}w{}", s * words + w)).collect::<Vec<_>>().join(" ");
        let document = |d| (0..sentences).map(|s| sentence(d, s)).collect();
        Documents { name: "test".into(), documents: (0..documents).map(document).collect() }
    }

    /// Whole words as pieces, in their order after the special ones.
    fn tokenizer(text: &Documents) -> WordPiece {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
        let words = text.sentences().flat_map(|s| s.split(' ').map(String::from).collect::<Vec<_>>());
        WordPiece::new(special.into_iter().chain(words).collect()).unwrap()
    }

    fn batches(text: &Documents, length: usize, epoch: usize) -> Vec<Batch> {
        let pairs = MaskedPairs::new(text, &tokenizer(text), length).unwrap();
        let loader = Loader::new(pairs, LoaderOptions { shuffle: false, ..LoaderOptions::test(1) }).unwrap();
        loader.epoch(epoch, 0).unwrap().map(Result::unwrap).collect()
    }

    /// The tokens as they were before masking.
    fn whole(batch: &Batch) -> Vec<u32> {
        let mut ids = batch.u32("ids").to_vec();
        for (&at, &label) in batch.u32("positions").iter().zip(batch.u32("labels")) {
            if label != UNPICKED {
                ids[at as usize] = label;
            }
        }
        ids
    }

    #[test]
    fn pairs_are_what_they_say() {
        let (length, text) = (32, text(4, 30, 5));
        let (mut follow, mut other) = (0, 0);
        for batch in (0..10).flat_map(|epoch| batches(&text, length, epoch)) {
            let (ids, mask, segments) = (whole(&batch), batch.u32("mask"), batch.u32("segments"));
            let used = mask.iter().filter(|&&m| m == 1).count();
            assert!(mask[..used].iter().all(|&m| m == 1) && ids[used..].iter().all(|&t| t == 0));
            let separators: Vec<usize> = (0..length).filter(|&i| ids[i] == 3).collect();
            assert_eq!((ids[0], separators.len(), separators[1]), (2, 2, used - 1));
            let expected = |i| u32::from(i > separators[0] && i < used);
            assert!((0..length).all(|i| segments[i] == expected(i)));
            let (a, b) = (&ids[1..separators[0]], &ids[separators[0] + 1..used - 1]);
            assert!([a, b].iter().all(|part| part.windows(2).all(|w| w[1] == w[0] + 1)), "one run of text each");
            let document = |token: u32| (token - 5) / 150;
            let (last, first) = (a[a.len() - 1], b[0]);
            if batch.u32("next")[0] == 0 {
                follow += 1;
                // Equal but for what was cut off for room.
                assert!(first > last && first - last < length as u32, "{last} then {first}");
            } else {
                other += 1;
                assert_ne!(document(last), document(first));
            }
        }
        assert_eq!(follow + other, 10 * 4 * 29);
        assert!((500..660).contains(&follow), "{follow} of 1160 follow");
    }

    #[test]
    fn picks_are_of_three_kinds() {
        let (length, text) = (64, text(4, 60, 4));
        let (mut masked, mut kept, mut random, mut tokens) = (0, 0, 0, 0);
        for batch in (0..4).flat_map(|epoch| batches(&text, length, epoch)) {
            let (ids, before) = (batch.u32("ids"), whole(&batch));
            let (positions, labels) = (batch.u32("positions"), batch.u32("labels"));
            let picked = labels.iter().filter(|&&l| l != UNPICKED).count();
            assert!(picked > 0 && labels[picked..].iter().all(|&l| l == UNPICKED));
            assert!(positions[..picked].windows(2).all(|w| w[0] < w[1]));
            for (&at, &label) in positions[..picked].iter().zip(labels) {
                let (at, special) = (at as usize, 5);
                assert!(label >= special, "a special token was picked");
                masked += usize::from(ids[at] == 4);
                kept += usize::from(ids[at] == label);
                random += usize::from(ids[at] != 4 && ids[at] != label);
            }
            let others = (0..length).filter(|i| !positions[..picked].contains(&(*i as u32)));
            assert!(others.into_iter().all(|i| ids[i] == before[i]));
            tokens += before.iter().filter(|&&t| t >= 5).count();
        }
        let picked = masked + kept + random;
        let share = |n: usize, of: usize| n as f64 / of as f64;
        assert!((share(picked, tokens) - 0.15).abs() < 0.01, "{picked} of {tokens}");
        assert!((share(masked, picked) - 0.8).abs() < 0.02, "{masked} of {picked} masked");
        assert!((share(kept, picked) - 0.1).abs() < 0.02, "{kept} of {picked} kept");
        assert!((share(random, picked) - 0.1).abs() < 0.02, "{random} of {picked} random");
    }

    #[test]
    fn an_epoch_is_always_the_same_and_the_next_another() {
        let text = text(2, 10, 6);
        let ids = |epoch| batches(&text, 16, epoch).iter().flat_map(|b| b.u32("ids").to_vec()).collect::<Vec<_>>();
        assert_eq!(ids(3), ids(3));
        assert_ne!(ids(3), ids(4));
    }

    /// From one document, B is then any sentence that does not follow.
    #[test]
    fn one_document() {
        let text = text(1, 12, 8);
        for batch in (0..8).flat_map(|epoch| batches(&text, 20, epoch)) {
            let ids = whole(&batch);
            let at = ids.iter().position(|&t| t == 3).unwrap();
            let follows = ids[at + 1] > ids[at - 1] && ids[at + 1] - ids[at - 1] <= 8;
            assert_eq!(follows, batch.u32("next")[0] == 0, "{ids:?}");
        }
    }

    #[test]
    fn what_gives_no_pairs_is_refused() {
        let error =
            |text: &Documents, length| MaskedPairs::new(text, &tokenizer(text), length).err().unwrap().to_string();
        assert_eq!(error(&text(3, 1, 4), 16), "data set test: no document has two sentences");
        assert!(error(&text(3, 3, 4), 7).contains("8 are needed"));
    }
}
