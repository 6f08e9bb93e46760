//! Tables that refer to each other in a circle, the organizations' own among them: one statement deletes the rows of all.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::api::Reason;
use organization_operator::cascade::verify::Verification;
use sqlx::Connection as _;

use super::case::Ground;
use crate::support::{World, path};
use crate::tests;

tests![
    an_organization_goes_with_its_founder,
    every_action_of_a_foreign_key_in_a_circle,
    a_circle_of_partitions_whole_keys_and_trees,
    a_table_of_several_steps_in_a_circle,
    the_organization_goes_before_what_only_it_refers_to,
    rows_of_an_organization_that_is_not_there_go_by_the_same_statement,
    what_refers_from_outside_blocks_a_circle,
    a_row_that_leaves_a_circle_while_it_is_deleted_stays,
    a_suppressed_delete_in_a_circle_is_no_success,
    people_who_belonged_only_here_go_with_the_organization_that_they_own,
    an_organization_that_a_trigger_keeps_is_no_success,
    what_another_trigger_deleted_of_a_circle_is_not_suppressed,
    a_trigger_that_needs_one_table_after_the_other_gets_it,
    a_trigger_that_changes_rows_of_the_same_statement_is_named,
    what_appears_in_a_circle_after_the_commit_is_swept,
    two_unprotected_tables_in_a_circle_are_swept_by_one_statement,
];

/// The organization itself, in the ledger.
const RECORDED: &str = "SELECT organizations_deleted FROM organization_operator.ledger WHERE organization_key = ";

/// `(entity, rows deleted)` of each step, in order.
fn counts(proof: &organization_operator::domain::completion::CompletionProof) -> Vec<(&str, i64)> {
    proof.steps().iter().map(|s| (s.entity.as_str(), s.deleted)).collect()
}

async fn an_organization_goes_with_its_founder(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = std::fs::read_to_string(path("tests/schemas/founder.sql")).expect("the schema");
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
          {entity: connectors, table: connectors, organization: organization_id}]}";
    let proof = ground.erased(&schema, plan, "a").await.expect("erased");
    assert_eq!(counts(&proof), [("connectors", 1), ("users", 2)]);
    assert_eq!(ground.number(&format!("{RECORDED}'a'")).await, 1, "counted once");
    let left = "SELECT (SELECT count(*) FROM organizations) * 100 + (SELECT count(*) FROM users) * 10 + (SELECT count(*) FROM connectors)";
    assert_eq!(ground.number(left).await, 111, "the other organization is as it was");
    assert_eq!(ground.number("SELECT count(*) FROM users WHERE id = 'u2' AND organization_id = 'b'").await, 1);
}

const TEAMS: &str = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
      {entity: teams, table: teams, parent: users, column: lead}]}";

/// Organizations refer to their owner, users to their organization and team, teams to their lead.
fn teams(owner: &str, organization: &str, team: &str, lead: &str) -> String {
    format!(
        "DROP TABLE IF EXISTS organizations, users, teams CASCADE; \
         CREATE TABLE organizations (id bigint PRIMARY KEY, owner_id bigint NOT NULL); \
         CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint NOT NULL, team_id bigint NOT NULL DEFAULT 20, \
            invited_by bigint REFERENCES users); \
         CREATE TABLE teams (id bigint PRIMARY KEY, lead bigint NOT NULL); \
         INSERT INTO organizations VALUES (1, 10), (2, 20); INSERT INTO teams VALUES (10, 10), (20, 20); \
         INSERT INTO users VALUES (10, 1, 10, NULL), (11, 1, 10, 10), (12, 1, 10, 11), (20, 2, 20, NULL); \
         ALTER TABLE organizations ADD FOREIGN KEY (owner_id) REFERENCES users {owner}; \
         ALTER TABLE users ADD FOREIGN KEY (organization_id) REFERENCES organizations {organization}, \
            ADD FOREIGN KEY (team_id) REFERENCES teams {team}; \
         ALTER TABLE teams ADD FOREIGN KEY (lead) REFERENCES users {lead};"
    )
}

/// `organizations, users, teams` that are left, as three digits.
const LEFT: &str = "SELECT (SELECT count(*) FROM organizations) * 100 + (SELECT count(*) FROM users) * 10 + (SELECT count(*) FROM teams)";

async fn every_action_of_a_foreign_key_in_a_circle(world: Arc<World>) {
    const ACTIONS: [&str; 8] = [
        "",
        "ON DELETE RESTRICT",
        "ON DELETE CASCADE",
        "ON DELETE SET NULL",
        "ON DELETE SET DEFAULT",
        "DEFERRABLE",
        "ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED",
        "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
    ];
    let ground = Ground::new(&world).await;
    for (i, one) in ACTIONS.into_iter().enumerate() {
        for (j, other) in ACTIONS.into_iter().enumerate() {
            // Each object is recorded once.
            let key = (100 + 10 * i + j).to_string();
            let shift = ACTIONS[(i + j) % ACTIONS.len()];
            let schema = teams(one, other, shift, one)
                + &format!(
                    "BEGIN; SET CONSTRAINTS ALL DEFERRED; SET LOCAL session_replication_role = replica; \
                     UPDATE organizations SET id = {key} WHERE id = 1; \
                     UPDATE users SET organization_id = {key} WHERE organization_id = 1; COMMIT"
                );
            let what = format!("owner and lead {one}, organization {other}, team {shift}");
            let proof = ground.erased(&schema, TEAMS, &key).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            let mut counts = counts(&proof);
            counts.sort_unstable();
            assert_eq!(counts, [("teams", 1), ("users", 3)], "{what}");
            assert_eq!(ground.number(&format!("{RECORDED}'{key}'")).await, 1, "{what}");
            assert_eq!(ground.number(LEFT).await, 111, "{what}");
            assert_eq!(ground.number("SELECT team_id FROM users").await, 20, "{what}");
        }
    }
}

async fn a_circle_of_partitions_whole_keys_and_trees(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = "CREATE TABLE organizations (id bigint PRIMARY KEY); \
        CREATE TABLE flows (tenant bigint REFERENCES organizations, n int, parent_n int, last_run bigint NOT NULL, \
            PRIMARY KEY (tenant, n), FOREIGN KEY (tenant, parent_n) REFERENCES flows ON DELETE RESTRICT); \
        CREATE TABLE runs (id bigint PRIMARY KEY, tenant bigint NOT NULL, n int NOT NULL, retry_of bigint NOT NULL, \
            FOREIGN KEY (tenant, n) REFERENCES flows ON DELETE RESTRICT) PARTITION BY RANGE (id); \
        CREATE TABLE runs_1 PARTITION OF runs FOR VALUES FROM (0) TO (100); \
        CREATE TABLE runs_2 PARTITION OF runs FOR VALUES FROM (100) TO (200); \
        CREATE TABLE steps (id bigint PRIMARY KEY, run_id bigint NOT NULL REFERENCES runs, after bigint REFERENCES steps); \
        INSERT INTO organizations VALUES (1), (2); \
        WITH f AS (INSERT INTO flows VALUES (1, 1, NULL, 1), (1, 2, 1, 100), (2, 1, NULL, 3) RETURNING 1) \
        INSERT INTO runs VALUES (1, 1, 1, 100), (100, 1, 2, 1), (3, 2, 1, 3); \
        INSERT INTO steps VALUES (1, 1, NULL), (2, 100, 1), (3, 3, NULL); \
        ALTER TABLE flows ADD FOREIGN KEY (last_run) REFERENCES runs; ALTER TABLE runs ADD FOREIGN KEY (retry_of) REFERENCES runs";
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: tenant}, \
        {entity: runs, table: runs, parent: flows, columns: {tenant: tenant, n: n}}, {entity: steps, table: steps, parent: runs, column: run_id}]}";
    let proof = ground.erased(schema, plan, "1").await.expect("erased");
    assert_eq!(counts(&proof), [("steps", 2), ("flows", 2), ("runs", 2)]);
    for table in ["organizations", "flows", "runs", "steps"] {
        assert_eq!(ground.number(&format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
}

/// Folders belong to an organization or to another folder, and each has an owner who has a home folder.
async fn a_table_of_several_steps_in_a_circle(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = "CREATE TABLE organizations (id bigint PRIMARY KEY, root bigint NOT NULL); \
        CREATE TABLE folders (id bigint PRIMARY KEY, organization_id bigint, parent_id bigint, owner bigint NOT NULL); \
        CREATE TABLE users (id bigint PRIMARY KEY, home bigint NOT NULL); \
        INSERT INTO organizations VALUES (1, 1), (2, 9); \
        INSERT INTO folders VALUES (1, 1, NULL, 1), (2, NULL, 1, 1), (3, NULL, 2, 2), (9, 2, NULL, 9); \
        INSERT INTO users VALUES (1, 1), (2, 2), (9, 9); \
        ALTER TABLE organizations ADD FOREIGN KEY (root) REFERENCES folders ON DELETE RESTRICT; \
        ALTER TABLE folders ADD FOREIGN KEY (organization_id) REFERENCES organizations, \
            ADD FOREIGN KEY (parent_id) REFERENCES folders ON DELETE RESTRICT, ADD FOREIGN KEY (owner) REFERENCES users; \
        ALTER TABLE users ADD FOREIGN KEY (home) REFERENCES folders ON DELETE CASCADE";
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: top, table: folders, organization: organization_id}, \
        {entity: middle, table: folders, parent: top, column: parent_id}, {entity: bottom, table: folders, parent: middle, column: parent_id}, \
        {entity: users, table: users, parent: top, column: home}, {entity: users, table: users, parent: middle, column: home}]}";
    let proof = ground.erased(schema, plan, "1").await.expect("erased");
    let all: i64 = proof.steps().iter().map(|s| s.deleted).sum();
    assert_eq!(all, 5, "three folders and two users: {:?}", proof.steps());
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1);
    for table in ["organizations", "folders", "users"] {
        assert_eq!(ground.number(&format!("SELECT min(id) FROM {table}")).await % 7, 2, "{table}: 2 or 9 is left");
        assert_eq!(ground.number(&format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
}

async fn the_organization_goes_before_what_only_it_refers_to(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground
        .unverified(
            "CREATE TABLE accounts (id bigint PRIMARY KEY, organization_id bigint); \
             CREATE TABLE organizations (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts ON DELETE RESTRICT); \
             INSERT INTO accounts VALUES (1, 1), (2, 2); INSERT INTO organizations VALUES (1, 1), (2, 2)",
            "{organization: {table: organizations, key: id}, steps: [{entity: accounts, table: accounts, organization: organization_id}]}",
            "1",
        )
        .await;
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1);
    assert_eq!(ground.number("SELECT min(id) FROM accounts").await, 2);
    let Ok(Verification::Completed(proof)) = ground.verify(&compiled, "1").await else { panic!("nothing appeared") };
    assert_eq!(counts(&proof), [("accounts", 1)]);
}

async fn rows_of_an_organization_that_is_not_there_go_by_the_same_statement(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = teams("", "", "", "")
        + "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM organizations WHERE id = 1; COMMIT";
    let proof = ground.erased(&schema, TEAMS, "1").await.expect("erased");
    assert_eq!(counts(&proof), [("users", 3), ("teams", 1)]);
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 0, "no organization was there");
    assert_eq!(ground.number(LEFT).await, 111);
}

async fn what_refers_from_outside_blocks_a_circle(world: Arc<World>) {
    for (change, table) in [
        ("UPDATE organizations SET owner_id = 11 WHERE id = 2", "public.organizations"),
        ("UPDATE users SET team_id = 10 WHERE id = 20", "public.users"),
    ] {
        let ground = Ground::new(&world).await;
        let schema = teams("ON DELETE RESTRICT", "ON DELETE CASCADE", "ON DELETE CASCADE", "") + change;
        let failure = ground.erased(&schema, TEAMS, "1").await.expect_err("organization 2 refers to it");
        assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
        assert_eq!((failure.table.as_deref(), failure.rows), (Some(table), Some(1)), "{failure}");
        assert_eq!(ground.number(LEFT).await, 242, "nothing was deleted");
    }
}

/// The row is the organization's when the statement begins, and another one's when the statement gets its lock.
async fn a_row_that_leaves_a_circle_while_it_is_deleted_stays(world: Arc<World>) {
    // User 12 goes alone; user 11 is the lead of a team, whose rows are found by him.
    for (row, also) in [(12, ""), (11, "INSERT INTO teams VALUES (11, 11)")] {
        let ground = Ground::new(&world).await;
        let compiled = ground.prepare(&(teams("", "", "", "") + also), TEAMS).await.expect("compiled");
        let mut session = ground.connect().await;
        let (started, waits) = tokio::sync::oneshot::channel();
        let moves = async move {
            let mut tx = session.begin().await.expect("begun");
            let sql = format!("UPDATE users SET organization_id = 2, team_id = 20, invited_by = NULL WHERE id = {row}");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await.expect("moved");
            started.send(()).expect("awaited");
            tokio::time::sleep(Duration::from_millis(400)).await;
            tx.commit().await.expect("committed");
        };
        let moving = tokio::spawn(moves);
        let ended = ground.cascade_while(&compiled, "1", async { waits.await.expect("moved") }).await;
        moving.await.expect("moved");
        let theirs = "SELECT count(*) FROM users WHERE organization_id = 2";
        assert_eq!(ground.number(theirs).await, 2, "{row}: {ended:?}");
        let teams = ground.number("SELECT count(*) FROM teams").await;
        match ended {
            Ok(_) => {
                assert_eq!((row, teams), (12, 1));
                assert_eq!(ground.number("SELECT count(*) FROM organizations").await, 1);
            }
            Err(failure) => {
                assert_eq!(failure.reason, Reason::ContentChanged, "{failure}");
                assert_eq!(ground.number("SELECT count(*) FROM users").await, 4, "{row}: rolled back");
                assert_eq!(teams, if row == 11 { 3 } else { 2 }, "{row}: his team is organization 2's");
            }
        }
    }
}

async fn a_suppressed_delete_in_a_circle_is_no_success(world: Arc<World>) {
    // It leaves the row, or takes it out of sight as well.
    for (hides, says) in [
        ("", "rows were left"),
        ("UPDATE users SET organization_id = 3, team_id = 20 WHERE id = OLD.id; ", "no longer belong"),
    ] {
        let ground = Ground::new(&world).await;
        let schema = teams("", "ON DELETE CASCADE", "ON DELETE CASCADE", "")
            + &format!(
                "INSERT INTO organizations VALUES (3, 20); UPDATE users SET invited_by = NULL WHERE id = 12; \
                 CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    IF OLD.id = 12 THEN {hides}RETURN NULL; END IF; RETURN OLD; END $$; \
                 CREATE TRIGGER meddle BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION meddle()"
            );
        let failure = ground.erased(&schema, TEAMS, "1").await.expect_err("user 12 was not deleted");
        assert_eq!(
            (failure.reason, failure.table.as_deref()),
            (Reason::ContentChanged, Some("public.users")),
            "{failure}"
        );
        assert!(failure.message().contains(says), "{failure}");
        assert_eq!(ground.number(LEFT).await, 342, "nothing was deleted");
    }
}

/// Users are nobody's own, but have a default organization; an organization has an owner among them.
async fn people_who_belonged_only_here_go_with_the_organization_that_they_own(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = "CREATE TABLE organizations (id bigint PRIMARY KEY, owner_id bigint NOT NULL); \
        CREATE TABLE users (id bigint PRIMARY KEY, default_id bigint NOT NULL, invited_by bigint REFERENCES users); \
        INSERT INTO organizations VALUES (1, 1), (2, 2); \
        INSERT INTO users VALUES (1, 1, NULL), (2, 2, NULL), (3, 2, NULL), (4, 1, 1); \
        ALTER TABLE organizations ADD FOREIGN KEY (owner_id) REFERENCES users ON DELETE RESTRICT; \
        ALTER TABLE users ADD FOREIGN KEY (default_id) REFERENCES organizations; \
        CREATE TABLE memberships (organization_id bigint NOT NULL REFERENCES organizations, user_id bigint NOT NULL REFERENCES users, \
            PRIMARY KEY (organization_id, user_id)); \
        CREATE TABLE sessions (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE); \
        INSERT INTO memberships VALUES (1, 1), (1, 3), (1, 4), (2, 2), (2, 3); \
        INSERT INTO sessions VALUES (1, 1), (2, 2), (3, 3), (4, 4)";
    let plan = "{organization: {table: organizations, key: id}, steps: [ \
        {entity: users, table: users, referencedBy: memberships, column: user_id}, \
        {entity: memberships, table: memberships, organization: organization_id}, \
        {entity: sessions, table: sessions, parent: users, column: user_id}]}";
    let proof = ground.erased(schema, plan, "1").await.expect("erased");
    assert_eq!(counts(&proof), [("memberships", 3), ("sessions", 2), ("users", 2)]);
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1);
    for table in ["users", "sessions"] {
        assert_eq!(
            ground.number(&format!("SELECT sum(id)::bigint FROM {table}")).await,
            5,
            "{table}: 2 and 3 are left"
        );
    }
}

/// The organization's own row stays: where a foreign key notices, and where its column does not refer any more.
async fn an_organization_that_a_trigger_keeps_is_no_success(world: Arc<World>) {
    for keeps in ["", "UPDATE organizations SET owner_id = 20 WHERE id = OLD.id; "] {
        let ground = Ground::new(&world).await;
        let schema = teams("", "", "", "")
            + &format!(
                "CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {keeps}RETURN NULL; END $$; \
                 CREATE TRIGGER keeps BEFORE DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION keeps()"
            );
        let failure = ground.erased(&schema, TEAMS, "1").await.expect_err("the organization was not deleted");
        assert_eq!(
            (failure.reason, failure.table.as_deref()),
            (Reason::ContentChanged, Some("public.organizations")),
            "{failure}"
        );
        assert!(failure.remedy.as_ref().is_some_and(|r| r.contains("pg_trigger")), "{failure:?}");
        assert_eq!(ground.number(LEFT).await, 242, "nothing was deleted");
    }
}

/// Notes go before the circle, and their trigger deletes a row of it.
async fn what_another_trigger_deleted_of_a_circle_is_not_suppressed(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = teams("", "", "", "")
        + "CREATE TABLE notes (id bigint PRIMARY KEY, user_id bigint REFERENCES users); INSERT INTO notes VALUES (1, 10); \
           CREATE FUNCTION deletes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users WHERE id = 12; RETURN NULL; END $$; \
           CREATE TRIGGER deletes AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION deletes(); \
           CREATE FUNCTION lets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$; \
           CREATE TRIGGER lets BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION lets()";
    let plan = TEAMS.replace("]}", ", {entity: notes, table: notes, parent: users, column: user_id}]}");
    let proof = ground.erased(&schema, &plan, "1").await.expect("erased");
    let users = proof.steps().iter().find(|s| s.entity == "users").expect("users");
    assert_eq!((users.found, users.deleted), (3, 2), "the trigger deleted the third");
    assert_eq!(ground.number(LEFT).await, 111);
}

/// The trigger writes rows that refer to the organization, which must be there until they are deleted, too.
async fn a_trigger_that_needs_one_table_after_the_other_gets_it(world: Arc<World>) {
    for timing in ["AFTER", "BEFORE"] {
        let ground = Ground::new(&world).await;
        let schema = format!(
            "CREATE TABLE organizations (id bigint PRIMARY KEY, owner_id bigint); \
             CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations); \
             CREATE TABLE audit (who bigint, organization_id bigint NOT NULL REFERENCES organizations); \
             INSERT INTO organizations VALUES (1, 1), (2, 2); INSERT INTO users VALUES (1, 1), (2, 2), (3, 1); \
             ALTER TABLE organizations ADD FOREIGN KEY (owner_id) REFERENCES users; \
             CREATE FUNCTION writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO audit VALUES (OLD.id, OLD.organization_id); RETURN OLD; END $$; \
             CREATE TRIGGER writes {timing} DELETE ON users FOR EACH ROW EXECUTE FUNCTION writes()"
        );
        let plan = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
            {entity: audit, table: audit, organization: organization_id}]}";
        let proof = ground.erased(&schema, plan, "1").await.unwrap_or_else(|e| panic!("{timing}: {e}"));
        assert_eq!(counts(&proof), [("users", 2), ("audit", 2)], "{timing}");
        assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1, "{timing}");
        assert_eq!(ground.number("SELECT min(owner_id) FROM organizations").await, 2, "{timing}");
    }
}

async fn a_trigger_that_changes_rows_of_the_same_statement_is_named(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = teams("", "", "", "")
        + "CREATE FUNCTION tidies() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
              UPDATE users SET invited_by = NULL WHERE invited_by = OLD.id; RETURN OLD; END $$; \
           CREATE TRIGGER tidies BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION tidies()";
    let failure = ground.erased(&schema, TEAMS, "1").await.expect_err("27000");
    assert_eq!(
        (failure.reason, failure.sql_state.as_deref()),
        (Reason::ConstraintViolation, Some("27000")),
        "{failure}"
    );
    assert!(failure.message().contains("a BEFORE trigger"), "{failure}");
    assert!(failure.message().contains("`public.users`, `public.teams`, `public.organizations`"), "{failure}");
    assert_eq!(ground.number(LEFT).await, 242, "nothing was deleted");
    let remedy = failure.remedy.expect("a remedy");
    let (query, _) = remedy.split_once(';').expect("a statement");
    assert_eq!(
        ground.number(&format!("SELECT count(*) FROM ({query}) q WHERE tgname = 'tidies'")).await,
        1,
        "{remedy}"
    );
    let after = "DROP TRIGGER tidies ON users; CREATE TRIGGER tidies AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION tidies()";
    ground.erased(after, TEAMS, "1").await.expect("erased");
    assert_eq!(ground.number(LEFT).await, 111);
}

/// No foreign key leads from a user by the tenant column to the organization, but by another one.
async fn what_appears_in_a_circle_after_the_commit_is_swept(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground
        .unverified(
            "CREATE TABLE organizations (id bigint PRIMARY KEY, owner_id bigint NOT NULL); \
             CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint, home bigint NOT NULL); \
             CREATE TABLE badges (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users); \
             INSERT INTO organizations VALUES (1, 1), (2, 2); INSERT INTO users VALUES (1, 1, 1), (2, 2, 2); \
             INSERT INTO badges VALUES (1, 1); ALTER TABLE organizations ADD FOREIGN KEY (owner_id) REFERENCES users; \
             ALTER TABLE users ADD FOREIGN KEY (home) REFERENCES organizations",
            "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
              {entity: badges, table: badges, parent: users, column: user_id}]}",
            "1",
        )
        .await;
    assert_eq!(compiled.unprotected_tables(), ["public.badges", "public.users"]);
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1);
    ground.execute("INSERT INTO users VALUES (3, 1, 2); INSERT INTO badges VALUES (3, 3)").await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept), "the late user and his badge went");
    let Ok(Verification::Completed(proof)) = ground.verify(&compiled, "1").await else { panic!("nothing appeared") };
    assert_eq!(counts(&proof), [("badges", 2), ("users", 2)]);
    assert_eq!(ground.number("SELECT min(id) FROM users").await, 2);
    assert_eq!(ground.number(&format!("{RECORDED}'1'")).await, 1, "the organization was counted once");
    assert_eq!(ground.number("SELECT count(*) FROM organizations").await, 1);
}

async fn two_unprotected_tables_in_a_circle_are_swept_by_one_statement(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let rows = |id: u32, tenant: u32| {
        format!(
            "WITH l AS (INSERT INTO logs VALUES ({id}, {tenant}, {id}) RETURNING 1) INSERT INTO lines VALUES ({id}, {id});"
        )
    };
    let compiled = ground
        .unverified(
            &format!(
                "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
                 CREATE TABLE logs (id bigint PRIMARY KEY, organization_id bigint, first_line bigint NOT NULL); \
                 CREATE TABLE lines (id bigint PRIMARY KEY, log_id bigint NOT NULL REFERENCES logs); \
                 ALTER TABLE logs ADD FOREIGN KEY (first_line) REFERENCES lines; {} {}",
                rows(1, 1),
                rows(2, 2)
            ),
            "{organization: {table: organizations, key: id}, steps: [{entity: logs, table: logs, organization: organization_id}, \
              {entity: lines, table: lines, parent: logs, column: log_id}]}",
            "1",
        )
        .await;
    ground.execute(&rows(3, 1)).await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept));
    let Ok(Verification::Completed(proof)) = ground.verify(&compiled, "1").await else { panic!("nothing appeared") };
    assert_eq!(counts(&proof), [("logs", 2), ("lines", 2)]);
    assert_eq!(
        ground.number("SELECT (SELECT sum(id) FROM logs)::bigint * 10 + (SELECT sum(id) FROM lines)::bigint").await,
        22
    );
}
