//! "It says so before I delete": rows that would block a deletion show in `DeletionReady` of the live object, at the cost of a
//! quick check, and without any other effect: the tenant matches its spec.

use std::sync::Arc;

use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use crate::support::{Operator, Scene, Seen, Variant, World, eventually};
use crate::tests;

tests![
    rows_that_would_block_show_before_anybody_deletes,
    a_large_table_without_an_index_is_not_walked_through,
    a_look_that_takes_too_long_says_nothing,
    rows_of_two_organizations_show_before_anybody_deletes,
    a_deletion_that_waits_for_a_successor_goes_on_saying_it,
];

/// Rows of a table outside the plan that refer to a tenant, found by an index.
async fn contracts(scene: &Scene, key: &str, rows: u32) {
    scene
        .sql(&format!(
            "CREATE TABLE IF NOT EXISTS contracts (n serial, tenant uuid CONSTRAINT of_tenant REFERENCES organizations);
             CREATE INDEX IF NOT EXISTS contracts_tenant ON contracts (tenant);
             GRANT SELECT ON contracts TO organization_operator;
             INSERT INTO contracts (tenant) SELECT '{key}' FROM generate_series(1, {rows})"
        ))
        .await;
}

/// A tenant with an object, ready.
async fn ready(scene: &Scene, operator: impl Future<Output = Operator>) -> (String, Operator) {
    let acme = scene.key(1);
    scene.seed(&acme).await;
    contracts(scene, &acme, 3).await;
    let operator = operator.await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    (acme, operator)
}

fn blocked(seen: &Seen) -> bool {
    seen.is("DeletionReady", "False") && seen.reason("DeletionReady") == "ForeignKeyViolation"
}

async fn rows_that_would_block_show_before_anybody_deletes(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    let (acme, operator) = ready(&scene, scene.start()).await;
    scene.apply(&scene.org("globex", &globex).policy("Retain")).await;
    let seen = scene.until("acme", "DeletionReady=False", blocked).await;
    let told = seen.message("DeletionReady");
    for part in [
        "3 rows in `public.contracts` refer to `public.organizations` (constraint of_tenant)",
        "To clear it: DELETE FROM \"public\".\"contracts\" c USING \"public\".\"organizations\" p WHERE ",
        &format!("kubectl annotate organization {} organization-operator.io/retry=", scene.name("acme")),
    ] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    assert!(!told.contains("tries again"), "nothing was tried: {told}");
    // It is information, and no failure.
    assert!(seen.is("Ready", "True") && seen.error().is_none(), "{}", seen.yaml());
    assert!(!seen.has("Stalled") && !seen.has("Reconciling") && !seen.has("DeletionBlocked"), "{}", seen.yaml());
    assert_eq!(scene.events("acme").await, [], "an Event about what nobody asked for");
    assert!(!operator.log().contains("ForeignKeyViolation"), "{}", operator.log());
    let other = scene.ready("globex").await;
    assert!(other.is("DeletionReady", "True"), "{}", other.yaml());
    assert_eq!(other.reason("DeletionReady"), "PlanComplete", "{}", other.yaml());

    // Cleared in the words of the message.
    let remedy = told.split_once("To clear it: ").and_then(|(_, rest)| rest.split_once("; --")).expect("a remedy").0;
    scene.sql(remedy).await;
    scene.retry("acme", "1").await;
    let seen = scene.until("acme", "DeletionReady=True", |s| s.is("DeletionReady", "True")).await;
    assert_eq!(seen.reason("DeletionReady"), "PlanComplete", "{}", seen.yaml());

    // A change of the spec makes the operator check again at once. A deletion then says the same.
    contracts(&scene, &acme, 1).await;
    scene.patch("acme", r#"{"recoveryWindowSeconds":1}"#).await;
    scene.patch("acme", r#"{"recoveryWindowSeconds":0}"#).await;
    let told = scene.until("acme", "DeletionReady=False", blocked).await.message("DeletionReady");
    scene.delete("acme").await;
    let seen = scene.until("acme", "blocked", |s| s.is("DeletionBlocked", "True")).await;
    let error = seen.error().expect("an error");
    assert!(told.starts_with(&error.message), "{told}\n{}", error.message);
    assert!(told.contains(&error.remedy.expect("a remedy")), "{told}");
    assert_eq!(seen.reason("DeletionBlocked"), "ForeignKeyViolation", "{}", seen.yaml());
    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    operator.stop().await;
}

/// Three tables without an index, of which two are large: one is partitioned. A deletion scans all of them.
async fn a_large_table_without_an_index_is_not_walked_through(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene
        .sql(&format!(
            "CREATE TABLE small (tenant uuid REFERENCES organizations, filler text);
             CREATE TABLE large (tenant uuid REFERENCES organizations, filler text);
             CREATE TABLE parts (tenant uuid REFERENCES organizations, filler text) PARTITION BY LIST (filler);
             CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
             GRANT SELECT ON small, large, parts TO organization_operator;
             INSERT INTO large SELECT '{acme}', repeat('x', 200) FROM generate_series(1, 8000);
             INSERT INTO parts SELECT '{acme}', repeat('x', 200) FROM generate_series(1, 8000)"
        ))
        .await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.ready("acme").await;
    assert!(seen.is("DeletionReady", "True"), "what was not checked is not known: {}", seen.yaml());
    // The caveat names what was left out.
    assert!(seen.message("DeletionReady").contains("`public.large`"), "{}", seen.yaml());

    scene.sql(&format!("INSERT INTO small VALUES ('{acme}')")).await;
    scene.retry("acme", "1").await;
    let seen = scene.until("acme", "DeletionReady=False", blocked).await;
    let told = seen.message("DeletionReady");
    assert!(told.contains("1 row in `public.small`"), "{told}");
    assert!(!told.contains("`public.large`") && !told.contains("`public.parts`"), "{told}");
    // A session reports all its counts at once, so those of the small table say that the others are complete.
    let scans = |table: &str| format!("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{table}'");
    eventually("the statistics", || async { (scene.value::<i64>(&scans("small")).await > 0).then_some(()) }).await;
    for table in ["large", "parts_1"] {
        assert_eq!(scene.value::<i64>(&scans(table)).await, 0, "{table} was walked through");
    }

    // An index makes it cheap: the quick check is another one then.
    scene.sql("CREATE INDEX ON large (tenant)").await;
    let unindexed = "organization_operator_findings{kind=\"Unindexed\",severity=\"Warning\"} 2";
    eventually("the index in the findings", || async { operator.metrics().await.contains(unindexed).then_some(()) })
        .await;
    scene.retry("acme", "2").await;
    let known = |s: &Seen| s.message("DeletionReady").contains("8000 rows in `public.large`");
    let seen = scene.until("acme", "the large table", known).await;
    assert!(seen.is("Ready", "True"), "{}", seen.yaml());

    // The deletion itself misses nothing.
    scene.delete("acme").await;
    let all = |s: &Seen| s.is("DeletionBlocked", "True") && s.message("DeletionBlocked").contains("`public.parts`");
    scene.until("acme", "blocked", all).await;
    operator.stop().await;
}

async fn a_look_that_takes_too_long_says_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let launch = scene.operator().configure("database.lockTimeoutSeconds", json!(10));
    let (_, operator) = ready(&scene, launch.start()).await;
    scene.until("acme", "DeletionReady=False", blocked).await;
    let mut session = scene.connect().await;
    let mut holder = session.begin().await.expect("a transaction");
    holder.execute("LOCK TABLE contracts").await.expect("a lock");
    scene.retry("acme", "1").await;
    let seen = scene.until("acme", "what the plan says", |s| s.is("DeletionReady", "True")).await;
    assert!(seen.is("Ready", "True") && !seen.has("Reconciling"), "{}", seen.yaml());
    assert!(seen.message("DeletionReady").contains("`public.contracts`"), "{}", seen.yaml());
    // Its own limit ended it, which is shorter than those of the configuration.
    let log = operator.log();
    let ended = |l: &&str| l.contains("checking for references from outside") && l.contains("StatementTimeout");
    assert!(log.lines().any(|l| ended(&l)), "{log}");
    holder.rollback().await.expect("released");
    scene.retry("acme", "2").await;
    scene.until("acme", "DeletionReady=False", blocked).await;
    operator.stop().await;
}

/// A tenant column that contradicts the way by which the plan finds a row.
async fn rows_of_two_organizations_show_before_anybody_deletes(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(&format!(
            "ALTER TABLE task_outputs ADD organization_id uuid;
             UPDATE task_outputs SET organization_id = '{globex}' WHERE id = (SELECT o.id FROM task_outputs o
                 JOIN flow_executions e ON e.id = o.flow_execution_id JOIN flows f ON f.id = e.flow_id
                 WHERE f.organization_id = '{acme}' LIMIT 1)"
        ))
        .await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.until("acme", "DeletionReady=False", blocked).await;
    assert!(seen.message("DeletionReady").contains("1 row of `public.task_outputs` belongs"), "{}", seen.yaml());
    assert!(seen.is("Ready", "True"), "{}", seen.yaml());
    scene.sql("UPDATE task_outputs SET organization_id = NULL").await;
    scene.retry("acme", "1").await;
    scene.until("acme", "DeletionReady=True", |s| s.is("DeletionReady", "True")).await;
    operator.stop().await;
}

async fn a_deletion_that_waits_for_a_successor_goes_on_saying_it(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let launch = scene.operator().configure("handoverSeconds", json!(3600));
    let (acme, operator) = ready(&scene, launch.start()).await;
    scene.until("acme", "DeletionReady=False", blocked).await;
    scene.delete("acme").await;
    let waits = |s: &Seen| s.reason("Deleting") == "AwaitingSuccessor";
    let seen = scene.until("acme", "waiting", waits).await;
    assert!(blocked(&seen) && seen.is("DeletionBlocked", "False"), "{}", seen.yaml());
    for part in ["will be blocked then (ForeignKeyViolation)", "3 rows in `public.contracts`"] {
        assert!(seen.message("Deleting").contains(part), "{part} is missing: {}", seen.yaml());
    }
    scene.sql("DELETE FROM contracts").await;
    scene.retry("acme", "1").await;
    let seen = scene.until("acme", "DeletionReady=True", |s| s.is("DeletionReady", "True")).await;
    assert!(waits(&seen) && !seen.message("Deleting").contains("blocked"), "{}", seen.yaml());
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    assert!(scene.total(&acme).await > 0);
    operator.stop().await;
}
