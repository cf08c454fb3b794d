//! The copy task: a sequence has to be written again.

use super::source::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::{Purpose, Stream};

/// Fills up sequences that have ended.
pub const PADDING: u32 = 0;

/// Begins every sequence.
pub const START: u32 = 1;

/// One in so many sequences is held out.
const HELD_OUT: u64 = 16;

/// Random sequences of the tokens 1 to `symbols`, each beginning with [`START`] and filled up with [`PADDING`]: fields
/// `source` `[length]`, `target` [length - 1] (the sequence without its end) and `next` [length - 1] (without its beginning).
///
/// There is no list of sequences: those to learn from are drawn anew in each epoch. Which ones are held out is a matter of
/// the sequence itself, so that none of those that a model is judged by ever occurs in training.
#[derive(Clone, Debug)]
pub struct Copying {
    examples: usize,
    symbols: u32,
    shortest: usize,
    length: usize,
    /// Decides the sequences to be judged by; none for those to learn from.
    judged: Option<u64>,
}

impl Copying {
    /// `examples` sequences an epoch to learn from, of `shortest` to `length` tokens each.
    ///
    /// # Errors
    /// If `shortest` is not from 2 to `length`, or there are too few sequences of that length to hold some out.
    pub fn train(examples: usize, symbols: u32, shortest: usize, length: usize) -> Result<Copying, DataError> {
        let possible = (1..shortest).try_fold(1u64, |n, _| n.checked_mul(symbols.into())).unwrap_or(u64::MAX);
        let wrong = |reason: String| Err(DataError::Invalid { name: "copy task".into(), reason });
        if !(2..=length).contains(&shortest) || examples == 0 {
            return wrong(format!("{examples} sequences of {shortest} to {length} tokens cannot be made"));
        }
        if possible < 16 * HELD_OUT {
            return wrong(format!(
                "there are only {possible} sequences of {shortest} tokens: too few to hold some out"
            ));
        }
        Ok(Copying { examples, symbols, shortest, length, judged: None })
    }

    /// `examples` held-out sequences, the same ones for the same seed.
    ///
    /// # Errors
    /// As [`Copying::train`].
    pub fn test(
        examples: usize,
        symbols: u32,
        shortest: usize,
        length: usize,
        seed: u64,
    ) -> Result<Copying, DataError> {
        Ok(Copying { judged: Some(seed), ..Copying::train(examples, symbols, shortest, length)? })
    }

    /// Whether `written` is the sequence `source`: every token up to its end. What follows does not matter.
    pub fn matches(source: &[u32], written: &[u32]) -> bool {
        let length = source.iter().position(|&t| t == PADDING).unwrap_or(source.len());
        written.len() >= length && source[..length] == written[..length]
    }

    /// A sequence of `length` tokens, held out or not.
    fn draw(&self, length: usize, stream: &mut Stream, sequence: &mut [u32]) -> Result<(), DataError> {
        // One in 16 tries gives one that is held out: after so many it is certain that none does.
        for _ in 0..100_000 {
            sequence[0] = START;
            for token in &mut sequence[1..length] {
                *token = 1 + stream.below(self.symbols);
            }
            if is_held_out(&sequence[..length]) == self.judged.is_some() {
                return Ok(());
            }
        }
        Err(DataError::Invalid { name: "copy task".into(), reason: format!("no sequence of {length} tokens fits") })
    }
}

/// Decided by a hash of the sequence (FNV-1a, and SplitMix64's last step, since the low bits of the first are poor).
fn is_held_out(sequence: &[u32]) -> bool {
    let hash =
        sequence.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ hash >> 31) % HELD_OUT == 0
}

impl Source for Copying {
    fn name(&self) -> &str {
        "copy task"
    }

    fn len(&self) -> usize {
        self.examples
    }

    fn fields(&self) -> Vec<Field> {
        let shorter = [self.length - 1];
        vec![Field::u32("source", [self.length]), Field::u32("target", shorter), Field::u32("next", shorter)]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let mut judged = self.judged.map(|seed| Stream::new(seed, Purpose::Split, 0, index));
        let stream = judged.as_mut().unwrap_or(stream);
        let mut sequence = vec![PADDING; self.length];
        let length = self.shortest + stream.below((self.length - self.shortest + 1) as u32) as usize;
        self.draw(length, stream, &mut sequence)?;
        out.u32("source").copy_from_slice(&sequence);
        out.u32("target").copy_from_slice(&sequence[..self.length - 1]);
        out.u32("next").copy_from_slice(&sequence[1..]);
        Ok(())
    }
}

#[cfg(test)]
#[path = "copying_tests.rs"]
mod tests;
