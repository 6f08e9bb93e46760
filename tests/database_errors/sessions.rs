//! What other sessions do.

use std::sync::Arc;

use organization_operator::api::Reason;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::case::{Case, run};
use super::stage::{Doomed, Expect, Stage, Via, launch, scene};
use crate::database_errors::on;
use crate::support::{Launch, Scene, Test, Variant, World, eventually};

pub fn tests() -> Vec<Test> {
    on![(Via::Default, "default"), (Via::Eighteen, "postgresql_18");
        locks, a_row_that_moves, a_statement_that_takes_too_long,
    ]
}

/// A failure that clears by itself stays visible for a while.
async fn patient(scene: &Scene, via: Via) -> Launch {
    let pause = json!({"initialSeconds": 4, "maxSeconds": 4});
    launch(scene, via).await.configure("retry.backoff", pause)
}

async fn locks(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    // PostgreSQL ends the one of the two that checks for a deadlock first.
    let set = format!("ALTER DATABASE {} SET deadlock_timeout = '1s'", scene.database);
    scene.world.postgres().run_sql("postgres", &set).await.expect("set");
    let launch = patient(&scene, via).await;
    let mut stage = Stage::with(scene, launch).await;
    a_lock_that_is_held(&mut stage).await;
    a_deadlock(&mut stage).await;
    an_administrator_ends_the_session(&mut stage).await;
    stage.close().await;
}

/// A session that holds the tenant's users.
async fn holder(stage: &Stage, doomed: &Doomed) -> (PgConnection, i32) {
    let mut holder = stage.scene.connect().await;
    let lock = format!(
        "SET application_name = 'flows-api'; SET deadlock_timeout = '1min'; BEGIN; \
         SELECT FROM users WHERE organization_id = '{}' FOR UPDATE",
        doomed.key
    );
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    let pid = holder.fetch_one("SELECT pg_backend_pid()").await.expect("a pid").get(0);
    (holder, pid)
}

/// The operator's session that waits for a lock.
async fn waiting(stage: &Stage) -> i32 {
    let who = "SELECT COALESCE((SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'organization-operator' AND wait_event_type = 'Lock' LIMIT 1), 0)";
    eventually("the cascade to wait for a lock", || async {
        let pid: i32 = stage.scene.value(who).await;
        (pid > 0).then_some(pid)
    })
    .await
}

pub async fn a_lock_that_is_held(stage: &mut Stage) {
    let doomed = stage.doomed(0).await;
    let (mut holder, pid) = holder(stage, &doomed).await;
    stage.delete(&doomed).await;
    let expect = Expect {
        sql_state: Some("55P03"),
        entity: Some("users"),
        table: Some("public.users"),
        says: &["another session held a lock for too long", "of the role postgres (application \"flows-api\")"],
        remedy: &["pg_stat_activity WHERE pid = "],
        ..Expect::new(Reason::LockTimeout)
    };
    let error = stage.blocked(&doomed, &expect).await;
    assert!(error.message.contains(&format!("held by the session {pid} ")), "{}", error.message);
    let end = format!("SELECT pg_terminate_backend({pid})");
    assert!(error.remedy.expect("a remedy").contains(&end), "the blocking session can be ended");
    let ended: bool = stage.scene.value(&end).await;
    assert!(ended);
    stage.healed(&doomed).await;
    drop(holder.execute("SELECT 1").await.expect_err("it was ended"));
}

async fn a_deadlock(stage: &mut Stage) {
    let doomed = stage.doomed(0).await;
    let (mut other, _) = holder(stage, &doomed).await;
    stage.delete(&doomed).await;
    waiting(stage).await;
    // It holds the outputs already, and waits for the users; the other one has these and wants the outputs.
    let want = format!(
        "SELECT FROM task_outputs WHERE flow_execution_id IN (SELECT e.id FROM flow_executions e JOIN flows f \
         ON f.id = e.flow_id WHERE f.organization_id = '{}') FOR UPDATE",
        doomed.key
    );
    other.execute(AssertSqlSafe(want)).await.expect("the other one goes on");
    let expect = Expect {
        sql_state: Some("40P01"),
        entity: Some("users"),
        table: Some("public.users"),
        says: &["a deadlock", "deleting from the table `public.users`"],
        remedy: &["clears by itself", "pg_stat_activity"],
        ..Expect::new(Reason::SerializationFailure)
    };
    stage.blocked(&doomed, &expect).await;
    other.execute("ROLLBACK").await.expect("released");
    stage.healed(&doomed).await;
}

async fn an_administrator_ends_the_session(stage: &mut Stage) {
    let doomed = stage.doomed(0).await;
    let (mut holder, _) = holder(stage, &doomed).await;
    stage.delete(&doomed).await;
    let pid = waiting(stage).await;
    let ended: bool = stage.scene.value(&format!("SELECT pg_terminate_backend({pid})")).await;
    assert!(ended);
    let expect = Expect {
        sql_state: Some("57P01"),
        entity: Some("users"),
        table: Some("public.users"),
        says: &["an administrator or the server's shutdown ended the connection"],
        ..Expect::new(Reason::DatabaseUnavailable)
    };
    stage.blocked(&doomed, &expect).await;
    holder.execute("ROLLBACK").await.expect("released");
    stage.healed(&doomed).await;
}

/// PostgreSQL asks for another try when a row moves to another partition while somebody waits for it.
async fn a_row_that_moves(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    scene
        .sql(
            "DROP TABLE task_outputs;
             CREATE TABLE task_outputs (id uuid DEFAULT gen_random_uuid(), task text NOT NULL, output jsonb NOT NULL DEFAULT '{}',
                 flow_execution_id uuid NOT NULL REFERENCES flow_executions, PRIMARY KEY (id, task)) PARTITION BY LIST (task);
             CREATE TABLE first_outputs PARTITION OF task_outputs FOR VALUES IN ('task 1');
             CREATE TABLE other_outputs PARTITION OF task_outputs DEFAULT;
             GRANT SELECT, DELETE ON task_outputs TO organization_operator",
        )
        .await;
    let launch = patient(&scene, via).await;
    let mut stage = Stage::with(scene, launch).await;
    let mut doomed = stage.doomed(0).await;
    let mut mover = stage.scene.connect().await;
    mover.execute("BEGIN; UPDATE task_outputs SET task = 'task 0' WHERE task = 'task 1'").await.expect("moved");
    stage.delete(&doomed).await;
    waiting(&stage).await;
    mover.execute("COMMIT").await.expect("committed");
    doomed.rows_changed(&stage).await;
    let expect = Expect {
        sql_state: Some("40001"),
        entity: Some("taskOutputs"),
        table: Some("public.task_outputs"),
        says: &["asks the operator to try the transaction again", "deleting from the table `public.task_outputs`"],
        remedy: &["clears by itself"],
        ..Expect::new(Reason::SerializationFailure)
    };
    stage.blocked(&doomed, &expect).await;
    stage.healed(&doomed).await;
    stage.close().await;
}

async fn a_statement_that_takes_too_long(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    let launch = launch(&scene, via).await.configure("database.lockTimeoutSeconds", json!(1));
    let launch = launch.configure("database.statementTimeoutSeconds", json!(2));
    let mut stage = Stage::with(scene, launch).await;
    let case = Case::new(
        "a trigger that dreams",
        Reason::StatementTimeout,
        "CREATE FUNCTION dream() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN OLD; END $$;
         CREATE TRIGGER dream BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION dream()",
        "DROP TRIGGER dream ON users",
    )
    .state("57014")
    .at("users", "public.users")
    .says(&["took longer than allowed", "deleting from the table `public.users`", "in the function `dream()`"])
    .remedy(&["database.statementTimeoutSeconds"]);
    run(&mut stage, via, &case).await;
    stage.close().await;
}
