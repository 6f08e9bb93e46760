//! Configuration files on disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::commands::error::CommandError;

/// Creates the file; never overwrites one.
pub(super) fn create(path: &Path, text: &str) -> Result<(), CommandError> {
    let refused = |e: std::io::Error| {
        CommandError(match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!("{} already exists and was not overwritten; name another file", path.display())
            }
            _ => format!("{} cannot be written: {e}", path.display()),
        })
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(refused)?;
    file.write_all(text.as_bytes()).map_err(refused)
}

pub(super) fn read(file: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(file).map_err(|e| CommandError(format!("{} cannot be read: {e}", file.display())))
}

pub(super) fn changed(file: &Path) -> CommandError {
    CommandError(format!("{} changed meanwhile and was not overwritten; run the command again", file.display()))
}

/// Replaces the file in one step, so that nobody reads half of it.
pub(super) fn replace(file: &Path, old: &str, new: &str) -> Result<(), CommandError> {
    let refused = |e: std::io::Error| CommandError(format!("{} cannot be written: {e}", file.display()));
    // Follow a symbolic link, so that it stays one.
    let target = std::fs::canonicalize(file).map_err(refused)?;
    let permissions = std::fs::metadata(&target).map_err(refused)?.permissions();
    let mut name = target.clone().into_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    let written = (|| {
        let mut copy = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        copy.set_permissions(permissions)?;
        copy.write_all(new.as_bytes())?;
        copy.sync_all()
    })();
    let result = written.map_err(refused).and_then(|()| {
        if read(&target)? != old {
            return Err(changed(file));
        }
        std::fs::rename(&beside, &target).map_err(refused)
    });
    if result.is_err() {
        // If the copy cannot be removed either, the first failure is the one to report.
        let _ = std::fs::remove_file(&beside);
    }
    result
}
