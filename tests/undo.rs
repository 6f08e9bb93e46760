//! "I deleted the wrong one": the recovery window, and lowering the policy of an object that is being deleted.

use std::sync::Arc;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::{Operator, Scene, Seen, Variant, World, eventually};
use crate::tests;

tests![
    a_deletion_deactivates_at_once_and_says_when_it_erases,
    retain_undoes_a_deletion,
    deactivate_ends_a_deletion_and_stays_deactivated,
    an_inactive_organization_is_inactive_after_the_undo,
    retain_ends_a_blocked_deletion,
    deactivate_ends_a_blocked_deletion,
    when_the_window_runs_out_everything_is_erased,
    a_shorter_window_erases_now,
    a_longer_window_postpones,
    a_terminating_object_is_never_raised_to_delete,
    an_undo_that_cannot_activate_again_says_so,
    a_policy_lowered_while_the_cascade_waits_counts,
];

/// An organization with a policy of `Delete`, ready, and its operator.
async fn ready(world: Arc<World>, window: i64) -> (Scene, String, Operator) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

async fn in_window(scene: &Scene) -> Seen {
    scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await
}

/// A table outside the plan whose foreign key blocks the deletion.
async fn block(scene: &Scene, key: &str) {
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{key}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
}

async fn blocked(scene: &Scene) -> Seen {
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await
}

/// The only row of the ledger has this outcome, and there is exactly one Event of that name.
async fn ended(scene: &Scene, outcome: &str) {
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].outcome, outcome, "{ledger:?}");
    assert_eq!(ledger[0].object_name, scene.name("acme"));
    let ends: Vec<_> = scene
        .events("acme")
        .await
        .into_iter()
        .filter(|(r, _)| ["Erased", "Retained", "Deactivated", "NotFound", "Transferred"].contains(&r.as_str()))
        .collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].0, outcome, "{ends:?}");
}

async fn an_undo_that_cannot_activate_again_says_so(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    in_window(&scene).await;
    scene
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not again'; END $$; \
             CREATE TRIGGER refuse BEFORE UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    ended(&scene, "Retained").await;
    let told = scene.event("acme", "Retained").await;
    assert!(told.contains("still deactivated") && told.contains("ConstraintViolation"), "{told}");
    assert!(!told.contains("not again"), "{told}");
    assert_eq!(scene.rows(&acme).await, rows, "the data is kept");
    assert!(!scene.active(&acme).await);
    operator.stop().await;
}

/// "Until the first row is gone": also when the reconciliation that will delete it has begun.
async fn a_policy_lowered_while_the_cascade_waits_counts(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let before = scene.others(&[]).await;
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(15)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut session = scene.connect().await;
    let mut holding = session.begin().await.expect("a transaction");
    let lock = format!("SELECT FROM organizations WHERE id = '{acme}' FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *holding).await.expect("a lock");
    scene.delete("acme").await;
    scene.until("acme", "erasing", |s| s.reason("Deleting") == "Erasing").await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    holding.rollback().await.expect("the lock is released");
    scene.gone("acme").await;
    ended(&scene, "Retained").await;
    assert_eq!(scene.others(&[]).await, before, "something was deleted");
    operator.stop().await;
}

async fn a_deletion_deactivates_at_once_and_says_when_it_erases(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    let seen = in_window(&scene).await;
    assert!(!scene.active(&acme).await, "deactivated at once");
    assert_eq!(scene.rows(&acme).await, rows, "nothing is erased yet");
    assert_eq!(json!(seen.status().state), json!("Deactivated"));
    let deletion = seen.deletion().expect("status.deletion");
    let erase = deletion.erase_time.expect("status.deletion.eraseTime").0;
    let deleted = seen.0.metadata.deletion_timestamp.clone().expect("terminating").0;
    let after = erase.duration_since(deleted).as_secs();
    assert!((3598..=3660).contains(&after), "erased {after} s after the deletion");
    assert!(seen.is("Deleting", "True") && seen.is("DeletionBlocked", "False"), "{}", seen.yaml());
    assert!(seen.is("Ready", "False") && seen.is("Reconciling", "True") && !seen.has("Stalled"), "{}", seen.yaml());
    // The message says how to undo it.
    let undo = format!("kubectl patch organization {}", scene.name("acme"));
    assert!(seen.message("Deleting").contains(&undo), "{}", seen.yaml());
    assert!(scene.event("acme", "RecoveryWindow").await.contains(&undo));
    assert_eq!(scene.ledger().await, [], "nothing has ended");
    operator.stop().await;
}

async fn retain_undoes_a_deletion(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    in_window(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.ok(&["wait", "--for=delete", "--timeout=30s", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.rows(&acme).await, rows, "all rows are there");
    assert!(scene.active(&acme).await, "the activation is restored");
    ended(&scene, "Retained").await;
    assert_eq!(scene.owner(&acme).await, None, "the claim is gone");

    // F15: the organization can be managed again, without a trace of the deletion.
    scene.apply(&scene.org("acme", &acme)).await;
    let seen = scene.ready("acme").await;
    assert_eq!(seen.reason("Ready"), "Reconciled", "{}", seen.yaml());
    assert!(!seen.has("Deleting") && !seen.has("DeletionBlocked") && seen.deletion().is_none(), "{}", seen.yaml());
    operator.stop().await;
}

async fn deactivate_ends_a_deletion_and_stays_deactivated(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    in_window(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Deactivate"}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.rows(&acme).await, rows, "all rows are there");
    assert!(!scene.active(&acme).await, "it stays deactivated");
    ended(&scene, "Deactivated").await;
    operator.stop().await;
}

async fn an_inactive_organization_is_inactive_after_the_undo(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    scene.set_active(&acme, false).await;
    scene.until("acme", "Deactivated", |s| s.reason("Ready") == "Deactivated").await;
    scene.delete("acme").await;
    in_window(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    assert!(!scene.active(&acme).await, "the undo restores what was there before the window");
    ended(&scene, "Retained").await;
    operator.stop().await;
}

async fn retain_ends_a_blocked_deletion(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    block(&scene, &acme).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    blocked(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.rows(&acme).await, rows, "all rows are there");
    assert!(scene.active(&acme).await, "nobody switched it");
    ended(&scene, "Retained").await;
    operator.stop().await;
}

async fn deactivate_ends_a_blocked_deletion(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    block(&scene, &acme).await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    blocked(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Deactivate"}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.rows(&acme).await, rows, "all rows are there");
    assert!(!scene.active(&acme).await, "it is deactivated");
    ended(&scene, "Deactivated").await;
    operator.stop().await;
}

async fn when_the_window_runs_out_everything_is_erased(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 2).await;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    scene.delete("acme").await;
    in_window(&scene).await;
    let erase = scene.get("acme").await.and_then(|s| s.deletion()).and_then(|d| d.erase_time);
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
    ended(&scene, "Erased").await;
    // Not earlier than status had said. (PostgreSQL and the operator run on one clock here.)
    let finished: i64 =
        scene.value("SELECT (extract(epoch FROM finished_at) * 1000)::bigint FROM organization_operator.ledger").await;
    if let Some(erase) = erase {
        assert!(finished >= erase.0.as_millisecond(), "erased before status.deletion.eraseTime");
    }
    operator.stop().await;
}

async fn a_shorter_window_erases_now(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    scene.delete("acme").await;
    in_window(&scene).await;
    scene.patch("acme", r#"{"recoveryWindowSeconds":0}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    ended(&scene, "Erased").await;
    operator.stop().await;
}

async fn a_longer_window_postpones(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 600).await;
    scene.delete("acme").await;
    let before = in_window(&scene).await.deletion().and_then(|d| d.erase_time).expect("eraseTime").0;
    scene.patch("acme", r#"{"recoveryWindowSeconds":1200}"#).await;
    let seen = scene
        .until("acme", "a later eraseTime", |s| s.deletion().and_then(|d| d.erase_time).is_some_and(|t| t.0 > before))
        .await;
    let after = seen.deletion().and_then(|d| d.erase_time).expect("eraseTime").0;
    let postponed = after.duration_since(before).as_secs();
    assert!((599..=601).contains(&postponed), "counted from the start of the window: {postponed} s");
    assert!(scene.total(&acme).await > 0, "nothing is erased");
    operator.stop().await;
}

/// Admission refuses to raise a policy. Here admission is off, and the operator itself must refuse.
async fn a_terminating_object_is_never_raised_to_delete(world: Arc<World>) {
    const BINDING: &str = "organization-policy-only-lowered.organization-operator.io";
    let (scene, acme, operator) = ready(world, 0).await;
    let rows = scene.rows(&acme).await;
    operator.stop().await;
    let proxy = scene.sql_proxy().await;
    let launch = scene.operator().url(&scene.url_through(&proxy));
    let operator = launch.configure("database.connectTimeoutSeconds", json!(1)).start().await;
    scene.patch("acme", r#"{"deletionPolicy":"Deactivate"}"#).await;
    scene.ready("acme").await;

    // The deletion is asked for with Deactivate, and waits for the database.
    proxy.sever().await;
    scene.delete("acme").await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "DatabaseUnavailable").await;

    // Only objects with this label are past the policy.
    scene
        .ok(&[
            "patch",
            "validatingadmissionpolicybinding",
            BINDING,
            "--type=merge",
            "-p",
            r#"{"spec":{"matchResources":{"objectSelector":{"matchExpressions":[{"key":"past-admission","operator":"DoesNotExist"}]}}}}"#,
        ])
        .await;
    scene.ok(&["label", "organization", &scene.name("acme"), "past-admission=true"]).await;
    let name = scene.name("acme");
    let raise = ["patch", "organization", &name, "--type=merge", "-p", r#"{"spec":{"deletionPolicy":"Delete"}}"#];
    eventually("admission lets the raise pass", || async {
        scene.kubectl(&raise).await.status.success().then_some(())
    })
    .await;
    let seen = scene.get("acme").await.expect("the object");
    assert_eq!(json!(seen.0.spec.deletion_policy), json!("Delete"), "the spec is raised");

    proxy.restore().await.expect("the database is back");
    scene.gone("acme").await;
    assert_eq!(scene.rows(&acme).await, rows, "the operator followed a raise");
    assert!(!scene.active(&acme).await, "the policy with which the deletion began holds");
    ended(&scene, "Deactivated").await;
    operator.stop().await;
}
