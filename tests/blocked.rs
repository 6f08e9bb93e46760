//! "My deletion was blocked, and the tenant was down": where a deletion begins with a deactivation, a tenant whose deletion
//! cannot succeed stays in use.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::{Operator, Scene, Variant, World, eventually};
use crate::tests;

tests![
    what_blocks_is_found_before_the_tenant_is_deactivated,
    a_trigger_that_refuses_deletes_deactivates_once_and_not_for_long,
    a_tenant_that_cannot_be_activated_again_is_told_of,
    a_lock_that_is_held_leaves_the_tenant_active,
    a_recovery_window_says_what_will_block_at_its_end,
];

/// A tenant without foreign keys, so that its deletion begins with a deactivation. Every switch of it is noted.
async fn ready(world: Arc<World>, window: i64) -> (Scene, String, Operator) {
    let scene = Scene::new(world, Variant::NoKeys).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene
        .sql(
            "CREATE TABLE switches (id serial, active boolean); \
             CREATE FUNCTION note_switch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
                 $$ BEGIN INSERT INTO public.switches (active) VALUES (NEW.is_active); RETURN NEW; END $$; \
             CREATE TRIGGER note_switch AFTER UPDATE OF is_active ON organizations \
                 FOR EACH ROW EXECUTE FUNCTION note_switch()",
        )
        .await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    (scene, acme, operator)
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

async fn switches(scene: &Scene) -> Vec<bool> {
    scene.value("SELECT coalesce(array_agg(active ORDER BY id), '{}') FROM switches").await
}

/// Waits until the attempt was made again so often.
async fn attempts(scene: &Scene, reason: &str, number: usize) {
    let failed = || {
        let logged = format!(r#""reason":"{reason}""#);
        let path = scene.world.directory.path().join(&scene.class).join("operator.log");
        let log = std::fs::read_to_string(path).expect("the log");
        log.lines().filter(|l| l.contains(&logged) && l.contains(r#""attempts""#)).count()
    };
    eventually("more attempts", || async { (failed() >= number).then_some(()) }).await;
}

async fn what_blocks_is_found_before_the_tenant_is_deactivated(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    contract(&scene, &acme).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    attempts(&scene, "ForeignKeyViolation", 3).await;
    assert!(switches(&scene).await.is_empty(), "the tenant was switched off: {}", seen.yaml());
    assert!(seen.message("DeletionBlocked").contains("contracts"), "{}", seen.yaml());

    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    assert_eq!(switches(&scene).await, [false], "deactivated once, to erase");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

/// Only the delete itself shows it.
async fn a_trigger_that_refuses_deletes_deactivates_once_and_not_for_long(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    scene
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let rows = scene.rows(&acme).await;
    scene.delete("acme").await;
    let blocked = |s: &crate::support::Seen| s.reason("DeletionBlocked") == "ConstraintViolation";
    let seen = scene.until("acme", "blocked", blocked).await;
    assert!(seen.message("DeletionBlocked").contains("active again"), "{}", seen.yaml());
    assert!(scene.active(&acme).await, "a tenant whose deletion cannot succeed stays in use");
    attempts(&scene, "ConstraintViolation", 4).await;
    assert_eq!(switches(&scene).await, [false, true], "no attempt after the first one switches it");
    assert_eq!(scene.rows(&acme).await, rows, "nothing was deleted");

    scene.sql("DROP TRIGGER refuse ON users").await;
    scene.gone("acme").await;
    assert_eq!(switches(&scene).await, [false, true, false]);
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn a_tenant_that_cannot_be_activated_again_is_told_of(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    scene
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse(); \
             CREATE TRIGGER stay BEFORE UPDATE ON organizations FOR EACH ROW WHEN (NEW.is_active) \
                 EXECUTE FUNCTION refuse()",
        )
        .await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ConstraintViolation").await;
    assert!(seen.message("DeletionBlocked").contains("still deactivated"), "{}", seen.yaml());
    assert!(!scene.active(&acme).await);

    // What was left behind is put right when it can be.
    scene.sql("DROP TRIGGER stay ON organizations").await;
    eventually("the activation", || async { scene.active(&acme).await.then_some(()) }).await;
    operator.stop().await;
}

async fn a_lock_that_is_held_leaves_the_tenant_active(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    let mut session = scene.connect().await;
    let mut holding = session.begin().await.expect("a transaction");
    let lock = format!("SELECT FROM users WHERE organization_id = '{acme}' FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *holding).await.expect("a lock");
    scene.delete("acme").await;
    let seen = scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "LockTimeout").await;
    assert!(seen.message("DeletionBlocked").contains("active again"), "{}", seen.yaml());
    attempts(&scene, "LockTimeout", 3).await;
    assert_eq!(switches(&scene).await, [false, true], "no attempt after the first one switches it: {}", seen.yaml());
    holding.rollback().await.expect("the lock is released");
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn a_recovery_window_says_what_will_block_at_its_end(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    contract(&scene, &acme).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    assert!(!scene.active(&acme).await, "a recovery window deactivates at once");
    let told = seen.message("Deleting");
    for part in ["will be blocked", "ForeignKeyViolation", "contracts", "kubectl patch organization"] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    assert!(scene.event("acme", "RecoveryWindow").await.contains("contracts"));
    assert!(
        seen.reason("DeletionReady") == "ForeignKeyViolation" && seen.is("DeletionReady", "False"),
        "{}",
        seen.yaml()
    );
    assert!(seen.is("DeletionBlocked", "False") && !seen.has("Stalled"), "nothing is blocked yet: {}", seen.yaml());

    scene.sql("DELETE FROM contracts").await;
    scene.retry("acme", "now").await;
    let cleared = |s: &crate::support::Seen| !s.message("Deleting").contains("blocked");
    let seen = scene.until("acme", "nothing in the way", cleared).await;
    assert!(seen.is("DeletionReady", "True"), "{}", seen.yaml());
    scene.patch("acme", r#"{"recoveryWindowSeconds":0}"#).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}
