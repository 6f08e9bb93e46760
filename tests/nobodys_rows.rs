//! Whose rows are these? Rows of no organization, and rows that could be another one's, in `organization-operator check`.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::db::{Database, Settings, UrlSource};
use serde_json::{Value, json};

use crate::check::{migrated, run};
use crate::support::{Variant, World};
use crate::tests;

tests![
    rows_of_nobody_are_counted_and_shown,
    what_takes_too_long_to_count_is_said,
    rows_that_no_role_may_read_are_a_fault_and_not_counted,
    a_view_says_itself_which_rows_are_nobodys,
    the_proof_for_part_of_a_key_wants_an_index_on_the_parent,
];

const NOTES: &str =
    "CREATE TABLE notes (id bigint PRIMARY KEY, user_id uuid REFERENCES users, flow_id uuid REFERENCES flows);
    CREATE INDEX ON notes (user_id); CREATE INDEX ON notes (flow_id);
    GRANT SELECT, DELETE ON notes TO organization_operator; GRANT UPDATE (id) ON users TO organization_operator";

/// The platform's plan with these steps after its own.
fn with(steps: &[Value]) -> Value {
    let mut all = vec![
        json!({"entity": "users", "table": "users", "organization": "organization_id"}),
        json!({"entity": "flows", "table": "flows", "organization": "organization_id"}),
        json!({"entity": "flowExecutions", "table": "flow_executions", "parent": "flows", "column": "flow_id"}),
        json!({"entity": "taskOutputs", "table": "task_outputs", "parent": "flowExecutions", "column": "flow_execution_id"}),
        json!({"entity": "taskStatuses", "table": "task_statuses", "parent": "flowExecutions", "column": "flow_execution_id"}),
    ];
    all.extend_from_slice(steps);
    json!({
        "database": {"lockTimeoutSeconds": 1},
        "cascade": {"organization": {"table": "organizations", "key": "id"}, "tenantColumns": ["organization_id"], "steps": all},
    })
}

fn notes() -> Value {
    with(&[
        json!({"entity": "notes", "table": "notes", "parent": "users", "column": "user_id"}),
        json!({"entity": "notes", "table": "notes", "parent": "flows", "column": "flow_id"}),
    ])
}

async fn rows_of_nobody_are_counted_and_shown(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene.sql(NOTES).await;
    scene
        .sql(
            "INSERT INTO notes SELECT n, (SELECT id FROM users LIMIT 1), NULL FROM generate_series(1, 3) n;
             INSERT INTO notes SELECT n, NULL, (SELECT id FROM flows LIMIT 1) FROM generate_series(4, 6) n",
        )
        .await;
    let checked =
        async |arguments: &[&str]| run(&scene, &notes(), &[&["-o", "json"], arguments].concat(), &scene.url()).await;
    assert_eq!(checked(&[]).await.kinds(), Vec::<String>::new(), "each has one way");

    scene.sql("INSERT INTO notes SELECT n, NULL, NULL FROM generate_series(7, 18) n").await;
    for arguments in [&[][..], &["--id", &acme]] {
        let answer = checked(arguments).await;
        assert_eq!((answer.code, answer.kinds()), (Some(0), vec!["NobodysRows".to_owned()]), "{}", answer.text);
        let finding = &answer.json()["findings"][0];
        assert_eq!(
            finding["message"],
            "12 rows of `public.notes` belong to no organization: user_id and flow_id are NULL. No deletion finds them"
        );
        assert_eq!((&finding["severity"], &finding["rows"]), (&json!("Warning"), &json!(12)), "{finding}");
        assert_eq!(finding["columns"], json!(["user_id", "flow_id"]));
        // The remedy shows them.
        let (query, _) = finding["remedy"].as_str().and_then(|r| r.split_once(';')).expect("a statement");
        assert_eq!(
            scene.value::<i64>(&format!("SELECT count(*) FROM ({query}) q WHERE id BETWEEN 7 AND 18")).await,
            12
        );
    }
    let text = run(&scene, &notes(), &[], &scene.url()).await.text;
    assert!(text.contains("WARNING  NobodysRows            public.notes (user_id, flow_id)"), "{text}");

    scene.sql("INSERT INTO notes SELECT n, NULL, NULL FROM generate_series(100, 10200) n").await;
    let answer = checked(&[]).await;
    assert!(answer.text.contains("10000+ rows of `public.notes`"), "{}", answer.text);
    scene.sql("DELETE FROM notes WHERE user_id IS NULL AND flow_id IS NULL").await;
    assert_eq!(checked(&[]).await.kinds(), Vec::<String>::new());

    // The operator does not count them: nothing is said on an object.
    scene.sql("INSERT INTO notes VALUES (1000, NULL, NULL)").await;
    let operator = scene.operator().configure("cascade", notes()["cascade"].clone()).start().await;
    assert!(!operator.metrics().await.contains("organization_operator_findings{"));
    operator.stop().await;
}

async fn what_takes_too_long_to_count_is_said(world: Arc<World>) {
    let scene = migrated(world.clone(), Variant::Ordinary).await;
    scene.sql(NOTES).await;
    let mut other = scene.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.expect("locked");
    let answer = run(&scene, &notes(), &["-o", "json"], &scene.url()).await;
    let found = answer.of("NobodysRows");
    assert_eq!((answer.code, found.len()), (Some(0), 1), "{}", answer.text);
    assert!(answer.text.contains("the check could not count such rows: "), "{}", answer.text);
    assert!(answer.json()["findings"][0].get("rows").is_none_or(Value::is_null), "{}", answer.text);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("unlocked");
    assert_eq!(run(&scene, &notes(), &["-o", "json"], &scene.url()).await.of("NobodysRows").len(), 0);

    // A table that takes long to scan.
    scene
        .sql(
            "DROP INDEX notes_user_id_idx, notes_flow_id_idx; ALTER TABLE notes DROP CONSTRAINT notes_user_id_fkey;
             INSERT INTO notes SELECT n, gen_random_uuid(), NULL FROM generate_series(1, 400000) n",
        )
        .await;
    let settings = |statement_timeout| Settings {
        max_connections: 4,
        connect_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(20),
        statement_timeout,
    };
    let database = |timeout| Database::new(UrlSource::Text(scene.url()), settings(timeout)).expect("a URL");
    let plan = serde_json::from_value(notes()["cascade"].clone()).expect("a plan");
    let patient = database(Duration::from_secs(20));
    let compiled = patient.compile(&plan).await.expect("compiles");
    assert_eq!(patient.nobodys_rows(&compiled).await.expect("counted"), []);
    let hasty = database(Duration::from_millis(5));
    let found = hasty.nobodys_rows(&compiled).await.expect("a table that cannot be counted fails nothing");
    assert!(
        found
            .iter()
            .any(|f| f.table.as_deref() == Some("public.notes") && f.message.contains("could not count such rows")),
        "{found:?}"
    );
    patient.close().await;
    hasty.close().await;
}

async fn rows_that_no_role_may_read_are_a_fault_and_not_counted(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    scene.sql(NOTES).await;
    for (taken, kind, given) in [
        (
            "REVOKE SELECT ON notes FROM organization_operator",
            "MissingPrivilege",
            "GRANT SELECT ON notes TO organization_operator",
        ),
        (
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
            "RowSecurity",
            "ALTER TABLE notes DISABLE ROW LEVEL SECURITY; INSERT INTO notes VALUES (1, NULL, NULL)",
        ),
    ] {
        scene.sql(taken).await;
        let answer = run(&scene, &notes(), &["-o", "json"], &scene.url()).await;
        assert_eq!((answer.code, answer.kinds()), (Some(1), vec![kind.to_owned()]), "{}", answer.text);
        scene.sql(given).await;
    }
    assert_eq!(run(&scene, &notes(), &["-o", "json"], &scene.url()).await.kinds(), ["NobodysRows"]);
}

async fn a_view_says_itself_which_rows_are_nobodys(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    scene
        .sql(
            "CREATE TABLE tuples (id bigint PRIMARY KEY, subject text);
             CREATE VIEW members AS SELECT id, CASE WHEN subject LIKE 'org:%' THEN substr(subject, 5)::uuid END AS organization_id FROM tuples;
             INSERT INTO tuples VALUES (1, 'user:5');
             GRANT SELECT, DELETE ON members TO organization_operator",
        )
        .await;
    let config = with(&[json!({"entity": "members", "table": "members", "organization": "organization_id"})]);
    let answer = run(&scene, &config, &["-o", "json"], &scene.url()).await;
    assert_eq!((answer.code, answer.of("NobodysRows").len()), (Some(0), 0), "{}", answer.text);
}

async fn the_proof_for_part_of_a_key_wants_an_index_on_the_parent(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(&format!(
            "CREATE TABLE events (organization_id uuid NOT NULL REFERENCES organizations, seen_at timestamptz NOT NULL, id bigint NOT NULL,
                 PRIMARY KEY (organization_id, seen_at, id)) PARTITION BY RANGE (seen_at);
             CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
             CREATE TABLE event_runs (event_id bigint NOT NULL, event_seen_at timestamptz NOT NULL, run uuid NOT NULL,
                 PRIMARY KEY (event_id, event_seen_at, run));
             INSERT INTO events SELECT '{acme}', '2026-02-01', n FROM generate_series(1, 20000) n;
             INSERT INTO events SELECT '{globex}', '2026-02-01', n FROM generate_series(20001, 20003) n;
             INSERT INTO event_runs SELECT id, seen_at, gen_random_uuid() FROM events;
             GRANT SELECT, DELETE ON events, event_runs TO organization_operator; GRANT UPDATE (id) ON events TO organization_operator"
        ))
        .await;
    let config = with(&[
        json!({"entity": "events", "table": "events", "organization": "organization_id"}),
        json!({"entity": "eventRuns", "table": "event_runs", "parent": "events",
            "columns": {"event_id": "id", "event_seen_at": "seen_at"}}),
    ]);
    let checked =
        async |arguments: &[&str]| run(&scene, &config, &[&["-o", "json"], arguments].concat(), &scene.url()).await;
    let answer = checked(&[]).await;
    let unindexed = answer.of("Unindexed");
    assert_eq!((answer.code, unindexed.len()), (Some(0), 1), "{}", answer.text);
    assert_eq!((unindexed[0].1.as_str(), unindexed[0].2.as_str()), ("public.events", "id,seen_at"));
    let cost = "so PostgreSQL scans all of `public.events` in each deletion to prove that no other organization's row has the same part of the key";
    assert!(answer.text.contains(cost), "{}", answer.text);
    // How large it is, PostgreSQL says once it has analyzed the table.
    scene.sql("ANALYZE events_1").await;
    let answer = checked(&[]).await;
    assert!(answer.text.contains("scans all of `public.events` (more than 1 MB) in each deletion"), "{}", answer.text);
    scene.sql(&unindexed[0].3).await;
    let answer = checked(&["--id", &acme]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), vec!["Unprotected".to_owned()]), "{}", answer.text);
    assert!(answer.text.contains("no foreign key can refer to part of a key"), "{}", answer.text);

    scene
        .sql(&format!(
            "INSERT INTO events SELECT '{globex}', seen_at, id FROM events WHERE organization_id = '{acme}' AND id <= 5"
        ))
        .await;
    for key in [&acme, &globex] {
        let answer = checked(&["--id", key]).await;
        let found = answer.of("AmbiguousRows");
        assert_eq!((answer.code, found.len()), (Some(1), 1), "{}", answer.text);
        let (severity, table, columns, remedy) = &found[0];
        assert_eq!(
            (severity.as_str(), table.as_str(), columns.as_str()),
            ("Blocks", "public.event_runs", "event_id,event_seen_at")
        );
        assert_eq!(answer.json()["findings"][0]["rows"], 5, "{}", answer.text);
        scene.sql(remedy).await;
        let (query, _) = remedy.split_once(';').expect("a statement");
        assert_eq!(scene.value::<i64>(&format!("SELECT count(*) FROM ({query}) q WHERE event_id <= 5")).await, 5);
    }
}
