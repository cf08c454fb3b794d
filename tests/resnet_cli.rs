//! The `resnet` example as its users see it: exit codes, messages, files.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::cli::{TempDir, fails, program, run, succeeds, text};

/// Runs the example on the CPU backend, in `dir`.
fn resnet(dir: &Path, arguments: &[&str]) -> Output {
    run("resnet", dir, arguments)
}

/// Runs the example on a few small images.
fn small(dir: &Path, arguments: &[&str]) -> Output {
    if !dir.join("data").exists() {
        write_images(&dir.join("data"));
    }
    resnet(dir, &[&["--data", "mnist", "--data-dir", "data", "--batch-size", "8", "--epochs", "2"], arguments].concat())
}

fn idx(dims: &[usize], values: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|&d| (d as u32).to_be_bytes()));
    bytes.extend(values.take(dims.iter().product()));
    bytes
}

/// 24 images to learn from (3 batches of 8) and 11 to be judged by, 8x8, in MNIST's files.
fn write_images(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for (part, count) in [("train", 24), ("t10k", 11)] {
        let pixels = (0usize..).map(|i| (i * i * 31 % 251) as u8);
        let labels = (0..10u8).cycle();
        fs::write(dir.join(format!("{part}-images-idx3-ubyte")), idx(&[count, 8, 8], pixels)).unwrap();
        fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), idx(&[count], labels)).unwrap();
    }
}

/// A directory's files; of the metrics, what two equal runs share.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let bytes = fs::read(path).unwrap();
        if name != "metrics.jsonl" {
            return (name, bytes);
        }
        let record = |line: &str| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(record.as_object_mut().unwrap().remove("examples_per_second").is_some());
            record
        };
        let records: Vec<serde_json::Value> = text(&bytes).lines().map(record).collect();
        (name, serde_json::to_vec(&records).unwrap())
    });
    files.collect()
}

#[test]
fn help_explains_each_option() {
    let dir = TempDir::new();
    let help = succeeds(resnet(&dir.0, &["--help"]));
    for option in [
        "--depth",
        "--kind",
        "--train",
        "--weights",
        "--device",
        "--data",
        "--data-dir",
        "--epochs",
        "--steps",
        "--batch-size",
        "--lr",
        "--seed",
        "--out",
        "--resume",
        "--profile",
        "--dump",
    ] {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn bad_values_are_usage_errors() {
    let dir = TempDir::new();
    for arguments in [
        ["--depth=deep"],
        ["--kind=strange"],
        ["--train=tail"],
        ["--epochs=0"],
        ["--steps=-1"],
        ["--batch-size=0"],
        ["--lr=nan"],
        ["--seed=x"],
        ["--dump=all"],
        ["--bogus"],
    ] {
        let output = resnet(&dir.0, &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let option = arguments[0].split('=').next().unwrap();
        assert!(text(&output.stderr).contains(option), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn bad_data_is_told_in_a_line() {
    let dir = TempDir::new();
    let run = |arguments: &[&str]| fails(resnet(&dir.0, arguments));
    assert!(run(&["--data", "cifar"]).contains("choose one of digits"));
    assert!(run(&["--data", "mnist", "--data-dir", "nowhere"]).contains("no data directory for mnist at nowhere"));
    assert!(run(&["--batch-size", "100000"]).contains("choose a smaller batch size"));

    let data = dir.0.join("data");
    write_images(&data);
    let images = data.join("train-images-idx3-ubyte");
    let sound = fs::read(&images).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&images, bytes).unwrap();
        run(&["--data", "mnist", "--data-dir", "data"])
    };
    assert!(damaged(&sound[..sound.len() - 1]).contains("is truncated: 1552 bytes expected, 1551 found"));
    assert!(damaged(&sound[..2]).contains("truncated"));
    assert!(damaged(b"not an IDX file").contains("is not an IDX file"));
    assert!(damaged(&[&[0, 0, 8, 3][..], &[0xff; 12]].concat()).contains("train-images-idx3-ubyte"));
    fs::remove_file(&images).unwrap();
    assert!(run(&["--data", "mnist", "--data-dir", "data"]).contains("no file train-images-idx3-ubyte"));
    assert!(!dir.0.join("runs").exists(), "nothing is written before the data is read");
}

#[test]
fn bad_devices_and_directories_are_told_in_a_line() {
    let dir = TempDir::new();
    assert!(fails(small(&dir.0, &["--resume"])).contains("nothing to resume in runs"));
    fs::write(dir.0.join("file"), "in the way").unwrap();
    assert!(fails(small(&dir.0, &["--out", "file/below"])).contains("cannot create the output directory file"));
    assert!(fails(small(&dir.0, &["--out", "file"])).contains("cannot create the output directory file"));
    assert_eq!(fs::read(dir.0.join("file")).unwrap(), b"in the way");
    // A second --device would be a usage error, so this goes without the one that the others have.
    let output =
        Command::new(program("resnet")).current_dir(&dir.0).args(["--device", "no such device"]).output().unwrap();
    assert!(fails(output).contains("no device matches \"no such device\""));
    // Tensors that no run wrote.
    fs::create_dir(dir.0.join("out")).unwrap();
    fs::write(dir.0.join("out/last.safetensors"), "precious").unwrap();
    assert!(fails(small(&dir.0, &["--out", "out"])).contains("would be overwritten"));
    assert_eq!(fs::read(dir.0.join("out/last.safetensors")).unwrap(), b"precious");
    assert!(!dir.0.join("runs").exists());
}

#[test]
fn a_stopped_and_resumed_run_ends_with_the_same_bytes() {
    let dir = TempDir::new();
    let last_line = |stdout: String| stdout.lines().last().unwrap().to_string();
    let whole = last_line(succeeds(small(&dir.0, &["--out", "whole"])));
    // An epoch has 3 steps.
    let stopped = succeeds(small(&dir.0, &["--out", "parts", "--steps", "2"]));
    let lines: Vec<&str> = stopped.lines().collect();
    assert!(lines[0].starts_with("checkpoint parts") && lines[1].starts_with("metrics parts"), "{stopped}");
    let accuracy: f64 = lines[2].strip_prefix("test accuracy ").unwrap().parse().unwrap();
    assert!((0.0..=1.0).contains(&accuracy) && lines.len() == 3, "{stopped}");

    let resumed = last_line(succeeds(small(&dir.0, &["--out", "parts", "--resume"])));
    assert_eq!(resumed, whole);
    let (parts, whole) = (content(&dir.0.join("parts")), content(&dir.0.join("whole")));
    assert_eq!(parts, whole);
    assert_eq!(
        parts.keys().collect::<Vec<_>>(),
        ["confusion.csv", "last.json", "last.safetensors", "last.state.safetensors", "metrics.jsonl"]
    );
}

#[test]
fn a_checkpoint_that_does_not_fit_is_kept() {
    let dir = TempDir::new();
    succeeds(small(&dir.0, &["--steps", "1"]));
    let out = dir.0.join("runs").join("resnet");
    let before = content(&out);
    let run = |arguments: &[&str]| fails(small(&dir.0, arguments));
    // Another model, begun anew or resumed; another setting.
    for arguments in [&["--depth", "18"][..], &["--depth", "18", "--resume"]] {
        let error = run(arguments);
        assert!(error.contains("holds a checkpoint of resnet20") && error.contains("not of resnet18"), "{error}");
    }
    assert!(run(&["--resume", "--lr", "0.5"]).contains("made with --lr 0.1, not 0.5"));
    assert!(run(&["--resume", "--seed", "3"]).contains("made with --seed 0, not 3"));
    // A run that diverges.
    assert!(run(&["--lr", "1e30"]).contains("choose a smaller --lr"));
    let mut after = content(&out);
    after.retain(|name, _| before.contains_key(name)); // the diverged run's metrics may lie beside
    assert_eq!(after, before);
    // A damaged checkpoint.
    fs::write(out.join("last.safetensors"), &before["last.safetensors"][..1000]).unwrap();
    assert!(run(&["--resume"]).contains("is not the file that"));
}

#[test]
fn a_head_is_trained_on_a_loaded_body() {
    let dir = TempDir::new();
    assert!(fails(small(&dir.0, &["--depth", "21"])).contains("has no depth 21"));
    succeeds(small(&dir.0, &["--steps", "1"]));
    let first = "runs/resnet/last.safetensors";
    let head = small(&dir.0, &["--weights", first, "--train", "head-fixed", "--steps", "2", "--out", "head"]);
    assert!(text(&head.stderr).contains("last.safetensors: all tensors fit"), "{}", text(&head.stderr));
    succeeds(head);
    let read = |path: &Path| wgrad::train::checkpoint::load(path).unwrap();
    let (before, after) = (read(&dir.0.join(first)), read(&dir.0.join("head/last.safetensors")));
    for (name, tensor) in &before {
        assert_eq!(*tensor == after[name], !name.starts_with("fc."), "{name}");
    }
    // Another kind of network: what fits is taken, the rest is named.
    let other = small(&dir.0, &["--kind", "se", "--weights", first, "--steps", "1", "--out", "other"]);
    let stderr = text(&other.stderr);
    assert!(stderr.contains("missing") && stderr.contains("layer1.0.se.fc1.weight"), "{stderr}");
    succeeds(other);
    fs::write(dir.0.join("broken.safetensors"), "broken").unwrap();
    let error = fails(small(&dir.0, &["--weights", "broken.safetensors", "--out", "broken"]));
    assert!(error.contains("broken.safetensors is not a sound safetensors file"), "{error}");
}

#[test]
fn dumps_and_profiles_go_to_standard_output() {
    let dir = TempDir::new();
    for (stage, expected) in [("graph", "images"), ("plan", "slot 0"), ("kernels", "MFLOP")] {
        assert!(succeeds(small(&dir.0, &["--dump", stage])).contains(expected));
    }
    assert!(!dir.0.join("runs").exists());
    let stdout = succeeds(small(&dir.0, &["--steps", "1", "--profile"]));
    assert!(stdout.starts_with("kernel ") && stdout.contains("GFLOP/s"), "{stdout}");
    assert!(stdout.lines().last().unwrap().starts_with("test accuracy "));
}

#[test]
fn the_digits_need_no_files() {
    let dir = TempDir::new();
    let stdout = succeeds(resnet(&dir.0, &["--steps", "1"]));
    assert!(stdout.lines().last().unwrap().starts_with("test accuracy 0."), "{stdout}");
    assert!(dir.0.join("runs").join("resnet").join("last.safetensors").exists());
}
