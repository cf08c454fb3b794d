use super::*;
use crate::data::{Loader, LoaderOptions};
use crate::testing::TempDir;

fn batches(source: Windows, seed: u64, epoch: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let loader = Loader::new(source, LoaderOptions::train(1, seed)).unwrap();
    let pair = |b: crate::data::Batch| (b.u32("tokens").to_vec(), b.u32("targets").to_vec());
    loader.epoch(epoch, 0).unwrap().map(|b| pair(b.unwrap())).collect()
}

#[test]
fn windows_side_by_side() {
    let windows = Windows::new("numbers", (0..11).collect::<Vec<u32>>(), 5).unwrap();
    assert_eq!(windows.len(), 2);
    let mut all = batches(windows, 0, 0);
    all.sort();
    let expected = [(vec![0, 1, 2, 3, 4], vec![1, 2, 3, 4, 5]), (vec![5, 6, 7, 8, 9], vec![6, 7, 8, 9, 10])];
    assert_eq!(all, expected);
    // One token less, and the second window's last target is missing.
    assert_eq!(Windows::new("numbers", (0..10).collect::<Vec<u32>>(), 5).unwrap().len(), 1);
}

#[test]
fn shifted_windows_begin_everywhere_and_repeat_by_seed() {
    let windows = Windows::shifted("numbers", (0..41).collect::<Vec<u32>>(), 4).unwrap();
    let mut begins = [false; 37];
    for epoch in 0..200 {
        for (tokens, targets) in batches(windows.clone(), 0, epoch) {
            assert!(tokens.windows(2).all(|w| w[1] == w[0] + 1));
            assert!(tokens.iter().zip(&targets).all(|(a, b)| b - a == 1));
            begins[tokens[0] as usize] = true;
        }
    }
    assert!(begins.iter().all(|&b| b), "{begins:?}");
    assert_eq!(batches(windows.clone(), 3, 5), batches(windows.clone(), 3, 5));
    assert_ne!(batches(windows.clone(), 3, 5), batches(windows.clone(), 4, 5));
    assert_ne!(batches(windows.clone(), 3, 5), batches(windows, 3, 6));
}

#[test]
fn a_split_is_by_position() {
    let tokens: Vec<u32> = (0..100).collect();
    let (learn, judge) = Windows::split("numbers", &tokens, 4, 0.1).unwrap();
    assert_eq!((learn.tokens(), judge.tokens()), (&tokens[..90], &tokens[90..]));
    let error = Windows::split("numbers", &tokens, 10, 0.1).unwrap_err().to_string();
    assert!(error.contains("10 tokens are too few for windows of 10"), "{error}");
    assert!(Windows::new("none", vec![], 0).is_err());
}

#[test]
fn files_are_read_in_order_and_links_once() {
    let temp = TempDir::new("text");
    let dir = temp.path();
    std::fs::write(dir.join("b"), "zwei\n").unwrap();
    std::fs::write(dir.join("a"), "eins\n").unwrap();
    std::fs::create_dir(dir.join("c")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("a", dir.join("d")).unwrap();
    assert_eq!(read_text(dir).unwrap(), "eins\n\nzwei\n");
    assert_eq!(read_text(dir.join("b")).unwrap(), "zwei\n");
    assert_eq!(open(None, Some(&dir.join("b"))).unwrap(), "zwei\n");
    assert!(matches!(open(Some("novels"), None), Err(DataError::UnknownSet { .. })));
}

#[test]
fn what_is_no_text() {
    let temp = TempDir::new("no-text");
    let dir = temp.path();
    assert!(matches!(read_text(dir), Err(DataError::Missing { .. })));
    assert!(matches!(read_text(dir.join("none")), Err(DataError::Missing { .. })));
    std::fs::write(dir.join("bytes"), b"good\xff").unwrap();
    let error = read_text(dir).unwrap_err();
    assert!(matches!(error, DataError::NotText { position: 4, .. }), "{error}");
}
