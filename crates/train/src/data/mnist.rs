//! MNIST and Fashion-MNIST: four IDX files of the same names, plain or gzipped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dataset::{ImageSet, Split};
use super::idx::{Idx, read_idx};
use crate::error::DataError;

/// Where Debian's package `dataset-fashion-mnist` puts the files.
pub const FASHION_MNIST_DIR: &str = "/usr/share/datasets/fashion-mnist";

/// Zalando's 70000 pictures of clothing, 28x28, from `dir` or from where the system's package puts them.
///
/// # Errors
/// When a file is missing, unsound, or does not fit the others.
pub fn fashion_mnist(dir: Option<&Path>) -> Result<Split, DataError> {
    let classes =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
    let hint = "install it with `apt install dataset-fashion-mnist`, or give the directory with --data-dir";
    load("fashion-mnist", dir.unwrap_or(Path::new(FASHION_MNIST_DIR)), &classes, hint)
}

/// LeCun's 70000 handwritten digits, 28x28, from `dir`. No system package has them: `dir` must be given.
///
/// # Errors
/// When a file is missing, unsound, or does not fit the others.
pub fn mnist(dir: Option<&Path>) -> Result<Split, DataError> {
    let classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let hint = "give the directory that holds train-images-idx3-ubyte and its kin with --data-dir";
    load("mnist", dir.unwrap_or(Path::new("data/mnist")), &classes, hint)
}

fn load(name: &str, dir: &Path, classes: &[&str], hint: &str) -> Result<Split, DataError> {
    if !dir.is_dir() {
        return Err(DataError::Missing {
            what: format!("data directory for {name}"),
            path: dir.into(),
            hint: hint.into(),
        });
    }
    // Every file is looked for before the first is read: a missing one is told at once.
    let find = |file: &str| find(dir, file, hint);
    let train = [find("train-images-idx3-ubyte")?, find("train-labels-idx1-ubyte")?];
    let test = [find("t10k-images-idx3-ubyte")?, find("t10k-labels-idx1-ubyte")?];
    let (train, shape) = part(name, &train, classes, None)?;
    let (test, _) = part(name, &test, classes, Some(shape))?;
    Ok(Split { train: Arc::new(train), test: Arc::new(test) })
}

fn find(dir: &Path, file: &str, hint: &str) -> Result<PathBuf, DataError> {
    let plain = dir.join(file);
    let packed = dir.join(format!("{file}.gz"));
    if plain.exists() {
        Ok(plain)
    } else if packed.exists() {
        Ok(packed)
    } else {
        let what = format!("file {file} or {file}.gz");
        Err(DataError::Missing { what, path: dir.into(), hint: hint.into() })
    }
}

/// One of the two parts, and its image size; where `size` is given, the images must have it.
fn part(
    name: &str,
    [images, labels]: &[PathBuf; 2],
    classes: &[&str],
    size: Option<[usize; 2]>,
) -> Result<(ImageSet, [usize; 2]), DataError> {
    let wrong = |path: &Path, expected: String, found: &[usize]| DataError::Dimensions {
        path: path.into(),
        expected,
        found: found.into(),
    };
    let Idx { dims, data } = read_idx(images)?;
    let found = match *dims.as_slice() {
        [count, height, width] if count > 0 && height > 0 && width > 0 => [height, width],
        _ => return Err(wrong(images, "[images, height, width], none of them 0,".into(), &dims)),
    };
    if let Some([height, width]) = size.filter(|&size| size != found) {
        return Err(wrong(images, format!("[images, {height}, {width}], as in the training part,"), &dims));
    }
    let Idx { dims, data: labels_data } = read_idx(labels)?;
    if dims.len() != 1 {
        return Err(wrong(labels, "one dimension, [labels],".into(), &dims));
    }
    let labels = labels_data.into_iter().map(u32::from).collect();
    let class_names = classes.iter().map(|&name| name.to_owned()).collect();
    let [height, width] = found;
    Ok((ImageSet::new(name, data, [1, height, width], labels, class_names)?, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageDataset;
    use crate::testing::TempDir;

    fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend_from_slice(data);
        bytes
    }

    /// A directory with three training and two test images of 2x2.
    fn sound() -> TempDir {
        let dir = TempDir::new("mnist");
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("train-images-idx3-ubyte", idx(&[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
        write("train-labels-idx1-ubyte", idx(&[3], &[0, 9, 4]));
        write("t10k-images-idx3-ubyte", idx(&[2, 2, 2], &[0; 8]));
        write("t10k-labels-idx1-ubyte", idx(&[2], &[1, 1]));
        dir
    }

    #[test]
    fn reads_a_directory() {
        let dir = sound();
        let split = mnist(Some(dir.path())).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (3, 2));
        assert_eq!(split.train.shape(), [1, 2, 2]);
        assert_eq!(split.train.labels(), [0, 9, 4]);
        assert_eq!(split.train.image(1), [5, 6, 7, 8]);
    }

    #[test]
    fn a_missing_directory_says_how_to_get_it() {
        let error = fashion_mnist(Some(Path::new("no/such/place"))).unwrap_err().to_string();
        assert!(error.contains("no/such/place") && error.contains("apt install dataset-fashion-mnist"), "{error}");
        let error = mnist(None).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        for file in
            ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
        {
            let dir = sound();
            std::fs::remove_file(dir.path().join(file)).unwrap();
            let error = mnist(Some(dir.path())).unwrap_err();
            assert!(matches!(error, DataError::Missing { .. }) && error.to_string().contains(file), "{error}");
        }
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let refused = |file: &str, bytes: Vec<u8>| {
            let dir = sound();
            std::fs::write(dir.path().join(file), bytes).unwrap();
            mnist(Some(dir.path())).unwrap_err()
        };
        let error = refused("train-labels-idx1-ubyte", idx(&[2], &[0, 1]));
        assert!(matches!(error, DataError::Counts { images: 3, labels: 2, .. }), "{error}");
        let error = refused("t10k-labels-idx1-ubyte", idx(&[2], &[0, 10]));
        assert!(matches!(error, DataError::Label { index: 1, label: 10, .. }), "{error}");
        let error = refused("t10k-images-idx3-ubyte", idx(&[2, 1, 4], &[0; 8]));
        assert!(matches!(error, DataError::Dimensions { .. }), "{error}");
        let error = refused("train-images-idx3-ubyte", idx(&[3, 4], &[0; 12]));
        assert!(matches!(error, DataError::Dimensions { .. }), "{error}");
        let error = refused("train-images-idx3-ubyte", idx(&[0, 2, 2], &[]));
        assert!(matches!(error, DataError::Dimensions { .. }), "{error}");
        // Labels where images should be, as when two files were swapped.
        let error = refused("train-labels-idx1-ubyte", idx(&[3, 2, 2], &[0; 12]));
        assert!(matches!(error, DataError::Dimensions { .. }), "{error}");
    }

    #[test]
    fn the_system_package_is_read() {
        if !Path::new(FASHION_MNIST_DIR).is_dir() {
            eprintln!("not checked: {FASHION_MNIST_DIR} is not there (scripts/test installs it)");
            return;
        }
        let split = fashion_mnist(None).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (60_000, 10_000));
        assert_eq!(split.train.shape(), [1, 28, 28]);
        // Each class has as many examples as any other, and the first picture is an ankle boot.
        let boots = split.train.labels().iter().filter(|&&label| label == 9).count();
        assert_eq!((boots, split.train.labels()[0]), (6000, 9));
    }
}
