//! Programs that are used beside the servers.

use std::ffi::OsString;

use crate::debian::{self, Packaged, Search, library_path};
use crate::error::Result;
use crate::postgres::installed;
use crate::progress::Progress;

/// A program that is used beside the servers. It is found on the machine, in the cache, or fetched into it from the
/// distribution's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The pooler.
    PgBouncer,
    /// Copies a server for its standby.
    PgBaseBackup,
    /// The command line client of PostgreSQL.
    Psql,
    /// The monitoring server.
    Prometheus,
    /// Checks and tests rules of Prometheus.
    Promtool,
    /// Builds images without a daemon.
    Buildah,
    /// Runs containers.
    Crun,
}

impl Tool {
    /// Finds it, and fetches it first if need be.
    ///
    /// # Errors
    ///
    /// Fails when it can be had nowhere; the message says why, and what to do.
    pub async fn prepare(self, progress: &Progress) -> Result<()> {
        self.locate(progress).await.map(|_| ())
    }

    /// Environment variables with which a shell finds it, and with which it runs.
    ///
    /// # Errors
    ///
    /// See [`Tool::prepare`].
    pub async fn environment(self, progress: &Progress) -> Result<Vec<(&'static str, OsString)>> {
        let found = self.locate(progress).await?;
        let mut path = found.program(self.packaged()).with_file_name("").into_os_string();
        if let Some(others) = std::env::var_os("PATH") {
            path.push(":");
            path.push(others);
        }
        let libraries = found.libraries().map(|directory| ("LD_LIBRARY_PATH", library_path(&directory)));
        Ok(std::iter::once(("PATH", path)).chain(libraries).collect())
    }

    pub(crate) async fn locate(self, progress: &Progress) -> Result<debian::Found> {
        let mut search = Search::here()?;
        if matches!(self, Self::PgBaseBackup | Self::Psql) {
            // Debian keeps the real programs beside the servers.
            for directory in installed() {
                search.path.push(":");
                search.path.push(directory);
            }
        }
        debian::locate(self.packaged(), &search, progress).await
    }

    pub(crate) const fn packaged(self) -> Packaged {
        match self {
            Self::PgBouncer => Packaged { program: "pgbouncer", package: "pgbouncer" },
            Self::PgBaseBackup => Packaged { program: "pg_basebackup", package: "postgresql-client" },
            Self::Psql => Packaged { program: "psql", package: "postgresql-client" },
            Self::Prometheus => Packaged { program: "prometheus", package: "prometheus" },
            Self::Promtool => Packaged { program: "promtool", package: "prometheus" },
            Self::Buildah => Packaged { program: "buildah", package: "buildah" },
            Self::Crun => Packaged { program: "crun", package: "crun" },
        }
    }
}
