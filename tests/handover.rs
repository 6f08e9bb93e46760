//! "I renamed an object in Git": an engine may delete the old object first and create the new one a moment later, or be slow
//! about it. The erasure waits for `handoverSeconds`, and what takes the tenant over in the meantime keeps it.

use std::sync::Arc;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};
use testbed::Signal;

use crate::support::{Operator, Scene, Seen, Variant, World, eventually};
use crate::tests;

tests![
    a_name_that_is_deleted_first_and_created_a_moment_later_loses_nothing,
    another_spelling_created_a_moment_later_takes_over,
    a_successor_that_comes_while_the_operator_is_dead_takes_over,
    a_restart_does_not_shorten_the_wait,
    without_a_successor_the_wait_ends_in_the_erasure,
    retain_ends_the_wait,
    the_same_name_applied_again_with_retain_ends_the_wait,
    nobody_is_deactivated_while_a_successor_is_awaited,
    a_recovery_window_deactivates_at_once_and_hands_over_inside,
    what_erases_nothing_does_not_wait,
    a_fault_of_the_plan_is_told_before_the_wait_ends,
    a_successor_that_comes_while_the_cascade_waits_for_a_lock_takes_over,
    what_an_engine_may_replace_by_force_is_not_erased,
];

/// Longer than any test: whatever happens before it is over does not wait for its end.
const LONG: u32 = 3600;

/// An organization with a policy of `Delete`, ready, and an operator that waits so many seconds for a successor.
async fn ready(world: Arc<World>, variant: Variant, seconds: u32) -> (Scene, String, Operator) {
    let scene = Scene::new(world, variant).await;
    let acme = scene.key(0xacde);
    scene.seed(&acme).await;
    let operator = start(&scene, seconds).await;
    scene.apply(&scene.org("old", &acme).policy("Delete")).await;
    scene.ready("old").await;
    (scene, acme, operator)
}

async fn start(scene: &Scene, seconds: u32) -> Operator {
    // A successor that was refused must not need a retry to find out that the claim is its own now.
    let never = json!({"initialSeconds": 3600, "maxSeconds": 3600});
    scene.operator().configure("handoverSeconds", json!(seconds)).configure("retry.slow", never).start().await
}

async fn awaiting(scene: &Scene) -> Seen {
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await
}

/// Changes with every UPDATE of the organization's row, a switch there and back included.
async fn version(scene: &Scene, key: &str) -> String {
    scene.value(&format!("SELECT xmin::text FROM organizations WHERE id::text = '{key}'")).await
}

/// The new object owns the organization, and nothing has happened to a single row.
async fn taken_over(scene: &Scene, acme: &str, version_before: &str, others: &str) {
    scene.gone("old").await;
    let new = scene.ready("new").await;
    assert_eq!(scene.owner(acme).await, new.0.metadata.uid, "the new object owns the organization");
    assert!(new.error().is_none() && !new.has("Stalled"), "{}", new.yaml());
    assert_eq!(scene.others(&[]).await, others, "something was erased or changed");
    assert_eq!(version(scene, acme).await, version_before, "the organization was switched off and on");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), &ledger[0].object_name), ("Transferred", &scene.name("old")));
    assert!(scene.event("old", "Transferred").await.contains(&scene.name("new")));
}

/// The order of Argo CD's engine.
async fn a_name_that_is_deleted_first_and_created_a_moment_later_loses_nothing(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    scene.delete("old").await;
    let seen = awaiting(&scene).await;
    let deleted = seen.0.metadata.deletion_timestamp.clone().expect("terminating").0;
    let erase = seen.deletion().and_then(|d| d.erase_time).expect("status.deletion.eraseTime").0;
    let wait = erase.duration_since(deleted).as_secs();
    assert!((i64::from(LONG)..=i64::from(LONG) + 60).contains(&wait), "{wait} s: {}", seen.yaml());
    assert!(seen.is("Deleting", "True") && seen.is("DeletionBlocked", "False"), "{}", seen.yaml());
    assert!(seen.is("Ready", "False") && seen.is("Reconciling", "True") && !seen.has("Stalled"), "{}", seen.yaml());
    for part in ["Nothing has been changed yet", "takes over", "kubectl patch organization", "Retain"] {
        assert!(seen.message("Deleting").contains(part), "{part} is missing: {}", seen.yaml());
    }
    let shown = scene.ok(&["get", "organization", &scene.name("old")]).await;
    assert!(shown.contains("ERASE") && shown.contains(&format!("{erase:.0}")), "{shown}");

    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    taken_over(&scene, &acme, &version, &others).await;
    operator.stop().await;
}

async fn another_spelling_created_a_moment_later_takes_over(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    scene.delete("old").await;
    awaiting(&scene).await;
    scene.apply(&scene.org("new", &acme.to_uppercase()).policy("Delete")).await;
    taken_over(&scene, &acme, &version, &others).await;
    operator.stop().await;
}

async fn a_successor_that_comes_while_the_operator_is_dead_takes_over(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    scene.delete("old").await;
    awaiting(&scene).await;
    operator.signal(Signal::Kill);
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    let operator = start(&scene, LONG).await;
    taken_over(&scene, &acme, &version, &others).await;
    operator.stop().await;
}

/// A process that has just started does not know how long the object has been terminating by its own clock.
async fn a_restart_does_not_shorten_the_wait(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let others = scene.others(&[]).await;
    scene.delete("old").await;
    awaiting(&scene).await;
    operator.signal(Signal::Kill);
    let operator = start(&scene, 2).await;
    let began: i64 = scene.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").await;
    assert_eq!(scene.others(&[]).await, others, "erased at the start");
    scene.gone("old").await;
    let ended: i64 = scene
        .value("SELECT (extract(epoch FROM max(started_at)) * 1000)::bigint FROM organization_operator.ledger")
        .await;
    // Being ready takes the operator a moment in which it may have seen the object already.
    assert!(ended - began > 1000, "erased {} ms after the start", ended - began);
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}

async fn without_a_successor_the_wait_ends_in_the_erasure(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, 2).await;
    let before = scene.operator_writes("old").len();
    scene.delete("old").await;
    let deleted = awaiting(&scene).await.0.metadata.deletion_timestamp.expect("terminating").0;
    scene.gone("old").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    let began: i64 =
        scene.value("SELECT (extract(epoch FROM started_at) * 1000)::bigint FROM organization_operator.ledger").await;
    assert!(began >= (deleted.as_second() + 2) * 1000, "erased too early: {began}, {deleted}");
    assert_eq!(scene.ledger().await[0].outcome, "Erased");
    operator.stop().await;
    // The wait costs one status more than a deletion without it, and no Event.
    let writes = scene.operator_writes("old").split_off(before);
    assert!(writes.len() <= 4 && writes.iter().filter(|w| w.starts_with("create events")).count() == 1, "{writes:?}");
}

async fn retain_ends_the_wait(world: Arc<World>) {
    let (scene, _, operator) = ready(world, Variant::Platform, LONG).await;
    let others = scene.others(&[]).await;
    scene.delete("old").await;
    awaiting(&scene).await;
    scene.patch("old", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("old").await;
    assert_eq!(scene.others(&[]).await, others);
    assert_eq!(scene.ledger().await[0].outcome, "Retained");
    operator.stop().await;
}

/// An engine that deletes and applies one name in a sync reaches the object that is still terminating.
async fn the_same_name_applied_again_with_retain_ends_the_wait(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let others = scene.others(&[]).await;
    let first = scene.uid("old").await;
    scene.delete("old").await;
    awaiting(&scene).await;
    let again = scene.org("old", &acme).policy("Retain");
    scene.apply(&again).await;
    eventually("the old object is gone", || async {
        (scene.get("old").await.and_then(|s| s.0.metadata.uid).as_ref() != Some(&first)).then_some(())
    })
    .await;
    scene.apply(&again).await;
    let seen = scene.ready("old").await;
    assert_eq!(scene.owner(&acme).await, seen.0.metadata.uid);
    assert_eq!(scene.others(&[]).await, others);
    operator.stop().await;
}

/// Without foreign keys an erasure begins with a deactivation.
async fn nobody_is_deactivated_while_a_successor_is_awaited(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::NoKeys, LONG).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    scene.delete("old").await;
    let seen = awaiting(&scene).await;
    assert_eq!(json!(seen.status().state), json!("Active"));
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    taken_over(&scene, &acme, &version, &others).await;
    operator.stop().await;
}

async fn a_recovery_window_deactivates_at_once_and_hands_over_inside(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    let rows = scene.rows(&acme).await;
    scene.patch("old", r#"{"recoveryWindowSeconds":1}"#).await;
    scene.until("old", "the new generation", |s| s.is("Ready", "True")).await;
    scene.delete("old").await;
    // The window is over after a second, and the wait for a successor is not.
    let seen = awaiting(&scene).await;
    assert!(seen.message("Deleting").contains("deactivated"), "{}", seen.yaml());
    assert!(!scene.active(&acme).await, "a window deactivates at once");
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    scene.gone("old").await;
    scene.ready("new").await;
    assert!(scene.active(&acme).await, "the activation is restored");
    assert_eq!(scene.rows(&acme).await, rows);
    operator.stop().await;
}

async fn what_erases_nothing_does_not_wait(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let [retained, deactivated, absent] = [1, 2, 3].map(|n| scene.key(n));
    for key in [&retained, &deactivated] {
        scene.seed(key).await;
    }
    scene.seed_sized(&absent, 0, 0, 0, 0).await;
    let operator = start(&scene, LONG).await;
    for (name, key, policy) in
        [("retained", &retained, "Retain"), ("deactivated", &deactivated, "Deactivate"), ("absent", &absent, "Delete")]
    {
        scene.apply(&scene.org(name, key).policy(policy)).await;
        scene.ready(name).await;
    }
    scene.sql(&format!("DELETE FROM organizations WHERE id = '{absent}'")).await;
    for (name, outcome) in [("retained", "Retained"), ("deactivated", "Deactivated"), ("absent", "NotFound")] {
        scene.delete(name).await;
        scene.gone(name).await;
        scene.event(name, outcome).await;
    }
    operator.stop().await;
}

async fn a_fault_of_the_plan_is_told_before_the_wait_ends(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, LONG).await;
    scene.sql("CREATE TABLE notes (id int PRIMARY KEY, organization_id uuid)").await;
    scene.until("old", "not ready to be deleted", |s| s.is("DeletionReady", "False")).await;
    scene.delete("old").await;
    let seen = scene.until("old", "blocked", |s| s.is("DeletionBlocked", "True")).await;
    assert!(seen.message("DeletionBlocked").contains("notes"), "{}", seen.yaml());
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}

async fn a_successor_that_comes_while_the_cascade_waits_for_a_lock_takes_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    let launch = scene.operator().configure("database.lockTimeoutSeconds", json!(15));
    let operator = launch.start().await;
    scene.apply(&scene.org("old", &acme).policy("Delete")).await;
    scene.ready("old").await;
    let mut session = scene.connect().await;
    let mut holding = session.begin().await.expect("a transaction");
    let lock = format!("SELECT FROM organizations WHERE id = '{acme}' FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *holding).await.expect("a lock");
    scene.delete("old").await;
    scene.until("old", "erasing", |s| s.reason("Deleting") == "Erasing").await;
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    holding.rollback().await.expect("the lock is released");
    taken_over(&scene, &acme, &version, &others).await;
    operator.stop().await;
}

/// `kubectl replace --force`, as an engine runs it, deletes, waits until the name is free and creates again: no successor can
/// be there before the erasure. Where the object says that its engine does that, nothing is erased.
async fn what_an_engine_may_replace_by_force_is_not_erased(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Platform, 0).await;
    let (version, others) = (version(&scene, &acme).await, scene.others(&[]).await);
    let name = scene.name("old");
    let force = "argocd.argoproj.io/sync-options=Replace=true,Force=true";
    scene.ok(&["annotate", "organization", &name, force]).await;
    let manifest = scene.file("replacement.yaml", &scene.org("old", &acme).policy("Delete").yaml());
    scene.refused(&["replace", "--force", "--timeout=2s", "-f", &manifest]).await;
    let seen = scene.until("old", "blocked", |s| s.reason("DeletionBlocked") == "ReplacementSuspected").await;
    assert!(seen.is("Stalled", "True"), "{}", seen.yaml());
    assert_eq!(
        (self::version(&scene, &acme).await, scene.others(&[]).await),
        (version, others),
        "something was touched"
    );
    assert_eq!(scene.ledger().await, []);

    // A label of Flux says the same, and the object hears of its removal, too.
    scene.ok(&["label", "organization", &name, "kustomize.toolkit.fluxcd.io/force=enabled"]).await;
    scene.ok(&["annotate", "organization", &name, "argocd.argoproj.io/sync-options-"]).await;
    let labelled = |s: &crate::support::Seen| s.message("DeletionBlocked").contains("the label");
    let seen = scene.until("old", "blocked by the label", labelled).await;
    assert_eq!(scene.ledger().await, []);

    // It was meant, after all: the remedy says how.
    let remedy = seen.error().and_then(|e| e.remedy).expect("a remedy");
    let command = remedy.split(": ").nth(1).and_then(|c| c.split(';').next()).expect("a command").to_owned();
    let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
    scene.ok(&arguments).await;
    scene.gone("old").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}
