//! How the training goes: running means, and `metrics.jsonl`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::atomic;
use crate::error::TrainError;

/// Numbers that tell how good a model is, by name, in an order that stays: "loss", "accuracy" and the like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(Vec<(String, f64)>);

impl Scores {
    /// Adds a score, or replaces it.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(found) => found.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The score of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// All scores in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Scores {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(scores: I) -> Self {
        Self(scores.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// In words: `loss 0.1234, accuracy 0.9876`.
impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name} {value:.4}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Scores;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scores, A::Error> {
                let mut scores = Scores::default();
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    scores.0.push((name, value.unwrap_or(f64::NAN)));
                }
                Ok(scores)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Means over the batches added so far, weighted by their size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    sums: Scores,
    examples: Scores,
}

impl Running {
    /// Adds a batch's mean.
    pub fn add(&mut self, name: &str, mean: f64, examples: u64) {
        let sum = self.sums.get(name).unwrap_or(0.0) + mean * examples as f64;
        let count = self.examples.get(name).unwrap_or(0.0) + examples as f64;
        self.sums.set(name, sum);
        self.examples.set(name, count);
    }

    /// The means.
    pub fn means(&self) -> Scores {
        self.sums.iter().zip(self.examples.iter()).map(|((name, sum), (_, count))| (name, sum / count)).collect()
    }

    /// Gives the means so far, and starts anew.
    pub fn take(&mut self) -> Scores {
        std::mem::take(self).means()
    }
}

/// Which part of the data a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The part that is learned from.
    Train,
    /// The part that the model is judged by.
    Test,
}

/// One line of `metrics.jsonl`. A number that is not finite is written as null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: usize,
    /// Which part of the data.
    pub split: Part,
    /// Means over the examples that the line is about, each a field of its own.
    #[serde(flatten)]
    pub scores: Scores,
    /// The learning rate of the last step; NaN where there is none, or several.
    #[serde(deserialize_with = "null_is_nan")]
    pub lr: f64,
    /// Speed: the only field that two equal runs do not share.
    #[serde(deserialize_with = "null_is_nan")]
    pub examples_per_second: f64,
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Writes `metrics.jsonl`, one record a line.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    lines: u64,
    staged: bool,
}

impl MetricsLog {
    /// Starts a new file. Where there is one from an earlier run, it stays until [`MetricsLog::publish`]; the new
    /// records gather beside it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let path = path.into();
        let staged = path.exists();
        let place = if staged { atomic::staged(&path) } else { path.clone() };
        let file = File::create(&place).map_err(atomic::io("create", &place))?;
        Ok(Self { path, file, lines: 0, staged })
    }

    /// Goes on with the file of an earlier run, whose first `lines` lines belong to the checkpoint that is resumed.
    /// What was written after the checkpoint is cut off: it will be written again. A file that is gone starts anew.
    ///
    /// # Errors
    /// When the file cannot be read or written, has fewer lines, or one that is no record.
    pub fn resume(path: impl Into<PathBuf>, lines: u64) -> Result<Self, TrainError> {
        let path = path.into();
        // Left by a new run that was stopped before its first checkpoint.
        let _ = fs::remove_file(atomic::staged(&path));
        if !path.exists() {
            return Self::create(path);
        }
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(atomic::io("open", &path))?;
        let kept = length_of_lines(&path, &file, lines)?;
        file.set_len(kept).map_err(atomic::io("truncate", &path))?;
        Ok(Self { path, file, lines, staged: false })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(record).map_err(|e| atomic::io("write", &self.path)(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(atomic::io("write", &self.path))?;
        self.lines += 1;
        Ok(())
    }

    /// Waits until all lines are on the disk, and replaces an earlier run's file by this one. Call it before the
    /// checkpoint that counts these lines is saved.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn publish(&mut self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(atomic::io("write", &self.path))?;
        if self.staged {
            atomic::publish(&self.path)?;
            self.staged = false;
        }
        Ok(())
    }

    /// Lines so far, those of the resumed run included.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// The length in bytes of the first `lines` lines, each of which has to be a record.
fn length_of_lines(path: &Path, file: &File, lines: u64) -> Result<u64, TrainError> {
    let mut reader = BufReader::new(file);
    let (mut length, mut line) = (0, Vec::new());
    for number in 0..lines {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(atomic::io("read", path))?;
        if !line.ends_with(b"\n") {
            return Err(TrainError::MetricsShort { path: path.into(), expected: lines, found: number });
        }
        serde_json::from_slice::<Record>(&line).map_err(|e| TrainError::Metrics {
            path: path.into(),
            line: number as usize + 1,
            reason: e.to_string(),
        })?;
        length += line.len() as u64;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TempDir, names};

    fn record(step: u64) -> Record {
        Record {
            step,
            epoch: 1,
            split: if step.is_multiple_of(2) { Part::Test } else { Part::Train },
            scores: [("loss", 1.0 / step as f64), ("accuracy", 0.5)].into_iter().collect(),
            lr: 0.1,
            examples_per_second: 100.0,
        }
    }

    fn write(log: &mut MetricsLog, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            log.append(&record(step)).unwrap();
        }
    }

    #[test]
    fn running_means_are_weighted() {
        let mut running = Running::default();
        assert_eq!(running.means().to_string(), "");
        running.add("loss", 1.0, 4);
        running.add("accuracy", 0.75, 4);
        running.add("loss", 4.0, 2);
        assert_eq!(running.means().iter().collect::<Vec<_>>(), [("loss", 2.0), ("accuracy", 0.75)]);
        assert_eq!(running.take().to_string(), "loss 2.0000, accuracy 0.7500");
        assert_eq!(running, Running::default());
    }

    #[test]
    fn a_line_has_the_promised_fields() {
        let line = serde_json::to_string(&record(2)).unwrap();
        assert_eq!(
            line,
            r#"{"step":2,"epoch":1,"split":"test","loss":0.5,"accuracy":0.5,"lr":0.1,"examples_per_second":100.0}"#
        );
    }

    #[test]
    fn numbers_come_back_to_the_last_bit_and_nan_as_nan() {
        for loss in [0.1 + 0.2, 1e-300, f64::MAX, 2.2250738585072014e-308, 0.999_999_999_999_999_9] {
            let mut running = Running::default();
            running.add("loss", loss, 1);
            let json = serde_json::to_string(&running).unwrap();
            assert_eq!(serde_json::from_str::<Running>(&json).unwrap(), running);
            let line = Record { scores: running.means(), ..record(1) };
            let json = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), line);
        }
        let lost = [("loss", f64::NAN)].into_iter().collect();
        let json = serde_json::to_string(&Record { scores: lost, ..record(1) }).unwrap();
        assert!(json.contains(r#""loss":null"#));
        assert!(serde_json::from_str::<Record>(&json).unwrap().scores.get("loss").unwrap().is_nan());
    }

    #[test]
    fn a_resumed_file_equals_one_that_was_not_interrupted() {
        let dir = TempDir::new("metrics");
        let (whole, resumed) = (dir.path().join("whole"), dir.path().join("resumed"));
        write(&mut MetricsLog::create(&whole).unwrap(), 1..=9);
        for tail in ["", "{\"step\":", "{\"step\":6,\"epoch\"\n\n\0\0"] {
            let mut log = MetricsLog::create(&resumed).unwrap();
            write(&mut log, 1..=5);
            log.file.write_all(tail.as_bytes()).unwrap(); // killed in the middle of a line
            log.publish().unwrap();
            let mut log = MetricsLog::resume(&resumed, 4).unwrap();
            assert_eq!(log.lines(), 4);
            write(&mut log, 5..=9);
            assert_eq!(log.lines(), 9);
            assert_eq!(fs::read_to_string(&resumed).unwrap(), fs::read_to_string(&whole).unwrap());
        }
    }

    #[test]
    fn a_new_run_keeps_the_old_file_until_it_is_published() {
        let dir = TempDir::new("metrics");
        let path = dir.path().join("metrics.jsonl");
        write(&mut MetricsLog::create(&path).unwrap(), 1..=5);
        let mut log = MetricsLog::create(&path).unwrap();
        write(&mut log, 7..=7);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
        log.publish().unwrap();
        write(&mut log, 8..=8);
        log.publish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("{\"step\":7,"));
        assert_eq!(names(dir.path()), ["metrics.jsonl"]);
    }

    #[test]
    fn an_abandoned_new_run_does_not_get_in_the_way() {
        let dir = TempDir::new("metrics");
        let path = dir.path().join("metrics.jsonl");
        write(&mut MetricsLog::create(&path).unwrap(), 1..=5);
        write(&mut MetricsLog::create(&path).unwrap(), 7..=7); // killed before its first checkpoint
        write(&mut MetricsLog::resume(&path, 5).unwrap(), 6..=6);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 6);
        assert_eq!(names(dir.path()), ["metrics.jsonl"]);
    }

    #[test]
    fn a_damaged_file_is_told_and_kept() {
        let dir = TempDir::new("metrics");
        let path = dir.path().join("metrics.jsonl");
        write(&mut MetricsLog::create(&path).unwrap(), 1..=3);
        let sound = fs::read_to_string(&path).unwrap();
        let error = MetricsLog::resume(&path, 4).unwrap_err();
        assert!(matches!(error, TrainError::MetricsShort { expected: 4, found: 3, .. }), "{error}");
        let damaged = sound.replacen("\"step\":2", "\"stop\":2", 1);
        fs::write(&path, &damaged).unwrap();
        let error = MetricsLog::resume(&path, 3).unwrap_err();
        assert!(matches!(error, TrainError::Metrics { line: 2, .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        // Moved away, as the message says, the run goes on.
        fs::remove_file(&path).unwrap();
        assert_eq!(MetricsLog::resume(&path, 3).unwrap().lines(), 0);
    }
}
