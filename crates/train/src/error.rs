//! What can go wrong while training: files, data sets, checkpoints, output directories, divergence.
//!
//! Each message is one line that says what is wrong, what was expected and found, and what to do about it. A cause
//! (an I/O error, say) is the error's `source`, and is not repeated in its message: [`exit_with`] joins the chain.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// A data set that could not be read, or that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file exists but could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory of a data set is not there.
    #[error("no {what} at {}: {hint}", path.display())]
    Missing {
        /// What was looked for, such as "data directory".
        what: String,
        /// Where it was looked for.
        path: PathBuf,
        /// How to get it.
        hint: String,
    },
    /// The file does not start as an IDX file does.
    #[error("{} is not an IDX file: it starts with {found:#010x}, not 0x0000TTDD (type, dimensions)", path.display())]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, as a big-endian number.
        found: u32,
    },
    /// The IDX file holds something else than bytes.
    #[error("{} holds {found} values; only IDX files of unsigned bytes (type 0x08) can be read", path.display())]
    IdxType {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The IDX header declares more than any memory holds.
    #[error("{} declares dimensions {dims:?}, which is more than can be addressed: the header is damaged", path.display())]
    IdxTooLarge {
        /// The file.
        path: PathBuf,
        /// The declared dimensions.
        dims: Vec<usize>,
    },
    /// The file ends before what its header declares.
    #[error("{} is truncated: {expected} bytes expected, {found} found; fetch it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Size (unpacked) that the header declares, header included.
        expected: u64,
        /// Size (unpacked) that was found.
        found: u64,
    },
    /// The file goes on after what its header declares.
    #[error("{} goes on after the {expected} bytes that its header declares; fetch it again", path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Size (unpacked) that the header declares, header included.
        expected: u64,
    },
    /// The gzip stream is damaged or cut off.
    #[error("{} is damaged gzip data; fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The IDX file is sound, but its dimensions are not those of the file it should be.
    #[error("{} has dimensions {found:?}, but {expected} expected", path.display())]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// In words, what the dimensions should be.
        expected: String,
        /// What they are.
        found: Vec<usize>,
    },
    /// Images and labels do not belong together.
    #[error("data set {name}: {images} images but {labels} labels; the files do not belong together")]
    Counts {
        /// The data set.
        name: String,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label is not one of the classes.
    #[error("data set {name}: label {label} of image {index} is not below the number of classes, {classes}")]
    Label {
        /// The data set.
        name: String,
        /// Which image.
        index: usize,
        /// Its label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// A picture file that is damaged, cut off, or of another kind.
    #[error("cannot read the picture {}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture file declares more pixels than are read.
    #[error("the picture {} declares {width}x{height} pixels; at most {limit} in all are read", path.display())]
    PictureTooLarge {
        /// The file.
        path: PathBuf,
        /// Declared columns.
        width: usize,
        /// Declared rows.
        height: usize,
        /// Most pixels that are read.
        limit: usize,
    },
    /// A file that says what is on pictures is damaged, or contradicts itself or them.
    #[error("the annotations in {} cannot be used: {reason}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The sizes that a data set was made with make no sense.
    #[error("data set {name}: {reason}")]
    Invalid {
        /// The data set.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The file holds something else than text.
    #[error("{} is not text in UTF-8: see its byte {position}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where the text ends and something else begins.
        position: usize,
    },
    /// The file is not a tokenizer's.
    #[error("{} is not a tokenizer that can be read: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// Text cannot be cut by this vocabulary.
    #[error("a vocabulary of {pieces} pieces: {reason}")]
    Vocabulary {
        /// How many pieces it has.
        pieces: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No data set has this name.
    #[error("no data set is called {name:?}: choose one of {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The background thread of a loader ended with a panic.
    #[error("the loader's background thread failed: {message}")]
    Loader {
        /// The panic's message.
        message: String,
    },
}

/// Something that keeps a training run from starting, going on or being saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model, its loss or its optimiser do not fit the data.
    #[error(transparent)]
    Shape(#[from] wgrad_graph::ShapeError),
    /// Compiling or running a program.
    #[error(transparent)]
    Graph(#[from] wgrad_graph::Error),
    /// A task without a training phase.
    #[error("the task has no training phase: there is nothing to train")]
    NoPhases,
    /// The loss, or another score, is NaN or infinite: the run has diverged.
    #[error("the {part} {name} is {value} at step {step}, with learning rate {lr}: choose a smaller --lr; {kept}")]
    NotFinite {
        /// On which part of the data.
        part: &'static str,
        /// Which score.
        name: String,
        /// Its value.
        value: f64,
        /// Which step, counted from one.
        step: u64,
        /// Its learning rate.
        lr: f64,
        /// Which checkpoint there is.
        kept: String,
    },
    /// A file operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as "write".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a sound safetensors file.
    #[error("{} is not a sound safetensors file ({reason}); it may be truncated or something else", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A tensor cannot be had as the type that is needed.
    #[error("tensor {name} holds {found} values, which cannot be read as {expected}")]
    TensorType {
        /// The tensor.
        name: String,
        /// What it holds.
        found: String,
        /// What was needed.
        expected: &'static str,
    },
    /// A tensor whose bytes do not agree with its shape and type.
    #[error("tensor {name} of shape {shape:?} needs {expected} bytes, not {found}")]
    TensorSize {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes that shape and type ask for.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The tensors in a file are not those of the model.
    #[error("{} does not fit the model {model}: {report}", path.display())]
    OtherTensors {
        /// The checkpoint.
        path: PathBuf,
        /// The model that it was loaded into.
        model: String,
        /// What differs, in one line.
        report: String,
    },
    /// The manifest beside a checkpoint cannot be understood.
    #[error("{} is not a manifest that this version can read: {reason}; choose another --out", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory holds a checkpoint of another model.
    #[error("{} holds a checkpoint of {found}, not of {expected}: choose another --out", dir.display())]
    OtherModel {
        /// The output directory.
        dir: PathBuf,
        /// The model that was saved there.
        found: String,
        /// The model of this run.
        expected: String,
    },
    /// The run to resume was made with other settings.
    #[error("the run in {} was made with --{name} {found}, not {given}: resume it with that, or choose another --out", dir.display())]
    OtherOption {
        /// The output directory.
        dir: PathBuf,
        /// The option.
        name: String,
        /// Its value in the saved run.
        found: String,
        /// Its value now.
        given: String,
    },
    /// A checkpoint file is not the one that the manifest was written for.
    #[error("{} is not the file that {} was written with: it was changed, or replaced", path.display(), manifest.display())]
    Inconsistent {
        /// The checkpoint file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
    },
    /// `--resume`, but there is nothing to resume.
    #[error("nothing to resume in {}: run without --resume first, or give the --out of that run", dir.display())]
    NothingToResume {
        /// The output directory.
        dir: PathBuf,
    },
    /// A checkpoint without a manifest is in the way.
    #[error("{} was not written by a run in this directory, and would be overwritten: choose another --out", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The metrics file does not hold what it should.
    #[error("{}, line {line}, is not a metrics record ({reason}): move the file away to resume", path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// Which line, counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The metrics file has lost lines since the checkpoint was written.
    #[error("{} has {found} lines, but the checkpoint was written after {expected}: move the file away to resume", path.display())]
    MetricsShort {
        /// The file.
        path: PathBuf,
        /// Lines when the checkpoint was written.
        expected: u64,
        /// Lines now.
        found: u64,
    },
}

/// The error and its causes in one line, joined by ": ".
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        // A transparent error repeats its source word for word.
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// The exit code of a program: 0, or 1 with `error: ...` printed in one line on standard error. An example's whole `main` is
/// `exit_with(run(&Args::parse()))`. Takes this crate's errors, `anyhow::Error` and plain strings.
pub fn exit_with<E: Into<Box<dyn Error + Send + Sync>>>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let error: Box<dyn Error + Send + Sync> = error.into();
    eprintln!("error: {}", one_line(&*error));
    ExitCode::from(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_joined_in_one_line() {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "not\nallowed");
        let error = TrainError::Data(DataError::Read { path: "a/b".into(), source });
        assert_eq!(one_line(&error), "cannot read a/b: not allowed");
    }
}
