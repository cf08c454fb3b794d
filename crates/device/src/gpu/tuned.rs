//! Forms of kernels that were the fastest when they were timed, and the file that keeps them between runs.
//!
//! One file for each adapter and driver, beside the compiled pipelines (see [`super::disk`]): a line that says what it is, a
//! line that names the adapter, then a line for each problem. What is in it is only ever a help: a file that is too long, of
//! another form or another adapter, or not text, is as good as none, and a form that does not exist is not taken.

use super::disk;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

/// The first line of a file: changed with its form.
const MAGIC: &str = "wgrad tuned forms 1";
/// Bytes that a file may have; problems beyond that are timed again.
const MOST_BYTES: usize = 1 << 20;

/// The fastest form of each problem that was timed, by [`crate::Choices::problem`]. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuned(Arc<BTreeMap<String, String>>);

impl Tuned {
    /// How many problems were timed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was timed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The form for a problem, if it was timed.
    pub fn get(&self, problem: &str) -> Option<&str> {
        self.0.get(problem).map(String::as_str)
    }

    /// The same, and these.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = (String, String)>) -> Tuned {
        let mut all = self.clone();
        Arc::make_mut(&mut all.0).extend(more);
        all
    }
}

impl FromIterator<(String, String)> for Tuned {
    /// Of problems with their forms.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Tuned {
        Tuned(Arc::new(pairs.into_iter().collect()))
    }
}

/// Where the forms of an adapter are kept.
pub(super) struct TunedFile {
    path: PathBuf,
    /// The adapter and its driver, in one line.
    adapter: String,
}

impl TunedFile {
    /// The file of an adapter; none where the environment leaves no place for it.
    pub fn of(info: &wgpu::AdapterInfo) -> Option<TunedFile> {
        Some(TunedFile::within(&disk::cache_dir(|name| env::var_os(name))?, info))
    }

    fn within(dir: &Path, info: &wgpu::AdapterInfo) -> TunedFile {
        let parts = [&info.backend.to_string(), &info.name, &info.driver, &info.driver_info];
        let adapter =
            format!("{} {:x}:{:x}", parts.map(|p| p.replace(['\n', '\r'], " ")).join(" | "), info.vendor, info.device);
        TunedFile { path: dir.join(format!("tuned_{:016x}.txt", disk::sum(adapter.as_bytes()))), adapter }
    }

    /// What earlier runs found.
    pub fn load(&self) -> Tuned {
        self.parsed().unwrap_or_default()
    }

    fn parsed(&self) -> Option<Tuned> {
        let mut text = String::new();
        fs::File::open(&self.path).ok()?.take(MOST_BYTES as u64 + 1).read_to_string(&mut text).ok()?;
        let whole = text.len() <= MOST_BYTES && text.ends_with('\n');
        let mut lines = text.lines();
        if !whole || lines.next() != Some(MAGIC) || lines.next() != Some(&self.adapter) {
            return None;
        }
        let forms = lines.map(|line| line.split_once('\t').map(|(p, f)| (p.to_string(), f.to_string())));
        forms.collect()
    }

    /// Adds to what is there. Errors are left: the next process times again.
    pub fn store(&self, found: &[(String, String)]) {
        let mut text = format!("{MAGIC}\n{}\n", self.adapter);
        // What is new comes first, should the room not do for all.
        let new: BTreeMap<&str, &str> = found.iter().map(|(p, f)| (p.as_str(), f.as_str())).collect();
        let old = self.load();
        let kept = old.0.iter().map(|(p, f)| (p.as_str(), f.as_str())).filter(|(p, _)| !new.contains_key(p));
        for (problem, form) in new.iter().map(|(p, f)| (*p, *f)).chain(kept) {
            let line = format!("{problem}\t{form}\n");
            if text.len() + line.len() <= MOST_BYTES {
                text += &line;
            }
        }
        let _ = disk::replace(&self.path, text.as_bytes()); // it is only a help
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> wgpu::AdapterInfo {
        let blank = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Vulkan);
        wgpu::AdapterInfo { name: name.into(), ..blank }
    }

    fn pair(problem: &str, form: &str) -> (String, String) {
        (problem.into(), form.into())
    }

    #[test]
    fn what_was_found_is_there_again_for_this_adapter_only() {
        let dir = env::temp_dir().join(format!("wgrad-tuned-{}", std::process::id()));
        let file = TunedFile::within(&dir.join("deeper"), &info("one"));
        assert!(file.load().is_empty());
        file.store(&[pair("a", "x"), pair("b", "y")]);
        file.store(&[pair("b", "z"), pair("c", "x")]);
        let found = file.load();
        assert_eq!(found, Tuned::from_iter([pair("a", "x"), pair("b", "z"), pair("c", "x")]));
        assert_eq!(found.get("b"), Some("z"));

        // Another adapter looks elsewhere, and does not take this file were it there.
        let other = TunedFile::within(&dir.join("deeper"), &info("two"));
        assert!(other.path != file.path && other.load().is_empty());
        fs::copy(&file.path, &other.path).unwrap();
        assert!(other.load().is_empty());

        // Cut off, changed, not text, too long: as good as none, and written anew.
        let whole = fs::read(&file.path).unwrap();
        let long = [&whole[..], "d\tx\n".repeat(MOST_BYTES / 4).as_bytes()].concat();
        let no_tab = [&whole[..], b"no tab\n"].concat();
        for bad in [&whole[..whole.len() - 1], &whole[1..], b"", b"\xff\xfe\n", &long, &no_tab] {
            fs::write(&file.path, bad).unwrap();
            assert!(file.load().is_empty(), "{} bytes", bad.len());
        }
        file.store(&[pair("e", "y")]);
        assert_eq!(file.load(), Tuned::from_iter([pair("e", "y")]));

        // It does not grow without bound, and the new is in it.
        let many: Vec<_> = (0..MOST_BYTES / 8).map(|i| pair(&format!("problem {i}"), "x")).collect();
        file.store(&many);
        assert!(fs::metadata(&file.path).unwrap().len() <= MOST_BYTES as u64);
        file.store(&[pair("last", "y")]);
        assert_eq!(file.load().get("last"), Some("y"));
        fs::remove_dir_all(dir).unwrap();
    }
}
