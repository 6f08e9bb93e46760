//! Engines of GitOps on loopback: Flux's kustomize-controller, and the engine of Argo CD.

mod argocd;
mod artifacts;
mod flux;

use std::fs;
use std::time::Duration;

pub use argocd::{Application, ArgoCd, ArgoCdCommit, Health, ObjectHealth, SyncedObject};
pub use flux::Flux;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::error::{Error, Result};
use crate::process_guard::ProcessGuard;
use crate::scratch::Scratch;

/// An engine reads the whole cluster first, on a machine that may be busy compiling.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(25);

/// Runs `kubectl` as the administrator, and returns what it printed.
async fn kubectl(control_plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let doing = || format!("kubectl {}", arguments.join(" "));
    let mut command = tokio::process::Command::from(control_plane.kubectl());
    let output = command.args(arguments).kill_on_drop(true).output().await;
    let output = output.map_err(|source| Error::Kubectl { doing: doing(), why: source.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Kubectl { doing: doing(), why: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// Applies manifests as the administrator.
async fn apply(control_plane: &ControlPlane, scratch: &Scratch, name: &str, manifests: &str) -> Result<()> {
    let file = scratch.join(name);
    fs::write(&file, manifests).map_err(Error::file("write", &file))?;
    kubectl(control_plane, &["apply", "--server-side", "-f", &file.to_string_lossy()]).await.map(|_| ())
}

/// Makes the namespace and the ServiceAccount of an engine, with the rights that the engine's own installation gives it: all
/// of them. Returns a kubeconfig of it.
async fn identity(control_plane: &ControlPlane, scratch: &Scratch, namespace: &str, account: &str) -> Result<String> {
    let manifests = format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {account}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {namespace}-{account}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects:
- {{kind: ServiceAccount, name: {account}, namespace: {namespace}}}
"
    );
    apply(control_plane, scratch, "identity.yaml", &manifests).await?;
    let token = kubectl(control_plane, &["create", "token", account, "-n", namespace, "--duration=24h"]).await?;
    Ok(control_plane.kubeconfig(token.trim(), None))
}

/// Waits until `url` answers with success.
async fn wait_until_ready(engine: &ProcessGuard, client: &reqwest::Client, url: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        let why = match client.get(url).timeout(Duration::from_secs(5)).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("{url} answers {}", answer.status()),
            Err(error) => Error::http(format!("ask {url}"), error).to_string(),
        };
        if let Some(exit) = engine.exit() {
            return Err(Error::Ended { name: engine.name().to_owned(), exit, log: engine.log_tail(20) });
        }
        if begin.elapsed() > READY_TIMEOUT {
            let (name, waited) = (engine.name().to_owned(), begin.elapsed());
            return Err(Error::NotReady { name, waited, why, log: engine.log_tail(20) });
        }
        tokio::time::sleep(POLL).await;
    }
}
