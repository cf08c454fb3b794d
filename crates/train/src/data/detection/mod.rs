//! Pictures with boxes: data sets for detectors.

mod augment;
mod coco;
#[cfg(test)]
mod format_tests;
mod render;
mod shapes;
mod source;
mod voc;

use std::path::Path;
use std::sync::Arc;

pub use augment::DetectionAugment;
pub use coco::{CocoSet, write_coco};
pub use shapes::{SHAPES, Scene, Shape, ShapeSet, shapes};
pub use source::{DetectionSource, detections};
pub use voc::{VocSet, write_voc};

use crate::detection::Object;
use crate::error::DataError;
use crate::picture::Picture;

/// Pictures of any size, each with its objects. Read from any thread.
pub trait DetectionSet: Send + Sync {
    /// What the data set is called.
    fn name(&self) -> &str;
    /// How many pictures there are.
    fn len(&self) -> usize;
    /// What each class is called.
    fn class_names(&self) -> &[String];
    /// Width and height of picture `index`.
    ///
    /// # Errors
    /// When it cannot be told.
    fn size(&self, index: usize) -> Result<[usize; 2], DataError>;
    /// Picture `index`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn picture(&self, index: usize) -> Result<Picture, DataError>;
    /// What is on it.
    ///
    /// # Errors
    /// When it cannot be told.
    fn objects(&self, index: usize) -> Result<Vec<Object>, DataError>;

    /// The outline of each object, if the data set knows it: corners of a polygon.
    ///
    /// # Errors
    /// As [`DetectionSet::objects`].
    fn outlines(&self, _index: usize) -> Result<Vec<Vec<[f32; 2]>>, DataError> {
        Ok(Vec::new())
    }

    /// Whether there are no pictures at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The two parts of a data set.
#[derive(Clone)]
pub struct DetectionSplit {
    /// What the model learns from.
    pub train: Arc<dyn DetectionSet>,
    /// What it is judged by.
    pub test: Arc<dyn DetectionSet>,
}

/// Opens a directory in COCO's form (`annotations/instances_train*.json` and `instances_val*.json`, pictures in `train*` and
/// `val*`) or in Pascal VOC's (`Annotations`, `JPEGImages`, and lists of pictures in `ImageSets/Main`: `train.txt` or else
/// `trainval.txt`, `val.txt` or else `test.txt`), whichever it has.
///
/// # Errors
/// When it has neither, or the files are not sound.
pub fn open_detection(dir: &Path) -> Result<DetectionSplit, DataError> {
    if dir.join("annotations").is_dir() {
        Ok(DetectionSplit { train: Arc::new(CocoSet::part(dir, "train")?), test: Arc::new(CocoSet::part(dir, "val")?) })
    } else if dir.join("Annotations").is_dir() {
        let (train, test) = VocSet::open(dir)?;
        Ok(DetectionSplit { train: Arc::new(train), test: Arc::new(test) })
    } else {
        Err(DataError::Missing {
            what: "detection data".into(),
            path: dir.into(),
            hint: "a directory with `annotations` (COCO) or `Annotations` (Pascal VOC) is needed".into(),
        })
    }
}

/// The content of a file of at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    use std::io::Read;
    let wrong = |source| DataError::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > limit {
        return Err(annotation(path, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn annotation(path: &Path, reason: impl ToString) -> DataError {
    DataError::Annotation { path: path.into(), reason: reason.to_string() }
}

/// A file's name out of a data set's own files must stay within the data set.
fn inside(dir: &Path, name: &str, path: &Path) -> Result<std::path::PathBuf, DataError> {
    let plain = |c| matches!(c, std::path::Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(plain) {
        return Err(annotation(path, format!("{name:?} is no name of a picture in the data set")));
    }
    Ok(dir.join(name))
}

/// Reads a picture that has to have the size that the annotations say.
fn load_sized(path: &Path, [width, height]: [usize; 2]) -> Result<Picture, DataError> {
    let picture = Picture::load(path)?;
    if (picture.width(), picture.height()) != (width, height) {
        let found = format!("{}x{}", picture.width(), picture.height());
        return Err(annotation(path, format!("the picture is {found}, but its annotation says {width}x{height}")));
    }
    Ok(picture)
}
