//! Relations that are no ordinary tables: what a plan may name, and what it must not.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    a_view_gives_rows_a_tenant_column,
    what_hangs_on_a_table_below_a_view_is_not_deleted_unseen,
    what_escapes_the_plan_is_not_deleted_from,
    a_table_that_inherits_later_is_noticed_by_the_cascade,
];

const ORGANIZATIONS: &str =
    "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2);";

fn plan(table: &str) -> String {
    format!(
        "{{organization: {{table: organizations, key: id}}, \
          steps: [{{entity: users, table: {table}, organization: organization_id}}]}}"
    )
}

/// Where the key stands inside of a text, a view is how to say so.
const VIEW: &str = "CREATE TABLE tuples (id bigint PRIMARY KEY, subject text NOT NULL); \
    INSERT INTO tuples VALUES (1, 'org:1'), (2, 'org:2'), (3, 'org:1'), (4, 'team:1'); \
    CREATE VIEW members AS SELECT id, subject, CASE WHEN subject ~ '^org:[0-9]+$' THEN substr(subject, 5)::bigint END \
        AS organization_id FROM tuples";

async fn a_view_gives_rows_a_tenant_column(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let ended = ground.erased(&format!("{ORGANIZATIONS} {VIEW}"), &plan("members"), "1").await.expect("erased");
    assert_eq!(ended.steps()[0].deleted, 2);
    assert_eq!(ground.number("SELECT sum(id)::bigint FROM tuples").await, 2 + 4);
}

async fn what_hangs_on_a_table_below_a_view_is_not_deleted_unseen(world: Arc<World>) {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        let ground = Ground::new(&world).await;
        // Also through a view of a view.
        let sql = format!(
            "{ORGANIZATIONS} {VIEW}; CREATE VIEW users AS SELECT * FROM members; \
             CREATE TABLE notes (tuple bigint REFERENCES tuples ON DELETE {action}); INSERT INTO notes VALUES (1), (2)"
        );
        let failure = ground.erased(&sql, &plan("users"), "1").await.expect_err("a note would change");
        assert_eq!(
            (failure.reason, failure.table.as_deref()),
            (Reason::SchemaMismatch, Some("public.users")),
            "{failure}"
        );
        for words in ["`public.notes`", "notes_tuple_fkey", action] {
            assert!(failure.message().contains(words), "{words}: {failure}");
        }
        assert_eq!(ground.number("SELECT count(tuple) FROM notes").await, 2);
        assert_eq!(ground.number("SELECT count(*) FROM tuples").await, 4);
    }
    // Without an action the database itself refuses.
    let ground = Ground::new(&world).await;
    let sql = format!(
        "{ORGANIZATIONS} {VIEW}; CREATE TABLE notes (tuple bigint REFERENCES tuples); INSERT INTO notes VALUES (1), (2)"
    );
    let failure = ground.erased(&sql, &plan("members"), "1").await.expect_err("a note refers to it");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM tuples").await, 4);
    ground.erased("DELETE FROM notes WHERE tuple = 1", &plan("members"), "1").await.expect("erased");
}

async fn what_escapes_the_plan_is_not_deleted_from(world: Arc<World>) {
    let users = "CREATE TABLE users (id bigint, organization_id bigint REFERENCES organizations)";
    for (sql, table, words, remedy) in [
        (
            format!(
                "{users}; CREATE TABLE guests () INHERITS (users); INSERT INTO guests VALUES (1, 1); \
                 ALTER TABLE guests ADD UNIQUE (id); CREATE TABLE notes (guest bigint REFERENCES guests (id) ON DELETE CASCADE); \
                 INSERT INTO notes VALUES (1)"
            ),
            "users",
            "tables that inherit from it (`public.guests`)",
            "NO INHERIT",
        ),
        (
            format!(
                "{users} PARTITION BY LIST (id); CREATE TABLE users_1 PARTITION OF users DEFAULT; INSERT INTO users VALUES (1, 1)"
            ),
            "users_1",
            "a partition of `public.users`",
            "name `public.users`",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER away FOREIGN DATA WRAPPER nothing; \
             CREATE FOREIGN TABLE users (id bigint, organization_id bigint) SERVER away; CREATE TABLE notes ()"
                .to_owned(),
            "users",
            "a foreign table",
            "on the server that stores them",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER away FOREIGN DATA WRAPPER nothing; \
             CREATE TABLE users (id bigint, organization_id bigint) PARTITION BY LIST (id); \
             CREATE FOREIGN TABLE users_1 PARTITION OF users DEFAULT SERVER away; CREATE TABLE notes ()"
                .to_owned(),
            "users",
            "a delete from `public.users` reaches `public.users_1`",
            "on the server that stores them",
        ),
    ] {
        let ground = Ground::new(&world).await;
        let failure =
            ground.erased(&format!("{ORGANIZATIONS} {sql}"), &plan(table), "1").await.expect_err("it is refused");
        assert_eq!(failure.reason, Reason::SchemaMismatch, "{failure}");
        assert!(failure.message().contains(words), "{words}: {failure}");
        assert!(failure.remedy.as_ref().is_some_and(|r| r.contains(remedy)), "{remedy}: {failure:?}");
        assert_eq!(ground.number("SELECT count(*) FROM organizations").await, 2);
    }
}

/// The plan was compiled before it was there.
async fn a_table_that_inherits_later_is_noticed_by_the_cascade(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let sql =
        format!("{ORGANIZATIONS} CREATE TABLE users (id bigint, organization_id bigint REFERENCES organizations)");
    let compiled = ground.prepare(&sql, &plan("users")).await.expect("compiled");
    ground.execute("CREATE TABLE guests () INHERITS (users); INSERT INTO guests VALUES (1, 1)").await;
    assert_eq!(ground.cascade_while(&compiled, "1", async {}).await, Ok(Erasure::PlanOutdated));
    assert_eq!(ground.number("SELECT count(*) FROM guests").await, 1);
}
