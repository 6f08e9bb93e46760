//! A Git repository with tenants that Flux syncs, by the Kustomization that `deploy/gitops` ships.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::{Engines, Org, Scene, Variant, World, eventually, path};

/// What ships for Flux.
const SHIPPED: &str = "deploy/gitops/flux-kustomizations.yaml";
/// The namespace of Flux's own objects.
const FLUX: &str = "flux-system";
/// How soon Flux tries again; the shipped ten minutes are longer than a test.
pub const INTERVAL: &str = "2s";
/// How long Flux waits for health, or for the end of a deletion: the least that it takes. Five minutes ship.
pub const TIMEOUT: &str = "30s";
/// How long a test waits for Flux, which may have to wait in vain first.
const PATIENCE: Duration = Duration::from_mins(2);

/// A repository, the Kustomization of its tenants, and a test's own database.
pub struct Repository {
    pub scene: Scene,
    pub engines: Arc<Engines>,
}

/// Rows outside the plan that refer to a tenant and so block its deletion.
pub async fn contract(scene: &Scene, key: &str) {
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{key}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
}

/// The Kustomization that ships under this name.
pub fn shipped(name: &str) -> Value {
    let text = std::fs::read_to_string(path(SHIPPED)).expect("the file that ships");
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("a manifest"))
        .find(|manifest| manifest["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("{SHIPPED} has no Kustomization {name}"))
}

impl Repository {
    /// An empty repository, and no Kustomization yet.
    pub async fn new(world: &World, variant: Variant) -> Self {
        let engines = world.engines().await;
        let scene = Scene::new(engines.world.clone(), variant).await;
        Self { scene, engines }
    }

    /// Name of the `GitRepository` and of the Kustomization of the tenants.
    fn name(&self) -> &str {
        &self.scene.class
    }

    /// Pushes a commit with these tenants and nothing else. Returns its revision.
    pub async fn commit(&self, orgs: &[Org]) -> String {
        let mut files: Vec<_> =
            orgs.iter().map(|org| (format!("examples/platform/{}.yaml", org.name()), org.yaml())).collect();
        // Git keeps no empty directory.
        files.push(("examples/platform/kustomization.yaml".to_owned(), kustomization(orgs)));
        files.push(("witness/witness.yaml".to_owned(), self.witness()));
        let flux = self.engines.flux().await;
        flux.commit(self.scene.world.control_plane(), self.name(), &files).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Something that another Kustomization of the same repository applies.
    fn witness(&self) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: witness-{}, namespace: {FLUX}}}\ndata: {{a: b}}\n",
            self.name()
        )
    }

    /// Applies the Kustomization that ships, with the names of this test and a short interval, and with these changes of `spec`.
    pub async fn sync_with(&self, changes: &Value) {
        let mut manifest = shipped("organizations");
        // The operator is another Kustomization, which these tests do not need: theirs runs beside Flux.
        manifest["spec"].as_object_mut().expect("a spec").remove("dependsOn");
        manifest["spec"]["interval"] = json!(INTERVAL);
        self.apply(self.name(), manifest, changes).await;
    }

    /// The same without changes.
    pub async fn sync(&self) {
        self.sync_with(&json!({})).await;
    }

    /// Another Kustomization of the same repository, to see that Flux has noticed a commit.
    pub async fn witnessed(&self) {
        let mut manifest = shipped("organizations");
        manifest["spec"] = json!({"interval": INTERVAL, "path": "./witness", "prune": true});
        self.apply(&format!("{}-witness", self.name()), manifest, &json!({})).await;
    }

    async fn apply(&self, name: &str, mut manifest: Value, changes: &Value) {
        manifest["metadata"]["name"] = json!(name);
        manifest["spec"]["sourceRef"] = json!({"kind": "GitRepository", "name": self.name()});
        for (field, value) in changes.as_object().expect("changes") {
            manifest["spec"][field] = value.clone();
        }
        let file = self.scene.file(&format!("kustomization-{name}.json"), &manifest.to_string());
        self.scene.ok(&["apply", "-f", &file]).await;
    }

    /// Changes the Kustomization of the tenants: `suspend`, for example.
    pub async fn patch(&self, spec: &Value) {
        let body = json!({"spec": spec}).to_string();
        self.scene.ok(&["patch", "kustomization", self.name(), "-n", FLUX, "--type=merge", "-p", &body]).await;
    }

    /// Deletes the Kustomization of the tenants, without waiting.
    pub async fn delete(&self) {
        self.scene.ok(&["delete", "kustomization", self.name(), "-n", FLUX, "--wait=false"]).await;
    }

    /// What Flux shows of the Kustomization of the tenants; `None` if there is none.
    pub async fn shown(&self) -> Option<Shown> {
        self.shown_of(self.name()).await
    }

    /// What Flux shows of any Kustomization.
    pub async fn shown_of(&self, name: &str) -> Option<Shown> {
        let text = self.scene.ok(&["get", "kustomization", name, "-n", FLUX, "--ignore-not-found", "-o", "json"]).await;
        (!text.trim().is_empty()).then(|| Shown(serde_json::from_str(&text).expect("a Kustomization")))
    }

    /// Waits until the Kustomization of the tenants is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Shown) -> bool) -> Shown {
        self.until_of(self.name(), what, wanted).await
    }

    /// Waits until a Kustomization is as wanted.
    pub async fn until_of(&self, name: &str, what: &str, wanted: impl Fn(&Shown) -> bool) -> Shown {
        let last = std::sync::Mutex::new(String::new());
        let found = async {
            loop {
                let shown = self.shown_of(name).await;
                if let Some(shown) = &shown
                    && wanted(shown)
                {
                    return shown.clone();
                }
                *last.lock().expect("a lock") = shown.map_or_else(|| "nothing".to_owned(), |s| format!("{:#}", s.0));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("waited in vain for: {what}; last seen: {}", last.lock().expect("a lock")))
    }

    /// Waits until Flux says that it has applied a commit.
    pub async fn applied(&self, revision: &str) -> Shown {
        self.until(&format!("{revision} applied"), |s| s.applied() == revision && s.is_ready("True")).await
    }

    /// Waits until the other Kustomization has applied a commit, so that Flux knows it.
    pub async fn noticed(&self, revision: &str) {
        let name = format!("{}-witness", self.name());
        self.until_of(&name, "the commit is noticed", |s| s.applied() == revision && s.is_ready("True")).await;
    }

    /// Waits until Flux has let the Kustomization of the tenants go.
    pub async fn left(&self) {
        eventually("the Kustomization is gone", || async { self.shown().await.is_none().then_some(()) }).await;
    }
}

fn kustomization(orgs: &[Org]) -> String {
    let resources: Vec<String> = orgs.iter().map(|org| format!("{}.yaml", org.name())).collect();
    let manifest =
        json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources});
    manifest.to_string()
}

/// What Flux shows of a Kustomization: `flux get kustomizations`.
#[derive(Clone, Debug)]
pub struct Shown(pub Value);

impl Shown {
    /// The last revision that was applied.
    pub fn applied(&self) -> &str {
        self.0["status"]["lastAppliedRevision"].as_str().unwrap_or_default()
    }

    fn ready(&self) -> &Value {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or(&Value::Null)
    }

    /// Whether the condition Ready, for the present generation, has this status.
    pub fn is_ready(&self, status: &str) -> bool {
        let ready = self.ready();
        ready["status"] == status && ready["observedGeneration"] == self.0["metadata"]["generation"]
    }

    /// The reason of the condition Ready.
    pub fn reason(&self) -> &str {
        self.ready()["reason"].as_str().unwrap_or_default()
    }

    /// The message of the condition Ready.
    pub fn message(&self) -> &str {
        self.ready()["message"].as_str().unwrap_or_default()
    }

    /// Ids of the objects that Flux takes for its own.
    pub fn inventory(&self) -> Vec<&str> {
        let entries = self.0["status"]["inventory"]["entries"].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry["id"].as_str()).collect()
    }
}
