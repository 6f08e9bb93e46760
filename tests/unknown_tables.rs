//! "Nobody forgets a table": what the plan does not mention is a warning, or blocks where the plan says so.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::plan::run;
use crate::support::{Operator, Scene, Seen, Variant, World, eventually};
use crate::tests;

tests![
    every_table_of_the_platform_has_to_be_mentioned,
    a_table_that_appears_is_a_finding_at_the_next_poll,
    a_table_that_appears_stops_a_deletion_that_is_compiled_already,
    a_global_table_is_one_without_rows_of_an_organization,
    of_many_tables_a_status_names_a_few,
];

/// The built-in plan with other fields.
fn plan(more: &Value) -> Value {
    let mut plan = serde_json::to_value(planner::Plan::default()).expect("a plan");
    for (field, value) in more.as_object().expect("fields") {
        plan[field] = value.clone();
    }
    plan
}

/// `check` with this plan: the exit code, and (severity, kind, table) of each finding.
async fn check(scene: &Scene, more: &Value) -> (i32, Vec<(String, String, String)>) {
    let config = json!({"cascade": plan(more)});
    let file = scene.file("check.yaml", &serde_yaml::to_string(&config).expect("YAML"));
    let said = run(scene, &["check", "--config", &file, "-o", "json"]).await;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let findings = said.json()["findings"].as_array().expect("findings").clone();
    let found = findings.iter().map(|f| (text(&f["severity"]), text(&f["kind"]), text(&f["table"]))).collect();
    (said.code, found)
}

/// The tables of these findings, each of them a warning about a table that the plan does not mention.
fn unknown(found: Vec<(String, String, String)>, severity: &str) -> Vec<String> {
    assert!(found.iter().all(|(s, kind, _)| s == severity && kind == "UnknownTable"), "{found:?}");
    found.into_iter().map(|f| f.2).collect()
}

async fn migrated(world: Arc<World>) -> Scene {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.start().await.stop().await;
    scene
}

async fn every_table_of_the_platform_has_to_be_mentioned(world: Arc<World>) {
    let scene = migrated(world).await;
    assert_eq!(check(&scene, &json!({"unknownTables": "block"})).await, (0, Vec::new()), "each table is a step");
    scene
        .sql(
            "CREATE TABLE outbox (id int PRIMARY KEY, payload jsonb);
             CREATE UNLOGGED TABLE cache (id int);
             CREATE TABLE logs (id int, at date) PARTITION BY RANGE (at);
             CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY RANGE (at);
             CREATE TABLE logs_1_1 PARTITION OF logs_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
             CREATE TABLE things (id int); CREATE TABLE cars () INHERITS (things);
             CREATE TABLE extended (id int); ALTER EXTENSION plpgsql ADD TABLE extended;
             CREATE VIEW seen AS SELECT * FROM outbox; CREATE MATERIALIZED VIEW copied AS SELECT * FROM outbox;
             CREATE SCHEMA hidden; CREATE TABLE hidden.vault (id int); REVOKE ALL ON SCHEMA hidden FROM PUBLIC;
             CREATE SCHEMA other; CREATE TABLE other.a (id int); CREATE TABLE other.\"b.*\" (id int);
             CREATE TABLE other.outbox (id int)",
        )
        .await;
    let mut session = scene.connect().await;
    let temporary = "CREATE TEMPORARY TABLE passing (id int)";
    sqlx::raw_sql(temporary).execute(&mut session).await.expect("a temporary table");

    let all = [
        "hidden.vault",
        "other.a",
        "other.b.*",
        "other.outbox",
        "public.cache",
        "public.cars",
        "public.logs",
        "public.outbox",
        "public.things",
    ];
    let (code, found) = check(&scene, &json!({})).await;
    assert_eq!((code, unknown(found, "Warning")), (0, all.map(str::to_owned).to_vec()));
    let (code, found) = check(&scene, &json!({"unknownTables": "block"})).await;
    assert_eq!((code, unknown(found, "Blocks")), (1, all.map(str::to_owned).to_vec()));

    // Each way to mention a table. A bare name is the one on the search path, and a whole schema is only that.
    let (code, found) = check(
        &scene,
        &json!({"unknownTables": "block", "global": ["outbox", "cars", "public.things", "hidden.*", "gone", "no.such"],
            "keep": [{"table": "cache", "reason": "none"}, {"table": "logs", "reason": "audit"}]}),
    )
    .await;
    let left = ["other.a", "other.b.*", "other.outbox"].map(str::to_owned).to_vec();
    assert_eq!((code, unknown(found, "Blocks")), (1, left));
    let rest = json!(["other.*", "hidden.*", "public.*"]);
    assert_eq!(check(&scene, &json!({"unknownTables": "block", "global": rest})).await, (0, Vec::new()));
    // What is unclassified is a fault for that reason alone.
    let open = json!([{"table": "outbox"}, {"table": "logs"}]);
    let (code, found) =
        check(&scene, &json!({"global": ["other.*", "hidden.*", "cache", "cars", "things"], "unclassified": open}))
            .await;
    let kinds: Vec<&str> = found.iter().map(|f| f.1.as_str()).collect();
    assert_eq!((code, kinds), (1, vec!["PlanMismatch", "PlanMismatch"]), "{found:?}");
    // A partition is a part of its table; detached it is a table of its own.
    scene.sql("ALTER TABLE logs DETACH PARTITION logs_1").await;
    let known = json!({"global": ["other.*", "hidden.*", "cache", "cars", "things", "logs", "outbox"]});
    let (_, found) = check(&scene, &known).await;
    assert_eq!(unknown(found, "Warning"), ["public.logs_1"]);

    // `plan show` names them, too: nothing else would say it to who only reads plans.
    let file = scene.file("plan.yaml", &serde_yaml::to_string(&json!({"cascade": plan(&known)})).expect("YAML"));
    let said = run(&scene, &["plan", "show", "--config", &file]).await.with(0);
    assert!(
        said.out.contains("does not mention these tables, so a deletion leaves their rows in place: `public.logs_1`."),
        "{}",
        said.out
    );
    let said = run(&scene, &["plan", "show", "--config", &file, "-o", "json"]).await.with(0).json();
    assert_eq!(said["unknownTables"], json!(["public.logs_1"]));

    // A step that is a view covers the tables that the view is made of.
    scene
        .sql(
            "DROP VIEW seen; ALTER TABLE outbox ADD organization_id uuid REFERENCES organizations;
             CREATE VIEW sent AS SELECT id, organization_id FROM outbox; GRANT SELECT, DELETE ON sent TO organization_operator;
             GRANT SELECT ON outbox TO organization_operator",
        )
        .await;
    let mut steps = plan(&json!({}))["steps"].clone();
    steps
        .as_array_mut()
        .expect("steps")
        .push(json!({"entity": "sent", "table": "sent", "organization": "organization_id"}));
    let viewed = json!({"steps": steps, "tenantColumns": [], "unknownTables": "block",
        "global": ["other.*", "hidden.*", "cache", "cars", "things", "logs", "logs_1"]});
    let (_, found) = check(&scene, &viewed).await;
    assert!(found.iter().all(|f| f.1 != "UnknownTable"), "{found:?}");
}

async fn finding(operator: &Operator, severity: &str) -> Option<()> {
    let line = format!("organization_operator_findings{{kind=\"UnknownTable\",severity=\"{severity}\"}} 1");
    operator.metrics().await.contains(&line).then_some(())
}

async fn a_table_that_appears_is_a_finding_at_the_next_poll(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    let version = scene.get("acme").await.and_then(|s| s.0.metadata.resource_version);
    scene.sql("CREATE TABLE outbox (id int)").await;
    eventually("the metric", || finding(&operator, "Warning")).await;
    eventually("the log", || async {
        operator.log().contains("leaves their rows in place: `public.outbox`.").then_some(())
    })
    .await;
    let seen = scene.get("acme").await.expect("the object");
    assert!(seen.is("DeletionReady", "True"), "a warning never blocks: {}", seen.yaml());
    assert_eq!(seen.0.metadata.resource_version, version, "a table that blocks nothing costs no write");
    operator.stop().await;

    let operator = scene.operator().configure("cascade", plan(&json!({"unknownTables": "block"}))).launch().await;
    let blocked = |s: &Seen| s.is("DeletionReady", "False") && s.message("DeletionReady").contains("`public.outbox`");
    let seen = scene.until("acme", "DeletionReady=False", blocked).await;
    assert_eq!(seen.reason("DeletionReady"), "SchemaMismatch");
    assert!(seen.is("Ready", "True"), "{}", seen.yaml());
    eventually("the metric", || finding(&operator, "Blocks")).await;
    scene.sql("DROP TABLE outbox").await;
    scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    operator.stop().await;
}

/// The poll is far away: only the deletion itself can see the table.
async fn a_table_that_appears_stops_a_deletion_that_is_compiled_already(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    for number in 1..4 {
        scene.seed(&scene.key(number)).await;
    }
    scene.sql("CREATE SCHEMA other; CREATE TABLE other.a (id int); CREATE TABLE countries (code text)").await;
    let strict = plan(&json!({"unknownTables": "block", "global": ["other.*", "countries"]}));
    let operator =
        scene.operator().configure("cascade", strict).configure("pollIntervalSeconds", json!(600)).start().await;
    for (name, number) in [("acme", 1), ("globex", 2), ("initech", 3)] {
        scene.apply(&scene.org(name, &scene.key(number)).policy("Delete")).await;
        scene.until(name, "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    }
    // Other applications, temporary tables and new partitions are none of its business.
    let mut session = scene.connect().await;
    sqlx::raw_sql("CREATE TEMPORARY TABLE passing (id int)").execute(&mut session).await.expect("a temporary table");
    scene.sql("CREATE TABLE other.b (id int)").await;
    scene.delete("acme").await;
    scene.gone("acme").await;

    scene.sql("CREATE TABLE outbox (id int)").await;
    scene.delete("globex").await;
    let stopped = |s: &Seen| s.is("DeletionBlocked", "True");
    let seen = scene.until("globex", "DeletionBlocked", stopped).await;
    let error = seen.error().expect("an error");
    assert_eq!(error.reason.as_str(), "SchemaMismatch", "{error:?}");
    assert!(error.message.contains("does not mention the table `public.outbox`"), "{error:?}");
    assert!(error.remedy.as_ref().is_some_and(|r| r.contains("plan init --update FILE")), "{error:?}");
    assert!(scene.total(&scene.key(2)).await > 1, "nothing was deleted");
    scene.sql("DROP TABLE outbox").await;
    scene.gone("globex").await;

    // Another name is another table.
    scene.sql("ALTER TABLE countries RENAME TO outbox").await;
    scene.delete("initech").await;
    scene.until("initech", "DeletionBlocked", stopped).await;
    assert!(scene.total(&scene.key(3)).await > 1, "nothing was deleted");
    scene.sql("ALTER TABLE outbox RENAME TO countries").await;
    scene.gone("initech").await;
    operator.stop().await;
}

async fn a_global_table_is_one_without_rows_of_an_organization(world: Arc<World>) {
    let scene = migrated(world).await;
    scene
        .sql(
            "DROP TABLE task_statuses;
             CREATE TABLE task_statuses (id uuid, flow_execution_id uuid NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);
             CREATE TABLE task_statuses_1 PARTITION OF task_statuses FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
             GRANT SELECT, DELETE ON task_statuses TO organization_operator;
             CREATE TABLE labels (id int, organization_id uuid);
             CREATE TABLE tokens (id int, user_id uuid REFERENCES users); CREATE INDEX ON tokens (user_id);
             GRANT SELECT ON tokens TO organization_operator",
        )
        .await;
    let of = |found: Vec<(String, String, String)>, kind: &str| -> Vec<(String, String)> {
        found.into_iter().filter(|f| f.1 == kind).map(|f| (f.0, f.2)).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    for global in [json!(["labels", "tokens"]), json!(["public.*"])] {
        let (code, found) = check(&scene, &json!({"global": global})).await;
        assert_eq!(of(found.clone(), "Unclassified"), [pair("Blocks", "public.labels")], "{global}");
        assert_eq!(of(found.clone(), "UndeclaredReference"), [pair("Warning", "public.tokens")], "{global}");
        assert_eq!(of(found, "UnknownTable"), [], "{global}");
        assert_eq!(code, 1);
    }
    for (global, table) in [("task_statuses_1", "public.task_statuses_1"), ("public.users", "public.users")] {
        let keep = json!([{"table": "labels", "reason": "law"}, {"table": "tokens", "reason": "law"}]);
        let (code, found) = check(&scene, &json!({"global": [global], "keep": keep})).await;
        assert_eq!((code, of(found, "PlanMismatch")), (1, vec![pair("Blocks", table)]), "{global}");
    }
}

async fn of_many_tables_a_status_names_a_few(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    scene
        .sql("DO $$ BEGIN FOR i IN 10..59 LOOP EXECUTE format('CREATE TABLE t%s (id int)', i); END LOOP; END $$")
        .await;
    let strict = json!({"unknownTables": "block"});
    let operator = scene.operator().configure("cascade", plan(&strict)).launch().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    let error = seen.error().expect("an error");
    assert!(error.message.contains("`public.t17`") && !error.message.contains("`public.t18`"), "{error:?}");
    assert!(
        error.message.contains("the plan does not mention 42 more tables; `organization-operator check` names"),
        "{error:?}"
    );
    assert_eq!(error.causes.len(), 8, "{error:?}");
    operator.stop().await;
    let (_, found) = check(&scene, &strict).await;
    assert_eq!(unknown(found, "Blocks").len(), 50, "a check names each of them");
}
