//! The programs of a control plane and the engines of GitOps: found, downloaded or built, in this order.
//!
//! 1. for the control plane, the directory in `KUBEBUILDER_ASSETS`, as for every envtest user;
//! 2. the project's cache;
//! 3. for the control plane, the pinned envtest archive, where the network allows it (`TESTBED_DOWNLOAD=0` skips the attempt);
//! 4. a build from pinned Go modules, once.

mod digest;
mod envtest;
mod go;

use std::path::PathBuf;

pub(crate) use digest::hexadecimal;

use crate::cache::cache_directory;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The Kubernetes version that is built from Go modules.
pub const KUBERNETES_VERSION: &str = "v1.37.2";

/// The version of Flux's kustomize-controller; `testbed/gitops/flux` pins it.
pub const KUSTOMIZE_CONTROLLER_VERSION: &str = "v1.9.6";

/// The name of the file with the definition of Flux's Kustomizations, beside their controller.
pub(crate) const KUSTOMIZATION_CRD: &str = "kustomizations.yaml";

/// A program of a control plane, or an engine of GitOps.
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
    /// Flux's controller that applies and prunes.
    KustomizeController,
    /// Argo CD's engine, behind an API for tests.
    ArgoCdEngine,
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
            Self::KustomizeController => "kustomize-controller",
            Self::ArgoCdEngine => "argocd-engine",
        }
    }

    /// Whether it is in an envtest archive.
    const fn in_envtest(self) -> bool {
        matches!(self, Self::Etcd | Self::ApiServer | Self::Kubectl)
    }

    /// The name of the directory in the cache in which it is built.
    fn build_directory(self) -> Result<String> {
        Ok(match self {
            Self::Etcd | Self::ApiServer | Self::Kubectl | Self::ControllerManager => {
                format!("controlplane-{KUBERNETES_VERSION}")
            }
            Self::KustomizeController => format!("flux-{KUSTOMIZE_CONTROLLER_VERSION}"),
            // Its source is here, so that its version is whatever stands in the files.
            Self::ArgoCdEngine => format!("argocd-engine-{}", digest::of_directory(&go::module(self))?),
        })
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
        // No envtest archive has the others, so a directory without them is not incomplete.
        if program.in_envtest() {
            return Err(Error::AssetMissing { program: program.name(), directory });
        }
    }
    let cache = cache_directory()?;
    let built = cache.join(program.build_directory()?);
    let path = built.join(program.name());
    if path.is_file() {
        return Ok(path);
    }
    if program.in_envtest() {
        let downloaded = cache.join(format!("controlplane-{}", envtest::VERSION));
        let path = downloaded.join(program.name());
        if !path.is_file() {
            envtest::try_once(&downloaded, progress).await?;
        }
        if path.is_file() {
            return Ok(path);
        }
    }
    go::build(program, &built, progress).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_flux_is_named_after_what_is_built() {
        let pinned = format!("require github.com/fluxcd/kustomize-controller {KUSTOMIZE_CONTROLLER_VERSION}\n");
        assert!(include_str!("../../gitops/flux/go.mod").contains(&pinned));
    }
}
