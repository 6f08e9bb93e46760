//! Schemas that the random ones do not reach, each with what it must not lead to.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::verify::Verification;

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    a_key_is_never_cut_off,
    a_reference_to_one_partition_blocks,
    whole_numbers_of_different_size_compare_as_they_are,
    a_tree_with_restrict_goes_at_once,
    a_row_of_two_organizations_blocks,
    a_suppressed_delete_under_cascade_leaves_no_orphan,
    what_appears_after_the_commit_takes_nothing_with_it,
];

/// `character` without a length is `character(1)`, and a cast to a domain over `varchar(1)` cuts off as well: the deletion
/// of `ab` would be that of `a`.
async fn a_key_is_never_cut_off(world: Arc<World>) {
    for key_type in ["char(2)", "bit varying(2)", "short"] {
        let ground = Ground::new(&world).await;
        let (one, two) = if key_type.starts_with("bit") { ("1", "10") } else { ("a", "ab") };
        let ended = ground
            .erased(
                &format!(
                    "CREATE DOMAIN short AS varchar(2); CREATE DOMAIN shorter AS varchar(1); \
                     CREATE TABLE organizations (id {key_type} PRIMARY KEY); \
                     CREATE TABLE users (id bigint PRIMARY KEY, organization_id {key_type} REFERENCES organizations, \
                        tag shorter); \
                     INSERT INTO organizations VALUES ('{one}'), ('{two}'); \
                     INSERT INTO users VALUES (1, '{one}'), (2, '{two}'), (3, '{two}')"
                ),
                "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}",
                two,
            )
            .await;
        assert_eq!(ended.expect("erased").steps()[0].deleted, 2, "{key_type}");
        assert_eq!(ground.number("SELECT count(*) FROM users").await, 1, "{key_type}");
        assert_eq!(ground.number("SELECT count(*) FROM organizations").await, 1, "{key_type}");
    }
    // A column of a shorter type than the key: no row of it can be the organization's.
    let ground = Ground::new(&world).await;
    let ended = ground
        .erased(
            "CREATE DOMAIN shorter AS varchar(1); CREATE TABLE organizations (id text PRIMARY KEY); \
             CREATE TABLE users (id bigint PRIMARY KEY, organization_id shorter); \
             INSERT INTO organizations VALUES ('a'), ('ab'); INSERT INTO users VALUES (1, 'a')",
            "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}",
            "ab",
        )
        .await;
    assert_eq!(ended.expect("erased").steps()[0].deleted, 0);
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
}

/// The foreign key is not on the table that the plan names, but on one of its partitions.
async fn a_reference_to_one_partition_blocks(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let tables = "CREATE TABLE organizations (id bigint PRIMARY KEY); \
        CREATE TABLE runs (id bigint NOT NULL, organization_id bigint NOT NULL REFERENCES organizations, retry_of bigint, \
            PRIMARY KEY (id)) PARTITION BY RANGE (id); \
        CREATE TABLE runs_1 PARTITION OF runs FOR VALUES FROM (0) TO (100); \
        CREATE TABLE runs_2 PARTITION OF runs FOR VALUES FROM (100) TO (200); \
        ALTER TABLE runs_2 ADD FOREIGN KEY (retry_of) REFERENCES runs_1 (id); \
        CREATE TABLE notes (id bigint PRIMARY KEY, run_id bigint REFERENCES runs_1 (id) ON DELETE CASCADE); \
        INSERT INTO organizations VALUES (1), (2); INSERT INTO runs VALUES (1, 1, NULL), (100, 1, 1), (2, 2, NULL); \
        INSERT INTO notes VALUES (1, 1), (2, 2)";
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: runs, table: runs, organization: organization_id}]}";
    let failure = ground.erased(tables, plan, "1").await.expect_err("a note would go with it");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!(failure.rows, Some(1), "only the note: {failure}");
    assert_eq!(ground.number("SELECT count(*) FROM notes").await, 2);
    assert_eq!(ground.number("SELECT count(*) FROM runs").await, 3);
    let ended = ground.erased("DELETE FROM notes WHERE run_id = 1", plan, "1").await.expect("erased");
    assert_eq!(ended.steps()[0].deleted, 2);
}

async fn whole_numbers_of_different_size_compare_as_they_are(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let ended = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE flows (id bigint PRIMARY KEY, organization_id integer REFERENCES organizations); \
             CREATE TABLE runs (id bigint PRIMARY KEY, flow_id integer REFERENCES flows DEFERRABLE); \
             INSERT INTO organizations VALUES (5000000000), (1); INSERT INTO flows VALUES (6000000000, 1), (7, 1); \
             INSERT INTO runs VALUES (1, 7)",
            "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
              {entity: runs, table: runs, parent: flows, column: flow_id}]}",
            "1",
        )
        .await
        .expect("erased");
    assert_eq!(ended.steps().iter().map(|s| s.deleted).sum::<i64>(), 3);
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}]}";
    ground.erased("SELECT 1", plan, "5000000000").await.expect("an organization without a row is erased too");
}

/// `PostgreSQL` checks RESTRICT after the statement, not after each row: a whole tree can go in one.
async fn a_tree_with_restrict_goes_at_once(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let ended = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE folders (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
                parent_id bigint REFERENCES folders ON DELETE RESTRICT); \
             INSERT INTO organizations VALUES (1), (2); \
             INSERT INTO folders VALUES (1, 1, NULL), (2, 1, 1), (3, NULL, 2), (4, 1, 4), (5, 2, NULL)",
            "{organization: {table: organizations, key: id}, steps: [{entity: folders, table: folders, organization: organization_id}, \
              {entity: subfolders, table: folders, parent: folders, column: parent_id}]}",
            "1",
        )
        .await
        .expect("erased");
    assert_eq!(ended.steps()[0].deleted, 4, "the union of both steps: {:?}", ended.steps());
    assert_eq!(ground.number("SELECT count(*) FROM folders").await, 1);
}

async fn a_row_of_two_organizations_blocks(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: projects, table: projects, organization: organization_id}, \
              {entity: keys, table: keys, organization: organization_id}, {entity: keys, table: keys, parent: projects, column: project_id}]}";
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             CREATE TABLE keys (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
                project_id bigint REFERENCES projects); \
             INSERT INTO organizations VALUES (1), (2); INSERT INTO projects VALUES (1, 1), (2, 2); \
             INSERT INTO keys VALUES (1, 1, NULL), (2, NULL, 1), (3, 2, 1)",
            plan,
            "1",
        )
        .await
        .expect_err("key 3 is organization 2's as well");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!((failure.entity.as_deref(), failure.rows), (Some("keys"), Some(1)), "{failure}");
    // The remedy shows exactly the row.
    let query = failure.remedy.expect("a remedy");
    assert_eq!(ground.number(&query.replace("t.*", "t.id")).await, 3);
    ground.erased("UPDATE keys SET project_id = 2 WHERE id = 3", plan, "1").await.expect("erased");
    assert_eq!(ground.number("SELECT id FROM keys").await, 3);
}

/// The foreign key stays "valid" where a trigger suppresses what a CASCADE deletes, so counting by the parents that are
/// gone would find nothing.
async fn a_suppressed_delete_under_cascade_leaves_no_orphan(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations ON DELETE CASCADE); \
             CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows ON DELETE CASCADE); \
             INSERT INTO organizations VALUES (1); INSERT INTO flows VALUES (1, 1); INSERT INTO runs VALUES (1, 1); \
             CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER meddle BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION suppress()",
            "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
              {entity: runs, table: runs, parent: flows, column: flow_id}]}",
            "1",
        )
        .await
        .expect_err("a run was left");
    assert_eq!((failure.reason, failure.table.as_deref()), (Reason::ContentChanged, Some("public.runs")), "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM flows").await, 1);
}

/// A late row of the tenant is swept, but not what others have hung on it meanwhile.
async fn what_appears_after_the_commit_takes_nothing_with_it(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground
        .unverified(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); \
             CREATE TABLE logs (id bigint PRIMARY KEY, organization_id bigint); \
             CREATE TABLE lines (id bigint PRIMARY KEY, log_id bigint REFERENCES logs DEFERRABLE); \
             CREATE TABLE notes (id bigint PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE CASCADE); \
             INSERT INTO organizations VALUES (1); INSERT INTO logs VALUES (1, 1); INSERT INTO lines VALUES (1, 1)",
            "{organization: {table: organizations, key: id}, steps: [{entity: logs, table: logs, organization: organization_id}, \
              {entity: lines, table: lines, parent: logs, column: log_id}]}",
            "1",
        )
        .await;
    ground
        .execute("INSERT INTO logs VALUES (2, 1); INSERT INTO lines VALUES (2, 2); INSERT INTO notes VALUES (1, 2)")
        .await;
    let failure = ground.verify(&compiled, "1").await.expect_err("a note would go with it");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM notes").await, 1);
    ground.execute("DELETE FROM notes").await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept), "the log and its line went");
    assert_eq!(ground.number("SELECT (SELECT count(*) FROM logs) + (SELECT count(*) FROM lines)").await, 0);
    let Ok(Verification::Completed(settled)) = ground.verify(&compiled, "1").await else { panic!("nothing appeared") };
    assert_eq!(settled.steps().iter().map(|s| s.deleted).sum::<i64>(), 4);
}
