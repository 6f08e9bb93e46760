//! "What do my triggers leave behind?" What a deletion makes triggers write to tables that are not steps of the plan is named by `rehearse`
//! and in the ledger, and nothing else is.

pub mod elsewhere;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::plan::run;
use crate::support::{ROLE, Scene, Variant, World};
use crate::tests;

tests![
    what_triggers_write_is_named_by_a_rehearsal_and_in_the_ledger,
    each_deletion_of_a_session_records_its_own_writes,
    what_the_second_count_makes_triggers_write_is_added,
    a_server_that_does_not_count_is_said_to_know_nothing,
    what_a_step_deletes_through_a_view_is_not_a_triggers,
];

/// A trigger after each row, or each statement, as the owner of the tables.
fn trigger(table: &str, name: &str, each: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body}; RETURN NULL; END $$;
         CREATE TRIGGER {name} AFTER DELETE ON {table} FOR EACH {each} EXECUTE FUNCTION {name}();"
    )
}

fn written(table: &str, inserted: i64, updated: i64, deleted: i64) -> Value {
    json!({"table": table, "inserted": inserted, "updated": updated, "deleted": deleted})
}

/// What the ledger says, oldest first. `null` where nothing was counted.
async fn recorded(scene: &Scene) -> Value {
    let sql =
        "SELECT COALESCE(jsonb_agg(COALESCE(written, 'null') ORDER BY id), '[]') FROM organization_operator.ledger";
    scene.value::<sqlx::types::Json<Value>>(sql).await.0
}

async fn what_triggers_write_is_named_by_a_rehearsal_and_in_the_ledger(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    for number in 1..3 {
        scene.seed(&scene.key(number)).await;
    }
    // A partitioned outbox, a counter, a queue that shrinks, a kept table, a table of another schema, a check at COMMIT; and
    // what must not be named: a temporary table, a table of the plan, and a write that comes to nothing.
    scene
        .sql(
            "CREATE TABLE outbox (payload text, part int NOT NULL) PARTITION BY LIST (part);
             CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES IN (0) PARTITION BY LIST (part);
             CREATE TABLE outbox_0_0 PARTITION OF outbox_0 FOR VALUES IN (0);
             CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES IN (1);
             CREATE TABLE totals (n int); INSERT INTO totals VALUES (0);
             CREATE TABLE queue (id int); INSERT INTO queue SELECT generate_series(1, 100);
             CREATE TABLE invoices (organization_id uuid);
             CREATE SCHEMA audit; CREATE TABLE audit.\"Log\" (at timestamptz);
             CREATE TABLE late (id uuid); CREATE TABLE untouched (id int); INSERT INTO untouched VALUES (1);",
        )
        .await;
    let bodies = [
        trigger("users", "announce", "ROW", "INSERT INTO outbox VALUES (OLD.id, 0), (OLD.id, 1)"),
        trigger("flows", "total", "STATEMENT", "UPDATE totals SET n = n + 1"),
        trigger("flows", "shrink", "ROW", "DELETE FROM queue WHERE id = (SELECT min(id) FROM queue)"),
        trigger("organizations", "bill", "ROW", "INSERT INTO invoices VALUES (OLD.id)"),
        trigger("users", "log", "STATEMENT", "INSERT INTO audit.\"Log\" VALUES (now())"),
        trigger(
            "flows",
            "passing",
            "STATEMENT",
            "CREATE TEMPORARY TABLE IF NOT EXISTS passing (id int) ON COMMIT DROP; INSERT INTO pg_temp.passing VALUES (1);
             DELETE FROM task_statuses WHERE false; UPDATE untouched SET id = 2 WHERE false",
        ),
    ];
    scene.sql(&bodies.concat()).await;
    scene
        .sql(
            "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                $$ BEGIN INSERT INTO late VALUES (OLD.id); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER later AFTER DELETE ON users DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION later()",
        )
        .await;
    let expected = json!([
        written("audit.Log", 1, 0, 0),
        written("public.invoices", 1, 0, 0),
        written("public.late", 3, 0, 0),
        written("public.outbox", 6, 0, 0),
        written("public.queue", 0, 0, 2),
        written("public.totals", 0, 1, 0),
    ]);
    let mut plan = serde_json::to_value(planner::Plan::default()).expect("a plan");
    plan["keep"] = json!([{"table": "invoices", "reason": "law"}]);
    let config = scene.file("kept.yaml", &serde_yaml::to_string(&json!({"cascade": plan})).expect("YAML"));
    let key = scene.key(1);
    let rehearse = ["rehearse", "--id", &key, "--config", &config, "-o", "json"];
    let text = run(&scene, &rehearse[..5]).await.with(0).out;
    let line = "Triggers wrote to tables that are not steps of the plan, and what they wrote stays: audit.Log (1 inserted), \
        public.invoices (1 inserted), public.late (3 inserted), public.outbox (6 inserted), public.queue (2 deleted), \
        public.totals (1 updated).\n";
    assert!(text.contains(line), "{text}");
    let said = run(&scene, &rehearse).await.with(0).json();
    assert_eq!(said["written"], expected);
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM outbox").await, 0, "it was rolled back");

    let operator = scene.operator().configure("cascade", plan).start().await;
    scene.apply(&scene.org("acme", &key).policy("Delete")).await;
    scene.apply(&scene.org("globex", &scene.key(2)).policy("Retain")).await;
    scene.ready("acme").await;
    scene.ready("globex").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert_eq!(recorded(&scene).await, json!([expected]));
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM outbox").await, 6);
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM late").await, 3);
    // Nothing was deleted, so nothing was counted.
    scene.delete("globex").await;
    scene.gone("globex").await;
    assert_eq!(recorded(&scene).await, json!([expected, null]));
    operator.stop().await;
}

/// Deletes organizations one after the other in one session of the server, which reports its counts once a second at most.
async fn one_after_the_other(scene: &Scene, url: &str) {
    const MANY: u32 = 8;
    scene.sql("CREATE TABLE outbox (payload text); GRANT SELECT, INSERT ON outbox TO organization_operator").await;
    scene.sql(&trigger("users", "announce", "ROW", "INSERT INTO outbox VALUES (OLD.id)")).await;
    let mut expected = Vec::new();
    for number in 1..=MANY {
        // Numbers of their own: the sum of two is no other's.
        scene.seed_sized(&scene.key(number), 1 << number, 1, 1, 1).await;
        expected.push(json!([written("public.outbox", 1 << number, 0, 0)]));
    }
    // No place for a large one beside the only one.
    let launch = scene.operator().url(url).configure("cascade", json!({"batch": "never"}));
    let launch = launch.configure("concurrency", json!(1)).configure("database.maxConnections", json!(3));
    let operator = launch.start().await;
    let mut manifests = Vec::new();
    for number in 1..=MANY {
        manifests.push(scene.org(&format!("o{number}"), &scene.key(number)).policy("Delete").yaml());
    }
    let file = scene.file("all.yaml", &manifests.join("---\n"));
    scene.ok(&["apply", "-f", &file]).await;
    scene.ok(&["wait", "--for=condition=Ready", "--timeout=60s", "-f", &file]).await;
    scene.ok(&["delete", "-f", &file, "--timeout=60s"]).await;
    operator.stop().await;
    let by_key =
        "SELECT COALESCE(jsonb_agg(written ORDER BY organization_key), '[]') FROM organization_operator.ledger";
    let all = scene.value::<sqlx::types::Json<Value>>(by_key).await.0;
    assert_eq!(all, json!(expected));
}

async fn each_deletion_of_a_session_records_its_own_writes(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let url = scene.url();
    one_after_the_other(&scene, &url).await;
}

async fn what_the_second_count_makes_triggers_write_is_added(world: Arc<World>) {
    let scene = Scene::new(world, Variant::NoKeys).await;
    scene.seed(&scene.key(1)).await;
    scene.sql("CREATE TABLE runs (at timestamptz); CREATE TABLE totals (n int); INSERT INTO totals VALUES (0)").await;
    let once = "IF (SELECT n FROM totals) = 0 THEN UPDATE totals SET n = 1; END IF";
    scene.sql(&trigger("users", "ran", "STATEMENT", "INSERT INTO runs VALUES (now())")).await;
    scene.sql(&trigger("flows", "total", "STATEMENT", once)).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    operator.stop().await;
    let runs: i64 = scene.value("SELECT count(*) FROM runs").await;
    assert!(runs >= 2, "the deletion and the second count: {runs}");
    let expected = [written("public.runs", runs, 0, 0), written("public.totals", 0, 1, 0)];
    assert_eq!(recorded(&scene).await, json!([expected]));
}

async fn a_server_that_does_not_count_is_said_to_know_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    scene.sql("CREATE TABLE outbox (payload text)").await;
    scene.sql(&trigger("users", "announce", "ROW", "INSERT INTO outbox VALUES (OLD.id)")).await;
    scene.sql(&format!("ALTER ROLE {ROLE} IN DATABASE {} SET track_counts = off", scene.database)).await;
    let key = scene.key(1);
    let text = run(&scene, &["rehearse", "--id", &key]).await.with(0).out;
    assert!(text.contains("(track_counts = off)") && !text.contains("Triggers wrote"), "{text}");
    let said = run(&scene, &["rehearse", "--id", &key, "-o", "json"]).await.with(0).json();
    assert_eq!(said.get("written"), None, "{said}");
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &key).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    operator.stop().await;
    assert_eq!(recorded(&scene).await, json!([null]), "not `[]`: it is not known");
}

async fn what_a_step_deletes_through_a_view_is_not_a_triggers(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let key = scene.key(1);
    scene.seed(&key).await;
    scene
        .sql(&format!(
            "CREATE TABLE tuples (subject text, part int) PARTITION BY LIST (part);
             CREATE TABLE tuples_1 PARTITION OF tuples FOR VALUES IN (1);
             INSERT INTO tuples VALUES ('{key}', 1), ('{key}', 1);
             CREATE VIEW members AS SELECT subject::uuid AS organization_id FROM tuples WHERE part = 1;
             CREATE TABLE outbox (payload text);
             GRANT SELECT, DELETE ON members TO organization_operator"
        ))
        .await;
    let another =
        "INSERT INTO tuples VALUES ('00000000-0000-4000-8000-0000000000ff', 1); INSERT INTO outbox VALUES ('x')";
    scene.sql(&trigger("tuples", "again", "STATEMENT", another)).await;
    let mut plan = serde_json::to_value(planner::Plan::default()).expect("a plan");
    let step = json!({"entity": "members", "table": "members", "organization": "organization_id"});
    plan["steps"].as_array_mut().expect("steps").push(step);
    let config = scene.file("view.yaml", &serde_yaml::to_string(&json!({"cascade": plan})).expect("YAML"));
    let said = run(&scene, &["rehearse", "--id", &key, "--config", &config, "-o", "json"]).await.with(0).json();
    let deleted = said["steps"].as_array().expect("steps").iter().find(|s| s["entity"] == "members");
    assert_eq!(deleted.map(|s| &s["deleted"]), Some(&json!(2)), "{said}");
    assert_eq!(said["written"], json!([written("public.outbox", 1, 0, 0), written("public.tuples", 1, 0, 0)]));
}
