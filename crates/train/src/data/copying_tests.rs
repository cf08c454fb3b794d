use super::*;
use crate::data::{Loader, LoaderOptions};
use std::collections::BTreeSet;

fn sequences(source: Copying, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
    let loader = Loader::new(source, LoaderOptions { seed, ..LoaderOptions::test(1) }).unwrap();
    let mut all = vec![];
    for batch in loader.epoch(epoch, 0).unwrap() {
        let batch = batch.unwrap();
        let source = batch.u32("source").to_vec();
        assert_eq!(batch.u32("target"), &source[..source.len() - 1]);
        assert_eq!(batch.u32("next"), &source[1..]);
        all.push(source);
    }
    all
}

#[test]
fn sequences_are_of_all_lengths_and_tokens() {
    let all = sequences(Copying::train(2000, 10, 4, 10).unwrap(), 0, 0);
    let mut lengths = [0; 11];
    for sequence in &all {
        let length = sequence.iter().position(|&t| t == PADDING).unwrap_or(10);
        assert_eq!(sequence[0], START);
        assert!(sequence[..length].iter().all(|t| (1..=10).contains(t)));
        assert!(sequence[length..].iter().all(|&t| t == PADDING));
        lengths[length] += 1;
    }
    // 286 of each length are to be expected, with a deviation of 16.
    assert!(lengths[4..].iter().all(|n: &i32| (n - 286).abs() < 80), "{lengths:?}");
    let tokens: BTreeSet<u32> = all.iter().flatten().copied().collect();
    assert_eq!(tokens, (0..=10).collect());
}

/// However many epochs are trained, nothing that is judged by occurs.
#[test]
fn held_out_sequences_do_not_occur_in_training() {
    // So few sequences that a hundred epochs have nearly all of them.
    let judged: BTreeSet<Vec<u32>> = sequences(Copying::test(300, 7, 4, 4, 5).unwrap(), 0, 0).into_iter().collect();
    let train = Copying::train(300, 7, 4, 4).unwrap();
    let learned: BTreeSet<Vec<u32>> = (0..100).flat_map(|epoch| sequences(train.clone(), 0, epoch)).collect();
    assert!(judged.is_disjoint(&learned));
    assert_eq!(judged.len() + learned.len(), 7 * 7 * 7);
}

#[test]
fn epochs_bring_new_sequences_and_seeds_repeat_them() {
    let train = Copying::train(20, 10, 10, 10).unwrap();
    assert_eq!(sequences(train.clone(), 1, 0), sequences(train.clone(), 1, 0));
    assert_ne!(sequences(train.clone(), 1, 0), sequences(train.clone(), 1, 1));
    assert_ne!(sequences(train.clone(), 1, 0), sequences(train, 2, 0));
    let test = |seed| Copying::test(20, 10, 10, 10, seed).unwrap();
    assert_eq!(sequences(test(1), 1, 0), sequences(test(1), 2, 7));
    assert_ne!(sequences(test(1), 1, 0), sequences(test(2), 1, 0));
}

#[test]
fn only_the_sequence_itself_has_to_match() {
    assert!(Copying::matches(&[1, 5, 3, 0, 0], &[1, 5, 3, 9, 9]));
    assert!(!Copying::matches(&[1, 5, 3, 0, 0], &[1, 5, 4, 0, 0]));
    assert!(!Copying::matches(&[1, 5, 3], &[1, 5]));
}

#[test]
fn sizes_that_make_no_sense() {
    for (shortest, length) in [(0, 5), (1, 5), (6, 5), (2, 5)] {
        assert!(matches!(Copying::train(9, 10, shortest, length), Err(DataError::Invalid { .. })), "{shortest}");
    }
    assert!(Copying::train(0, 10, 5, 5).is_err());
    assert!(Copying::train(9, 0, 5, 5).is_err());
}
