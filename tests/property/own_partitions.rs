//! `partitions: drop`: the rows of a partition that can hold only one organization's rows go with it.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use planner::{CompiledPlan, Kind};
use sqlx::{Connection as _, Executor as _};

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    rows_go_with_their_partition,
    a_table_that_others_refer_to_loses_its_partition,
    two_deletions_at_once_do_not_wait_for_each_other_in_a_circle,
    a_partition_for_several_organizations_is_not_touched,
    a_key_that_looks_like_two_values_finds_nothing,
    every_type_of_key_finds_its_partition,
    a_partition_of_partitions_goes_whole,
    a_rehearsal_leaves_the_partition_in_place,
    rows_that_appear_meanwhile_are_counted,
    rows_that_others_refer_to_block,
    whoever_may_not_truncate_deletes_row_by_row,
    rows_that_refer_to_each_other_go_one_by_one,
    what_cannot_go_with_a_partition_is_a_fault,
];

const ORGANIZATIONS: &str = "CREATE TABLE orgs (id text PRIMARY KEY); INSERT INTO orgs VALUES ('a'), ('b'), ('c')";
/// A partition for one organization each, one for two of them, and one for the rest.
const EVENTS: &str = "CREATE TABLE events (org text NOT NULL REFERENCES orgs, n int NOT NULL, PRIMARY KEY (org, n)) PARTITION BY LIST (org); \
    CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a'); \
    CREATE TABLE events_bc PARTITION OF events FOR VALUES IN ('b', 'c'); \
    CREATE TABLE events_rest PARTITION OF events DEFAULT; \
    INSERT INTO events SELECT id, n FROM orgs, generate_series(1, 5) n";
const PLAN: &str = "{organization: {table: orgs, key: id}, steps: [{entity: events, table: events, organization: org, partitions: drop}]}";

fn schema() -> String {
    format!("{ORGANIZATIONS}; {EVENTS}")
}

/// Whether a delete of a row was ever begun in the table: `TRUNCATE` fires no trigger on DELETE, and leaves another file.
const FILE_OF_A: &str = "SELECT relfilenode::bigint FROM pg_class WHERE relname = 'events_a'";

async fn rows_go_with_their_partition(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&schema(), PLAN).await.expect("compiled");
    let before = ground.number(FILE_OF_A).await;
    let ended = ground.cascade(&compiled, "a").await.expect("erased");
    assert_eq!(ended.steps()[0].deleted, 5, "{ended:?}");
    assert_ne!(ground.number(FILE_OF_A).await, before, "the partition was truncated");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10, "everybody else's");
    assert_eq!(ground.number("SELECT count(*) FROM orgs").await, 2);
}

async fn a_table_that_others_refer_to_loses_its_partition(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let runs = "CREATE TABLE runs (org text, event int, FOREIGN KEY (org, event) REFERENCES events); \
        INSERT INTO runs SELECT org, n FROM events";
    let plan = "{organization: {table: orgs, key: id}, steps: [{entity: events, table: events, organization: org, partitions: drop}, \
        {entity: runs, table: runs, parent: events, columns: {org: org, event: n}}]}";
    let compiled = ground.prepare(&format!("{}; {runs}", schema()), plan).await.expect("compiled");
    let ended = ground.cascade(&compiled, "a").await.expect("erased");
    let deleted: Vec<(&str, i64)> = ended.steps().iter().map(|s| (s.entity.as_str(), s.deleted)).collect();
    assert_eq!(deleted, [("runs", 5), ("events", 5)]);
    assert_eq!(ground.number("SELECT count(*) FROM pg_class WHERE relname = 'events_a'").await, 0, "dropped");
    assert_eq!(ground.number("SELECT count(*) FROM events JOIN runs ON (runs.org, event) = (events.org, n)").await, 10);
}

async fn two_deletions_at_once_do_not_wait_for_each_other_in_a_circle(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let more = "INSERT INTO orgs VALUES ('d'); CREATE TABLE events_d PARTITION OF events FOR VALUES IN ('d'); \
        INSERT INTO events VALUES ('d', 1); CREATE TABLE runs (org text, event int, FOREIGN KEY (org, event) REFERENCES events)";
    let plan = "{organization: {table: orgs, key: id}, steps: [{entity: events, table: events, organization: org, partitions: drop}, \
        {entity: runs, table: runs, parent: events, columns: {org: org, event: n}}]}";
    let compiled = ground.prepare(&format!("{}; {more}", schema()), plan).await.expect("compiled");
    // Each waits for the other to lock the tables as well, as far as the other can.
    let barrier = tokio::sync::Barrier::new(2);
    let both = || async {
        drop(tokio::time::timeout(std::time::Duration::from_millis(300), barrier.wait()).await);
    };
    let erasures =
        tokio::join!(ground.cascade_while(&compiled, "a", both()), ground.cascade_while(&compiled, "d", both()));
    // The second one finds that a partition is gone, and is tried again with a new plan.
    let ended = [erasures.0.expect("no deadlock"), erasures.1.expect("no deadlock")];
    let completed = ended.iter().filter(|e| matches!(e, Erasure::Completed(_))).count();
    let outdated = ended.iter().filter(|e| matches!(e, Erasure::PlanOutdated)).count();
    assert_eq!((completed, outdated), (1, 1), "{ended:?}");
}

async fn a_partition_for_several_organizations_is_not_touched(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&schema(), PLAN).await.expect("compiled");
    let ended = ground.cascade(&compiled, "b").await.expect("erased");
    assert_eq!(ended.steps()[0].deleted, 5);
    assert_eq!(ground.number("SELECT count(*) FROM events_bc").await, 5, "c's");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10);
    // An organization without a partition of its own has rows in the default partition.
    let rest = "INSERT INTO orgs VALUES ('d'), ('e'); INSERT INTO events VALUES ('d', 1), ('e', 1)";
    ground.execute(rest).await;
    assert_eq!(ground.cascade(&compiled, "d").await.expect("erased").steps()[0].deleted, 1);
    assert_eq!(ground.number("SELECT count(*) FROM events_rest").await, 1, "e's");
}

/// Whoever may choose an id must not be able to name a partition of others by it.
async fn a_key_that_looks_like_two_values_finds_nothing(world: Arc<World>) {
    for key in ["b', 'c", "'b', 'c'", "b''", "\\", "5, 6"] {
        let ground = Ground::new(&world).await;
        let compiled = ground.prepare(&schema(), PLAN).await.expect("compiled");
        let mut session = ground.connect().await;
        sqlx::query("INSERT INTO orgs VALUES ($1)").bind(key).execute(&mut session).await.expect("an organization");
        sqlx::query("INSERT INTO events VALUES ($1, 1)").bind(key).execute(&mut session).await.expect("its row");
        let ended = ground.cascade(&compiled, key).await.expect("erased");
        assert_eq!(ended.steps()[0].deleted, 1, "{key}");
        assert_eq!(ground.number("SELECT count(*) FROM events").await, 15, "{key}: everybody else's");
    }
}

async fn every_type_of_key_finds_its_partition(world: Arc<World>) {
    for (of_key, key, bound) in [
        ("bigint", "7", "7"),
        ("bigint", "-7", "-7"),
        ("numeric", "7", "7"),
        ("uuid", "00000000-0000-4000-8000-00000000000a", "'00000000-0000-4000-8000-00000000000A'"),
        ("varchar(9)", "it's", "'it''s'"),
        ("text", "7", "'7'"),
        ("text", "FOR VALUES", "'FOR VALUES'"),
    ] {
        let ground = Ground::new(&world).await;
        let tables = format!(
            "CREATE TABLE orgs (id {of_key} PRIMARY KEY); INSERT INTO orgs VALUES ({bound}); \
             CREATE TABLE events (org {of_key} NOT NULL REFERENCES orgs) PARTITION BY LIST (org); \
             CREATE TABLE events_a PARTITION OF events FOR VALUES IN ({bound}); INSERT INTO events VALUES ({bound})"
        );
        let compiled = ground.prepare(&tables, PLAN).await.expect("compiled");
        let before = ground.number(FILE_OF_A).await;
        let ended = ground.cascade(&compiled, key).await.expect("erased");
        assert_eq!(ended.steps()[0].deleted, 1, "{of_key} {key}");
        assert_ne!(ground.number(FILE_OF_A).await, before, "{of_key} {key}: truncated");
    }
}

async fn a_partition_of_partitions_goes_whole(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let tables = format!(
        "{ORGANIZATIONS}; CREATE TABLE events (org text NOT NULL REFERENCES orgs, n int NOT NULL) PARTITION BY LIST (org); \
         CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a') PARTITION BY RANGE (n); \
         CREATE TABLE events_a_1 PARTITION OF events_a FOR VALUES FROM (0) TO (3); \
         CREATE TABLE events_a_2 PARTITION OF events_a DEFAULT; CREATE TABLE events_rest PARTITION OF events DEFAULT; \
         INSERT INTO events SELECT id, n FROM orgs, generate_series(1, 5) n"
    );
    let compiled = ground.prepare(&tables, PLAN).await.expect("compiled");
    assert_eq!(ground.cascade(&compiled, "a").await.expect("erased").steps()[0].deleted, 5);
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10);
}

async fn a_rehearsal_leaves_the_partition_in_place(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&schema(), PLAN).await.expect("compiled");
    let before = ground.number(FILE_OF_A).await;
    let rehearsed = ground.database().rehearse("a", &compiled).await.expect("rehearsed").expect("the plan is current");
    assert_eq!(rehearsed.steps[0].deleted, 5);
    assert_eq!(ground.number(FILE_OF_A).await, before);
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 15);
}

/// A row that is committed before the partition is locked goes with it; nobody can write another one afterwards.
async fn rows_that_appear_meanwhile_are_counted(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&schema().replace(" REFERENCES orgs", ""), PLAN).await.expect("compiled");
    let mut session = ground.connect().await;
    let ended = ground.cascade_while(&compiled, "a", async {
        let mut late = session.begin().await.expect("a transaction");
        late.execute("SET LOCAL lock_timeout = '100ms'").await.expect("set");
        let refused = late.execute("INSERT INTO events VALUES ('a', 6)").await.expect_err("the partition is locked");
        assert!(refused.to_string().contains("lock timeout"), "{refused}");
    });
    assert!(matches!(ended.await.expect("erased"), Erasure::Unverified { steps } if steps[0].deleted == 5));
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10);
}

async fn rows_that_others_refer_to_block(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let outside = "CREATE TABLE audits (org text, event int, FOREIGN KEY (org, event) REFERENCES events ON DELETE CASCADE); \
        INSERT INTO audits VALUES ('a', 1)";
    let compiled = ground.prepare(&format!("{}; {outside}", schema()), PLAN).await.expect("compiled");
    let failure = ground.cascade(&compiled, "a").await.expect_err("blocked");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 15);
}

async fn whoever_may_not_truncate_deletes_row_by_row(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    ground.execute(&schema()).await;
    let database = ground.as_role("GRANT SELECT, UPDATE, DELETE ON orgs, events TO :role").await;
    let compiled = database.compile(&serde_yaml::from_str(PLAN).expect("a plan")).await.expect("compiled");
    let warning = compiled.warnings.iter().find(|f| f.kind == Kind::PartitionKept).expect("a warning");
    assert!(warning.message.contains("may not truncate every partition"), "{}", warning.message);
    let before = ground.number(FILE_OF_A).await;
    let ended = ground.erase_by(&database, "a", "a", &compiled).await.expect("erased");
    assert!(matches!(ended, Erasure::Completed(done) if done.steps()[0].deleted == 5));
    assert_eq!(ground.number(FILE_OF_A).await, before, "row by row");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10);
}

async fn what_cannot_go_with_a_partition_is_a_fault(world: Arc<World>) {
    let trigger = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; \
        CREATE TRIGGER noted AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION noted()";
    for (sql, part) in [
        (
            format!("{ORGANIZATIONS}; CREATE TABLE events (org text REFERENCES orgs)"),
            "not partitioned by the values of `org`",
        ),
        (
            schema().replace("LIST (org)", "LIST (n)").replace("('a')", "(1)").replace("('b', 'c')", "(2)"),
            "not partitioned by the values of `org`",
        ),
        (format!("{}; {trigger}", schema()), "the trigger noted does not fire"),
    ] {
        let ground = Ground::new(&world).await;
        let compiled: CompiledPlan = ground.prepare(&sql, PLAN).await.expect("compiled");
        let faults = compiled.faults().expect("a fault").to_string();
        assert!(faults.contains(part) && faults.contains("partitions: drop"), "{faults}");
    }
}

/// PostgreSQL detaches no partition to whose rows something refers, be it the partition's own rows.
async fn rows_that_refer_to_each_other_go_one_by_one(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let previous = "ALTER TABLE events ADD previous int, ADD FOREIGN KEY (org, previous) REFERENCES events; \
        UPDATE events SET previous = n - 1 WHERE n > 1";
    let compiled = ground.prepare(&format!("{}; {previous}", schema()), PLAN).await.expect("compiled");
    let warning = compiled.warnings.iter().find(|f| f.kind == Kind::PartitionKept).expect("a warning");
    assert!(warning.message.contains("at the same time, refer to its rows"), "{}", warning.message);
    assert_eq!(ground.cascade(&compiled, "a").await.expect("erased").steps()[0].deleted, 5);
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 10);
}
