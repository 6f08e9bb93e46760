//! Deletions that were requested long before the operator saw them. The API server sets `deletionTimestamp` itself, so the tests
//! change it where a restored backup would bring an old one from: in etcd.

use super::{Arc, Operator, Scene, Seen, World, confirm, failures, held, json, metric, platform};
use crate::errors::shows;
use crate::support::{Etcd, eventually};
use crate::tests;

use organization_operator::api::Reason;
use serde_json::Value;

tests![
    an_old_request_is_not_erased_without_a_confirmation,
    one_that_nobody_has_ever_claimed_is_not_erased_either,
    what_does_not_erase_is_never_too_old,
    a_deletion_that_was_seen_in_time_is_never_too_old,
    a_long_window_goes_on,
    a_window_that_was_forced_and_restored_is_new,
    a_deletion_that_was_forced_and_restored_is_new,
    a_deletion_that_was_suspended_for_weeks_goes_on,
];

/// More than the seven days.
const DAYS: i64 = 8;

/// Every time in the object is so many days earlier.
async fn age(scene: &Scene, name: &str, days: i64) {
    Etcd::of(scene).age(&scene.name(name), days).await;
    let api = scene.api();
    let full = scene.name(name);
    // The API server has heard of it.
    let old = k8s_openapi::jiff::Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_hours(24 * days - 1);
    eventually("the old time in the API server", || async {
        let object = api.get(&full).await.expect("the object");
        object.metadata.deletion_timestamp.filter(|t| t.0 < old)
    })
    .await;
}

/// What the operator noted is so many days earlier, as if it had run that long ago.
async fn age_notes(scene: &Scene, days: i64) {
    scene
        .sql(&format!(
            "UPDATE organization_operator.deletions SET requested_at = requested_at - interval '{days} days', \
                 first_seen_at = first_seen_at - interval '{days} days'; \
             UPDATE organization_operator.claims SET window_started_at = window_started_at - interval '{days} days'"
        ))
        .await;
}

async fn ready(world: Arc<World>, window: i64) -> (Scene, String, Operator) {
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

/// The deletion is requested while no operator runs, which comes back days later.
async fn away(scene: &Scene, operator: Operator, name: &str) {
    operator.stop().await;
    scene.delete(name).await;
    age(scene, name, DAYS).await;
}

async fn an_old_request_is_not_erased_without_a_confirmation(world: Arc<World>) {
    // With a window it would be deactivated at once.
    let (scene, acme, operator) = ready(world, 1).await;
    let rows = scene.rows(&acme).await;
    away(&scene, operator, "acme").await;
    let operator = scene.start().await;
    let seen = scene.until("acme", "held", held("StaleDeletion")).await;
    let error = shows(&seen, Reason::StaleDeletion);
    assert_eq!(error.code, 409);
    assert!(error.message.contains("8 days before the operator first saw it"), "{}", error.message);
    assert!(error.message.ends_with("Nothing was changed"), "{}", error.message);
    scene.warned("acme", "StaleDeletion").await;
    assert_eq!(metric(&operator, "deletions_held{reason=\"StaleDeletion\"}").await.as_deref(), Some("1"));
    operator.stop().await;

    let operator = scene.start().await;
    let again = || async { (failures(&operator, "StaleDeletion").await > 0).then_some(()) };
    eventually("the new operator reconciles it", again).await;
    assert!(scene.active(&acme).await);
    assert_eq!(scene.rows(&acme).await, rows);
    confirm(&scene, "acme").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}

async fn one_that_nobody_has_ever_claimed_is_not_erased_either(world: Arc<World>) {
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").with_finalizer()).await;
    scene.delete("acme").await;
    age(&scene, "acme", DAYS).await;
    let operator = scene.start().await;
    scene.until("acme", "held", held("StaleDeletion")).await;
    assert!(scene.total(&acme).await > 0);
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}

async fn what_does_not_erase_is_never_too_old(world: Arc<World>) {
    let scene = platform(world).await;
    let keys = [1, 2, 3].map(|n| scene.key(n));
    scene.seed_many(&keys).await;
    let operator = scene.start().await;
    for (name, key, policy) in
        [("kept", &keys[0], "Retain"), ("off", &keys[1], "Deactivate"), ("renamed", &keys[2], "Delete")]
    {
        scene.apply(&scene.org(name, key).policy(policy)).await;
        scene.ready(name).await;
    }
    operator.stop().await;
    for name in ["kept", "off", "renamed"] {
        scene.delete(name).await;
        age(&scene, name, DAYS).await;
    }
    scene.apply(&scene.org("new-name", &keys[2]).policy("Delete")).await;
    let operator = scene.start().await;
    for name in ["kept", "off", "renamed"] {
        scene.gone(name).await;
    }
    let mut outcomes: Vec<String> = scene.ledger().await.into_iter().map(|row| row.outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["Deactivated", "Retained", "Transferred"]);
    operator.stop().await;
}

/// A row blocks for weeks, and then a new process starts.
async fn a_deletion_that_was_seen_in_time_is_never_too_old(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{acme}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
    scene.delete("acme").await;
    scene.until("acme", "blocked", held("ForeignKeyViolation")).await;
    let noted = "SELECT count(*) FROM organization_operator.deletions";
    eventually("the note", || async { (scene.value::<i64>(noted).await == 1).then_some(()) }).await;
    operator.stop().await;
    age(&scene, "acme", 30).await;
    age_notes(&scene, 30).await;
    let operator = scene.start().await;
    let again = || async { (failures(&operator, "ForeignKeyViolation").await > 0).then_some(()) };
    eventually("the new operator reconciles it", again).await;
    scene.sql("DROP TABLE contracts").await;
    scene.gone("acme").await;
    assert_eq!((scene.total(&acme).await, failures(&operator, "StaleDeletion").await), (0, 0));
    assert_eq!(scene.value::<i64>(noted).await, 0, "the note goes with the deletion");
    operator.stop().await;
}

/// It is noted when the window begins.
async fn a_long_window_goes_on(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 30 * 24 * 3600).await;
    scene.delete("acme").await;
    scene.until("acme", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    noted(&scene, 1).await;
    operator.stop().await;
    age(&scene, "acme", 10).await;
    age_notes(&scene, 10).await;
    let operator = scene.start().await;
    scene.retry("acme", "1").await;
    let erase =
        scene.value::<i64>("SELECT extract(epoch FROM window_started_at)::bigint FROM organization_operator.claims");
    let ends = erase.await + 30 * 24 * 3600;
    let wanted = |s: &Seen| s.deletion().and_then(|d| d.erase_time).is_some_and(|t| (t.0.as_second() - ends).abs() < 2);
    let seen = scene.until("acme", "the end of its window", wanted).await;
    assert!(seen.is("DeletionBlocked", "False"), "{}", seen.yaml());
    scene.patch("acme", r#"{"recoveryWindowSeconds":864000}"#).await;
    scene.gone("acme").await;
    assert_eq!((scene.total(&acme).await, failures(&operator, "StaleDeletion").await), (0, 0));
    operator.stop().await;
}

/// The claim of an object that is gone keeps its window, which ended long ago when a backup brings the object back.
async fn a_window_that_was_forced_and_restored_is_new(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 24 * 3600).await;
    scene.delete("acme").await;
    scene.until("acme", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let backup = forced(&scene, operator).await;
    restore(&scene, &backup).await;
    age_notes(&scene, DAYS).await;
    let operator = scene.start().await;
    scene.until("acme", "held", held("StaleDeletion")).await;
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}

/// Somebody removes the finalizer of a deletion that the operator has noted. Returns what a backup of etcd had of the object.
async fn forced(scene: &Scene, operator: Operator) -> Value {
    noted(scene, 1).await;
    let backup = Etcd::of(scene).get(&scene.name("acme")).await;
    scene.force_release("acme").await;
    scene.gone("acme").await;
    noted(scene, 0).await;
    operator.stop().await;
    backup
}

/// The backup comes back days later.
async fn restore(scene: &Scene, backup: &Value) {
    Etcd::of(scene).put(&scene.name("acme"), backup).await;
    age(scene, "acme", DAYS).await;
}

/// Waits until so many deletions are noted.
async fn noted(scene: &Scene, number: i64) {
    let count = || scene.value::<i64>("SELECT count(*) FROM organization_operator.deletions");
    eventually("the notes", || async { (count().await == number).then_some(()) }).await;
}

/// Somebody removed the finalizer of a deletion that the operator had seen, and later restored a backup of etcd.
async fn a_deletion_that_was_forced_and_restored_is_new(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{acme}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
    scene.delete("acme").await;
    scene.until("acme", "blocked", held("ForeignKeyViolation")).await;
    let backup = forced(&scene, operator).await;
    scene.sql("DROP TABLE contracts").await;
    restore(&scene, &backup).await;
    let operator = scene.start().await;
    scene.until("acme", "held", held("StaleDeletion")).await;
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}

/// A wait of seconds is not worth a note, but a suspension may last.
async fn a_deletion_that_was_suspended_for_weeks_goes_on(world: Arc<World>) {
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("handoverSeconds", json!(3600)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.until("acme", "awaiting a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    let noted: i64 = scene.value("SELECT count(*) FROM organization_operator.deletions").await;
    assert_eq!(noted, 0, "a note of a deletion that waits for seconds");
    scene.patch("acme", r#"{"suspend":true}"#).await;
    scene.until("acme", "suspended", held("Suspended")).await;
    let late = "SELECT extract(epoch FROM first_seen_at - requested_at)::bigint FROM organization_operator.deletions";
    let late = eventually("the note", || async { scene.value::<Option<i64>>(&format!("SELECT ({late})")).await }).await;
    assert!((-1..=30).contains(&late), "the operator first saw it {late} s after the request");
    operator.stop().await;
    age(&scene, "acme", 20).await;
    age_notes(&scene, 20).await;
    let operator = scene.start().await;
    scene.patch("acme", r#"{"suspend":false}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}
