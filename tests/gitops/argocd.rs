//! "Argo CD syncs my tenants": Argo CD's own engine, with the options of the Application and the health script that
//! `deploy/gitops` ships.

use std::sync::Arc;

use serde_json::{Value, json};
use testbed::{Application, ArgoCdCommit};

use super::definition;
use super::repository::contract;
use crate::support::{Engines, Need, Operator, Org, PATIENCE, Scene, Seen, Variant, World, eventually, path};
use crate::tests;

tests![needs Need::ArgoCd;
    a_manifest_that_is_removed_erases,
    a_rename_in_one_commit_erases_nobody,
    a_rename_that_adds_first_erases_nobody,
    a_rename_that_removes_first_erases_nobody,
    with_prune_last_a_rename_does_not_end_and_erases_nobody,
    a_blocked_deletion_of_a_removed_manifest_is_pending_deletion,
    a_blocked_deletion_of_what_git_still_has_is_pending_deletion,
    a_blocked_deletion_holds_a_sync_of_several_waves,
    pruning_waits_for_a_confirmation_where_the_object_asks_for_it,
    an_object_that_must_not_be_pruned_stays,
    force_replaces_no_object_whose_identity_changes,
    what_replace_strips_the_operator_adds_again,
    a_definition_is_upgraded_in_place_and_never_pruned,
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
        Self::on(world.engines().await).await
    }

    async fn on(engines: Arc<Engines>) -> Self {
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

    /// Waits until Argo CD knows the newest version of an object. Its cache lags a moment behind the cluster.
    async fn knows(&self, name: &str) {
        let version = self.scene.ready(name).await.0.metadata.resource_version.expect("a version");
        self.until("the newest version", |a| a.objects.iter().any(|o| o.version == version)).await;
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

async fn a_manifest_that_is_removed_erases(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let uid = scene.uid("acme").await;
    tenants.commit(&[org(scene, "globex", &globex)]).await;
    let shown = tenants.succeeded().await;
    let pruned = shown.resources.iter().find(|r| r.name == scene.name("acme")).expect("the object in the result");
    assert_eq!((pruned.status.as_str(), pruned.message.as_str()), ("Pruned", "pruned"), "{shown:#?}");
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
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
    // Argo CD prunes first, and creates at once: the operator waits for that.
    let (tenants, acme, operator) = synced(&world, "old", 3600).await;
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

/// What an earlier version of `deploy/gitops` had.
async fn with_prune_last_a_rename_does_not_end_and_erases_nobody(world: Arc<World>) {
    let (mut tenants, acme, operator) = synced(&world, "old", 0).await;
    assert!(!tenants.options.iter().any(|option| option.starts_with("PruneLast")), "{:?}", tenants.options);
    tenants.options.push("PruneLast=true".to_owned());
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    // Argo CD prunes when all else is healthy, and the new object is not before the old one is gone.
    let renamed = [org(scene, "new", &acme)];
    tenants.commit(&renamed).await;
    let shown = tenants.failed().await;
    assert_eq!(shown.message, "one or more synchronization tasks completed unsuccessfully", "{shown:#?}");
    assert_eq!(
        scene.until("new", "refused", |s| !s.reason("Ready").is_empty()).await.reason("Ready"),
        "OrganizationClaimed"
    );
    assert!(scene.ready("old").await.0.metadata.deletion_timestamp.is_none());
    assert_eq!(scene.rows(&acme).await, rows, "something was erased");

    tenants.options.retain(|option| option != "PruneLast=true");
    let scene = &tenants.scene;
    tenants.commit(&renamed).await;
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

async fn a_rename_that_removes_first_erases_nobody(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "old", 3600).await;
    let scene = &tenants.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    tenants.commit(&[]).await;
    tenants.succeeded().await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    tenants.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    tenants.succeeded().await;
    operator.stop().await;
}

async fn a_blocked_deletion_of_a_removed_manifest_is_pending_deletion(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    contract(scene, &acme).await;
    tenants.commit(&[]).await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    // The sync has succeeded: it deletes, and does not wait. The object stays in the Application; no script is run for it.
    tenants.succeeded().await;
    let shown = tenants.until("pending deletion", |a| a.health == "Progressing").await;
    assert_eq!(shown.objects[0].health.message, "Pending deletion", "{shown:#?}");
    // The next sync changes nothing.
    tenants.commit(&[]).await;
    tenants.succeeded().await;
    assert!(scene.total(&acme).await > 0, "something was erased");

    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    tenants.until("nothing is left", |a| a.objects.is_empty() && a.health == "Healthy").await;
    operator.stop().await;
}

async fn a_blocked_deletion_holds_a_sync_of_several_waves(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    contract(scene, &acme).await;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    let later = org(scene, "globex", &globex).annotation("argocd.argoproj.io/sync-wave", "1");
    tenants.commit(&[later]).await;
    let waiting = tenants.waiting_for("deletion of", "acme");
    tenants.until("the sync waits", |a| a.phase == "Running" && a.message == waiting).await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    assert!(scene.get("globex").await.is_none(), "the next wave has begun");
    // Nor does Argo CD begin with another commit.
    let argocd = tenants.engines.argocd().await;
    let second = argocd.sync(&scene.class, &ArgoCdCommit::default()).await.expect_err("one sync at a time");
    assert!(second.to_string().contains("another operation is already in progress"), "{second}");

    scene.sql("DELETE FROM contracts").await;
    tenants.succeeded().await;
    scene.ready("globex").await;
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
    tenants.succeeded().await;
    eventually("the old object is gone", || async {
        (scene.get("acme").await.and_then(|s| s.0.metadata.uid).as_ref() != Some(&first)).then_some(())
    })
    .await;
    tenants.commit(&kept).await;
    tenants.succeeded().await;
    let seen = scene.ready("acme").await;
    assert_ne!(seen.0.metadata.uid.as_ref(), Some(&first));
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(scene.ledger().await.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["Retained"]);
    operator.stop().await;
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
    tenants.knows("acme").await;
    tenants.commit(&[]).await;
    let waiting = tenants.waiting_for("pruning confirmation of", "acme");
    tenants.until("the sync waits for a person", |a| a.phase == "Running" && a.message == waiting).await;
    let seen = scene.get("acme").await.expect("the object");
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());

    tenants.engines.argocd().await.approve(&scene.class).await.expect("approved");
    tenants.succeeded().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn an_object_that_must_not_be_pruned_stays(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    tenants.commit(&[asking(scene, "acme", &acme, "Prune=false")]).await;
    tenants.succeeded().await;
    tenants.knows("acme").await;
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
    const EXCLUDED: &str = "--force cannot be used with --server-side";
    let (mut tenants, acme, operator) = synced(&world, "acme", 0).await;
    tenants.scene.admission("acme").await;
    let rows = tenants.scene.rows(&acme).await;
    let edits = |scene: &Scene| {
        [
            (asking(scene, "acme", &scene.key(2), "Force=true"), "spec.organizationId must not change"),
            (org(scene, "acme", &acme).spec("database", json!("another")), "spec.database must not change"),
        ]
    };
    tenants.options.push("Force=true".to_owned());
    for (edited, _) in edits(&tenants.scene) {
        refused(&tenants, edited, EXCLUDED).await;
    }
    tenants.options.retain(|option| option != "ServerSideApply=true");
    for (edited, words) in edits(&tenants.scene) {
        refused(&tenants, edited, words).await;
    }
    assert_eq!(tenants.scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(tenants.scene.ledger().await, []);
    operator.stop().await;
}

async fn what_replace_strips_the_operator_adds_again(world: Arc<World>) {
    let (tenants, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &tenants.scene;
    let (rows, uid) = (scene.rows(&acme).await, scene.uid("acme").await);
    // A replacement has no finalizers. The admission policy permits it to Argo CD, which has every right.
    tenants.commit(&[asking(scene, "acme", &acme, "Replace=true").state("Active")]).await;
    let shown = tenants.succeeded().await;
    assert!(shown.resources[0].message.ends_with("replaced"), "{shown:#?}");
    let wanted = |seen: &Seen| {
        let finalizers = seen.0.metadata.finalizers.iter().flatten().any(|f| f == "organization-operator.io/cascade");
        finalizers && seen.0.spec.state.is_some() && seen.is("Ready", "True")
    };
    let seen = scene.until("acme", "the finalizer again", wanted).await;
    assert_eq!(seen.0.metadata.uid, Some(uid), "{}", seen.yaml());
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    operator.stop().await;
}

async fn a_definition_is_upgraded_in_place_and_never_pruned(world: Arc<World>) {
    // A cluster of its own: the definition is everybody's.
    let engines = Arc::new(Engines::new(world.apart().await));
    let mut tenants = Tenants::on(engines).await;
    let scene = &tenants.scene;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    let argocd = tenants.engines.argocd().await;
    let sync = async |tenants: &Tenants, manifests: String| {
        let commit = ArgoCdCommit { manifests, options: tenants.options.clone(), prune: true, force: false };
        argocd.sync(&tenants.scene.class, &commit).await.unwrap_or_else(|e| panic!("{e}"));
        tenants.succeeded().await
    };
    sync(&tenants, definition::earlier()).await;
    assert!(!definition::has_new_field(&scene.world).await, "the earlier definition is not in effect");
    scene.apply(&org(scene, "acme", &acme)).await;
    let uid = scene.ready("acme").await.0.metadata.uid;

    // By an apply, and, for what should never be set, by `Replace=true`: Argo CD never replaces a definition.
    for replace in [false, true] {
        if replace {
            sync(&tenants, definition::earlier()).await;
            tenants.options.push("Replace=true".to_owned());
        }
        sync(&tenants, definition::present()).await;
        assert!(definition::has_new_field(&tenants.scene.world).await, "replace: {replace}");
        let seen = tenants.scene.ready("acme").await;
        assert_eq!(seen.0.metadata.uid, uid, "replace: {replace}");
        assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    }

    let shown = sync(&tenants, String::new()).await;
    assert_eq!(shown.resources[0].message, "ignored (no prune)", "{shown:#?}");
    let scene = &tenants.scene;
    assert!(scene.ready("acme").await.0.metadata.deletion_timestamp.is_none());
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}
