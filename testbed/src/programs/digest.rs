//! Checksums, and their text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// Characters of a digest in the name of a directory.
const SHORT: usize = 12;

/// A short digest of the names and contents of all files directly in `directory`.
pub(super) fn of_directory(directory: &Path) -> Result<String> {
    let unreadable = |source| Error::file("read", directory)(source);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let content = fs::read(&file).map_err(Error::file("read", &file))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // With its length, so that no content runs into the next name.
        digest.update(format!("{name} {}\n", content.len()));
        digest.update(content);
    }
    let mut text = hexadecimal(&digest.finalize());
    text.truncate(SHORT);
    Ok(text)
}

/// Bytes as text, two digits each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
