//! Compiled pipelines kept on disk, where the adapter offers it (Vulkan).
//!
//! One file for each adapter and driver, in `WGRAD_CACHE_DIR`, else in the user's cache directory. What is in it is only ever a
//! help: a file that is missing, cut off, changed or of another driver is as good as none, and what cannot be written is
//! left. `WGRAD_PIPELINE_CACHE=off` turns it off.

use super::lock;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, fs, process};

/// What a file begins with: changed with its form.
const MAGIC: &[u8; 8] = b"wgradpc1";

/// The cache of an open device.
pub(super) struct DiskCache {
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
    /// The sum of what is on disk.
    saved: Mutex<u64>,
}

impl DiskCache {
    /// The cache for a device, with what an earlier process left; none where the adapter or the user wants none.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<DiskCache> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        if env::var("WGRAD_PIPELINE_CACHE").is_ok_and(|v| v == "off" || v == "0") {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(info)?;
        let driver = sum(format!("{} {} {}", info.name, info.driver, info.driver_info).as_bytes());
        let path = cache_dir(|name| env::var_os(name))?.join(format!("{key}_{driver:016x}.bin"));
        let data = load(&path);
        // SAFETY: the data is what `get_data` gave to an earlier process, as its sum tells; wgpu checks the adapter and the
        // driver checks itself.
        let cache = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("wgrad"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        Some(DiskCache { cache, path, saved: Mutex::new(data.map_or(0, |d| sum(&d))) })
    }

    /// Writes what is new. Errors are left: the next process compiles again.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let mut saved = lock(&self.saved);
        let new = sum(&data);
        if *saved != new && store(&self.path, &data).is_ok() {
            *saved = new;
        }
    }
}

/// Where caches go, by the environment.
pub(super) fn cache_dir(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let given = |name: &str| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let user = if cfg!(windows) {
        given("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        given("HOME").map(|h| h.join("Library/Caches"))
    } else {
        given("XDG_CACHE_HOME").or_else(|| given("HOME").map(|h| h.join(".cache")))
    };
    given("WGRAD_CACHE_DIR").or_else(|| user.map(|u| u.join("wgrad")))
}

/// The data of a file, if it is whole.
fn load(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?;
    let (expected, data) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*expected) == sum(data)).then(|| data.to_vec())
}

/// Replaces the file in one step, so that no process ever reads half of it.
fn store(path: &Path, data: &[u8]) -> std::io::Result<()> {
    replace(path, &[&MAGIC[..], &sum(data).to_le_bytes(), data].concat())
}

/// Replaces a file in one step, and makes its directory.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // it may never have been there
    }
    written
}

/// FNV-1a over the length and the bytes.
pub(super) fn sum(data: &[u8]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ *b as u64).wrapping_mul(0x100000001b3);
    let length = data.len().to_le_bytes();
    length.iter().chain(data).fold(0xcbf29ce484222325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_are_read() {
        let dir = env::temp_dir().join(format!("wgrad-disk-{}", process::id()));
        let path = dir.join("deeper/cache.bin");
        assert_eq!(load(&path), None);
        let data: Vec<u8> = (0..1000).map(|i| (i * 7) as u8).collect();
        store(&path, &data).unwrap();
        assert_eq!(load(&path), Some(data.clone()));
        store(&path, &data[1..]).unwrap();
        assert_eq!(load(&path).unwrap(), data[1..]);
        let whole = fs::read(&path).unwrap();
        for end in [0, 7, 8, 15, 16, whole.len() - 1] {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(load(&path), None, "{end} bytes");
        }
        for at in [0, 9, 16, whole.len() - 1] {
            let mut broken = whole.clone();
            broken[at] ^= 4;
            fs::write(&path, &broken).unwrap();
            assert_eq!(load(&path), None, "byte {at}");
        }
        // Nothing is left lying around.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_environment_says_where() {
        let with = |vars: &'static [(&str, &str)]| {
            cache_dir(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(with(&[("WGRAD_CACHE_DIR", "here"), ("HOME", "home")]), Some("here".into()));
        assert_eq!(with(&[]), None);
        if cfg!(all(unix, not(target_vendor = "apple"))) {
            assert_eq!(with(&[("HOME", "home"), ("XDG_CACHE_HOME", "")]), Some("home/.cache/wgrad".into()));
            assert_eq!(with(&[("HOME", "home"), ("XDG_CACHE_HOME", "x")]), Some("x/wgrad".into()));
        }
    }
}
