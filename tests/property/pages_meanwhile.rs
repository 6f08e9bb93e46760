//! What others do between two statements of a deletion in pages, and between two pages.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use planner::ErasePlan;

use super::case::Ground;
use super::writers::{Run, Scenario, Statements, Writer};
use crate::support::World;
use crate::tests;

tests![
    a_parent_that_moves_takes_its_rows_with_it,
    a_parent_that_moves_takes_rows_that_no_index_finds,
    pages_without_the_lock_on_parents_are_caught,
    pages_delete_no_row_that_another_organization_has_as_well,
    pages_that_delete_shared_rows_are_caught,
    pages_change_no_row_that_refers_to_them,
    pages_without_the_check_of_references_are_caught,
    pages_and_a_new_reference_from_a_new_table,
    rows_that_come_while_pages_go_are_counted,
    a_tree_goes_in_passes,
    suppressed_deletes_end_the_passes_and_not_the_deletion,
    a_snapshot_that_is_held_keeps_nothing,
    partitions_go_in_pages,
    a_parent_that_moves_takes_its_captured_rows_with_it,
    captured_rows_of_another_organization_as_well_stay,
    captured_rows_change_no_row_that_refers_to_them,
];

/// Each page has one row of each table, at most: a row fills a block.
const MOVES: Scenario = Scenario {
    sql: "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
        CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
        CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows); CREATE INDEX ON runs (flow_id); \
        CREATE TABLE outputs (id bigint PRIMARY KEY, run_id bigint REFERENCES runs, filler text DEFAULT repeat(md5('x'), 60)); \
        CREATE INDEX ON outputs (run_id); ALTER TABLE outputs ALTER filler SET STORAGE PLAIN; \
        CREATE TABLE seen (kind text, id bigint); \
        INSERT INTO flows VALUES (1, 1), (2, 1), (3, 2); INSERT INTO runs VALUES (1, 1), (2, 2), (3, 3); \
        INSERT INTO outputs SELECT i, 1 + i % 3 FROM generate_series(1, 21) i",
    plan: "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
        {entity: runs, table: runs, parent: flows, column: flow_id}, {entity: outputs, table: outputs, parent: runs, column: run_id}]}",
    key: "1",
};

/// A flow moves to another organization, and the writer notes which rows came with it.
const MOVE: &str = "UPDATE flows SET organization_id = 2 WHERE id = 1; \
    INSERT INTO seen SELECT 'run', id FROM runs WHERE flow_id = 1; \
    INSERT INTO seen SELECT 'output', id FROM outputs WHERE run_id = 1";

/// Whatever the writer saw in the other organization is still there.
const LOST: &str = "SELECT count(*) FROM seen s WHERE NOT EXISTS (SELECT FROM runs r WHERE s.kind = 'run' AND r.id = s.id) \
    AND NOT EXISTS (SELECT FROM outputs o WHERE s.kind = 'output' AND o.id = s.id)";

async fn a_parent_that_moves_takes_its_rows_with_it(world: Arc<World>) {
    a_parent_moves(&world, MOVES).await;
}

/// The same where no index finds the rows of a parent: the blocks of the table itself are walked.
fn moves_without_indexes() -> Scenario {
    let sql = MOVES.sql.replace("CREATE INDEX ON runs (flow_id);", "").replace("CREATE INDEX ON outputs (run_id);", "");
    Scenario { sql: sql.leak(), ..MOVES }
}

async fn a_parent_that_moves_takes_rows_that_no_index_finds(world: Arc<World>) {
    a_parent_moves(&world, moves_without_indexes()).await;
}

/// The same scenario, where indexes find the organization's rows.
fn indexed(scenario: Scenario, indexes: &str) -> Scenario {
    Scenario { sql: format!("{}; {indexes}", scenario.sql).leak(), ..scenario }
}

/// The same where pages visit only rows whose places were captured.
async fn a_parent_that_moves_takes_its_captured_rows_with_it(world: Arc<World>) {
    let scenario = indexed(MOVES, "CREATE INDEX ON flows (organization_id)");
    a_parent_moves_beside(Statements::row_by_row(&world, scenario).await).await;
}

async fn a_parent_moves(world: &Arc<World>, scenario: Scenario) {
    a_parent_moves_beside(Statements::in_pages(world, scenario, |_| {}).await).await;
}

async fn a_parent_moves_beside(statements: Statements) {
    let (mut moved, mut waited) = (0, 0);
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql(MOVE)).await;
        let ground = &statements.ground;
        assert_eq!(ground.number(LOST).await, 0, "{}: {:?}, {:?}", run.place, run.ended, run.writer);
        waited += u64::from(run.waited);
        if run.writer.is_ok() {
            moved +=
                u64::from(ground.number("SELECT count(*) FROM flows WHERE id = 1 AND organization_id = 2").await == 1);
        }
        ended(&run, &[Reason::ContentChanged]);
        let others = "SELECT count(*) FROM outputs WHERE run_id = 3";
        assert_eq!(ground.number(others).await, 7, "{}: rows of the other organization", run.place);
    }
    assert!(moved > 10 && waited > 5, "the writer moved the flow {moved} times, and waited {waited} times");
}

/// It ended with all of it, or for one of these reasons.
fn ended(run: &Run, reasons: &[Reason]) {
    match &run.ended {
        Ok(Erasure::Completed(_)) => {}
        Err(failure) if reasons.contains(&failure.reason) => {}
        other => panic!("{}: {other:?}", run.place),
    }
}

/// At every place the writer comes in; never is anything `lost`. Returns how often it ended otherwise than with success.
async fn survives(world: &Arc<World>, scenario: Scenario, writer: &'static str, lost: &str, reasons: &[Reason]) -> u64 {
    survive(Statements::in_pages(world, scenario, |_| {}).await, writer, lost, reasons).await
}

async fn survive(statements: Statements, writer: &'static str, lost: &str, reasons: &[Reason]) -> u64 {
    let mut refused = 0;
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql(writer)).await;
        let gone = statements.ground.number(lost).await;
        assert_eq!(gone, 0, "{}: {:?}, {:?}", run.place, run.ended, run.writer);
        ended(&run, reasons);
        refused += u64::from(run.ended.is_err());
    }
    refused
}

/// A broken engine loses something at one place at least.
async fn is_caught(
    world: &Arc<World>,
    scenario: Scenario,
    writer: &'static str,
    lost: &str,
    breaks: fn(&mut ErasePlan),
) {
    let statements = Statements::in_pages(world, scenario, breaks).await;
    for ordinal in 1..=statements.count {
        statements.run(ordinal, Writer::Sql(writer)).await;
        if statements.ground.number(lost).await > 0 {
            return;
        }
    }
    panic!("it went unnoticed");
}

fn no_lock(erase: &mut ErasePlan) {
    for paged in &mut erase.pages {
        paged.by_blocks.delete = paged.by_blocks.delete.replace(" FOR SHARE)", ")");
    }
}

async fn pages_without_the_lock_on_parents_are_caught(world: Arc<World>) {
    is_caught(&world, MOVES, MOVE, LOST, no_lock).await;
    is_caught(&world, moves_without_indexes(), MOVE, LOST, no_lock).await;
}

/// A key belongs to the organization of its project, or by its own column.
const SHARED: Scenario = Scenario {
    sql: "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
        CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
        CREATE TABLE keys (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
            project_id bigint REFERENCES projects, filler text DEFAULT repeat(md5('x'), 60)); \
        ALTER TABLE keys ALTER filler SET STORAGE PLAIN; CREATE TABLE seen (id bigint); \
        INSERT INTO projects VALUES (1, 1), (2, 2); \
        INSERT INTO keys SELECT i, NULL, 1 FROM generate_series(1, 12) i; INSERT INTO keys VALUES (13, 2, 2)",
    plan: "{organization: {table: organizations, key: id}, steps: [{entity: projects, table: projects, organization: organization_id}, \
        {entity: keys, table: keys, organization: organization_id}, {entity: keys, table: keys, parent: projects, column: project_id}]}",
    key: "1",
};

/// Two keys become those of another organization as well.
const SHARE: &str = "UPDATE keys SET organization_id = 2 WHERE id IN (1, 12); INSERT INTO seen SELECT id FROM keys WHERE organization_id = 2";

const SHARED_LOST: &str = "SELECT count(*) FROM seen s WHERE NOT EXISTS (SELECT FROM keys k WHERE k.id = s.id)";

async fn pages_delete_no_row_that_another_organization_has_as_well(world: Arc<World>) {
    let refused =
        survives(&world, SHARED, SHARE, SHARED_LOST, &[Reason::ForeignKeyViolation, Reason::ContentChanged]).await;
    assert!(refused > 10, "refused {refused} times");
}

async fn captured_rows_of_another_organization_as_well_stay(world: Arc<World>) {
    let indexes = "CREATE INDEX ON keys (organization_id); CREATE INDEX ON keys (project_id)";
    let statements = Statements::row_by_row(&world, indexed(SHARED, indexes)).await;
    let refused = survive(statements, SHARE, SHARED_LOST, &[Reason::ForeignKeyViolation, Reason::ContentChanged]).await;
    assert!(refused > 10, "refused {refused} times");
}

async fn pages_that_delete_shared_rows_are_caught(world: Arc<World>) {
    is_caught(&world, SHARED, SHARE, SHARED_LOST, |erase| {
        for paged in &mut erase.pages {
            paged.by_blocks.delete = paged.by_blocks.delete.replace(" IS NOT TRUE", " IS NULL IS NOT NULL");
        }
    })
    .await;
}

/// Notes are no step of the plan, and the schema would delete or change them.
const REFERRED: Scenario = Scenario {
    sql: "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
        CREATE TABLE runs (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
            filler text DEFAULT repeat(md5('x'), 60)); ALTER TABLE runs ALTER filler SET STORAGE PLAIN; \
        CREATE TABLE notes (id bigint, run_id bigint REFERENCES runs ON DELETE CASCADE); \
        CREATE TABLE marks (id bigint, run_id bigint REFERENCES runs ON DELETE SET NULL); \
        INSERT INTO runs SELECT i, 1 FROM generate_series(1, 10) i; INSERT INTO runs VALUES (11, 2)",
    plan: "{organization: {table: organizations, key: id}, steps: [{entity: runs, table: runs, organization: organization_id}]}",
    key: "1",
};

const REFER: &str = "CREATE TABLE seen AS SELECT count(*) AS n FROM runs WHERE id = 10; \
    INSERT INTO notes SELECT 1, id FROM runs WHERE id = 10; INSERT INTO marks SELECT 1, id FROM runs WHERE id = 10";

/// The writer may have failed, and then nothing was seen.
const REFERRED_LOST: &str = "SELECT CASE WHEN to_regclass('seen') IS NULL THEN 0 ELSE \
    (xpath('/row/n/text()', query_to_xml('SELECT 2 * sum(n) - (SELECT count(*) FROM notes) \
    - (SELECT count(*) FROM marks WHERE run_id IS NOT NULL) AS n FROM seen', false, true, '')))[1]::text::bigint END";

async fn pages_change_no_row_that_refers_to_them(world: Arc<World>) {
    let refused =
        survives(&world, REFERRED, REFER, REFERRED_LOST, &[Reason::ForeignKeyViolation, Reason::ContentChanged]).await;
    assert!(refused > 10, "refused {refused} times");
}

async fn captured_rows_change_no_row_that_refers_to_them(world: Arc<World>) {
    let scenario = indexed(REFERRED, "CREATE INDEX ON runs (organization_id)");
    let statements = Statements::row_by_row(&world, scenario).await;
    let refused =
        survive(statements, REFER, REFERRED_LOST, &[Reason::ForeignKeyViolation, Reason::ContentChanged]).await;
    assert!(refused > 10, "refused {refused} times");
}

async fn pages_without_the_check_of_references_are_caught(world: Arc<World>) {
    is_caught(&world, REFERRED, REFER, REFERRED_LOST, |erase| {
        for paged in &mut erase.pages {
            let Some(guard) = &mut paged.by_blocks.guard else { continue };
            guard.check = String::from(
                "SELECT 0::bigint WHERE $1::text || $2 || $3 IS NOT NULL AND $4::text[] || $5::text[] IS NOT NULL",
            );
        }
    })
    .await;
}

/// A table that the plan does not know appears, with a reference that would take its rows along.
async fn pages_and_a_new_reference_from_a_new_table(world: Arc<World>) {
    const EXTEND: &str = "CREATE TABLE extra (id bigint, run_id bigint REFERENCES runs ON DELETE CASCADE); \
        CREATE TABLE seen AS SELECT id FROM runs WHERE id = 10; INSERT INTO extra SELECT id, id FROM seen";
    let lost = "SELECT CASE WHEN to_regclass('seen') IS NULL THEN 0 ELSE (xpath('/row/n/text()', query_to_xml( \
        'SELECT (SELECT count(*) FROM seen) - (SELECT count(*) FROM extra) AS n', false, true, '')))[1]::text::bigint END";
    let statements = Statements::in_pages(&world, REFERRED, |_| {}).await;
    let (mut outdated, mut created) = (0, 0);
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql(EXTEND)).await;
        let gone = statements.ground.number(lost).await;
        assert_eq!(gone, 0, "{}: {:?}, {:?}", run.place, run.ended, run.writer);
        created += u64::from(run.writer.is_ok());
        match &run.ended {
            Ok(Erasure::PlanOutdated) => outdated += 1,
            _ => ended(&run, &[Reason::ForeignKeyViolation, Reason::ContentChanged]),
        }
    }
    assert!(created > 10 && outdated > 5, "the table was created {created} times; {outdated} plans were outdated");
}

/// Whether they come before the cursor or behind it, they go, and the ledger counts them.
async fn rows_that_come_while_pages_go_are_counted(world: Arc<World>) {
    const COME: &str = "INSERT INTO runs VALUES (10, 1); INSERT INTO outputs SELECT i, 10 FROM generate_series(100, 103) i; \
        INSERT INTO outputs VALUES (104, 1)";
    let statements = Statements::in_pages(&world, MOVES, |_| {}).await;
    let mut came = 0;
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql(COME)).await;
        ended(&run, &[Reason::ContentChanged]);
        let Ok(Erasure::Completed(proof)) = &run.ended else { continue };
        let ground = &statements.ground;
        let left = "SELECT (SELECT count(*) FROM outputs WHERE run_id IN (1, 2, 10)) + (SELECT count(*) FROM runs WHERE id IN (1, 2, 10))";
        assert_eq!(ground.number(left).await, 0, "{}", run.place);
        let deleted: i64 = proof.steps().iter().map(|step| step.deleted).sum();
        let wanted = 18 + if run.writer.is_ok() { 6 } else { 0 };
        assert_eq!(deleted, wanted, "{}: {:?}, {:?}", run.place, proof.steps(), run.writer);
        came += u64::from(run.writer.is_ok());
    }
    assert!(came > 10, "the rows came {came} times");
}

/// Children before their parents, whatever the schema does to children whose parent goes.
async fn a_tree_goes_in_passes(world: Arc<World>) {
    for action in ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"] {
        let ground = Ground::in_pages(&world).await;
        let ended = ground
            .erased(
                &format!(
                    "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
                     CREATE TABLE folders (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations, \
                        parent_id bigint REFERENCES folders ON DELETE {action}); CREATE INDEX ON folders (parent_id); \
                     INSERT INTO folders SELECT i, 1, NULLIF(i / 2, 0) FROM generate_series(1, 1000) i; \
                     INSERT INTO folders VALUES (2001, 2, NULL), (2002, 2, 2001), (2003, 1, 2003)"
                ),
                "{organization: {table: organizations, key: id}, steps: [{entity: folders, table: folders, organization: organization_id}]}",
                "1",
            )
            .await;
        assert_eq!(ended.expect("erased").steps()[0].deleted, 1001, "{action}");
        assert_eq!(ground.number("SELECT count(*) FROM folders WHERE organization_id = 2").await, 2, "{action}");
        let paged = ground.paged.load(std::sync::atomic::Ordering::Relaxed);
        assert!(paged > 900, "{action}: {paged} rows went in pages");
    }
}

async fn suppressed_deletes_end_the_passes_and_not_the_deletion(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let plan = "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}";
    let failure = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1); \
             CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
             INSERT INTO users SELECT i, 1 FROM generate_series(1, 1000) i; CREATE TABLE log (id bigint); \
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                IF OLD.id = 7 THEN RETURN NULL; END IF; INSERT INTO log VALUES (OLD.id); RETURN OLD; END $$; \
             CREATE TRIGGER keep BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION keep()",
            plan,
            "1",
        )
        .await
        .expect_err("user 7 is still there");
    assert_eq!((failure.reason, failure.rows), (Reason::ContentChanged, Some(1)), "{failure}");
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
    let ended = ground.erased("DROP TRIGGER keep ON users", plan, "1").await.expect("erased");
    assert_eq!((ended.steps()[0].found, ended.steps()[0].deleted), (1000, 1000));
    // What triggers wrote in pages is in the ledger, too.
    let written = "SELECT (written->0->>'inserted')::bigint FROM organization_operator.ledger";
    assert_eq!(ground.number(written).await, 999);
    assert_eq!(ground.number("SELECT count(*) FROM organization_operator.erasures").await, 0);
}

async fn a_snapshot_that_is_held_keeps_nothing(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let compiled = ground.prepare(MOVES.sql, MOVES.plan).await.expect("compiled");
    let mut reader = ground.connect().await;
    for sql in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM outputs"] {
        sqlx::query(sql).execute(&mut reader).await.expect("a snapshot");
    }
    let ended = ground.cascade(&compiled, "1").await.expect("erased");
    assert_eq!(ended.steps().iter().map(|step| step.deleted).sum::<i64>(), 18);
    assert_eq!(ground.number("SELECT count(*) FROM outputs").await, 7);
    sqlx::query("ROLLBACK").execute(&mut reader).await.expect("the end");
}

/// A page is a range of blocks of each partition at once, and the largest says how many there are.
async fn partitions_go_in_pages(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let ended = ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2); \
             CREATE TABLE runs (id bigint, organization_id bigint REFERENCES organizations, PRIMARY KEY (id)) PARTITION BY RANGE (id); \
             CREATE TABLE runs_1 PARTITION OF runs FOR VALUES FROM (0) TO (100); \
             CREATE TABLE runs_2 PARTITION OF runs FOR VALUES FROM (100) TO (10000) PARTITION BY HASH (id); \
             CREATE TABLE runs_20 PARTITION OF runs_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
             CREATE TABLE runs_21 PARTITION OF runs_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
             CREATE TABLE outputs (id bigint PRIMARY KEY, run_id bigint REFERENCES runs ON DELETE CASCADE); \
             INSERT INTO runs SELECT i, 1 + i % 2 FROM generate_series(1, 6000) i; \
             INSERT INTO outputs SELECT i, i FROM generate_series(1, 6000) i",
            "{organization: {table: organizations, key: id}, steps: [{entity: runs, table: runs, organization: organization_id}, \
              {entity: outputs, table: outputs, parent: runs, column: run_id}]}",
            "1",
        )
        .await;
    assert_eq!(ended.expect("erased").steps().iter().map(|step| step.deleted).sum::<i64>(), 6000);
    assert_eq!(ground.paged.load(std::sync::atomic::Ordering::Relaxed), 6000, "all of them went in pages");
    assert_eq!(ground.number("SELECT count(*) FROM outputs o JOIN runs r ON r.id = o.run_id").await, 3000);
}
