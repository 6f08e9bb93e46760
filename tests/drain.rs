//! "Open transactions drain for as long as I configured": the time runs from the end of what came before, however long that
//! waited.

use std::sync::Arc;

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::support::{Operator, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_ledger_tells_when_a_deletion_ended_and_the_second_count_waits_from_there,
    a_recovery_window_begins_with_the_deactivation,
];

/// An organization with a policy of `Delete`, ready, and an operator that is patient with locks.
async fn ready(world: Arc<World>, variant: Variant, window: i64) -> (Scene, String, Operator) {
    let scene = Scene::new(world, variant).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(15)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

/// A session that holds rows.
async fn holder(scene: &Scene, rows: &str) -> PgConnection {
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM {rows} FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    holder
}

/// Waits until the operator has waited for the lock for longer than the drain time, lets it go on, and returns the time right
/// before, in microseconds by the database's clock.
async fn release(scene: &Scene, mut holder: PgConnection) -> i64 {
    let waited = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                  AND application_name = 'organization-operator' AND wait_event_type = 'Lock' \
                  AND clock_timestamp() - xact_start > interval '1.5 seconds')";
    eventually("the operator to wait for the lock", || async { scene.value::<bool>(waited).await.then_some(()) }).await;
    let released = scene.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").await;
    holder.execute("ROLLBACK").await.expect("released");
    released
}

/// A time of the operator's own tables, in microseconds.
async fn time(scene: &Scene, column: &str, table: &str) -> i64 {
    scene
        .value(&format!("SELECT (extract(epoch FROM {column}) * 1000000)::bigint FROM organization_operator.{table}"))
        .await
}

/// Nothing is protected without foreign keys, so the rows are counted again `drainSeconds` (1) after the deletion.
async fn a_ledger_tells_when_a_deletion_ended_and_the_second_count_waits_from_there(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::NoKeys, 0).await;
    let holder = holder(&scene, &format!("users WHERE organization_id = '{acme}'")).await;
    scene.delete("acme").await;
    let released = release(&scene, holder).await;
    scene.gone("acme").await;
    let started = time(&scene, "started_at", "ledger").await;
    let finished = time(&scene, "finished_at", "ledger").await;
    let verified = time(&scene, "verified_at", "ledger").await;
    assert!(released - started > 1_500_000, "it began before it waited: {started}, {released}");
    assert!(finished >= released, "it ended after it had waited: {finished}, {released}");
    assert!(verified - finished >= 1_000_000, "the drain time runs from the end: {finished}, {verified}");
    operator.stop().await;
}

async fn a_recovery_window_begins_with_the_deactivation(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, Variant::Ordinary, 3600).await;
    let holder = holder(&scene, &format!("organizations WHERE id = '{acme}'")).await;
    scene.delete("acme").await;
    let released = release(&scene, holder).await;
    let seen = scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let started = time(&scene, "window_started_at", "claims").await;
    assert!(started >= released, "it began with the deactivation: {started}, {released}");
    let erase = seen.deletion().and_then(|d| d.erase_time).expect("the time of the erasure");
    assert!(erase.0.as_second() >= released / 1_000_000 + 3600, "{}", seen.yaml());
    operator.stop().await;
}
