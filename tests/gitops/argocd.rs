//! "Argo CD syncs my tenants": Argo CD's own engine, with the options of the Application and the health script that
//! `deploy/gitops` ships.

use std::sync::Arc;

use serde_json::{Value, json};
use testbed::{Application, ArgoCdCommit};

use crate::support::{Engines, Need, Operator, Org, PATIENCE, Scene, Variant, World, path};
use crate::tests;

tests![needs Need::ArgoCd;
    a_manifest_that_is_removed_erases_and_the_sync_waits_for_it,
    a_rename_in_one_commit_erases_nobody,
    a_rename_in_one_commit_without_prune_last_erases_nobody,
    a_rename_that_adds_first_erases_nobody,
    a_rename_that_removes_first_needs_the_first_sync_to_end,
    a_blocked_deletion_of_a_removed_manifest_holds_the_sync,
    a_blocked_deletion_of_what_git_still_has_is_pending_deletion,
    pruning_waits_for_a_confirmation_where_the_object_asks_for_it,
    an_object_that_must_not_be_pruned_stays,
    force_replaces_no_object_whose_identity_changes,
    replace_is_refused,
];

/// What ships for Argo CD.
const SHIPPED: &str = "deploy/gitops/argocd-application.yaml";

/// An Application of a test's own, as it ships.
struct Tenants {
    scene: Scene,
    engines: Arc<Engines>,
    options: Vec<String>,
}

impl Tenants {
    async fn new(world: &World) -> Self {
        let engines = world.engines().await;
        let scene = Scene::new(engines.world.clone(), Variant::Platform).await;
        let text = std::fs::read_to_string(path(SHIPPED)).expect("the file that ships");
        let shipped: Value = serde_yaml::from_str(&text).expect("a manifest");
        let policy = &shipped["spec"]["syncPolicy"];
        assert_eq!(policy["automated"]["prune"], true);
        let options = serde_json::from_value(policy["syncOptions"].clone()).expect("options");
        Self { scene, engines, options }
    }

    /// Argo CD sees a new commit with these tenants and nothing else, and begins to sync it.
    async fn commit(&self, orgs: &[Org]) {
        let manifests: Vec<String> = orgs.iter().map(Org::yaml).collect();
        let commit = ArgoCdCommit {
            manifests: manifests.join("---\n"),
            options: self.options.clone(),
            prune: true,
            force: self.options.iter().any(|option| option == "Force=true"),
        };
        self.engines.argocd().await.sync(&self.scene.class, &commit).await.unwrap_or_else(|e| panic!("{e}"));
    }

    async fn shown(&self) -> Application {
        self.engines.argocd().await.application(&self.scene.class).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Waits until Argo CD shows what is wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Application) -> bool) -> Application {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let shown = self.shown().await;
            if wanted(&shown) {
                return shown;
            }
            assert!(std::time::Instant::now() < end, "waited in vain for: {what}; last seen: {shown:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Waits until the sync has succeeded.
    async fn succeeded(&self) -> Application {
        self.until("the sync succeeds", |a| {
            assert!(!["Failed", "Error"].contains(&a.phase.as_str()), "{a:#?}");
            a.phase == "Succeeded"
        })
        .await
    }

    /// Waits until the sync has failed.
    async fn failed(&self) -> Application {
        self.until("the sync fails", |a| {
            assert_ne!(a.phase, "Succeeded", "{a:#?}");
            a.phase == "Failed"
        })
        .await
    }

    /// What the sync waits for.
    fn waiting_for(&self, what: &str, name: &str) -> String {
        format!("waiting for {what} organization-operator.io/Organization/{}", self.scene.name(name))
    }
}

fn org(scene: &Scene, name: &str, key: &str) -> Org {
    scene.org(name, key).policy("Delete")
}

/// A tenant of this key, synced as `name`, and an operator that waits so many seconds for a successor.
async fn synced(world: &World, name: &str, handover_seconds: u32) -> (Tenants, String, Operator) {
    let tenants = Tenants::new(world).await;
    let scene = &tenants.scene;
    let acme = scene.key(0xacde);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("handoverSeconds", json!(handover_seconds)).start().await;
    tenants.commit(&[org(scene, name, &acme)]).await;
    tenants.succeeded().await;
    scene.ready(name).await;
    tenants.until("healthy", |a| a.health == "Healthy").await;
    (tenants, acme, operator)
}

/// Rows outside the plan that refer to the tenant.
async fn contract(scene: &Scene, key: &str) {
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{key}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
}

async fn a_manifest_that_is_removed_erases_and_the_sync_waits_for_it(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let uid = scene.uid("acme").await;
    tenants.commit(&[org(scene, "globex", &globex)]).await;
    let shown = tenants.succeeded().await;
    // Argo CD waits until the object is gone; so whoever sees the sync succeed knows that the tenant is erased.
    assert!(scene.get("acme").await.is_none(), "{shown:#?}");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
    let pruned = shown.resources.iter().find(|r| r.name == scene.name("acme")).expect("the object in the result");
    assert_eq!((pruned.status.as_str(), pruned.message.as_str()), ("Pruned", "pruned"), "{shown:#?}");
    assert!(scene.ready("globex").await.0.metadata.deletion_timestamp.is_none());
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].object_uid.as_str()), ("Erased", uid.as_str()));
    assert_eq!(ledger[0].policy_manager.as_deref(), Some("argocd-controller"), "who set the policy");
    operator.stop().await;
}

/// The new object has the tenant, and nothing happened to it.
async fn handed_over(scene: &Scene, acme: &str, rows: &[(String, i64)], old: &str) {
    scene.gone("old").await;
    let new = scene.ready("new").await;
    assert_eq!(scene.owner(acme).await, new.0.metadata.uid, "the new object owns the organization");
    assert_eq!(scene.rows(acme).await, rows, "something was erased");
    assert!(scene.active(acme).await, "it was deactivated");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].object_uid.as_str()), ("Transferred", old), "{ledger:?}");
}

async fn a_rename_in_one_commit_erases_nobody(world: Arc<World>) {
    // Not even where the operator does not wait for a successor: with `PruneLast=true` the new object exists first.
    let (tenants, acme, operator) = synced(&world, "old", 0).await;
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

async fn a_rename_in_one_commit_without_prune_last_erases_nobody(world: Arc<World>) {
    // Argo CD then prunes first, and creates at once: the operator waits for that.
    let (mut tenants, acme, operator) = synced(&world, "old", 3600).await;
    tenants.options.retain(|option| option != "PruneLast=true");
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

async fn a_rename_that_adds_first_erases_nobody(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "old", 0).await;
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[org(scene, "old", &acme), org(scene, "new", &acme)]).await;
    scene.until("new", "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    tenants.until("degraded", |a| a.health == "Degraded").await;
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

async fn a_rename_that_removes_first_needs_the_first_sync_to_end(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "old", 3600).await;
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[]).await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    // The sync ends with the object, and a second one does not begin before: the new object would come too late.
    let waiting = tenants.waiting_for("deletion of", "old");
    tenants.until("the sync waits", |a| a.phase == "Running" && a.message == waiting).await;
    let argocd = tenants.engines.argocd().await;
    let second = argocd.sync(&scene.class, &ArgoCdCommit::default()).await.expect_err("one sync at a time");
    assert!(second.to_string().contains("another operation is already in progress"), "{second}");

    argocd.terminate(&scene.class).await.expect("the sync ends");
    tenants.failed().await;
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

async fn a_blocked_deletion_of_a_removed_manifest_holds_the_sync(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    contract(scene, &acme).await;
    tenants.commit(&[]).await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    let waiting = tenants.waiting_for("deletion of", "acme");
    let shown = tenants.until("the sync waits", |a| a.phase == "Running" && a.message == waiting).await;
    // No script is run for it.
    assert_eq!(shown.health, "Progressing", "{shown:#?}");
    assert_eq!(shown.objects[0].health.message, "Pending deletion", "{shown:#?}");
    assert!(scene.total(&acme).await > 0, "something was erased");

    scene.sql("DELETE FROM contracts").await;
    tenants.succeeded().await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn a_blocked_deletion_of_what_git_still_has_is_pending_deletion(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    contract(scene, &acme).await;
    let first = scene.uid("acme").await;
    scene.delete("acme").await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    let shown = tenants.until("pending deletion", |a| a.health == "Progressing").await;
    assert_eq!(shown.objects[0].health.message, "Pending deletion", "{shown:#?}");

    // The way out in Git: Argo CD applies the policy to the terminating object, and the next sync creates it again.
    let rows = scene.rows(&acme).await;
    let kept = [org(scene, "acme", &acme).policy("Retain")];
    tenants.commit(&kept).await;
    scene.until("acme", "another object, or none", |s| s.0.metadata.uid.as_ref() != Some(&first)).await;
    operator.stop().await;
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
}

/// An object that asks Argo CD for something.
fn asking(scene: &Scene, name: &str, key: &str, option: &str) -> Org {
    org(scene, name, key).annotation("argocd.argoproj.io/sync-options", option)
}

async fn pruning_waits_for_a_confirmation_where_the_object_asks_for_it(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    tenants.commit(&[asking(scene, "acme", &acme, "Prune=confirm")]).await;
    tenants.succeeded().await;
    tenants.commit(&[]).await;
    let waiting = tenants.waiting_for("pruning confirmation of", "acme");
    tenants.until("the sync waits for a person", |a| a.phase == "Running" && a.message == waiting).await;
    let seen = scene.get("acme").await.expect("the object");
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());

    tenants.engines.argocd().await.approve(&scene.class).await.expect("approved");
    tenants.succeeded().await;
    assert!(scene.get("acme").await.is_none());
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn an_object_that_must_not_be_pruned_stays(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    tenants.commit(&[asking(scene, "acme", &acme, "Prune=false")]).await;
    tenants.succeeded().await;
    tenants.commit(&[]).await;
    let shown = tenants.succeeded().await;
    let pruned = shown.resources.iter().find(|r| r.name == scene.name("acme")).expect("the object in the result");
    assert_eq!((pruned.status.as_str(), pruned.message.as_str()), ("PruneSkipped", "ignored (no prune)"), "{shown:#?}");
    let seen = scene.ready("acme").await;
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    operator.stop().await;
}

/// Syncs a change of what must not change, and expects that the object is as it was.
async fn refused(tenants: &Tenants, edited: Org, words: &str) {
    let scene = &tenants.scene;
    let uid = scene.uid("acme").await;
    tenants.commit(&[edited]).await;
    let shown = tenants.failed().await;
    let result = shown.resources.iter().find(|r| r.name == scene.name("acme")).expect("the object in the result");
    assert_eq!(result.status, "SyncFailed", "{shown:#?}");
    assert!(result.message.contains(words), "{shown:#?}");
    let seen = scene.get("acme").await.expect("the object");
    assert_eq!(seen.0.metadata.uid, Some(uid), "deleted and created again: {}", seen.yaml());
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "being deleted: {}", seen.yaml());
}

async fn force_replaces_no_object_whose_identity_changes(world: Arc<World>) {
    let (mut tenants, acme, operator) = synced(&world, "acme", 0).await;
    tenants.scene.admission("acme").await;
    let rows = tenants.scene.rows(&acme).await;
    for server_side in [true, false] {
        if !server_side {
            tenants.options.retain(|option| option != "ServerSideApply=true");
        }
        let options = tenants.options.clone();
        let scene = &tenants.scene;
        let another = scene.key(2);
        let by_annotation = asking(scene, "acme", &another, "Force=true");
        refused(&tenants, by_annotation, "spec.organizationId must not change").await;
        let by_option = org(&tenants.scene, "acme", &acme).spec("database", json!("another"));
        tenants.options.push("Force=true".to_owned());
        refused(&tenants, by_option, "spec.database must not change").await;
        tenants.options = options;
    }
    assert_eq!(tenants.scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(tenants.scene.ledger().await, []);
    operator.stop().await;
}

async fn replace_is_refused(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    scene.admission("acme").await;
    // A replacement has no finalizers.
    let edited = asking(scene, "acme", &acme, "Replace=true").state("Active");
    refused(&tenants, edited, "finalizer").await;
    operator.stop().await;
}
