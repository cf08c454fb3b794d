//! The `unet` example as its users see it: on images with masks in folders, in both forms of the network.

mod support;

use std::path::Path;
use std::process::Output;

use support::cli::{TempDir, fails, run, succeeds};
use wgrad::train::Picture;

/// Runs the example in `dir`.
fn unet(dir: &Path, arguments: &[&str]) -> Output {
    run("unet", dir, arguments)
}

/// Bright discs on a dark ground, of odd sizes, with their masks.
fn write_images(dir: &Path) {
    for n in 0..10usize {
        let (width, height) = (37 + n, 45 - n);
        let inside = |x: usize, y: usize| x.abs_diff(12 + n).pow(2) + y.abs_diff(20).pow(2) < 90;
        let picture = |bright: u8, dark: u8| {
            let pixel = |i: usize| [if inside(i % width, i / width) { bright } else { dark }; 3];
            Picture::from_pixels(width, height, (0..width * height).flat_map(pixel).collect())
        };
        picture(180, 60).save(dir.join(format!("set/images/{n}.png"))).unwrap();
        picture(255, 0).save(dir.join(format!("set/masks/{n}.png"))).unwrap();
    }
}

fn iou(printed: &str) -> f64 {
    printed.lines().last().unwrap().strip_prefix("iou ").unwrap().parse().unwrap()
}

const SMALL: &[&str] = &["--data-dir", "set", "--width", "4", "--depth", "2", "--tile", "32"];

#[test]
fn learns_discs_from_folders() {
    let dir = TempDir::new();
    write_images(&dir.0);
    let printed = succeeds(unet(&dir.0, &[SMALL, &["--epochs", "40", "--out", "out"]].concat()));
    assert!(iou(&printed) > 0.8, "{printed}");
    let pictures =
        ["epoch-001.png", "epoch-040.png", "whole.png"].map(|name| Picture::load(dir.0.join("out").join(name)));
    let whole = pictures[2].as_ref().unwrap();
    // Twice an image's size, whichever it is.
    assert_eq!((whole.width() + whole.height()) / 2, 82);
    assert!(pictures.iter().all(Result::is_ok));

    // The paper's form does not take this checkpoint.
    let message = fails(unet(&dir.0, &[SMALL, &["--original", "--out", "out", "--resume"]].concat()));
    assert!(message.contains("holds a checkpoint of unet padded 2x4"), "{message}");
}

#[test]
fn the_papers_form_and_resizing() {
    let dir = TempDir::new();
    write_images(&dir.0);
    for (form, out) in [("--original", "a"), ("--resize", "b")] {
        let printed = succeeds(unet(&dir.0, &[SMALL, &[form, "--steps", "2", "--out", out]].concat()));
        assert!((0.0..=1.0).contains(&iou(&printed)), "{printed}");
        assert!(dir.0.join(out).join("whole.png").exists());
    }
    let message = fails(unet(&dir.0, &["--data-dir", "nowhere"]));
    assert!(message.contains("no data directory at nowhere"), "{message}");
}
