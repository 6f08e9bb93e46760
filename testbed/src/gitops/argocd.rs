//! Argo CD's engine. The program that runs it is `testbed/gitops/argocd`: it syncs as Argo CD's application controller does, and
//! lets a test say what a commit contains.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{identity, wait_until_ready};
use crate::control_plane::ControlPlane;
use crate::error::{Error, Result};
use crate::http;
use crate::ports::free_port;
use crate::process_guard::{ProcessGuard, Signal};
use crate::programs::{Program, locate};
use crate::progress::Progress;
use crate::scratch::Scratch;

/// Argo CD's engine. It ends when dropped.
#[derive(Debug)]
pub struct ArgoCd {
    // The engine ends before its directory is removed: the order of the fields counts.
    _engine: ProcessGuard,
    client: reqwest::Client,
    url: String,
    _scratch: Scratch,
}

/// What an Application is synced to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ArgoCdCommit {
    /// The manifests, in YAML.
    pub manifests: String,
    /// The Application's `syncOptions`.
    pub options: Vec<String>,
    /// Whether the sync prunes.
    pub prune: bool,
    /// Whether the sync uses force.
    pub force: bool,
}

/// What Argo CD shows of an Application.
#[derive(Clone, Debug, Deserialize)]
pub struct Application {
    /// The phase of its last operation: `Running`, `Succeeded`, `Failed`, `Error`; empty before the first.
    pub phase: String,
    /// The message of its last operation.
    pub message: String,
    /// The objects of its last operation.
    #[serde(default, deserialize_with = "nullable")]
    pub resources: Vec<SyncedObject>,
    /// The worst health of its objects.
    pub health: String,
    /// The health of each of its objects that has one.
    #[serde(default, deserialize_with = "nullable")]
    pub objects: Vec<ObjectHealth>,
}

/// What an operation did to one object.
#[derive(Clone, Debug, Deserialize)]
pub struct SyncedObject {
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// `Synced`, `SyncFailed`, `Pruned`, `PruneSkipped`.
    pub status: String,
    /// The phase of the operation on this object.
    pub phase: String,
    /// What the engine says of it.
    pub message: String,
}

/// The health of one object of an Application.
#[derive(Clone, Debug, Deserialize)]
pub struct ObjectHealth {
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The version of the object that the engine knows, as in `metadata.resourceVersion`.
    pub version: String,
    /// The verdict.
    #[serde(flatten)]
    pub health: Health,
}

/// A verdict of a health script, or of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    pub status: String,
    /// What it says.
    #[serde(default)]
    pub message: String,
}

/// Go writes an empty list as null.
fn nullable<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ArgoCd {
    /// Finds the engine, and builds it first if need be; also kube-controller-manager, without whose garbage collector no
    /// object goes that is deleted in the foreground, as Argo CD deletes.
    ///
    /// # Errors
    ///
    /// Fails when one of them can be neither found nor built; the message says what to do.
    pub async fn prepare(progress: &Progress) -> Result<()> {
        locate(Program::ControllerManager, progress).await?;
        locate(Program::ArgoCdEngine, progress).await.map(|_| ())
    }

    /// Starts the engine with a ServiceAccount of its own and `argocd-cm` in a file, and waits until it has read
    /// the cluster. Also starts the garbage collector.
    ///
    /// # Errors
    ///
    /// Fails when a program cannot be had, or does not become ready; the message shows its log.
    pub async fn start(control_plane: &ControlPlane, config_map: &Path) -> Result<Self> {
        control_plane.start_controller_manager().await?;
        let program = locate(Program::ArgoCdEngine, &Progress::default()).await?;
        let scratch = Scratch::new("argocd")?;
        let kubeconfig = scratch.join("kubeconfig");
        let identity = identity(control_plane, &scratch, "argocd", "argocd-application-controller").await?;
        fs::write(&kubeconfig, identity).map_err(Error::file("write", &kubeconfig))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let engine = ProcessGuard::program(program, scratch.join("argocd-engine.log"))
            .args([option("kubeconfig", &kubeconfig), option("argocd-cm", config_map)])
            .arg(format!("--listen={address}"))
            .stop_with(Signal::Kill, Duration::from_secs(1))
            .start()?;
        let (client, url) = (http::client()?, format!("http://{address}"));
        wait_until_ready(&engine, &client, &format!("{url}/healthz")).await?;
        Ok(Self { _engine: engine, client, url, _scratch: scratch })
    }

    /// Begins a sync of an Application.
    ///
    /// # Errors
    ///
    /// Fails when another sync of it is running.
    pub async fn sync(&self, application: &str, commit: &ArgoCdCommit) -> Result<()> {
        let body = serde_json::to_vec(commit).map_err(|error| Error::Engine { why: error.to_string() })?;
        self.post(&format!("applications/{application}/sync"), body).await.map(|_| ())
    }

    /// What Argo CD shows of an Application now.
    ///
    /// # Errors
    ///
    /// Fails when the engine cannot say.
    pub async fn application(&self, name: &str) -> Result<Application> {
        let doing = || format!("ask {}/applications/{name}", self.url);
        let request = self.client.get(format!("{}/applications/{name}", self.url));
        parse(&answer(request, doing).await?)
    }

    /// Confirms what the running sync wants to have confirmed: the button, or the annotation
    /// `argocd.argoproj.io/deletion-approved` on the Application.
    ///
    /// # Errors
    ///
    /// Fails when the engine does not answer.
    pub async fn approve(&self, application: &str) -> Result<()> {
        self.post(&format!("applications/{application}/approve"), Vec::new()).await.map(|_| ())
    }

    /// The health that Argo CD shows for an object, given as JSON. Returns `None` if it has no opinion.
    ///
    /// # Errors
    ///
    /// Fails when the object is none, or its health script fails.
    pub async fn health(&self, object: &str) -> Result<Option<Health>> {
        parse(&self.post("health", object.as_bytes().to_vec()).await?)
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<String> {
        let doing = || format!("post to {}/{path}", self.url);
        answer(self.client.post(format!("{}/{path}", self.url)).body(body), doing).await
    }
}

/// The text of an answer; an error if the engine refuses.
async fn answer(request: reqwest::RequestBuilder, doing: impl Fn() -> String) -> Result<String> {
    let answer = request.send().await.map_err(|source| Error::http(doing(), source))?;
    let refused = !answer.status().is_success();
    let text = answer.text().await.map_err(|source| Error::http(doing(), source))?;
    if refused { Err(Error::Engine { why: text.trim().to_owned() }) } else { Ok(text) }
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Engine { why: format!("{error}: {text}") })
}
