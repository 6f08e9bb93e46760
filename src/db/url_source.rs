//! Where the database URL comes from.

use std::path::PathBuf;

use crate::api::Reason;
use crate::domain::Failure;

/// Where the database URL comes from.
#[derive(Clone)]
pub enum UrlSource {
    /// The text itself, from the environment.
    Text(String),
    /// A file, for example of a mounted Secret. It is read again whenever no connection can be made.
    File(PathBuf),
}

impl UrlSource {
    /// Reads the URL.
    pub(super) fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read_to_string(path).map_err(|e| {
                let message = format!(
                    "the operator cannot read the file {} with the database URL ({})",
                    path.display(),
                    e.kind()
                );
                Failure::new(Reason::AuthenticationFailed, message)
                    .remedy("mount the Secret with the key `url`, or set DATABASE_URL")
            }),
        }
    }
}

impl std::fmt::Debug for UrlSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The URL holds a password.
            Self::Text(_) => f.write_str("UrlSource::Text(..)"),
            Self::File(path) => f.debug_tuple("UrlSource::File").field(path).finish(),
        }
    }
}
