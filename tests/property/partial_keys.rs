//! Rows that are found by part of their parent's key: they go only if no other organization's row has the same part.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::verify::Verification;
use planner::CompiledPlan;
use sqlx::{AssertSqlSafe, Connection as _};
use testbed::proxy::SqlProxy;

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    the_part_that_is_left_of_a_partitioned_key_is_enough,
    rows_that_could_be_anothers_block_and_are_shown,
    a_part_that_no_row_has_blocks_nothing,
    nobodys_parent_makes_them_ambiguous_too,
    a_way_through_two_parts_is_proven_at_each,
    a_trigger_that_gives_the_part_to_another_organization_rolls_back,
    whoever_writes_between_two_statements_loses_nothing,
    a_part_that_is_another_organizations_by_then_is_left_alone,
    late_rows_that_could_be_anothers_block_the_second_count,
];

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

const CASE: &str = "CREATE TABLE tenants (id uuid PRIMARY KEY, deleted_at timestamptz); \
    CREATE TABLE events (tenant_id uuid NOT NULL, seen_at timestamptz NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, \
        PRIMARY KEY (tenant_id, seen_at, id)) PARTITION BY RANGE (seen_at); \
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
    CREATE TABLE event_runs (event_id bigint NOT NULL, event_seen_at timestamptz NOT NULL, run uuid NOT NULL, \
        PRIMARY KEY (event_id, event_seen_at, run)); \
    INSERT INTO tenants VALUES ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b'); \
    INSERT INTO events (tenant_id, seen_at) SELECT id, '2026-02-01 12:00:00.123456+03' FROM tenants; \
    INSERT INTO event_runs SELECT id, seen_at, gen_random_uuid() FROM events";

const PLAN: &str = "{organization: {table: tenants, key: id, active: {column: deleted_at, inactive: now}}, tenantColumns: [tenant_id], \
      steps: [{entity: events, table: events, organization: tenant_id}, \
      {entity: eventRuns, table: event_runs, parent: events, columns: {event_id: id, event_seen_at: seen_at}}]}";

/// An event of tenant B with the part of the key that A's event has.
const SAME_PART: &str = "INSERT INTO events (tenant_id, seen_at, id) OVERRIDING SYSTEM VALUE \
    SELECT '00000000-0000-4000-8000-00000000000b', seen_at, id FROM events WHERE tenant_id = '00000000-0000-4000-8000-00000000000a'";

async fn the_part_that_is_left_of_a_partitioned_key_is_enough(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let ended = ground.erased(CASE, PLAN, A).await.expect("erased");
    let deleted: Vec<(&str, i64)> = ended.steps().iter().map(|s| (s.entity.as_str(), s.deleted)).collect();
    assert_eq!(deleted, [("events", 1), ("eventRuns", 1)]);
    let theirs = "SELECT count(*) FROM event_runs r JOIN events e ON e.id = r.event_id AND e.seen_at = r.event_seen_at";
    assert_eq!(ground.number(theirs).await, 1, "B's run is there, and its event");
    assert_eq!(ground.number("SELECT count(*) FROM event_runs").await, 1);
    ground.erased("SELECT 1", PLAN, B).await.expect("erased");
    assert_eq!(ground.number("SELECT (SELECT count(*) FROM event_runs) + (SELECT count(*) FROM events)").await, 0);
}

/// Events of two tenants with the same part of the key, and no run of either: there is nothing that could be the other's.
async fn a_part_that_no_row_has_blocks_nothing(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let without = format!("{CASE}; {SAME_PART}; DELETE FROM event_runs WHERE event_id = 1");
    ground.erased(&without, PLAN, A).await.expect("erased");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 2, "B's");
    assert_eq!(ground.number("SELECT count(*) FROM event_runs").await, 1, "B's");
}

async fn rows_that_could_be_anothers_block_and_are_shown(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(&format!("{CASE}; {SAME_PART}"), PLAN).await.expect("compiled");
    for key in [A, B] {
        let failure = ground.cascade(&compiled, key).await.expect_err("whose run is it?");
        assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
        assert_eq!((failure.entity.as_deref(), failure.rows), (Some("eventRuns"), Some(1)), "{failure}");
        assert_eq!(failure.causes.len(), 1, "{failure:?}");
        let quick = ground.quick_check(&compiled, key).await.expect("checked").expect("told before anybody deletes");
        assert_eq!(quick.message(), failure.message());
        // The remedy shows exactly the row.
        let query = failure.remedy.expect("a remedy");
        let (query, _) = query.split_once(';').expect("a statement");
        let shown =
            format!("SELECT count(*) FROM ({query}) q JOIN events e ON e.id = q.event_id WHERE e.tenant_id = '{A}'");
        assert_eq!(ground.number(&shown).await, 1);
    }
    assert_eq!(ground.number("SELECT count(*) FROM event_runs").await, 2, "nothing was deleted");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 3);

    ground.execute(&format!("DELETE FROM events USING event_runs r WHERE tenant_id = '{B}' AND id IN (SELECT id FROM events WHERE tenant_id = '{A}')")).await;
    assert_eq!(ground.quick_check(&compiled, A).await, Ok(None));
    ground.cascade(&compiled, A).await.expect("erased");
    assert_eq!(ground.number("SELECT count(*) FROM event_runs").await, 1);
}

/// Its tenant was never there, or is gone: whose child rows it has, nobody knows.
async fn nobodys_parent_makes_them_ambiguous_too(world: Arc<World>) {
    for nobody in ["NULL", "3"] {
        let ground = Ground::new(&world).await;
        let plan = "{organization: {table: organizations, key: id}, steps: [{entity: events, table: events, organization: org}, \
              {entity: runs, table: runs, parent: events, columns: {event: id, event_seen: seen}}]}";
        let tables = format!(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
             CREATE TABLE events (org bigint, seen date NOT NULL, id bigint NOT NULL, UNIQUE (org, seen, id)); \
             CREATE TABLE runs (event integer, event_seen date, run text); \
             INSERT INTO events VALUES (1, '2026-02-01', 7), (2, '2026-02-01', 8), ({nobody}, '2026-02-01', 7); \
             INSERT INTO runs VALUES (7, '2026-02-01', 'a'), (7, '2026-02-01', 'b'), (8, '2026-02-01', 'c'), (7, NULL, 'd'), \
                (7, '2026-03-01', 'e')"
        );
        let failure = ground.erased(&tables, plan, "1").await.expect_err("whose runs are they?");
        assert_eq!((failure.reason, failure.rows), (Reason::ForeignKeyViolation, Some(2)), "{nobody}: {failure}");
        // It is in nobody else's way.
        ground.erased("SELECT 1", plan, "2").await.expect("erased");
        assert_eq!(ground.number("SELECT count(*) FROM runs").await, 4, "c went");
        ground.erased("DELETE FROM events WHERE org IS DISTINCT FROM 1", plan, "1").await.expect("erased");
        assert_eq!(ground.number("SELECT count(*) FROM runs").await, 2, "d and e never had a parent");
    }
}

async fn a_way_through_two_parts_is_proven_at_each(world: Arc<World>) {
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: events, table: events, organization: org}, \
          {entity: runs, table: runs, parent: events, columns: {event: id}}, \
          {entity: lines, table: lines, parent: runs, columns: {run: run}}]}";
    let tables = "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
        CREATE TABLE events (org bigint REFERENCES organizations, id bigint, PRIMARY KEY (org, id)); \
        CREATE TABLE runs (event bigint, run text, PRIMARY KEY (event, run)); \
        CREATE TABLE lines (run text, line text); \
        INSERT INTO events VALUES (1, 1), (2, 2); INSERT INTO runs VALUES (1, 'r'), (2, 's'); \
        INSERT INTO lines VALUES ('r', 'of 1'), ('s', 'of 2')";
    for (ambiguity, entity, cure) in [
        ("INSERT INTO events VALUES (2, 1)", "runs", "DELETE FROM events WHERE org = 2 AND id = 1"),
        ("INSERT INTO runs VALUES (2, 'r')", "lines", "DELETE FROM runs WHERE event = 2 AND run = 'r'"),
        ("INSERT INTO runs VALUES (9, 'r')", "lines", "DELETE FROM runs WHERE event = 9"),
    ] {
        let ground = Ground::new(&world).await;
        let failure = ground.erased(&format!("{tables}; {ambiguity}"), plan, "1").await.expect_err(ambiguity);
        assert_eq!(failure.reason, Reason::ForeignKeyViolation, "{failure}");
        assert_eq!((failure.entity.as_deref(), failure.rows), (Some(entity), Some(1)), "{ambiguity}: {failure}");
        assert_eq!(ground.number("SELECT count(*) FROM lines").await, 2);
        ground.erased(cure, plan, "1").await.expect("erased");
        assert_eq!(ground.number("SELECT count(*) FROM lines WHERE line = 'of 2'").await, 1);
        assert_eq!(ground.number("SELECT count(*) FROM lines").await, 1);
    }
}

/// The trigger stands for another session that commits between two statements.
async fn a_trigger_that_gives_the_part_to_another_organization_rolls_back(world: Arc<World>) {
    for (table, moment) in
        [("events", "BEFORE"), ("events", "AFTER"), ("event_runs", "BEFORE"), ("event_runs", "AFTER")]
    {
        let ground = Ground::new(&world).await;
        let trigger = format!(
            "CREATE TABLE part AS SELECT seen_at, id FROM events WHERE tenant_id = '{A}'; \
             CREATE FUNCTION joins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO events (tenant_id, seen_at, id) OVERRIDING SYSTEM VALUE SELECT '{B}', seen_at, id FROM part \
                ON CONFLICT DO NOTHING; RETURN NULL; END $$; \
             CREATE TRIGGER joins {moment} DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION joins()"
        );
        let failure = ground.erased(&format!("{CASE}; {trigger}"), PLAN, A).await.expect_err("B has the part now");
        assert_eq!(failure.reason, Reason::ContentChanged, "{table} {moment}: {failure}");
        assert_eq!((failure.table.as_deref(), failure.rows), (Some("events"), Some(1)), "{table} {moment}: {failure}");
        assert!(failure.message().contains("have the part of a key by which its child rows are found"), "{failure}");
        assert_eq!(ground.number("SELECT count(*) FROM event_runs").await, 2, "{table} {moment}");
        assert_eq!(ground.number("SELECT count(*) FROM events").await, 2, "{table} {moment}");
    }
}

/// Another session writes right before a statement of the deletion, or of the second count: before each of them in turn.
async fn whoever_writes_between_two_statements_loses_nothing(world: Arc<World>) {
    let proxy = SqlProxy::start(world.postgres()).await.expect("a proxy");
    let ground = Arc::new(Ground::behind(&world, proxy.port()).await);
    let tables = "CREATE TABLE organizations (id bigint PRIMARY KEY); \
        CREATE TABLE events (org bigint NOT NULL REFERENCES organizations, seen date NOT NULL, id bigint NOT NULL, \
            PRIMARY KEY (org, seen, id)) PARTITION BY RANGE (seen); \
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
        CREATE TABLE runs (event bigint NOT NULL, event_seen date NOT NULL, run text PRIMARY KEY)";
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: events, table: events, organization: org}, \
          {entity: runs, table: runs, parent: events, columns: {event: id, event_seen: seen}}]}";
    let compiled = ground.prepare(tables, plan).await.expect("compiled");
    let mut ends = BTreeSet::new();
    let mut organization = 0;
    for writer in [Writer::Joins, Writer::Becomes, Writer::Moves] {
        let mut at = 0;
        loop {
            organization += 2;
            let round = Round { ground: &ground, proxy: &proxy, compiled: &compiled, a: organization, writer };
            let (end, statements) = round.run(at).await;
            ends.insert((format!("{writer:?}"), end));
            at += 1;
            if at > statements {
                break;
            }
        }
        assert!(at > 20, "a deletion and its second count have more statements than {at}");
    }
    // All of them happened: otherwise the test proves nothing.
    for writer in ["Joins", "Becomes"] {
        for end in ["Erased", "ForeignKeyViolation", "ContentChanged"] {
            assert!(ends.contains(&(writer.to_owned(), end.to_owned())), "{writer} {end}: {ends:?}");
        }
    }
}

/// What the other session does. The organization that is deleted is `A`, and the other one `B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// B gets an event with the part that an event of A has, and a run of it.
    Joins,
    /// B's own event and its run get that part.
    Becomes,
    /// The event of A, and its runs with it, becomes B's.
    Moves,
}

struct Round<'r> {
    ground: &'r Arc<Ground>,
    proxy: &'r SqlProxy,
    compiled: &'r CompiledPlan,
    a: i64,
    writer: Writer,
}

impl Round<'_> {
    /// Makes A and B, and deletes A; the other session writes before statement number `at`. Returns how the deletion ended, and
    /// how many statements there were.
    async fn run(&self, at: u64) -> (String, u64) {
        let (a, b) = (self.a, self.a + 1);
        let told = format!("{:?} before statement {at}", self.writer);
        let seen = "'2026-02-01'";
        self.ground
            .execute(&format!(
                "INSERT INTO organizations VALUES ({a}), ({b}); \
                 INSERT INTO events VALUES ({a}, {seen}, {a}), ({b}, {seen}, {b}); \
                 INSERT INTO runs VALUES ({a}, {seen}, '{a}-1'), ({a}, {seen}, '{a}-2'), ({b}, {seen}, '{b}-1')"
            ))
            .await;
        let sql = match self.writer {
            Writer::Joins => {
                format!("INSERT INTO events VALUES ({b}, {seen}, {a}); INSERT INTO runs VALUES ({a}, {seen}, '{b}-2')")
            }
            Writer::Becomes => {
                format!("UPDATE events SET id = {a} WHERE org = {b}; UPDATE runs SET event = {a} WHERE run = '{b}-1'")
            }
            Writer::Moves => format!("UPDATE events SET org = {b} WHERE org = {a}"),
        };
        let moved = format!("SELECT count(*) FROM events WHERE org = {b} AND id = {a}");
        let (number, wrote) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let session = self.ground.clone();
        let (counter, written) = (number.clone(), wrote.clone());
        self.proxy.count_only(move |_| {
            if counter.fetch_add(1, Ordering::SeqCst) == at {
                let write = async {
                    let mut connection = session.connect().await;
                    // It may be refused: then a lock of the deletion kept it out.
                    let sql = format!("SET lock_timeout = 50; BEGIN; {sql}; COMMIT");
                    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                    written.store(done.is_ok(), Ordering::SeqCst);
                    connection.close().await.expect("closed");
                };
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(write));
            }
            true
        });
        self.proxy.record();
        let key = a.to_string();
        let erased = self.ground.cascade_while(self.compiled, &key, async {}).await;
        let end = match &erased {
            Err(failure) => failure.reason.to_string(),
            Ok(_) => "Erased".to_owned(),
        };
        if let Ok(erasure) = erased {
            self.verified(&key, erasure, &told).await;
        }
        self.proxy.disarm();
        let statements = number.load(Ordering::SeqCst);

        let wrote = wrote.load(Ordering::SeqCst) && self.ground.number(&moved).await > 0;
        let rows = async |table: &str, condition: String| {
            self.ground.number(&format!("SELECT count(*) FROM {table} WHERE {condition}")).await
        };
        let of_b = 1 + i64::from(wrote && self.writer == Writer::Joins);
        assert_eq!(rows("runs", format!("run LIKE '{b}-%'")).await, of_b, "{told}: {end}: B lost a run");
        let events_of_b = 1 + i64::from(wrote && self.writer != Writer::Becomes);
        assert_eq!(rows("events", format!("org = {b}")).await, events_of_b, "{told}: {end}: B lost an event");
        let is_moved = wrote && self.writer == Writer::Moves;
        let erased = end == "Erased";
        let left = if erased && !is_moved { 0 } else { 2 };
        assert_eq!(rows("runs", format!("run LIKE '{a}-%'")).await, left, "{told}: {end}: A's runs");
        let left = i64::from(!erased && !is_moved);
        assert_eq!(rows("events", format!("org = {a}")).await, left, "{told}: {end}: A's event");
        assert_eq!(rows("organizations", format!("id = {a}")).await, i64::from(!erased), "{told}: {end}: A itself");
        (end, statements)
    }

    /// Counts again until nothing is found. A row that another organization got meanwhile ends one attempt, not the next.
    async fn verified(&self, key: &str, erasure: Erasure, told: &str) {
        assert!(matches!(erasure, Erasure::Unverified { .. }), "{told}: no foreign key protects runs: {erasure:?}");
        for attempt in 0..3 {
            match self.ground.verify(self.compiled, key).await {
                Ok(Verification::Completed(_)) => return,
                Err(failure) if attempt == 0 => {
                    assert_eq!(failure.reason, Reason::ContentChanged, "{told}: {failure}");
                }
                other => panic!("{told}: {other:?}"),
            }
        }
        panic!("{told}: no end");
    }
}

/// Runs have part of the key of events, logs have all of it, and no foreign key protects either.
async fn with_logs(ground: &Ground) -> CompiledPlan {
    ground
        .unverified(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
             CREATE TABLE events (org bigint, id bigint, PRIMARY KEY (org, id)); \
             CREATE TABLE runs (event bigint, run text); CREATE TABLE logs (org bigint, event bigint, log text); \
             INSERT INTO events VALUES (1, 7), (1, 8); INSERT INTO runs VALUES (7, 'first'); INSERT INTO logs VALUES (1, 7, 'first')",
            "{organization: {table: organizations, key: id}, steps: [{entity: events, table: events, organization: org}, \
              {entity: runs, table: runs, parent: events, columns: {event: id}}, \
              {entity: logs, table: logs, parent: events, columns: {org: org, event: id}}]}",
            "1",
        )
        .await
}

async fn a_part_that_is_another_organizations_by_then_is_left_alone(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = with_logs(&ground).await;
    // Late rows of organization 1 by part 8 and by the whole key of event 7; the part 7 is organization 2's now.
    ground
        .execute(
            "INSERT INTO events VALUES (2, 7); INSERT INTO runs VALUES (7, 'theirs'), (8, 'late'); \
             INSERT INTO logs VALUES (1, 7, 'late'), (2, 7, 'theirs')",
        )
        .await;
    let left = async |table: &str| ground.number(&format!("SELECT count(*) FROM {table}")).await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept));
    assert_eq!((left("runs").await, left("logs").await), (1, 1), "only theirs are there");
    // Their event goes, and the run stays for a while: it is theirs still.
    ground.execute("DELETE FROM events; INSERT INTO logs VALUES (1, 7, 'later')").await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept), "the whole key was nobody else's");
    assert_eq!((left("runs").await, left("logs").await), (1, 1));
    let verified = ground.verify(&compiled, "1").await;
    assert!(matches!(verified, Ok(Verification::Completed(_))), "{verified:?}");
    assert_eq!(ground.number("SELECT count(*) FROM runs WHERE run = 'theirs'").await, 1);
    assert_eq!(ground.number("SELECT count(*) FROM logs WHERE log = 'theirs'").await, 1);
}

/// Both organizations have the same part when the second count runs.
async fn late_rows_that_could_be_anothers_block_the_second_count(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = with_logs(&ground).await;
    ground
        .execute("INSERT INTO events VALUES (1, 7), (2, 7); INSERT INTO runs VALUES (7, 'late'), (7, 'theirs')")
        .await;
    let failure = ground.verify(&compiled, "1").await.expect_err("whose runs are they?");
    assert_eq!((failure.reason, failure.rows), (Reason::ForeignKeyViolation, Some(2)), "{failure}");
    let query = failure.remedy.expect("a remedy");
    let (query, _) = query.split_once(';').expect("a statement");
    assert_eq!(ground.number(&format!("SELECT count(*) FROM ({query}) q")).await, 2, "{query}");
    assert_eq!(ground.number("SELECT count(*) FROM events").await, 2);
    ground.execute("DELETE FROM events WHERE org = 2; DELETE FROM runs WHERE run = 'theirs'").await;
    assert_eq!(ground.verify(&compiled, "1").await, Ok(Verification::Swept));
    assert_eq!(ground.number("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM runs)").await, 0);
    let verified = ground.verify(&compiled, "1").await;
    assert!(matches!(verified, Ok(Verification::Completed(_))), "{verified:?}");
}
