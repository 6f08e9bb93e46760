//! "No row of another organization": what is equal in one column may not be in the other.

use std::sync::Arc;

use organization_operator::api::Reason;

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    types_that_disagree_about_what_is_equal_are_refused,
    a_text_column_may_hold_a_uuid,
    a_column_that_refers_to_something_else_is_no_organization_column,
    two_columns_that_disagree_about_whose_a_row_is_block,
    what_is_kept_is_not_deleted_by_another_name,
];

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}";

async fn types_that_disagree_about_what_is_equal_are_refused(world: Arc<World>) {
    const CI: &str = "text COLLATE ci";
    for (key, column, words) in [
        // Coarser than the key: rows of `ACME` would go with `acme`.
        ("text", "citext", "public.users.organization_id` (citext)"),
        ("text", CI, "(text COLLATE public.ci)"),
        ("text", "character(5)", "(bpchar"),
        ("text", "uuid", "(uuid)"),
        ("text", "bigint", "(bigint)"),
        // Finer: rows of `acme` that are written `ACME` would stay.
        (CI, "text", "public.organizations.id` (text COLLATE public.ci)"),
        ("character(5)", "text", "(bpchar"),
        ("numeric", "text", "(numeric)"),
        ("bigint", "character(36)", "(bpchar)"),
        ("bigint", CI, "(text COLLATE public.ci)"),
    ] {
        for parent in [false, true] {
            let ground = Ground::new(&world).await;
            let types = "CREATE EXTENSION citext; \
                CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
            let (tables, plan) = if parent {
                (
                    format!(
                        "CREATE TABLE organizations (id bigint PRIMARY KEY); \
                         CREATE TABLE flows (code {key} PRIMARY KEY, organization_id bigint); \
                         CREATE TABLE runs (flow {column})"
                    ),
                    "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
                      {entity: runs, table: runs, parent: flows, column: flow}]}",
                )
            } else {
                (
                    format!(
                        "CREATE TABLE organizations (id {key} PRIMARY KEY); CREATE TABLE users (organization_id {column})"
                    ),
                    PLAN,
                )
            };
            let failure = ground.erased(&format!("{types}; {tables}"), plan, "1").await.expect_err("they disagree");
            assert_eq!(failure.reason, Reason::SchemaMismatch, "{key} {column}: {failure}");
            assert!(
                failure.message().contains("do not agree about which values are equal"),
                "{key} {column}: {failure}"
            );
            if !parent {
                assert!(failure.message().contains(words), "{words}: {failure}");
                // The remedy cures it: the tables are empty, so any type can become any other.
                let remedy = failure.remedy.expect("a remedy");
                ground.erased(&remedy, plan, "1").await.expect(&remedy);
            }
        }
    }
}

/// No foreign key can connect them, and the text is compared letter by letter.
async fn a_text_column_may_hold_a_uuid(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let acme = "ac3e0000-0000-4000-8000-000000000001";
    let ended = ground
        .erased(
            &format!(
                "CREATE TABLE organizations (id uuid PRIMARY KEY); CREATE TABLE users (organization_id varchar(36)); \
                 INSERT INTO organizations VALUES ('{acme}'); INSERT INTO users VALUES ('{acme}'), ('another')"
            ),
            PLAN,
            acme,
        )
        .await;
    assert_eq!(ended.expect("erased").steps()[0].deleted, 1);
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
}

/// Numbers that happen to be the same.
async fn a_column_that_refers_to_something_else_is_no_organization_column(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY, number bigint UNIQUE); \
             CREATE TABLE users (organization_id bigint REFERENCES organizations (number)); \
             INSERT INTO organizations VALUES (5, 100), (6, 5); INSERT INTO users VALUES (5)",
            PLAN,
            "5",
        )
        .await
        .expect_err("the user is organization 6's");
    assert_eq!((failure.reason, failure.table.as_deref()), (Reason::SchemaMismatch, Some("public.users")), "{failure}");
    assert!(failure.message().contains("refers to `public.organizations.number`"), "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
}

/// Found by the parent, and the organization's column says something else.
async fn two_columns_that_disagree_about_whose_a_row_is_block(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let plan = "{organization: {table: organizations, key: id}, tenantColumns: [organization_id], steps: [\
        {entity: flows, table: flows, organization: organization_id}, {entity: runs, table: runs, parent: flows, column: flow_id}]}";
    let tables = "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
        CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
        CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows, organization_id bigint); \
        INSERT INTO flows VALUES (1, 1), (2, 2); \
        INSERT INTO runs VALUES (1, 1, 1), (2, 1, NULL), (3, 2, 2), (4, 1, 2), (5, NULL, 1), (6, 2, 1)";
    let failure = ground.erased(tables, plan, "1").await.expect_err("4 is 2's as well, 5 and 6 would stay");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!((failure.entity.as_deref(), failure.rows), (Some("runs"), Some(3)), "{failure}");
    let query = failure.remedy.expect("a remedy").replace("t.*", "t.id");
    let (select, _) = query.split_once(';').expect("a statement");
    assert_eq!(ground.number(&format!("SELECT sum(id)::bigint FROM ({select}) s")).await, 4 + 5 + 6);
    let union = plan.replace("flow_id}]", "flow_id}, {entity: runs, table: runs, organization: organization_id}]");
    let ended = ground.erased("DELETE FROM runs WHERE id IN (4, 6)", &union, "1").await.expect("erased");
    assert_eq!(ended.steps().iter().map(|s| s.deleted).sum::<i64>(), 4, "run 5 has no flow: {:?}", ended.steps());
    assert_eq!(ground.number("SELECT id FROM runs").await, 3);
}

async fn what_is_kept_is_not_deleted_by_another_name(world: Arc<World>) {
    for (kept, words) in
        [("public.users", "the plan also deletes from it"), ("users_2020", "it is a partition of `public.users`")]
    {
        let ground = Ground::new(&world).await;
        let plan = PLAN.replace("steps:", &format!("keep: [{{table: {kept}, reason: by law}}], steps:"));
        let failure = ground
            .erased(
                "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
                 CREATE TABLE users (organization_id bigint, year int) PARTITION BY LIST (year); \
                 CREATE TABLE users_2020 PARTITION OF users FOR VALUES IN (2020); INSERT INTO users VALUES (1, 2020)",
                &plan,
                "1",
            )
            .await
            .expect_err("it is kept");
        assert_eq!(failure.reason, Reason::SchemaMismatch, "{failure}");
        assert!(failure.message().contains(words), "{words}: {failure}");
        assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
    }
}
