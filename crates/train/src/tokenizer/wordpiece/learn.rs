//! Learning a vocabulary of pieces from text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{SPECIAL, WordPiece, words};
use crate::error::DataError;

/// Which two neighbouring pieces become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceScore {
    /// Those that gain the text most likelihood under a model of independent pieces, as the paper says:
    /// `count(ab) * log(count(ab) * total / (count(a) * count(b)))`.
    #[default]
    Likelihood,
    /// Those that most often belong together: `count(ab) / (count(a) * count(b))`. Widely told to be WordPiece's rule, but it
    /// makes pieces of rare words first: with 1000 pieces learnt from the texts of licences these are 98,109 tokens, by
    /// likelihood 43,165 (by count 42,343).
    Ratio,
    /// The most frequent ones: byte-pair encoding's rule, and that of Hugging Face's trainer.
    Count,
}

/// Learns a vocabulary: all characters at first, and then, one by one, the neighbouring pieces with the best score become a
/// piece.
#[derive(Clone, Debug)]
pub struct WordPieceLearner {
    size: usize,
    least: u64,
    score: PieceScore,
}

/// A word as piece numbers, and how often it occurs.
type Word = (Vec<u32>, u64);

impl WordPieceLearner {
    /// For a vocabulary of `size` pieces, special ones included, of pairs that occur at least twice.
    pub fn new(size: usize) -> Self {
        Self { size, least: 2, score: PieceScore::default() }
    }

    /// Makes no pieces of what occurs less often.
    pub fn least(mut self, count: u64) -> Self {
        self.least = count.max(1);
        self
    }

    /// By another rule.
    pub fn score(mut self, score: PieceScore) -> Self {
        self.score = score;
        self
    }

    /// The vocabulary of a text, lower-cased and without accents. It is smaller than asked for where the text has no more
    /// pairs, and depends on the text alone.
    ///
    /// # Errors
    /// When the characters of the text alone are more.
    pub fn learn<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<WordPiece, DataError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for word in texts.into_iter().flat_map(|text| words(text, true)) {
            *counts.entry(word).or_default() += 1;
        }
        let mut pieces: Vec<String> = SPECIAL.map(String::from).to_vec();
        let alphabet: BTreeSet<String> = counts.keys().flat_map(|word| characters(word)).collect();
        pieces.extend(alphabet);
        if pieces.len() > self.size {
            let reason = format!("the text's characters and the special ones alone are {}", pieces.len());
            return Err(DataError::Vocabulary { pieces: self.size, reason });
        }
        let mut numbers: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
        let mut words: Vec<Word> = counts
            .iter()
            .map(|(word, &count)| (characters(word).map(|piece| numbers[&piece]).collect(), count))
            .collect();
        let mut counted = Counts::of(&words);
        while pieces.len() < self.size
            && let Some((a, b)) = counted.best(self.score, self.least)
        {
            let joined = format!("{}{}", pieces[a as usize], &pieces[b as usize][2..]);
            // Two ways may lead to one piece.
            let number = *numbers.entry(joined.clone()).or_insert_with(|| {
                pieces.push(joined);
                pieces.len() as u32 - 1
            });
            for word in words.iter_mut().filter(|(word, _)| word.windows(2).any(|w| w == [a, b])) {
                counted.add(word, false);
                join(&mut word.0, (a, b), number);
                counted.add(word, true);
            }
        }
        WordPiece::new(pieces)
    }
}

/// The characters of a word as pieces: all but the first within it.
fn characters(word: &str) -> impl Iterator<Item = String> + '_ {
    word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_string() } else { format!("##{c}") })
}

/// Every `a` with a `b` after it becomes `number`, from the left.
fn join(word: &mut Vec<u32>, (a, b): (u32, u32), number: u32) {
    let mut kept = 0;
    let mut i = 0;
    while i < word.len() {
        let pair = word[i] == a && word.get(i + 1) == Some(&b);
        word[kept] = if pair { number } else { word[i] };
        kept += 1;
        i += if pair { 2 } else { 1 };
    }
    word.truncate(kept);
}

/// How often pieces and neighbouring pieces occur in the text.
#[derive(Default)]
struct Counts {
    pieces: BTreeMap<u32, u64>,
    pairs: BTreeMap<(u32, u32), u64>,
    total: u64,
}

impl Counts {
    fn of(words: &[Word]) -> Self {
        let mut counts = Self::default();
        words.iter().for_each(|word| counts.add(word, true));
        counts
    }

    /// Counts a word, or takes it back.
    fn add(&mut self, (word, count): &Word, more: bool) {
        let change = |n: &mut u64| if more { *n += count } else { *n -= count };
        for piece in word {
            change(self.pieces.entry(*piece).or_default());
            change(&mut self.total);
        }
        for pair in word.windows(2) {
            let key = (pair[0], pair[1]);
            let n = self.pairs.entry(key).or_default();
            change(n);
            if *n == 0 {
                self.pairs.remove(&key);
            }
        }
    }

    /// The pair with the best score; of equal ones that of the earliest pieces.
    fn best(&self, by: PieceScore, least: u64) -> Option<(u32, u32)> {
        let score = |(a, b): (u32, u32), n: u64| {
            let (n, each) = (n as f64, self.pieces[&a] as f64 * self.pieces[&b] as f64);
            match by {
                PieceScore::Likelihood => n * (n * self.total as f64 / each).ln(),
                PieceScore::Ratio => n / each,
                PieceScore::Count => n,
            }
        };
        let mut best: Option<((u32, u32), f64)> = None;
        for (&pair, &n) in self.pairs.iter().filter(|(_, n)| **n >= least) {
            let score = score(pair, n);
            if best.is_none_or(|(_, s)| score > s) {
                best = Some((pair, score));
            }
        }
        best.map(|(pair, _)| pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "hug hug hug hug hug hug hug hug hug hug pug pug pug pug pug pun pun pun pun pun pun pun pun pun \
                        pun pun pun bun bun bun bun hugs hugs hugs hugs hugs";

    fn merges(score: PieceScore, count: usize) -> Vec<String> {
        let learnt = |size| WordPieceLearner::new(size).score(score).learn([TEXT]).unwrap();
        let characters = 5 + 7; // b h p ##g ##n ##s ##u
        let all = learnt(characters + count);
        assert_eq!(all.len(), characters + count);
        (characters..all.len()).map(|i| all.piece(i as u32).unwrap().to_string()).collect()
    }

    /// The example of Hugging Face's course: ##g ##s belong together 5 of 20 * 5 times, all others less often. (After that all
    /// pairs with ##u are equal.)
    #[test]
    fn by_ratio_as_in_the_course() {
        assert_eq!(merges(PieceScore::Ratio, 1), ["##gs"]);
    }

    /// ##u ##g occurs 20 times, of 15 ##u ##n.
    #[test]
    fn by_count() {
        assert_eq!(merges(PieceScore::Count, 2), ["##ug", "##un"]);
    }

    /// Of 113 characters 36 are ##u: ##u ##g gains 20 ln(113 / 36) = 22.9, p ##u 17 ln(113 / 36) = 19.4, ##g ##s
    /// 5 ln(113 / 20) = 8.7.
    #[test]
    fn by_likelihood() {
        assert_eq!(merges(PieceScore::Likelihood, 1), ["##ug"]);
    }

    #[test]
    fn what_is_learnt_cuts_the_text_again() {
        let learnt = WordPieceLearner::new(17).learn([TEXT]).unwrap();
        let tokens = learnt.tokenize(TEXT);
        assert_eq!(learnt.text(&tokens), TEXT);
        assert!(!tokens.contains(&learnt.special().unknown));
        assert!(tokens.len() < 80, "{} tokens", tokens.len());
    }

    #[test]
    fn a_text_has_only_so_many_pairs() {
        let all = WordPieceLearner::new(1000).learn(["aaaa aaaa b"]).unwrap();
        let pieces: Vec<&str> = (5..all.len()).map(|i| all.piece(i as u32).unwrap()).collect();
        assert_eq!(pieces[..3], ["##a", "a", "b"]);
        assert!(pieces.contains(&"aaaa") && pieces.len() < 8, "{pieces:?}");
        let error = WordPieceLearner::new(6).learn(["abc"]).unwrap_err().to_string();
        assert_eq!(error, "a vocabulary of 6 pieces: the text's characters and the special ones alone are 8");
    }
}
