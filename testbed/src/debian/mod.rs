//! Programs of the distribution's packages: found on the machine, in the cache, or fetched into it, in this order.
//!
//! Nothing is installed, so none of it needs root: `apt-get download` and `dpkg-deb` only write files.

mod apt;
mod fetch;
mod together;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cache::{CacheLock, cache_directory, downloads_allowed};
use crate::error::{Error, Result};
use crate::postgres::within_reach;
use crate::process_guard::{Account, Launch, ProcessGuard};
use crate::progress::Progress;
use crate::scratch::Scratch;
pub(crate) use together::Dependencies;

/// A program, and the package that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packaged {
    /// The name of its file.
    pub program: &'static str,
    /// The name of the package.
    pub package: &'static str,
}

impl Packaged {
    fn missing(self, why: impl Into<String>) -> Error {
        Error::PackageMissing { program: self.program, package: self.package, why: why.into() }
    }
}

/// Where to search for programs.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// As in the variable `PATH`: for what is wanted, and for apt.
    pub path: OsString,
    /// The directory for what is fetched.
    pub cache: PathBuf,
    /// Whether anything may be fetched.
    pub download: bool,
}

impl Search {
    /// As this process's environment says.
    pub(crate) fn here() -> Result<Self> {
        Ok(Self {
            path: std::env::var_os("PATH").unwrap_or_default(),
            cache: cache_directory()?,
            download: downloads_allowed(),
        })
    }
}

/// A program that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It belongs to the machine.
    Installed(PathBuf),
    /// A directory of the cache has it in `bin`, and in `lib` the libraries that the machine lacks.
    Cached(PathBuf),
}

impl Found {
    /// The program's file.
    pub(crate) fn program(&self, wanted: Packaged) -> PathBuf {
        match self {
            Self::Installed(program) => program.clone(),
            Self::Cached(tree) => tree.join("bin").join(wanted.program),
        }
    }

    /// The directory with what it needs beside the machine's own libraries.
    pub(crate) fn libraries(&self) -> Option<PathBuf> {
        match self {
            Self::Installed(_) => None,
            Self::Cached(tree) => Some(tree.join("lib")),
        }
    }

    /// Prepares the program's start under an account. The cache of root is mostly closed to others, so it is copied from there.
    pub(crate) fn launch(
        &self,
        wanted: Packaged,
        account: Option<Account>,
        scratch: &Scratch,
        log: PathBuf,
    ) -> Result<Launch> {
        let reached = match self {
            Self::Installed(_) => self.clone(),
            Self::Cached(tree) => {
                let programs = within_reach(tree.join("bin"), account, scratch)?;
                Self::Cached(programs.parent().unwrap_or(tree).to_owned())
            }
        };
        let launch = ProcessGuard::program(reached.program(wanted), log).run_as(account);
        Ok(match reached.libraries() {
            Some(directory) => launch.env("LD_LIBRARY_PATH", library_path(&directory)),
            None => launch,
        })
    }
}

/// Finds a program, and fetches it first if need be.
///
/// # Errors
///
/// Fails when it can be had nowhere; the message says why, and what to do.
pub(crate) async fn locate(wanted: Packaged, search: &Search, progress: &Progress) -> Result<Found> {
    if let Some(program) = in_path(wanted.program, search) {
        return Ok(Found::Installed(program));
    }
    let shelf = search.cache.join("packages");
    let tree = shelf.join(wanted.program);
    if fetch::works(&tree, wanted).await {
        return Ok(Found::Cached(tree));
    }
    if !search.download {
        return Err(wanted.missing("TESTBED_DOWNLOAD=0 forbids it"));
    }
    let _lock = CacheLock::acquire(&shelf, progress).await?;
    if !fetch::works(&tree, wanted).await {
        fetch::fetch(wanted, search, &shelf, progress).await?;
    }
    Ok(Found::Cached(tree))
}

/// Fetches packages and unpacks them into the directory `root`. `Err` in the result says why they cannot be had.
pub(crate) async fn unpack(
    packages: &[&str],
    dependencies: Dependencies,
    root: &Path,
    progress: &Progress,
) -> Result<Result<(), String>> {
    let search = Search::here()?;
    if !search.download {
        return Ok(Err("TESTBED_DOWNLOAD=0 forbids it".to_owned()));
    }
    let parent = root.parent().unwrap_or(root);
    let workshop = tempfile::tempdir_in(parent).map_err(Error::file("create a directory in", parent))?;
    let mut apt = apt::Apt::new(&search.path, workshop.path(), progress);
    together::unpack(&mut apt, packages, dependencies, root).await
}

/// The program in one of the directories of the `PATH`, or beside one: Debian keeps servers in `sbin`, and that out of the
/// `PATH` of ordinary users.
fn in_path(program: &str, search: &Search) -> Option<PathBuf> {
    let beside = |directory: &Path| directory.ends_with("bin").then(|| directory.with_file_name("sbin"));
    std::env::split_paths(&search.path)
        .flat_map(|directory| [beside(&directory), Some(directory)])
        .flatten()
        .map(|directory| directory.join(program))
        .find(|program| program.is_file())
}

/// The value of `LD_LIBRARY_PATH` with one more directory.
pub(crate) fn library_path(directory: &Path) -> OsString {
    let mut value = directory.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty()) {
        value.push(":");
        value.push(others);
    }
    value
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    const WANTED: Packaged = Packaged { program: "pgbouncer", package: "pgbouncer" };

    fn search(path: &Path, cache: &Path) -> Search {
        Search { path: path.into(), cache: cache.to_owned(), download: true }
    }

    #[tokio::test]
    async fn a_path_that_lacks_everything_is_told_with_the_command_that_helps() {
        let cache = tempfile::tempdir().unwrap();
        let bare = search(Path::new("/nowhere"), cache.path());
        let message = locate(WANTED, &bare, &Progress::silent()).await.unwrap_err().to_string();
        assert!(message.contains("no `pgbouncer` on this machine"), "{message}");
        assert!(message.contains("`apt-get` is not in PATH"), "{message}");
        assert!(message.contains("`apt-get install -y --no-install-recommends pgbouncer`"), "{message}");
        // All or nothing.
        let left: Vec<_> =
            fs::read_dir(cache.path().join("packages")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);
    }

    #[tokio::test]
    async fn nothing_is_fetched_where_that_is_forbidden() {
        let cache = tempfile::tempdir().unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let search = Search { path, cache: cache.path().join("cache"), download: false };
        let wanted = Packaged { program: "no-such-program", package: "pgbouncer" };
        let message = locate(wanted, &search, &Progress::silent()).await.unwrap_err().to_string();
        assert!(message.contains("TESTBED_DOWNLOAD=0"), "{message}");
        assert!(!search.cache.exists());
    }

    #[tokio::test]
    async fn what_is_beside_a_directory_of_the_path_is_found() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("sbin/pgbouncer");
        fs::create_dir(root.path().join("sbin")).unwrap();
        fs::write(&program, "").unwrap();
        let search = search(&root.path().join("bin"), root.path());
        let found = locate(WANTED, &search, &Progress::silent()).await.unwrap();
        assert_eq!(found, Found::Installed(program));
    }

    #[tokio::test]
    async fn what_the_cache_has_is_taken_from_there_if_it_runs() {
        let cache = tempfile::tempdir().unwrap();
        let tree = cache.path().join("packages/pgbouncer");
        fs::create_dir_all(tree.join("bin")).unwrap();
        let bare = search(Path::new("/nowhere"), cache.path());
        // As after an upgrade of the distribution: it is there, but no longer runs.
        std::os::unix::fs::symlink("/bin/false", tree.join("bin/pgbouncer")).unwrap();
        assert!(locate(WANTED, &bare, &Progress::silent()).await.is_err());
        fs::remove_file(tree.join("bin/pgbouncer")).unwrap();
        std::os::unix::fs::symlink("/bin/true", tree.join("bin/pgbouncer")).unwrap();
        let found = locate(WANTED, &bare, &Progress::silent()).await.unwrap();
        assert_eq!(found, Found::Cached(tree));
    }
}
