//! "It starts, tells how it is, and stops, whatever state the world is in."

use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use crate::support::{Operator, PATIENCE, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_stop_rolls_a_waiting_cascade_back,
    a_stop_lets_a_cascade_finish,
    a_pass_that_takes_too_long_is_given_up,
    metrics_tell_what_was_deleted_and_what_was_not,
    a_database_that_is_down_makes_it_unready_not_unhealthy,
    help_tells_what_can_be_done,
    a_bad_configuration_names_its_field,
    migrations_run_once,
    migrations_at_once_wait_for_each_other,
    a_migration_does_not_wait_for_ever,
    an_administrator_can_make_the_schema,
    a_missing_schema_is_reported,
    keys_that_an_older_version_captured_serve_the_second_count,
    an_administrator_can_update_the_schema,
];

/// Locks a tenant's row, as a long transaction of the platform would.
async fn lock<'c>(session: &'c mut PgConnection, key: &str) -> Transaction<'c, Postgres> {
    let mut holding = session.begin().await.expect("a transaction");
    let sql = format!("SELECT FROM organizations WHERE id = '{key}' FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *holding).await.expect("a lock");
    holding
}

async fn waits_for_a_lock(scene: &Scene) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'organization-operator' AND wait_event_type = 'Lock'";
    eventually("the operator waits for a lock", || async { (scene.value::<i64>(waiting).await > 0).then_some(()) })
        .await;
}

/// A scene with a tenant whose deletion waits for a lock that `session` holds.
async fn waiting(world: &Arc<World>) -> (Scene, String, Operator) {
    let scene = Scene::new(world.clone(), Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(4)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

async fn a_stop_rolls_a_waiting_cascade_back(world: Arc<World>) {
    let (scene, acme, operator) = waiting(&world).await;
    let rows = scene.rows(&acme).await;
    let mut session = scene.connect().await;
    let holding = lock(&mut session, &acme).await;
    scene.delete("acme").await;
    waits_for_a_lock(&scene).await;

    let started = Instant::now();
    operator.signal(testbed::Signal::Terminate);
    let exit = operator.guard().wait_exit(PATIENCE).await.expect("it ends");
    assert_eq!(exit.code(), Some(0), "{exit}: {}", operator.guard().log_tail(20));
    // The lock timeout of this test, and some time for a machine with other things to do.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(scene.rows(&acme).await, rows, "nothing was deleted");
    assert!(scene.ledger().await.is_empty());
    holding.rollback().await.expect("released");
    let _second = scene.start().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.ledger().await.len(), 1);
}

async fn a_stop_lets_a_cascade_finish(world: Arc<World>) {
    let (scene, acme, operator) = waiting(&world).await;
    let mut session = scene.connect().await;
    let holding = lock(&mut session, &acme).await;
    scene.delete("acme").await;
    waits_for_a_lock(&scene).await;
    operator.signal(testbed::Signal::Terminate);
    tokio::time::sleep(Duration::from_millis(300)).await;
    holding.rollback().await.expect("released");
    let exit = operator.guard().wait_exit(PATIENCE).await.expect("it ends");
    assert_eq!(exit.code(), Some(0), "{exit}: {}", operator.guard().log_tail(20));
    // The current reconciliation was finished, including the release of the finalizer.
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.ledger().await.len(), 1);
    scene.gone("acme").await;
}

async fn a_pass_that_takes_too_long_is_given_up(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let launch = scene.operator().configure("reconcileTimeoutSeconds", json!(2));
    let operator = launch.configure("database.lockTimeoutSeconds", json!(6)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let rows = scene.rows(&acme).await;
    let mut session = scene.connect().await;
    let holding = lock(&mut session, &acme).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "a timeout", |s| s.reason("DeletionBlocked") == "StatementTimeout").await;
    let error = seen.error().expect("an error");
    assert!(error.message.contains("longer than 2 s"), "{error:?}");
    assert!(error.remedy.as_deref().is_some_and(|r| r.contains("reconcileTimeoutSeconds")), "{error:?}");
    assert_eq!(scene.rows(&acme).await, rows, "nothing was deleted");
    holding.rollback().await.expect("released");
    scene.gone("acme").await;
    assert_eq!(scene.ledger().await.len(), 1);
    operator.stop().await;
}

/// The value of a metric; `name` with its labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

async fn metrics_tell_what_was_deleted_and_what_was_not(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let operator = scene.start().await;
    for (name, key) in [("acme", &acme), ("globex", &globex)] {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    let age = "organization_operator_oldest_unfinished_deletion_age_seconds";
    let text = operator.metrics().await;
    assert_eq!(metric(&text, age), Some(0.0), "{text}");

    let mut session = scene.connect().await;
    let holding = lock(&mut session, &globex).await;
    scene.delete("globex").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    scene.until("globex", "LockTimeout", |s| s.reason("DeletionBlocked") == "LockTimeout").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let text = operator.metrics().await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let blocked = "organization_operator_deletions_total{outcome=\"Blocked\",reason=\"LockTimeout\"}";
    for (name, at_least) in [
        ("organization_operator_deletions_total{outcome=\"Erased\",reason=\"\"}", 1.0),
        (blocked, 1.0),
        ("organization_operator_failures_total{reason=\"LockTimeout\"}", 1.0),
        ("organization_operator_rows_deleted_total{entity=\"users\"}", 3.0),
        ("organization_operator_rows_deleted_total{entity=\"flows\"}", 2.0),
        ("organization_operator_rows_deleted_total{entity=\"flowExecutions\"}", 4.0),
        ("organization_operator_rows_deleted_total{entity=\"taskOutputs\"}", 12.0),
        ("organization_operator_rows_deleted_total{entity=\"taskStatuses\"}", 12.0),
        ("organization_operator_deletion_duration_seconds_count", 1.0),
        ("organization_operator_reconciles_total", 4.0),
        ("organization_operator_reconcile_duration_seconds_count", 4.0),
        ("organization_operator_api_calls_total{verb=\"GET\"}", 1.0),
        ("organization_operator_api_calls_total{verb=\"PATCH\"}", 4.0),
        ("organization_operator_unfinished_deletions", 1.0),
        (age, 1.0),
    ] {
        assert!(metric(&text, name).is_some_and(|value| value >= at_least), "{name} >= {at_least}: {text}");
    }
    assert!(!text.contains(&acme) && !text.contains("plan_fault{"), "{text}");

    holding.rollback().await.expect("released");
    scene.gone("globex").await;
    eventually("no unfinished deletion", || async {
        (metric(&operator.metrics().await, age) == Some(0.0)).then_some(())
    })
    .await;
    operator.stop().await;
}

async fn a_database_that_is_down_makes_it_unready_not_unhealthy(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let proxy = scene.sql_proxy().await;
    scene.seed(&scene.key(1)).await;
    let launch = scene.operator().url(&scene.url_through(&proxy));
    let operator = launch.configure("database.connectTimeoutSeconds", json!(1)).start().await;
    let is = async |path: &'static str, status: u16| {
        eventually(&format!("{path} says {status}"), || async {
            operator.fetch(path).await.filter(|answer| answer.0 == status)
        })
        .await
        .1
    };
    assert_eq!(is("/healthz", 200).await, "ok\n");
    proxy.sever().await;
    assert!(is("/readyz", 503).await.contains("database"));
    assert_eq!(operator.fetch("/healthz").await.map(|a| a.0), Some(200));
    proxy.restore().await.expect("restored");
    is("/readyz", 200).await;
    assert_eq!(operator.fetch("/nothing").await.map(|a| a.0), Some(404));
}

/// Runs the binary by hand.
async fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_organization-operator"));
    command.args(arguments).env_remove("DATABASE_URL").env_remove("KUBECONFIG").kill_on_drop(true);
    command.envs(environment.iter().copied());
    command.output().await.expect("it runs")
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

async fn help_tells_what_can_be_done(_: Arc<World>) {
    let output = command(&["--help"], &[]).await;
    let (out, _) = text(&output);
    assert!(output.status.success());
    for word in ["kubectl delete organization", "run", "crd", "migrate"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let output = command(&["run", "--help"], &[("DATABASE_URL", "postgres://u:canary@h/d")]).await;
    let (out, _) = text(&output);
    assert!(output.status.success());
    for word in ["--config", "--database ", "--database-url", "--listen", "--log-format", "DATABASE_URL"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(!out.contains("canary"), "a secret: {out}");
    assert!(!command(&["erase"], &[]).await.status.success());
}

async fn a_bad_configuration_names_its_field(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let url = [("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/d")];
    for (yaml, field) in [
        ("drainSeconds: 0", "drainSeconds"),
        ("database: {maxConnections: 2}", "database.maxConnections"),
        ("pollIntervall: 3", "pollIntervall"),
        ("retry: {slow: {initialSeconds: 9, maxSeconds: 3}}", "retry.slow.maxSeconds"),
        ("cascade: {organization: {table: o, key: id}, steps: []}", "cascade.steps"),
        ("breaker: {deletions: 0}", "`breaker.deletions` must be at least 1"),
        ("breaker: {minutes: 0}", "`breaker.minutes` must be at least 1"),
        ("breaker: {seconds: 5}", "unknown field `seconds`"),
        ("breaker: sometimes", "`never`"),
        ("concurrency: many", "concurrency"),
    ] {
        let file = scene.file("bad.yaml", yaml);
        let output = command(&["run", "--config", &file, "--listen", "127.0.0.1:0"], &url).await;
        let (_, err) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{yaml}: {err}");
        assert!(err.contains(field) && err.contains("error:"), "{yaml}: {err}");
        assert!(!err.contains("canary") && !err.contains("panicked"), "{yaml}: {err}");
    }
    for (arguments, environment, word) in [
        (vec!["run", "--config", "/nowhere.yaml"], url.to_vec(), "/nowhere.yaml"),
        (vec!["run"], vec![], "DATABASE_URL"),
        (
            vec!["run", "--listen", "127.0.0.1:0"],
            vec![("DATABASE_URL", "canary:not a url")],
            "postgres://USER:PASSWORD@",
        ),
    ] {
        let output = command(&arguments, &environment).await;
        let (_, err) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains(word) && !err.contains("canary"), "{arguments:?}: {err}");
    }
}

async fn migrations_run_once(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let url = scene.url();
    let migrate = async || {
        let output = command(&["migrate", "--database-url", &url], &[]).await;
        assert!(output.status.success(), "{:?}", text(&output));
        text(&output).0
    };
    assert!(migrate().await.contains("created or updated"));
    let identity = "SELECT id::text FROM organization_operator.installation";
    let before: String = scene.value(identity).await;
    assert!(migrate().await.contains("up to date"));
    assert_eq!(scene.value::<String>(identity).await, before, "the database keeps its identity");
}

/// A session that holds the lock under which the operator's own schema is changed.
async fn migrating(scene: &Scene) -> PgConnection {
    let mut holder = scene.connect().await;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(organization_operator::store::migrations::LOCK);
    lock.execute(&mut holder).await.expect("the lock");
    holder
}

async fn migrations_at_once_wait_for_each_other(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let limits = scene.file("patient.yaml", "database: {lockTimeoutSeconds: 60, statementTimeoutSeconds: 90}\n");
    let url = scene.url();
    let holder = migrating(&scene).await;
    let both = tokio::spawn(async move {
        let arguments = ["migrate", "--config", &limits, "--database-url", &url];
        tokio::join!(command(&arguments, &[]), command(&arguments, &[]))
    });
    let waiting = "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("both to wait", || async { scene.value::<bool>(waiting).await.then_some(()) }).await;
    // The lock of a session goes with it.
    holder.close().await.expect("closed");
    let (one, other) = both.await.expect("both end");
    assert!(one.status.success() && other.status.success(), "{:?} {:?}", text(&one), text(&other));
    let said = text(&one).0 + &text(&other).0;
    assert!(said.contains("created or updated") && said.contains("up to date"), "one of them did it: {said}");
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM organization_operator.installation").await, 1);
}

async fn a_migration_does_not_wait_for_ever(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let limits = scene.file("hasty.yaml", "database: {lockTimeoutSeconds: 1, statementTimeoutSeconds: 20}\n");
    let url = scene.url();
    let holder = migrating(&scene).await;
    let output = command(&["migrate", "--config", &limits, "--database-url", &url], &[]).await;
    let (_, said) = text(&output);
    assert!(!output.status.success(), "{:?}", text(&output));
    assert!(said.contains("LockTimeout") && said.contains("updating the schema organization_operator"), "{said}");
    // An operator goes on by itself when the lock is free.
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(1)).launch().await;
    eventually("the operator to be told", || async { operator.log().contains("LockTimeout").then_some(()) }).await;
    holder.close().await.expect("closed");
    operator.wait_ready().await;
    operator.stop().await;
}

/// The operator's role owns nothing and may create nothing: a DBA runs the script.
async fn an_administrator_can_make_the_schema(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.sql("DROP SCHEMA organization_operator CASCADE").await;
    let output = command(&["migrate", "--print"], &[]).await;
    assert!(output.status.success());
    scene.sql(&text(&output).0).await;
    let may = "SELECT has_database_privilege('organization_operator', current_database(), 'CREATE') \
               OR has_schema_privilege('organization_operator', 'organization_operator', 'CREATE')";
    assert!(!scene.value::<bool>(may).await, "the role must not be able to create anything in this test");
    let output = command(&["migrate", "--database-url", &scene.url()], &[]).await;
    assert!(text(&output).0.contains("up to date"), "{:?}", text(&output));

    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let operator = scene.operator().configure("database.migrate", json!(false)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.apply(&scene.org("globex", &globex).policy("Delete").window(3600)).await;
    scene.ready("acme").await;
    scene.ready("globex").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    scene.delete("globex").await;
    scene.until("globex", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    scene.patch("globex", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("globex").await;
    let outcomes: Vec<String> = scene.ledger().await.into_iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, ["Erased", "Retained"]);
    operator.stop().await;
}

async fn a_missing_schema_is_reported(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.sql("DROP SCHEMA organization_operator CASCADE").await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.migrate", json!(false)).launch().await;
    eventually("the log names the remedy", || async {
        operator.log().contains("organization-operator migrate").then_some(())
    })
    .await;
    assert_eq!(operator.fetch("/readyz").await.map(|a| a.0), Some(503));
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.until("acme", "an error", |s| s.error().is_some()).await;
    let error = seen.error().expect("an error");
    assert_eq!(error.reason.as_str(), "SchemaMismatch", "{error:?}");
    assert!(error.message.contains("organization_operator"), "{error:?}");
    assert!(error.remedy.as_ref().is_some_and(|r| r.contains("organization-operator migrate")), "{error:?}");
    // It goes on by itself as soon as the schema is there.
    scene.sql(&text(&command(&["migrate", "--print"], &[]).await).0).await;
    operator.wait_ready().await;
    scene.ready("acme").await;
    operator.stop().await;
}

/// Makes the operator's own schema what it was before the second migration.
const FIRST_VERSION: &str = r"ALTER TABLE organization_operator.earlier_captured_keys RENAME TO residue;
    ALTER INDEX organization_operator.earlier_captured_keys_pkey RENAME TO residue_pkey;
    INSERT INTO organization_operator.residue (cluster_id, object_uid, parent_table, keys)
    SELECT split_part(c.erasure, '/', 1), split_part(c.erasure, '/', 2), substring(c.key_set, '^public\.(.*)\(id\)$'),
        jsonb_build_object('columns', ARRAY['id'],
            'keys', jsonb_build_array(COALESCE(jsonb_agg(k.key) FILTER (WHERE k.key IS NOT NULL), '[]')))
    FROM organization_operator.captured_keys c LEFT JOIN LATERAL unnest(c.keys) k(key) ON true
    GROUP BY c.erasure, c.key_set;
    DROP FUNCTION organization_operator.keep_remainder;
    DROP TABLE organization_operator.captured_keys, organization_operator.captured_tids;
    DROP TABLE organization_operator.erasures, organization_operator.standbys, organization_operator.deletions;
    ALTER TABLE organization_operator.ledger DROP COLUMN written, DROP COLUMN requested_at, DROP CONSTRAINT ledger_outcome_check,
        ADD CONSTRAINT ledger_outcome_check CHECK (outcome IN ('Erased', 'Deactivated', 'Retained', 'NotFound', 'Transferred'));
    DELETE FROM organization_operator.migrations WHERE version > 1";

/// Columns, constraints and owners of the operator's own schema, as one text.
const OWN_SCHEMA: &str = "SELECT string_agg(x, '; ' ORDER BY x) FROM (
    SELECT concat_ws(' ', c.relname, a.attname, a.atttypid::regtype, a.attnotnull, c.relowner::regrole) AS x
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'organization_operator'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT concat_ws(' ', conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'organization_operator'::regnamespace AND contype IN ('p', 'u', 'c', 'f')) s";

/// The first migration alone, as an installation of that time ran it.
async fn install_the_first_version(scene: &Scene) {
    let mut connection = PgConnection::connect(&scene.url()).await.expect("the operator's role");
    let all = sqlx::migrate!();
    let first = all.migrations.iter().filter(|m| m.version == 1).cloned().collect();
    let mut migrator = sqlx::migrate::Migrator { migrations: first, ..sqlx::migrate::Migrator::DEFAULT };
    migrator.dangerous_set_table_name("organization_operator.migrations");
    migrator.run_direct(None, &mut connection, false).await.expect("the first migration");
}

async fn check(scene: &Scene) -> String {
    text(&command(&["check", "--database-url", &scene.url()], &[]).await).0
}

/// An erasure that an operator of the first version committed and did not verify.
async fn keys_that_an_older_version_captured_serve_the_second_count(world: Arc<World>) {
    let first = Scene::new(world.clone(), Variant::NoKeys).await;
    install_the_first_version(&first).await;

    let scene = Scene::new(world, Variant::NoKeys).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let flow: String =
        scene.value(&format!("SELECT id::text FROM flows WHERE organization_id = '{acme}' LIMIT 1")).await;
    let operator = scene.operator().configure("drainSeconds", json!(600)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    // The operator waits for the drain time after the deactivation: that time is over.
    scene.delete("acme").await;
    scene.until("acme", "the deactivation", |s| s.reason("Deleting") == "Draining").await;
    operator.stop().await;
    scene
        .sql("UPDATE organization_operator.claims SET window_started_at = window_started_at - interval '1 hour'")
        .await;
    let operator = scene.operator().configure("drainSeconds", json!(600)).start().await;
    eventually("the erasure", || async { (scene.total(&acme).await == 0).then_some(()) }).await;
    operator.stop().await;

    scene.sql(FIRST_VERSION).await;
    let old: String = scene.value(OWN_SCHEMA).await;
    assert_eq!(old, first.value::<String>(OWN_SCHEMA).await, "it is what the first migration alone makes");
    assert!(scene.value::<i64>("SELECT count(*) FROM organization_operator.residue").await > 0, "keys were captured");
    assert!(!scene.ledger().await[0].verified);
    let said = check(&scene).await;
    assert!(said.contains("missing or out of date"), "{said}");
    // Nothing but a captured key leads from this row to the organization.
    scene.sql(&format!("INSERT INTO flow_executions (flow_id) VALUES ('{flow}')")).await;
    let operator = scene.start().await;
    let said = check(&scene).await;
    assert!(!said.contains("missing or out of date"), "{said}");
    scene.gone("acme").await;
    assert_eq!(scene.value::<i64>(&format!("SELECT count(*) FROM flow_executions WHERE flow_id = '{flow}'")).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
    let ledger = scene.ledger().await;
    assert!(ledger.len() == 1 && ledger[0].verified && ledger[0].outcome == "Erased", "{ledger:?}");
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM organization_operator.captured_keys").await, 0);
    operator.stop().await;
}

/// The same script creates the schema and updates it, and may be run again.
async fn an_administrator_can_update_the_schema(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    install_the_first_version(&scene).await;
    let identity = "SELECT id::text FROM organization_operator.installation";
    let before: String = scene.value(identity).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.migrate", json!(false)).launch().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.until("acme", "an error", |s| s.error().is_some()).await;
    let error = seen.error().expect("an error");
    assert_eq!(error.reason.as_str(), "SchemaMismatch", "nothing begins on an older schema: {error:?}");
    assert!(error.remedy.as_ref().is_some_and(|r| r.contains("organization-operator migrate")), "{error:?}");
    let script = text(&command(&["migrate", "--print"], &[]).await).0;
    for _ in 0..2 {
        scene.sql(&script).await;
        let output = command(&["migrate", "--database-url", &scene.url()], &[]).await;
        assert!(text(&output).0.contains("up to date"), "{:?}", text(&output));
    }
    assert_eq!(scene.value::<String>(identity).await, before, "the database keeps its identity");
    let table = "SELECT to_regclass('organization_operator.residue') IS NULL \
                 AND to_regclass('organization_operator.captured_keys') IS NOT NULL";
    assert!(scene.value::<bool>(table).await);
    scene.ready("acme").await;
    operator.stop().await;
}
