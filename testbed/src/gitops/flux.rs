//! Flux's kustomize-controller, and the part of source-controller that it needs: `GitRepository` objects with a status, and the
//! archives to which this status points.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::artifacts::Artifacts;
use super::{apply, identity, kubectl, wait_until_ready};
use crate::control_plane::ControlPlane;
use crate::error::{Error, Result};
use crate::http;
use crate::ports::free_port;
use crate::process_guard::{ProcessGuard, Signal};
use crate::programs::{KUSTOMIZATION_CRD, Program, hexadecimal, locate};
use crate::progress::Progress;
use crate::scratch::Scratch;

const NAMESPACE: &str = "flux-system";

/// Flux's kustomize-controller. It ends when dropped.
#[derive(Debug)]
pub struct Flux {
    // The controller ends before its directory is removed: the order of the fields counts.
    _controller: ProcessGuard,
    artifacts: Artifacts,
    /// Numbers the commits.
    commits: AtomicU32,
    scratch: Scratch,
}

impl Flux {
    /// Finds the controller, and builds it first if need be.
    ///
    /// # Errors
    ///
    /// Fails when it can be neither found nor built; the message says what to do.
    pub async fn prepare(progress: &Progress) -> Result<()> {
        locate(Program::KustomizeController, progress).await.map(|_| ())
    }

    /// Starts the controller with a ServiceAccount of its own, and waits until it is ready. Its objects belong into the
    /// namespace `flux-system`.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be had, or does not become ready; the message shows its log.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let program = locate(Program::KustomizeController, &Progress::default()).await?;
        let scratch = Scratch::new("flux")?;
        apply(control_plane, &scratch, "sources.yaml", &source_definitions()).await?;
        let crd = program.with_file_name(KUSTOMIZATION_CRD);
        kubectl(control_plane, &["apply", "--server-side", "-f", &crd.to_string_lossy()]).await?;
        kubectl(control_plane, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await?;
        let kubeconfig = scratch.join("kubeconfig");
        let identity = identity(control_plane, &scratch, NAMESPACE, "kustomize-controller").await?;
        fs::write(&kubeconfig, identity).map_err(Error::file("write", &kubeconfig))?;
        let health = format!("127.0.0.1:{}", free_port()?);
        let controller = ProcessGuard::program(program, scratch.join("kustomize-controller.log"))
            .args(["--watch-all-namespaces", "--log-level=info", "--log-encoding=json", "--metrics-addr=0"])
            .arg(format!("--health-addr={health}"))
            // A test waits for it.
            .args(["--requeue-dependency=1s", "--concurrent=8", "--interval-jitter-percentage=0"])
            .env("KUBECONFIG", &kubeconfig)
            .env("RUNTIME_NAMESPACE", NAMESPACE)
            .env("TMPDIR", scratch.path())
            .stop_with(Signal::Kill, Duration::from_secs(1))
            .start()?;
        wait_until_ready(&controller, &http::client()?, &format!("http://{health}/readyz")).await?;
        let artifacts = Artifacts::start().await?;
        Ok(Self { _controller: controller, artifacts, commits: AtomicU32::new(1), scratch })
    }

    /// Makes these files, by their paths, the content of the `GitRepository` of this name, and returns the revision. Flux
    /// learns of it as it does of a push.
    ///
    /// # Errors
    ///
    /// Fails when the API server refuses the object.
    pub async fn commit(
        &self,
        control_plane: &ControlPlane,
        repository: &str,
        files: &[(String, String)],
    ) -> Result<String> {
        let archive = archive(files)?;
        let digest = hexadecimal(&Sha256::digest(&archive));
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let revision = format!("main@sha1:{number:040x}");
        let (path, size) = (format!("{repository}/{number}.tar.gz"), archive.len());
        let url = self.artifacts.put(&path, archive);
        let object = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": repository, "namespace": NAMESPACE},
            "spec": {"url": "https://git.example.com/platform/tenants.git", "interval": "1m"},
        });
        apply(control_plane, &self.scratch, &format!("{repository}.json"), &object.to_string()).await?;
        let now = Timestamp::now().to_string();
        let status = json!({"status": {
            "artifact": {
                "path": path, "url": url, "revision": revision, "digest": format!("sha256:{digest}"), "size": size,
                "lastUpdateTime": now,
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "lastTransitionTime": now,
                "message": format!("stored artifact for revision '{revision}'"),
            }],
        }});
        let body = status.to_string();
        let patch = ["patch", "gitrepository", repository, "-n", NAMESPACE, "--subresource=status", "--type=merge"];
        kubectl(control_plane, &[&patch[..], &["-p", &body]].concat()).await?;
        Ok(revision)
    }
}

/// A compressed archive of files.
fn archive(files: &[(String, String)]) -> Result<Vec<u8>> {
    let failed = |source| Error::file("pack", Path::new("the artifact"))(source);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).map_err(failed)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(failed)
}

/// Definitions of the kinds of source-controller, of which only the names matter here: its module cannot be had.
fn source_definitions() -> String {
    let kinds = [("gitrepositories", "GitRepository"), ("ocirepositories", "OCIRepository"), ("buckets", "Bucket")];
    let definition = |(plural, kind): (&str, &str)| {
        let singular = kind.to_lowercase();
        format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.source.toolkit.fluxcd.io}}
spec:
  group: source.toolkit.fluxcd.io
  scope: Namespaced
  names: {{kind: {kind}, listKind: {kind}List, plural: {plural}, singular: {singular}}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema:
      openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
"
        )
    };
    kinds.map(definition).join("---\n")
}
