//! The directory that a run writes to: its checkpoint, what resuming needs, and its metrics.
//!
//! A checkpoint is two tensor files (the model under its ecosystem names, and the rest of the state) and a manifest.
//! They are one: [`RunDir::save`] first writes the tensor files beside their places, then replaces the manifest, which
//! names them by their content, and then moves them into place. Killed at any point, a directory holds either the old
//! checkpoint or the new one, whole; [`RunDir::resume`] finds out which, and finishes the moving.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::checkpoint::{self, TensorMap};
use crate::error::TrainError;
use crate::metrics::Running;

/// The version of the manifest that this library writes and reads.
const FORMAT: u32 = 2;

const MODEL: &str = "last.safetensors";
const STATE: &str = "last.state.safetensors";
const MANIFEST: &str = "last.json";
const METRICS: &str = "metrics.jsonl";

/// Where a run stood when its checkpoint was written, and what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this record.
    pub format: u32,
    /// The model, such as "resnet20 (1 channel, 10 classes)": another name is another model.
    pub model: String,
    /// The data set.
    pub data: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Whole epochs done.
    pub epoch: usize,
    /// Batches done in the epoch after those.
    pub batch: usize,
    /// Steps done in all.
    pub step: u64,
    /// The best score at the end of an epoch so far, of the score that the task is judged by.
    pub best: Option<f64>,
    /// Sums of the training scores since the last record in the metrics.
    pub running: Running,
    /// Lines of the metrics file that belong to the steps done.
    pub metrics_lines: u64,
    /// Settings that have to be the same when the run goes on, by the name of their command-line option.
    pub options: BTreeMap<String, String>,
    /// The checkpoint's tensor files; filled in by [`RunDir::save`].
    #[serde(default)]
    pub files: BTreeMap<String, FileStamp>,
}

/// What tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Its size.
    pub bytes: u64,
    /// Its FNV-1a hash of 64 bits, in hexadecimal. Against accidents, not against forgery.
    pub hash: String,
}

impl FileStamp {
    fn of(content: &[u8]) -> Self {
        let hash = content
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self { bytes: content.len() as u64, hash: format!("{hash:016x}") }
    }
}

impl Manifest {
    /// The manifest of a run that has done nothing yet.
    pub fn new(model: impl Into<String>, data: impl Into<String>, seed: u64) -> Self {
        Self {
            format: FORMAT,
            model: model.into(),
            data: data.into(),
            seed,
            epoch: 0,
            batch: 0,
            step: 0,
            best: None,
            running: Running::default(),
            metrics_lines: 0,
            options: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    fn read(path: &Path) -> Result<Self, TrainError> {
        let bytes = fs::read(path).map_err(atomic::io("read", path))?;
        let unsound = |reason: String| TrainError::Manifest { path: path.into(), reason };
        // The version first: another version's record may lack what this one has.
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| unsound(e.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return Err(unsound(format!("its format is {format}, and {FORMAT} is needed"))),
            None => return Err(unsound("it names no format".into())),
        }
        // From the bytes: a `Value` would lose the order of the scores.
        serde_json::from_slice(&bytes).map_err(|e| unsound(e.to_string()))
    }

    /// Fails unless the saved run's settings are those in `given`; a setting that only one of them has counts as
    /// different.
    ///
    /// # Errors
    /// On the first setting that differs.
    pub fn require_options(&self, dir: &Path, given: &BTreeMap<String, String>) -> Result<(), TrainError> {
        let names = self.options.keys().chain(given.keys());
        let value = |of: &BTreeMap<String, String>, name: &str| of.get(name).map_or("(not set)", |v| v).to_owned();
        for name in names {
            let (found, given) = (value(&self.options, name), value(given, name));
            if found != given {
                return Err(TrainError::OtherOption { dir: dir.into(), name: name.clone(), found, given });
            }
        }
        Ok(())
    }
}

/// A whole checkpoint, as read from a [`RunDir`].
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Where the run stood.
    pub manifest: Manifest,
    /// The model's tensors.
    pub model: TensorMap,
    /// The rest of the state: what optimisers remember.
    pub state: TensorMap,
}

/// The output directory of one run.
#[derive(Clone, Debug)]
pub struct RunDir {
    dir: PathBuf,
}

impl RunDir {
    /// Makes the directory ready for a new run of `model`. A checkpoint of the same model stays in place until the
    /// new run's first one replaces it.
    ///
    /// # Errors
    /// When the directory cannot be made or written to, or holds a checkpoint of another model, or tensors that no
    /// run wrote: nothing is overwritten then.
    pub fn create(dir: impl Into<PathBuf>, model: &str) -> Result<Self, TrainError> {
        let run = Self { dir: dir.into() };
        fs::create_dir_all(&run.dir).map_err(atomic::io("create the output directory", &run.dir))?;
        if run.manifest_path().exists() {
            run.require_model(&Manifest::read(&run.manifest_path())?, model)?;
        } else if let Some(path) = [run.model_path(), run.state_path()].into_iter().find(|path| path.exists()) {
            return Err(TrainError::Unknown { path });
        }
        run.require_writable()?;
        Ok(run)
    }

    /// Opens the directory of an earlier run of `model`, and reads its last checkpoint.
    ///
    /// # Errors
    /// When there is none, or it is of another model, or it is damaged, or the directory cannot be written to.
    pub fn resume(dir: impl Into<PathBuf>, model: &str) -> Result<(Self, Saved), TrainError> {
        let run = Self { dir: dir.into() };
        if !run.manifest_path().exists() {
            return Err(TrainError::NothingToResume { dir: run.dir });
        }
        let manifest = Manifest::read(&run.manifest_path())?;
        run.require_model(&manifest, model)?;
        run.require_writable()?;
        let model = run.read_tensors(&manifest, MODEL)?;
        let state = run.read_tensors(&manifest, STATE)?;
        Ok((run, Saved { manifest, model, state }))
    }

    /// Replaces the checkpoint, or leaves it as it was.
    ///
    /// # Errors
    /// When a tensor is unsound or a file cannot be written.
    pub fn save(&self, manifest: &Manifest, model: &TensorMap, state: &TensorMap) -> Result<(), TrainError> {
        let mut manifest = manifest.clone();
        manifest.files.clear();
        for (name, tensors) in [(MODEL, model), (STATE, state)] {
            let content = checkpoint::encode(tensors)?;
            atomic::stage(&self.dir.join(name), &content)?;
            manifest.files.insert(name.into(), FileStamp::of(&content));
        }
        let mut json = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| TrainError::Manifest { path: self.manifest_path(), reason: e.to_string() })?;
        json.push(b'\n');
        atomic::write(&self.manifest_path(), &json)?; // from here on, the new checkpoint counts
        atomic::publish(&self.model_path())?;
        atomic::publish(&self.state_path())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// `last.safetensors`: the model under its ecosystem names.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    /// `metrics.jsonl`: one record a line.
    pub fn metrics_path(&self) -> PathBuf {
        self.dir.join(METRICS)
    }

    /// `last.state.safetensors`: what optimisers remember, and the random generator.
    pub fn state_path(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    fn manifest_path(&self) -> PathBuf {
        self.dir.join(MANIFEST)
    }

    fn require_model(&self, manifest: &Manifest, expected: &str) -> Result<(), TrainError> {
        if manifest.model == expected {
            return Ok(());
        }
        let found = manifest.model.clone();
        Err(TrainError::OtherModel { dir: self.dir.clone(), found, expected: expected.into() })
    }

    /// Finds out now, and not after the first epoch, whether files can be written here.
    fn require_writable(&self) -> Result<(), TrainError> {
        let probe = self.dir.join("write-check");
        atomic::stage(&probe, b"")?;
        fs::remove_file(atomic::staged(&probe)).map_err(atomic::io("remove a file in", &self.dir))
    }

    /// Reads the tensor file that the manifest means, from its place or from beside it, and moves it into place.
    fn read_tensors(&self, manifest: &Manifest, name: &str) -> Result<TensorMap, TrainError> {
        let path = self.dir.join(name);
        let stamp = manifest.files.get(name);
        let meant = |content: &Vec<u8>| stamp == Some(&FileStamp::of(content));
        let found = fs::read(&path).map_err(atomic::io("read", &path));
        if let Some(content) = found.as_ref().ok().filter(|content| meant(content)) {
            return checkpoint::decode(content, &path);
        }
        let beside = fs::read(atomic::staged(&path)).ok();
        if let Some(content) = beside.filter(meant) {
            atomic::publish(&path)?;
            return checkpoint::decode(&content, &path);
        }
        found.and(Err(TrainError::Inconsistent { path, manifest: self.manifest_path() }))
    }
}

#[cfg(test)]
#[path = "run_dir_tests.rs"]
mod tests;
