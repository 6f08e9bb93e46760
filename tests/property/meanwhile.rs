//! What others do between two statements of a deletion, and what is taken for protected and is not.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::verify::Verification;
use planner::CompiledPlan;
use sqlx::{AssertSqlSafe, Connection as _};

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    a_row_that_moves_away_is_not_deleted_by_the_schema,
    a_key_that_is_used_again_is_another_organizations,
    a_key_that_is_used_again_while_counting_again_rolls_back,
    a_changed_schema_stops_the_second_count,
    a_key_whose_triggers_are_disabled_protects_nothing,
    a_key_of_one_partition_protects_nothing,
    what_gets_past_a_foreign_key_is_counted_by_the_keys_of_what_is_gone,
    a_trigger_that_lets_rows_go_without_deleting_them_is_no_success,
    what_another_trigger_deleted_is_not_suppressed,
    a_trigger_on_a_partition_is_one_of_the_table,
    temporary_tables_do_not_outdate_the_plan,
];

/// The row is the organization's when what would block is looked for, so it blocks nothing. Then it becomes another one's,
/// and still refers to a row that goes.
async fn a_row_that_moves_away_is_not_deleted_by_the_schema(world: Arc<World>) {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        let ground = Ground::new(&world).await;
        let compiled = ground
            .prepare(
                &format!(
                    "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
                     CREATE TABLE teams (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
                     CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
                        team_id bigint REFERENCES teams ON DELETE {action}); \
                     INSERT INTO teams VALUES (1, 1); INSERT INTO users VALUES (100, 1, 1), (101, 1, 1)"
                ),
                "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
                  {entity: teams, table: teams, organization: organization_id}]}",
            )
            .await
            .expect("compiled");
        let mut session = ground.connect().await;
        let moves = async {
            for sql in ["SET lock_timeout = 200", "UPDATE users SET organization_id = 2 WHERE id = 100"] {
                // It may be refused: the lock is what keeps the row where it is.
                drop(sqlx::query(sql).execute(&mut session).await);
            }
        };
        let ended = ground.cascade_while(&compiled, "1", moves).await;
        let theirs = "SELECT count(*) FROM users WHERE organization_id = 2 AND team_id = 1";
        let moved = ground.number("SELECT count(*) FROM users WHERE organization_id = 2").await;
        match ended {
            Ok(_) => {
                assert_eq!(ground.number("SELECT count(*) FROM users").await, moved, "{action}: a row was left");
                assert_eq!(moved, 0, "{action}: it moved, and its team is gone");
            }
            Err(failure) => assert_eq!(ground.number(theirs).await, 1, "{action}: {failure}"),
        }
        session.close().await.expect("closed");
    }
}

/// Users have an address as their key, and events name it without a foreign key.
async fn events(ground: &Ground) -> CompiledPlan {
    ground
        .unverified(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
             CREATE TABLE users (email text PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             CREATE TABLE events (id bigint PRIMARY KEY, email text); \
             INSERT INTO users VALUES ('ann', 1), ('bob', 1); INSERT INTO events VALUES (1, 'ann')",
            EVENTS,
            "1",
        )
        .await
}

const EVENTS: &str = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
      {entity: events, table: events, parent: users, column: email}]}";

async fn a_key_that_is_used_again_is_another_organizations(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = events(&ground).await;
    ground.execute("INSERT INTO users VALUES ('ann', 2); INSERT INTO events VALUES (2, 'ann'), (3, 'bob')").await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept), "bob's late event went");
    assert_eq!(ground.number("SELECT sum(id)::bigint FROM events").await, 2, "ann is organization 2's now");
    let settled = ground.verify(&compiled, "1").await;
    assert!(matches!(settled, Ok(Verification::Completed(_))), "{settled:?}");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 1);
}

/// Once more, when the key is taken after it was looked for: a trigger stands for the other session.
async fn a_key_that_is_used_again_while_counting_again_rolls_back(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    events(&ground).await;
    let compiled = ground
        .prepare(
            "INSERT INTO events VALUES (2, 'ann'); \
             CREATE FUNCTION joins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO users VALUES ('ann', 2) ON CONFLICT DO NOTHING; RETURN NULL; END $$; \
             CREATE TRIGGER joins AFTER DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION joins()",
            EVENTS,
        )
        .await
        .expect("compiled");
    let failure = ground.verify(&compiled, "1").await.expect_err("ann is back");
    assert_eq!(failure.reason, Reason::ContentChanged, "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 1);
}

async fn a_changed_schema_stops_the_second_count(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = events(&ground).await;
    ground
        .execute(
            "INSERT INTO events VALUES (2, 'ann'); \
             CREATE TABLE notes (event bigint REFERENCES events ON DELETE CASCADE); INSERT INTO notes VALUES (2)",
        )
        .await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::PlanOutdated));
    assert_eq!(ground.number("SELECT count(*) FROM notes").await, 1);
}

const FLOWS: &str = "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
      {entity: runs, table: runs, parent: flows, column: flow_id}]}";

async fn a_key_whose_triggers_are_disabled_protects_nothing(world: Arc<World>) {
    for table in ["flows", "runs"] {
        let ground = Ground::new(&world).await;
        let tables = "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
            CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
            CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows)";
        let protected = ground.prepare(tables, FLOWS).await.expect("compiled");
        assert_eq!(protected.unprotected_tables(), Vec::<&str>::new());
        let disable = format!("ALTER TABLE {table} DISABLE TRIGGER ALL");
        let unprotected = ground.prepare(&disable, FLOWS).await.expect("compiled");
        assert!(
            unprotected.unprotected_tables().contains(&"public.runs"),
            "{table}: {:?}",
            unprotected.unprotected_tables()
        );
        // A cascade by the plan of before notices.
        assert_ne!(protected.fingerprint, unprotected.fingerprint, "{table}");
        assert_ne!(protected.digest, unprotected.digest, "{table}");
        let told = unprotected.findings().find(|f| f.message.contains("triggers of the constraint")).expect("told");
        let remedy = told.remedy.as_ref().expect("a remedy");
        let cured = ground.prepare(remedy, FLOWS).await.expect("compiled");
        assert_eq!(cured.unprotected_tables(), Vec::<&str>::new(), "{remedy}");
    }
}

async fn a_key_of_one_partition_protects_nothing(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground
        .prepare(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             CREATE TABLE runs (id bigint, flow_id bigint, year int) PARTITION BY LIST (year); \
             CREATE TABLE runs_2020 PARTITION OF runs FOR VALUES IN (2020); CREATE TABLE runs_2021 PARTITION OF runs DEFAULT; \
             ALTER TABLE runs_2020 ADD FOREIGN KEY (flow_id) REFERENCES flows",
            FLOWS,
        )
        .await
        .expect("compiled");
    assert_eq!(compiled.unprotected_tables(), ["public.runs"]);
}

/// A trigger stands for a writer whom no foreign key stops.
async fn what_gets_past_a_foreign_key_is_counted_by_the_keys_of_what_is_gone(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows); \
             INSERT INTO flows VALUES (1, 1); INSERT INTO runs VALUES (1, 1); \
             CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql SET session_replication_role = replica AS $$ BEGIN \
                INSERT INTO runs VALUES (2, OLD.id); RETURN NULL; END $$; \
             CREATE TRIGGER again AFTER DELETE ON flows FOR EACH ROW EXECUTE FUNCTION again()",
            FLOWS,
            "1",
        )
        .await
        .expect_err("a run was left");
    assert_eq!((failure.reason, failure.table.as_deref()), (Reason::ContentChanged, Some("public.runs")), "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM runs").await, 1);
}

/// Soft deletion that also takes the row out of sight.
async fn a_trigger_that_lets_rows_go_without_deleting_them_is_no_success(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, gone timestamptz); \
             INSERT INTO users VALUES (1, 1), (2, 1); \
             CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                UPDATE users SET gone = now(), organization_id = NULL WHERE id = OLD.id; RETURN NULL; END $$; \
             CREATE TRIGGER hide BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION hide()",
            "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}",
            "1",
        )
        .await
        .expect_err("two users are still there");
    assert_eq!((failure.reason, failure.rows), (Reason::ContentChanged, Some(2)), "{failure}");
    assert!(failure.remedy.as_ref().is_some_and(|r| r.contains("pg_get_triggerdef")), "{failure:?}");
    assert_eq!(ground.number("SELECT count(*) FROM users WHERE organization_id = 1").await, 2);
}

/// A cascade by hand, and an honest trigger on the table below.
async fn what_another_trigger_deleted_is_not_suppressed(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let ended = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint); \
             INSERT INTO flows VALUES (1, 1); INSERT INTO runs VALUES (1, 1), (2, 1); \
             CREATE FUNCTION cascade_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                DELETE FROM runs WHERE flow_id = OLD.id; RETURN NULL; END $$; \
             CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; \
             CREATE TRIGGER by_hand AFTER DELETE ON flows FOR EACH ROW EXECUTE FUNCTION cascade_by_hand(); \
             CREATE TRIGGER noted BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION noted()",
            FLOWS,
            "1",
        )
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(ground.number("SELECT count(*) FROM runs").await, 0);
}

async fn a_trigger_on_a_partition_is_one_of_the_table(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE users (id bigint, organization_id bigint REFERENCES organizations) PARTITION BY LIST (id); \
             CREATE TABLE users_1 PARTITION OF users DEFAULT; INSERT INTO users VALUES (1, 1); \
             CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                UPDATE users SET organization_id = NULL WHERE id = OLD.id; RETURN NULL; END $$; \
             CREATE TRIGGER hide BEFORE DELETE ON users_1 FOR EACH ROW EXECUTE FUNCTION hide()",
            "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}",
            "1",
        )
        .await
        .expect_err("the user is still there");
    assert_eq!((failure.reason, failure.rows), (Reason::ContentChanged, Some(1)), "{failure}");
}

async fn temporary_tables_do_not_outdate_the_plan(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let plan = "{organization: {table: organizations, key: id}, tenantColumns: [organization_id], \
        steps: [{entity: users, table: users, organization: organization_id}]}";
    let compiled = ground
        .prepare(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE users (organization_id bigint REFERENCES organizations)",
            plan,
        )
        .await
        .expect("compiled");
    let mut session = ground.connect().await;
    let sql = "CREATE TEMP TABLE report (organization_id bigint)";
    sqlx::query(AssertSqlSafe(sql)).execute(&mut session).await.expect("a temporary table");
    ground.cascade(&compiled, "1").await.expect("erased");
    session.close().await.expect("closed");
}
