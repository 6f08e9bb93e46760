//! "I install with Flux": both Kustomizations that `deploy/gitops` ships, with the manifests that ship, from the first commit to
//! the end.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::definition;
use super::repository::{INTERVAL, Repository, shipped};
use crate::support::{Engines, Need, Scene, Variant, World, eventually, path};
use crate::tests;

tests![needs Need::Flux; the_kustomizations_that_ship_install_upgrade_and_go];

/// The Deployment, which no kubelet runs here.
const DEPLOYMENT: [&str; 4] = ["deployment", "organization-operator", "-n", "organization-operator-system"];

/// All files below a directory of the project, by their paths from its root.
fn files_below(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(directory)).expect("a directory") {
        let name = format!("{directory}/{}", entry.expect("an entry").file_name().to_string_lossy());
        if Path::new(&path(&name)).is_dir() {
            found.extend(files_below(&name));
        } else {
            found.push((name.clone(), std::fs::read_to_string(path(&name)).expect("text")));
        }
    }
    found
}

/// A commit of the platform's repository: this project, and the tenants.
async fn commit(repository: &Repository, definition: String, tenants: &[(String, String)]) -> String {
    let mut files = [files_below("deploy"), files_below("crds")].concat();
    for (file, content) in &mut files {
        if file == definition::FILE {
            content.clone_from(&definition);
        }
    }
    files.extend_from_slice(tenants);
    let control_plane = repository.scene.world.control_plane();
    let flux = repository.engines.flux().await;
    flux.commit(control_plane, "platform", &files).await.unwrap_or_else(|e| panic!("{e}"))
}

/// Says what a kubelet and the controller of Deployments would say of one that runs.
async fn play_kubelet(scene: &Scene) {
    let deployment: Value = eventually("Flux has applied the Deployment", || async {
        let output = scene.kubectl(&[&["get"][..], &DEPLOYMENT, &["-o", "json"]].concat()).await;
        serde_json::from_slice::<Value>(&output.stdout).ok()
    })
    .await;
    let replicas = &deployment["spec"]["replicas"];
    let condition = |kind: &str, reason: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastUpdateTime": null,
               "lastTransitionTime": null})
    };
    let status = json!({"status": {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        "conditions": [condition("Available", "MinimumReplicasAvailable"), condition("Progressing", "NewReplicaSetAvailable")],
    }});
    let body = status.to_string();
    scene.ok(&[&["patch"][..], &DEPLOYMENT, &["--subresource=status", "--type=merge", "-p", &body]].concat()).await;
}

async fn the_kustomizations_that_ship_install_upgrade_and_go(world: Arc<World>) {
    // A cluster of its own: its operator is uninstalled in the end.
    let engines = Arc::new(Engines::new(world.apart().await));
    let scene = Scene::new(engines.world.clone(), Variant::Platform).await;
    let repository = Repository { scene, engines };
    let scene = &repository.scene;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let operator = scene.start().await;
    let orgs = [scene.org("acme", &acme).policy("Delete"), scene.org("globex", &globex)];
    let tenants: Vec<_> = orgs.iter().map(|o| (format!("examples/platform/{}.yaml", o.name()), o.yaml())).collect();

    // The first commit, with an earlier definition.
    let revision = commit(&repository, definition::earlier(), &tenants).await;
    for name in ["organization-operator", "organizations"] {
        let mut manifest = shipped(name);
        manifest["spec"]["interval"] = json!(INTERVAL);
        let file = scene.file(&format!("{name}.json"), &manifest.to_string());
        scene.ok(&["apply", "-f", &file]).await;
    }
    // The tenants wait for the operator, and the operator's Kustomization for its Deployment.
    repository.until_of("organizations", "the dependency", |s| s.reason() == "DependencyNotReady").await;
    assert!(scene.get("acme").await.is_none());
    play_kubelet(scene).await;
    for name in ["organization-operator", "organizations"] {
        repository.until_of(name, "applied", |s| s.applied() == revision && s.is_ready("True")).await;
    }
    assert!(!definition::has_new_field(&scene.world).await, "the earlier definition is not in effect");
    let before = (scene.uid("acme").await, scene.uid("globex").await, scene.rows(&acme).await);

    // The upgrade.
    let revision = commit(&repository, definition::present(), &tenants).await;
    for name in ["organization-operator", "organizations"] {
        repository.until_of(name, "applied", |s| s.applied() == revision && s.is_ready("True")).await;
    }
    assert!(definition::has_new_field(&scene.world).await);
    let spec = format!(r#"{{"{}":"2099-01-01T00:00:00Z"}}"#, definition::NEW_FIELD);
    scene.patch("globex", &spec).await;
    let seen = scene.ready("globex").await;
    assert!(seen.0.spec.expiration_time.is_some(), "{}", seen.yaml());
    assert!(scene.ready("acme").await.status().inventory.is_some());
    assert_eq!((scene.uid("acme").await, scene.uid("globex").await, scene.rows(&acme).await), before);

    // Both Kustomizations go, the operator's with its prune: the tenants and their definition stay.
    scene.ok(&["delete", "kustomization", "organizations", "-n", "flux-system", "--timeout=60s"]).await;
    scene.ok(&["delete", "kustomization", "organization-operator", "-n", "flux-system", "--timeout=60s"]).await;
    eventually("the operator's Deployment is gone", || async {
        (!scene.kubectl(&[&["get"][..], &DEPLOYMENT].concat()).await.status.success()).then_some(())
    })
    .await;
    for name in ["acme", "globex"] {
        let seen = scene.get(name).await.expect("the object");
        assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    }
    assert_eq!((scene.uid("acme").await, scene.uid("globex").await, scene.rows(&acme).await), before);
    assert_eq!(scene.ledger().await, []);
    // It has lost its ServiceAccount, and ends as it would in a cluster.
    operator.signal(testbed::Signal::Kill);
}
