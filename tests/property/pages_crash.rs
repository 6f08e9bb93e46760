//! A process that deletes in pages is killed, or loses its connection: what is left and what is counted always add up.

use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use organization_operator::cascade::erase::Erasure;
use organization_operator::db::UrlSource;
use testbed::proxy::{Fault, Moment, SqlProxy};

use super::case::{Ground, open};
use crate::support::{World, eventually};
use crate::tests;

tests![
    a_connection_lost_at_any_statement_of_a_page_costs_no_count,
    killed_fifty_times_the_ledger_is_exact,
    counts_that_are_not_committed_with_their_page_are_caught,
];

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
    {entity: runs, table: runs, parent: flows, column: flow_id}, {entity: outputs, table: outputs, parent: runs, column: run_id}]}";

/// Two organizations, each with three flows, `runs` runs and ten times as many outputs, in blocks that have both.
fn tables(runs: u32) -> String {
    format!(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE organizations (id bigint PRIMARY KEY); \
         CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
         CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows ON DELETE CASCADE); CREATE INDEX ON runs (flow_id); \
         CREATE TABLE outputs (id bigint PRIMARY KEY, run_id bigint REFERENCES runs, filler text); CREATE INDEX ON outputs (run_id); \
         ALTER TABLE outputs ALTER filler SET STORAGE PLAIN; INSERT INTO organizations VALUES (1), (2); \
         INSERT INTO flows SELECT i, 1 + i % 2 FROM generate_series(0, 5) i; \
         INSERT INTO runs SELECT i, i % 6 FROM generate_series(1, 2 * {runs}) i; \
         INSERT INTO outputs SELECT i, 1 + i % (2 * {runs}), repeat('x', 400) FROM generate_series(1, 20 * {runs}) i"
    )
}

/// Rows that are left of the organization with this key, and rows that its pages deleted.
fn sum(key: i64) -> String {
    format!(
        "SELECT (SELECT count(*) FROM flows WHERE organization_id = {key}) \
            + (SELECT count(*) FROM runs r JOIN flows f ON f.id = r.flow_id WHERE f.organization_id = {key}) \
            + (SELECT count(*) FROM outputs o JOIN runs r ON r.id = o.run_id JOIN flows f ON f.id = r.flow_id \
                WHERE f.organization_id = {key}) \
            + (SELECT COALESCE(sum((s->>'deleted')::bigint), 0)::bigint \
                FROM (SELECT organization_key, steps FROM organization_operator.ledger \
                    UNION ALL SELECT organization_key, deleted FROM organization_operator.erasures) e, jsonb_array_elements(e.steps) s \
                WHERE e.organization_key = '{key}')"
    )
}

async fn a_connection_lost_at_any_statement_of_a_page_costs_no_count(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let proxy = SqlProxy::start(world.postgres()).await.expect("a proxy");
    let behind = ground.through(&proxy);
    behind.begin().await.expect("a connection").rollback().await.expect("a rollback");
    let clean = "DELETE FROM organization_operator.ledger; DELETE FROM organization_operator.erasures; \
        DELETE FROM organization_operator.claims";
    let compiled = ground.prepare(&tables(10), PLAN).await.expect("compiled");
    let (mine, theirs) = (ground.number(&sum(1)).await, ground.number(&sum(2)).await);
    assert_eq!((mine, theirs), (113, 113));
    proxy.record();
    ground.erase_by(&behind, "reference", "1", &compiled).await.expect("erased");
    let count = proxy.count();
    let (mut in_the_middle, mut reached, mut missed) = (0, 0, Vec::new());
    // Lost before a statement is lost after the one before it.
    for ordinal in 1..=count {
        ground.execute(clean).await;
        let compiled = ground.prepare(&tables(10), PLAN).await.expect("compiled");
        // A connection that failed is not tried again for a while.
        eventually("it connects again", || async { behind.begin().await.ok()?.rollback().await.ok() }).await;
        proxy.arm(Fault { ordinal, moment: Moment::After }, || {});
        let ended = ground.erase_by(&behind, "acme", "1", &compiled).await;
        // The last ROLLBACK of a connection that is given back may come or not.
        let fired = proxy.wait_fired(Duration::from_millis(500)).await;
        match fired {
            Some(_) => reached = ordinal,
            None => missed.push(ordinal),
        }
        let what = format!("{fired:?}: {ended:?}");
        proxy.disarm();
        assert_eq!(ground.number(&sum(1)).await, mine, "{what}");
        let paged = "SELECT count(*) FROM organization_operator.erasures WHERE deleted <> '[]'";
        in_the_middle += ground.number(paged).await;
        let again = ground.erase_by(ground.database(), "acme", "1", &compiled).await;
        assert!(matches!(again, Ok(Erasure::Completed(_))), "{what}: {again:?}");
        assert_eq!(ground.number(&sum(1)).await, mine, "{what}");
        assert_eq!(ground.number("SELECT count(*) FROM organizations WHERE id = 1").await, 0, "{what}");
        assert_eq!(ground.number(&sum(2)).await, theirs, "{what}: the other organization's rows");
    }
    println!("{reached} of {count} statements, {in_the_middle} times in the middle of the pages");
    missed.retain(|ordinal| *ordinal < reached);
    assert!(missed.is_empty(), "these faults did not come up: {missed:?}");
    assert!(in_the_middle > 25 && reached > 100, "{in_the_middle} of {reached} statements were in the middle");
}

const CHILD: &str = "DELETES_IN_PAGES";

/// What the process does that is killed: it deletes the organization 1 in pages of one block. Returns `None` in every other
/// process.
pub fn child() -> Option<ExitCode> {
    let url = std::env::var(CHILD).ok()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let erased = runtime.block_on(async {
        let database = open(UrlSource::Text(url));
        let plan = serde_yaml::from_str(PLAN).expect("a plan");
        let compiled = database.compile(&plan).await.expect("compiled");
        super::case::erase_in_pages(&database, "killed", "1", &compiled).await.expect("erased")
    });
    Some(if matches!(erased, Erasure::Completed(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn killed_fifty_times_the_ledger_is_exact(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    ground.execute(&tables(600)).await;
    let (mine, theirs) = (ground.number(&sum(1)).await, ground.number(&sum(2)).await);
    let spawn = || {
        Command::new(std::env::current_exe().expect("this program"))
            .env(CHILD, ground.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process")
    };
    let deleted = "SELECT COALESCE((SELECT sum((s->>'deleted')::bigint)::bigint FROM organization_operator.erasures, \
        jsonb_array_elements(deleted) s), 0)";
    let (mut kills, mut got_on) = (0, 0);
    let mut before = 0;
    while kills < 50 {
        let mut process = spawn();
        // Until it works, and then for a random while.
        let begun = tokio::time::Instant::now();
        while ground.number(deleted).await == before && begun.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..30_000))).await;
        process.kill().expect("SIGKILL");
        process.wait().expect("an end");
        kills += 1;
        assert_eq!(ground.number(&sum(1)).await, mine, "after {kills} kills");
        let now = ground.number(deleted).await;
        got_on += u32::from(now > before);
        before = now;
        let ended = "SELECT count(*) FROM organization_operator.ledger";
        assert_eq!(ground.number(ended).await, 0, "it ended before it was killed {kills} times");
    }
    println!("{got_on} of {kills} killed processes got on, and deleted {before} of {mine} rows");
    assert!(got_on > 40, "{got_on} of {kills} processes deleted a page");
    assert!(spawn().wait().expect("an end").success(), "the last one is not killed");
    let counted =
        "SELECT sum((s->>'deleted')::bigint)::bigint FROM organization_operator.ledger, jsonb_array_elements(steps) s";
    assert_eq!(ground.number(counted).await, mine, "the ledger");
    assert_eq!(ground.number(&sum(1)).await, mine, "nothing is left");
    assert_eq!(ground.number(&sum(2)).await, theirs, "the other organization's rows");
    assert_eq!(ground.number("SELECT count(*) FROM organization_operator.erasures").await, 0);
}

/// A trigger stands for an engine that commits a page without what it counted.
async fn counts_that_are_not_committed_with_their_page_are_caught(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let compiled = ground.prepare(&tables(10), PLAN).await.expect("compiled");
    let mine = ground.number(&sum(1)).await;
    ground
        .execute(
            "CREATE FUNCTION organization_operator.forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                IF NEW.next_block = 1 THEN NEW.deleted := OLD.deleted; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER forget BEFORE UPDATE ON organization_operator.erasures FOR EACH ROW \
                EXECUTE FUNCTION organization_operator.forget()",
        )
        .await;
    ground.erase_by(ground.database(), "acme", "1", &compiled).await.expect("erased");
    assert_ne!(ground.number(&sum(1)).await, mine, "the sum shows what is missing");
}
