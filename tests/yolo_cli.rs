//! The example `yolov3` as its users see it: data in COCO's and Pascal VOC's form, Darknet's weights, wrong options.

mod support;

use std::path::Path;

use support::cli::{TempDir, fails, run, succeeds, text};
use wgrad::prelude::*;
use wgrad::train::data::{ShapeSet, write_coco, write_voc};
use wgrad::zoo::Yolo;

/// One step of a small network, at a size that takes no time.
const QUICK: [&str; 4] = ["--steps", "1", "--size", "32"];

fn quick(dir: &Path, arguments: &[&str]) -> std::process::Output {
    run("yolov3", dir, &[&QUICK, arguments].concat())
}

fn ends_with_its_headline(stdout: &str) -> bool {
    let number = stdout.lines().last().and_then(|line| line.strip_prefix("map50 "));
    number.and_then(|text| text.trim().parse::<f64>().ok()).is_some_and(|map| (0.0..=1.0).contains(&map))
}

#[test]
fn published_forms_are_read() {
    let dir = TempDir::new();
    let shapes = |part| ShapeSet::new(6, [40, 30], 1, part).unwrap();
    write_coco(&shapes(0), &dir.0.join("coco"), "train2017").unwrap();
    write_coco(&shapes(1), &dir.0.join("coco"), "val2017").unwrap();
    write_voc(&shapes(0), &dir.0.join("voc"), "train").unwrap();
    write_voc(&shapes(1), &dir.0.join("voc"), "val").unwrap();
    for (form, out) in [("coco", "from_coco"), ("voc", "from_voc")] {
        let output = quick(&dir.0, &["--data-dir", form, "--batch-size", "4", "--out", out]);
        let stderr = text(&output.stderr);
        assert!(ends_with_its_headline(&succeeds(output)), "{stderr}");
        assert!(dir.0.join(out).join("pictures/epoch_001.png").exists());
    }
    // A data set that is damaged ends the run with one line, not with a panic.
    std::fs::write(dir.0.join("coco/annotations/instances_val2017.json"), "{").unwrap();
    let error = fails(quick(&dir.0, &["--data-dir", "coco"]));
    assert!(error.starts_with("error: the annotations in "), "{error}");
}

#[test]
fn darknets_weights_are_taken() {
    let dir = TempDir::new();
    let scope = Scope::eval();
    Yolo::small(5).forward(&scope, &Tensor::input("images", [1, 3, 32, 32], DType::F32));
    let values: usize = scope.tensors().iter().map(Tensor::count).sum();
    let header = [0u32, 2, 0, 64, 0].into_iter().flat_map(u32::to_le_bytes);
    let whole: Vec<u8> = header.chain((0..values).flat_map(|_| 0.01f32.to_le_bytes())).collect();
    std::fs::write(dir.0.join("a.weights"), &whole).unwrap();
    let output = quick(&dir.0, &["--pictures", "8", "--weights", "a.weights"]);
    let stderr = text(&output.stderr);
    assert!(stderr.lines().any(|line| line.starts_with("weights: ")), "{stderr}");
    assert!(ends_with_its_headline(&succeeds(output)), "{stderr}");

    std::fs::write(dir.0.join("b.weights"), &whole[..whole.len() - 2]).unwrap();
    let error = fails(quick(&dir.0, &["--pictures", "8", "--weights", "b.weights", "--out", "b"]));
    assert!(error.starts_with("error: the Darknet weights do not fit yolov3-small: it ends in"), "{error}");
}

#[test]
fn wrong_options_are_told() {
    let dir = TempDir::new();
    let error = fails(run("yolov3", &dir.0, &["--size", "40", "--pictures", "4"]));
    assert_eq!(error, "error: --size must be a multiple of 16");
    let error = fails(run("yolov3", &dir.0, &["--data-dir", "nowhere"]));
    assert!(error.contains("Pascal VOC"), "{error}");
}
