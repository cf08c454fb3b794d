//! Files that are either the old or the new, never half of one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Where the content of `path` lies until it is whole: in the same directory, so that a rename moves it.
pub(crate) fn staged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// An I/O error with what was tried, and on what.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError + use<> {
    let path = path.into();
    move |source| TrainError::Io { action, path, source }
}

/// Writes `bytes` beside `path` and waits until they are on the disk. `path` itself is not touched.
pub(crate) fn stage(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let temporary = staged(path);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary); // a full disk is not left fuller
        io("write", path)(source)
    })
}

/// Puts what was staged for `path` in its place.
pub(crate) fn publish(path: &Path) -> Result<(), TrainError> {
    fs::rename(staged(path), path).map_err(io("replace", path))?;
    sync_directory(path)
}

/// Replaces the content of `path`, or leaves it as it was.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    stage(path, bytes)?;
    publish(path)
}

/// Waits until a rename in the directory of `path` is on the disk. Other systems than Unix cannot be asked.
fn sync_directory(path: &Path) -> Result<(), TrainError> {
    if cfg!(unix) {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io("write to", parent))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TempDir, names};

    #[test]
    fn a_write_that_does_not_finish_leaves_the_old_file() {
        let dir = TempDir::new("atomic");
        let path = dir.path().join("file");
        write(&path, b"old").unwrap();
        stage(&path, b"new").unwrap(); // and here the process is killed
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_write_that_fails_says_where_and_leaves_nothing() {
        let dir = TempDir::new("atomic");
        let path = dir.path().join("missing").join("file");
        let error = write(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        // The place is taken by a directory: the new file cannot get there.
        let taken = dir.path().join("taken");
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(matches!(write(&taken, b"x"), Err(TrainError::Io { action: "replace", .. })));
        assert!(taken.join("full").is_dir());
    }
}
