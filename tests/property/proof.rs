//! What foreign keys prove is not counted. Each schema here has something that makes such a proof wrong: the engine must not
//! trust it, and an engine that does is shown to leave rows or to take rows of others.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use organization_operator::db::{Database, Settings, UrlSource};
use planner::{CompiledPlan, Verdict};

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    an_engine_that_trusts_foreign_keys_past_a_trigger_leaves_rows,
    an_engine_that_does_not_look_for_moved_parents_takes_rows_of_others,
    a_rule_that_comes_later_outdates_the_plan,
    a_session_that_enforces_nothing_erases_nothing,
    keys_stay_on_the_server,
];

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [\
    {entity: flows, table: flows, organization: organization_id}, \
    {entity: runs, table: runs, parent: flows, column: flow_id}]}";

fn tables(key: &str) -> String {
    format!(
        "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
         CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
         CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows {key}); \
         INSERT INTO flows VALUES (1, 1), (2, 1), (3, 2); INSERT INTO runs VALUES (1, 1), (2, 2), (3, 3)"
    )
}

/// The plan as an engine would run it that takes every table for proven and every parent for accounted for.
fn trusting(compiled: &CompiledPlan) -> CompiledPlan {
    let mut trusting = compiled.clone();
    let Verdict::Ready(erase) = &mut trusting.verdict else { panic!("no fault") };
    erase.may_interfere = false;
    erase.recount_unproven = None;
    erase.parents_left = None;
    trusting
}

async fn an_engine_that_trusts_foreign_keys_past_a_trigger_leaves_rows(world: Arc<World>) {
    for (key, trigger) in [
        // The foreign key's own delete of the runs is suppressed.
        (
            "ON DELETE CASCADE",
            "CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER meddles BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION meddles()",
        ),
        // A row is written past the foreign key.
        (
            "",
            "CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql SET session_replication_role = replica AS $$ BEGIN \
                INSERT INTO runs VALUES (9, 1); RETURN NULL; END $$; \
             CREATE TRIGGER meddles AFTER DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION meddles()",
        ),
    ] {
        let ground = Ground::new(&world).await;
        let compiled = ground.prepare(&format!("{}; {trigger}", tables(key)), PLAN).await.expect("compiled");
        assert!(compiled.erase().expect("no fault").may_interfere, "{trigger}");
        let failure = ground.cascade(&compiled, "1").await.expect_err("a row is left");
        assert_eq!(failure.reason, Reason::ContentChanged, "{trigger}: {failure}");
        assert_eq!(ground.number("SELECT count(*) FROM flows").await, 3, "{trigger}: rolled back");
        ground.cascade(&trusting(&compiled), "1").await.expect("it sees nothing");
        let orphans = "SELECT count(*) FROM runs WHERE NOT EXISTS (SELECT FROM flows WHERE flows.id = runs.flow_id)";
        assert!(ground.number(orphans).await > 0, "{trigger}: the proof would have been right");
    }
}

/// The flow moves after its key was captured; its runs are found by that key.
async fn an_engine_that_does_not_look_for_moved_parents_takes_rows_of_others(world: Arc<World>) {
    for trusts in [false, true] {
        let ground = Ground::new(&world).await;
        let compiled = ground.prepare(&tables("DEFERRABLE"), PLAN).await.expect("compiled");
        let erase = compiled.erase().expect("no fault");
        assert!(!erase.may_interfere && erase.accounted && erase.recount_unproven.is_none());
        let compiled = if trusts { trusting(&compiled) } else { compiled };
        let moves = async { ground.execute("UPDATE flows SET organization_id = 2 WHERE id = 1").await };
        let ended = Box::pin(ground.cascade_while(&compiled, "1", moves)).await;
        let theirs = ground.number("SELECT count(*) FROM runs WHERE flow_id = 1").await;
        if trusts {
            assert!(matches!(ended, Ok(Erasure::Completed(_))), "{ended:?}");
            assert_eq!(theirs, 0, "the run of organization 2 was deleted");
            continue;
        }
        assert_eq!(ended.expect_err("it moved").reason, Reason::ContentChanged);
        assert_eq!(theirs, 1);
        ground.cascade(&compiled, "1").await.expect("the next attempt");
        assert_eq!(ground.number("SELECT count(*) FROM runs").await, 2);
        assert_eq!(ground.number("SELECT count(*) FROM organization_operator.captured_keys").await, 0);
    }
}

async fn a_rule_that_comes_later_outdates_the_plan(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&tables(""), PLAN).await.expect("compiled");
    ground.execute("CREATE RULE keeps AS ON DELETE TO runs DO INSTEAD NOTHING").await;
    let ended = ground.cascade_while(&compiled, "1", async {}).await;
    assert_eq!(ended, Ok(Erasure::PlanOutdated));
}

async fn a_session_that_enforces_nothing_erases_nothing(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&tables(""), PLAN).await.expect("compiled");
    ground
        .execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database()); END $$",
        )
        .await;
    // Sessions that exist already keep the setting that they began with.
    let settings = Settings {
        max_connections: 2,
        connect_timeout: std::time::Duration::from_secs(20),
        lock_timeout: std::time::Duration::from_secs(20),
        statement_timeout: std::time::Duration::from_secs(30),
    };
    let database = Database::new(UrlSource::Text(ground.url()), settings).expect("a URL");
    let failure = ground.erase_by(&database, "1", "1", &compiled).await.expect_err("nothing is enforced");
    assert_eq!(failure.reason, Reason::SchemaMismatch, "{failure}");
    assert!(failure.message().contains("session_replication_role"), "{failure}");
    ground
        .execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET session_replication_role', current_database()); END $$")
        .await;
    assert_eq!(ground.number("SELECT count(*) FROM runs").await, 3);
}

/// What passes between the operator and the server does not grow with the organization, and so nothing in the operator does. In
/// this schema parents go first, by an order that the keys allow; the second count and a rehearsal are among the statements.
async fn keys_stay_on_the_server(world: Arc<World>) {
    const ALLOWANCE: u64 = 4096;
    let ground = Ground::new(&world).await;
    let people = "{organization: {table: organizations, key: id}, steps: [\
        {entity: flows, table: flows, organization: organization_id}, \
        {entity: runs, table: runs, parent: flows, column: flow_id}, \
        {entity: members, table: members, organization: organization_id}, \
        {entity: users, table: users, referencedBy: members, column: user_id}, \
        {entity: notes, table: notes, parent: users, column: user_id}]}";
    let schema = tables("DEFERRABLE")
        + "; CREATE TABLE users (id bigint PRIMARY KEY); \
           CREATE TABLE members (organization_id bigint REFERENCES organizations, user_id bigint REFERENCES users); \
           CREATE INDEX ON members (user_id); CREATE TABLE notes (user_id bigint); CREATE INDEX ON notes (user_id); \
           CREATE INDEX ON flows (organization_id); CREATE INDEX ON runs (flow_id); CREATE INDEX ON members (organization_id)";
    let compiled = ground.prepare(&schema, people).await.expect("compiled");
    assert!(compiled.erase().expect("no fault").has_unprotected());
    let mut passed = Vec::new();
    for (organization, rows) in [(10, 10), (11, 10_000)] {
        ground
            .execute(&format!(
                "INSERT INTO organizations VALUES ({organization}); \
                 INSERT INTO flows SELECT {organization} * 100000 + n, {organization} FROM generate_series(1, {rows}) n; \
                 INSERT INTO runs SELECT id, id FROM flows WHERE organization_id = {organization}; \
                 INSERT INTO users SELECT {organization} * 100000 + n FROM generate_series(1, {rows}) n; \
                 INSERT INTO members SELECT {organization}, id FROM users WHERE id > {organization} * 100000; \
                 INSERT INTO notes SELECT user_id FROM members WHERE organization_id = {organization}; ANALYZE"
            ))
            .await;
        let proxy = ground.proxy().await;
        let database = ground.through(&proxy);
        let key = organization.to_string();
        database.inventory(&key, &compiled).await.expect("counted");
        database.quick_check(&key, &compiled).await.expect("checked");
        database.examine(&key, &compiled).await.expect("examined");
        let rehearsed = database.rehearse(&key, &compiled).await.expect("rehearsed").expect("the plan is new");
        assert_eq!(rehearsed.steps.iter().map(|s| s.deleted).sum::<i64>(), 5 * rows);
        ground.erase_by(&database, &key, &key, &compiled).await.expect("erased");
        ground.verify_through(&database, &key, &compiled).await.expect("verified");
        assert_eq!(ground.number(&format!("SELECT count(*) FROM users WHERE id > {organization} * 100000")).await, 0);
        passed.push(proxy.bytes());
    }
    assert!(passed[1] < passed[0] + ALLOWANCE, "10 and 10,000 rows of each table: {passed:?} bytes");
    assert_eq!(ground.number("SELECT count(*) FROM organization_operator.captured_keys").await, 0);
}
