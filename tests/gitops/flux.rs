//! "Flux syncs my tenants": Flux's real kustomize-controller, with the Kustomization that `deploy/gitops` ships.

use std::sync::Arc;

use serde_json::json;

use super::repository::{Repository, TIMEOUT, contract};
use crate::support::{Need, Operator, Org, Scene, Variant, World};
use crate::tests;

tests![needs Need::Flux;
    a_manifest_that_is_removed_erases,
    a_rename_in_one_commit_erases_nobody,
    a_rename_that_adds_first_erases_nobody,
    a_rename_that_removes_first_erases_nobody,
    a_blocked_deletion_of_a_removed_manifest_shows_in_the_object_only,
    a_blocked_deletion_of_what_git_still_has_fails_the_kustomization,
    a_suspended_kustomization_removes_nothing,
    an_emptied_repository_erases_nobody,
    deleting_the_kustomization_as_it_ships_deletes_nobody,
    deleting_a_kustomization_that_deletes_erases,
    deleting_a_kustomization_that_waits_ends_when_all_are_erased,
    force_replaces_no_object_whose_identity_changes,
    a_recovery_window_survives_force_and_a_typo,
];

/// A manifest with policy `Delete`.
fn org(scene: &Scene, name: &str, key: &str) -> Org {
    scene.org(name, key).policy("Delete")
}

/// A tenant of this key, which is in the repository as `name`, and an operator that waits so many seconds for a successor.
async fn synced(world: &World, name: &str, handover_seconds: u32) -> (Repository, String, Operator) {
    let repository = Repository::new(world, Variant::Platform).await;
    let scene = &repository.scene;
    let acme = scene.key(0xacde);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("handoverSeconds", json!(handover_seconds)).start().await;
    let revision = repository.commit(&[org(scene, name, &acme)]).await;
    repository.sync().await;
    repository.applied(&revision).await;
    scene.ready(name).await;
    (repository, acme, operator)
}

/// Outcomes of the ledger.
async fn outcomes(scene: &Scene) -> Vec<String> {
    scene.ledger().await.into_iter().map(|row| row.outcome).collect()
}

async fn a_manifest_that_is_removed_erases(world: Arc<World>) {
    let repository = Repository::new(&world, Variant::Platform).await;
    let scene = &repository.scene;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let operator = scene.start().await;
    let both = [org(scene, "acme", &acme), org(scene, "globex", &globex)];
    let revision = repository.commit(&both).await;
    repository.sync().await;
    // `wait: true`: Flux says that it is ready when the operator says so of all of them.
    let shown = repository.applied(&revision).await;
    assert_eq!((shown.reason(), shown.inventory().len()), ("ReconciliationSucceeded", 2), "{:#}", shown.0);
    assert!(scene.get("acme").await.expect("the object").is("Ready", "True"));

    let revision = repository.commit(&both[1..]).await;
    let shown = repository.applied(&revision).await;
    assert_eq!(shown.message(), format!("Applied revision: {revision}"));
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
    assert!(scene.ready("globex").await.0.metadata.deletion_timestamp.is_none());
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].organization_key.as_str()), ("Erased", acme.as_str()));
    assert_eq!(ledger[0].policy_manager.as_deref(), Some("kustomize-controller"), "who set the policy");
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
    // Not even where the operator does not wait for a successor: Flux applies before it prunes.
    let (repository, acme, operator) = synced(&world, "old", 0).await;
    let scene = &repository.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    let revision = repository.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    let shown = repository.applied(&revision).await;
    assert_eq!(shown.inventory().len(), 1, "{:#}", shown.0);
    operator.stop().await;
}

async fn a_rename_that_adds_first_erases_nobody(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "old", 0).await;
    let scene = &repository.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    repository.commit(&[org(scene, "old", &acme), org(scene, "new", &acme)]).await;
    // Two objects for one tenant: the second one is refused, and so is the commit.
    scene.until("new", "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    let shown = repository.until("unhealthy", |s| s.is_ready("False")).await;
    assert_eq!(shown.reason(), "HealthCheckFailed", "{:#}", shown.0);
    assert!(shown.message().contains(&scene.name("new")), "{}", shown.message());

    let revision = repository.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    repository.applied(&revision).await;
    operator.stop().await;
}

async fn a_rename_that_removes_first_erases_nobody(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "old", 3600).await;
    let scene = &repository.scene;
    let (rows, old) = (scene.rows(&acme).await, scene.uid("old").await);
    let revision = repository.commit(&[]).await;
    repository.applied(&revision).await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    let revision = repository.commit(&[org(scene, "new", &acme)]).await;
    handed_over(scene, &acme, &rows, &old).await;
    repository.applied(&revision).await;
    operator.stop().await;
}

async fn a_blocked_deletion_of_a_removed_manifest_shows_in_the_object_only(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    contract(scene, &acme).await;
    let revision = repository.commit(&[]).await;
    let seen = scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    assert!(seen.message("DeletionBlocked").contains("contracts"), "{}", seen.yaml());
    // For Flux it is done: the API server has accepted the deletion.
    let shown = repository.applied(&revision).await;
    assert_eq!(shown.message(), format!("Applied revision: {revision}"));
    assert!(shown.inventory().is_empty(), "{:#}", shown.0);
    assert!(scene.total(&acme).await > 0, "something was erased");

    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn a_blocked_deletion_of_what_git_still_has_fails_the_kustomization(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    contract(scene, &acme).await;
    // Health checks and forced deletions end after that.
    repository.patch(&json!({"timeout": TIMEOUT})).await;
    let first = scene.uid("acme").await;
    scene.delete("acme").await;
    let shown = repository.until("unhealthy", |s| s.is_ready("False")).await;
    assert_eq!(shown.reason(), "HealthCheckFailed", "{:#}", shown.0);
    let object =
        format!("failed early due to stalled resources: [Organization/{} status: 'Failed']", scene.name("acme"));
    assert!(shown.message().contains(&object), "{}", shown.message());

    // The way out in Git: Flux applies the policy to the terminating object, waits in vain until its timeout for the health of
    // what is gone, and creates the object again.
    let rows = scene.rows(&acme).await;
    let revision = repository.commit(&[org(scene, "acme", &acme).policy("Retain")]).await;
    repository.applied(&revision).await;
    let seen = scene.ready("acme").await;
    assert_ne!(seen.0.metadata.uid.as_ref(), Some(&first));
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(outcomes(scene).await, ["Retained"]);
    operator.stop().await;
}

async fn a_suspended_kustomization_removes_nothing(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    repository.witnessed().await;
    repository.patch(&json!({"suspend": true})).await;
    let before = repository.shown().await.expect("the Kustomization");
    let revision = repository.commit(&[]).await;
    repository.noticed(&revision).await;
    let shown = repository.shown().await.expect("the Kustomization");
    assert_eq!(shown.applied(), before.applied(), "it was applied: {:#}", shown.0);
    let seen = scene.get("acme").await.expect("the object");
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());

    repository.patch(&json!({"suspend": false})).await;
    repository.applied(&revision).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

/// The path of a Kustomization was renamed, say: Flux prunes everything, and the operator's breaker holds it.
async fn an_emptied_repository_erases_nobody(world: Arc<World>) {
    let repository = Repository::new(&world, Variant::Platform).await;
    let scene = &repository.scene;
    let names: Vec<String> = (1..=12).map(|n| format!("o{n}")).collect();
    let keys: Vec<String> = (1..=12).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    let before = scene.others(&[]).await;
    // The breaker that ships. It counts what has been deleted when the wait for a successor ends, so Flux must be done by then.
    let launch = scene.operator().configure("handoverSeconds", json!(20)).configure("breaker", json!({}));
    let operator = launch.start().await;
    let orgs: Vec<Org> = names.iter().zip(&keys).map(|(name, key)| org(scene, name, key)).collect();
    let revision = repository.commit(&orgs).await;
    repository.sync().await;
    repository.applied(&revision).await;

    let emptied = repository.commit(&[]).await;
    repository.applied(&emptied).await;
    for name in &names {
        scene.until(name, "held by the breaker", |s| s.reason("DeletionBlocked") == "BreakerTripped").await;
    }
    assert_eq!(scene.others(&[]).await, before, "something was changed");

    // Reverted, with `Retain`, as the documentation says: all are released and created again.
    let kept: Vec<Org> = orgs.into_iter().map(|org| org.policy("Retain")).collect();
    repository.patch(&json!({"timeout": TIMEOUT})).await;
    let revision = repository.commit(&kept).await;
    repository.applied(&revision).await;
    assert_eq!(scene.others(&[]).await, before, "something was changed");
    assert_eq!(outcomes(scene).await, vec!["Retained"; 12]);
    operator.stop().await;
}

async fn deleting_the_kustomization_as_it_ships_deletes_nobody(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    let uid = scene.uid("acme").await;
    repository.delete().await;
    repository.left().await;
    let seen = scene.ready("acme").await;
    assert_eq!(seen.0.metadata.uid.as_deref(), Some(uid.as_str()));
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    assert!(scene.total(&acme).await > 0 && scene.active(&acme).await);
    operator.stop().await;
}

async fn deleting_a_kustomization_that_deletes_erases(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    contract(scene, &acme).await;
    repository.patch(&json!({"deletionPolicy": "Delete"})).await;
    repository.until("the policy is seen", |s| s.is_ready("True")).await;
    repository.delete().await;
    // Flux does not wait, however long it takes.
    repository.left().await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn deleting_a_kustomization_that_waits_ends_when_all_are_erased(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    contract(scene, &acme).await;
    repository.patch(&json!({"deletionPolicy": "WaitForTermination"})).await;
    repository.until("the policy is seen", |s| s.is_ready("True")).await;
    repository.delete().await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    assert!(repository.shown().await.is_some(), "Flux waits for as long as its timeout allows");
    scene.sql("DELETE FROM contracts").await;
    repository.left().await;
    assert!(scene.get("acme").await.is_none(), "the Kustomization went first");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn force_replaces_no_object_whose_identity_changes(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    scene.admission("acme").await;
    let (rows, uid) = (scene.rows(&acme).await, scene.uid("acme").await);
    repository.patch(&json!({"force": true})).await;
    repository.until("force is seen", |s| s.is_ready("True")).await;
    for (field, edited) in [
        ("organizationId", org(scene, "acme", &scene.key(2))),
        ("database", org(scene, "acme", &acme).spec("database", json!("another"))),
    ] {
        let revision = repository.commit(&[edited]).await;
        let shown = repository
            .until("refused", |s| s.is_ready("False") && s.message().contains(&format!("spec.{field}")))
            .await;
        assert_eq!(shown.reason(), "ReconciliationFailed", "{:#}", shown.0);
        assert!(shown.message().contains("dry-run failed (Forbidden)"), "{}", shown.message());
        assert_ne!(shown.applied(), revision);
        let seen = scene.get("acme").await.expect("the object");
        assert_eq!(seen.0.metadata.uid.as_deref(), Some(uid.as_str()), "{field}: deleted and created again");
        assert!(seen.0.metadata.deletion_timestamp.is_none(), "{field}: being deleted");
    }
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(scene.ledger().await, []);
    operator.stop().await;
}

/// What nobody should set, and what is left if somebody does.
async fn a_recovery_window_survives_force_and_a_typo(world: Arc<World>) {
    let (repository, acme, operator) = synced(&world, "acme", 0).await;
    let scene = &repository.scene;
    let rows = scene.rows(&acme).await;
    let good = org(scene, "acme", &acme).window(3600);
    let revision = repository.commit(std::slice::from_ref(&good)).await;
    repository.applied(&revision).await;
    repository.patch(&json!({"force": true})).await;
    repository.until("force is seen", |s| s.is_ready("True")).await;
    // The API server calls this invalid, and Flux takes every such answer for an immutable field.
    repository.commit(&[good.clone().policy("delete")]).await;
    scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;

    // Flux now waits until the object is gone, however long that takes, and reads no other commit: only kubectl helps.
    let revision = repository.commit(&[good.policy("Retain")]).await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    repository.applied(&revision).await;
    scene.ready("acme").await;
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert!(scene.active(&acme).await, "the activation is restored");
    assert_eq!(outcomes(scene).await, ["Retained"]);
    operator.stop().await;
}
