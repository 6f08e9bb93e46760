//! The programs of a control plane: found, downloaded or built, in this order.
//!
//! 1. the directory in `KUBEBUILDER_ASSETS`, as for every envtest user;
//! 2. the project's cache;
//! 3. the pinned envtest archive, where the network allows it (`TESTBED_DOWNLOAD=0` skips the attempt);
//! 4. a build from pinned Go modules, once.

mod envtest;
mod go;

use std::path::{Path, PathBuf};

use crate::cache::cache_directory;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The Kubernetes version that is built from Go modules.
pub const KUBERNETES_VERSION: &str = "v1.37.2";

/// A program of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The database of the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// The command line client.
    Kubectl,
    /// Namespaces that really go away, and garbage collection. Not part of the envtest archive.
    ControllerManager,
}

impl Program {
    /// The name of its file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::Kubectl => "kubectl",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// Finds a program, and gets it first if need be.
///
/// # Errors
///
/// Fails when `KUBEBUILDER_ASSETS` is set but incomplete, or when the program can be
/// neither downloaded nor built; the message says what to do.
pub async fn locate(program: Program, progress: &Progress) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) {
        let path = directory.join(program.name());
        if path.is_file() {
            return Ok(path);
        }
        // No envtest archive has it, so a directory without it is not incomplete.
        if program != Program::ControllerManager {
            return Err(Error::AssetMissing { program: program.name(), directory });
        }
    }
    let cache = cache_directory()?;
    let built = cache.join(format!("controlplane-{KUBERNETES_VERSION}"));
    let downloaded = cache.join(format!("controlplane-{}", envtest::VERSION));
    if let Some(path) = first_with(program, &[&built, &downloaded]) {
        return Ok(path);
    }
    if program != Program::ControllerManager {
        envtest::try_once(&downloaded, progress).await?;
        if let Some(path) = first_with(program, &[&downloaded]) {
            return Ok(path);
        }
    }
    go::build(program, &built, progress).await
}

fn first_with(program: Program, directories: &[&Path]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join(program.name())).find(|path| path.is_file())
}
