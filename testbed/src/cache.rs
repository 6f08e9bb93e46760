//! The directory for programs that are built or downloaded once.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// `${XDG_CACHE_HOME:-~/.cache}/organization-operator`.
///
/// # Errors
///
/// Fails when neither `XDG_CACHE_HOME` nor the home directory is known.
pub fn cache_directory() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .filter(|path| path.is_absolute())
        .ok_or(Error::NoCacheDirectory)?;
    Ok(base.join("organization-operator"))
}

/// Whether anything may be downloaded: `TESTBED_DOWNLOAD=0` forbids it.
pub(crate) fn downloads_allowed() -> bool {
    std::env::var_os("TESTBED_DOWNLOAD").is_none_or(|value| value != "0")
}

/// Between two attempts to get a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(200);

/// The right to add to one directory of the cache, for one process at a time.
/// The kernel takes it back when the process dies.
#[derive(Debug)]
pub(crate) struct CacheLock {
    _file: File,
}

impl CacheLock {
    /// Creates `directory` and waits until nobody else adds to it.
    pub(crate) async fn acquire(directory: &Path, progress: &Progress) -> Result<Self> {
        fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        let path = directory.join(".lock");
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::file("open", &path))?;
        let what = format!("waiting for another process that is filling {}", directory.display());
        progress
            .during(&what, async {
                loop {
                    match file.try_lock() {
                        Ok(()) => return Ok(()),
                        Err(TryLockError::WouldBlock) => {
                            tokio::time::sleep(PAUSE).await;
                        }
                        Err(TryLockError::Error(source)) => {
                            return Err(Error::file("lock", &path)(source));
                        }
                    }
                }
            })
            .await?;
        Ok(Self { _file: file })
    }
}
