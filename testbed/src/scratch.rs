//! Temporary directories that do not stay behind, not even after SIGKILL.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Error, Result};

const PREFIX: &str = "organization-operator-testbed-";
/// Held locked for as long as the directory's owner lives.
const LOCK: &str = "in-use";
/// Younger directories may belong to a process that has not locked its file yet.
const YOUNGEST_ORPHAN: Duration = Duration::from_mins(1);

/// A temporary directory, removed when dropped. If its owner is killed, the next
/// [`Scratch::new`] of any process removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// A new directory for the server called `name`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let base = std::env::temp_dir();
        remove_abandoned(&base);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{name}-"))
            // PostgreSQL may run as another user, who has to get through to its data directory.
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(&base)
            .map_err(Error::file("create a directory in", &base))?;
        let path = directory.path().join(LOCK);
        let lock = File::create_new(&path).map_err(Error::file("create", &path))?;
        lock.lock().map_err(Error::file("lock", &path))?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Removes the directories of processes that died without removing them. Best effort:
/// what cannot be removed now is tried again by the next run.
fn remove_abandoned(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        let is_old = lock
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNGEST_ORPHAN));
        if is_old && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
