//! What others do between two statements of a deletion in pages, and between two pages.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use planner::ErasePlan;

use super::writers::{Run, Scenario, Statements, Writer};
use crate::support::World;
use crate::tests;

tests![a_parent_that_moves_takes_its_rows_with_it, pages_without_the_lock_on_parents_are_caught,];

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
    let statements = Statements::in_pages(&world, MOVES, |_| {}).await;
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
        ended(&run);
        let others = "SELECT count(*) FROM outputs WHERE run_id = 3";
        assert_eq!(ground.number(others).await, 7, "{}: rows of the other organization", run.place);
    }
    assert!(moved > 10 && waited > 5, "the writer moved the flow {moved} times, and waited {waited} times");
}

/// It ended with all of it, or said that its rows changed, and the next attempt ends it.
fn ended(run: &Run) {
    match &run.ended {
        Ok(Erasure::Completed(_)) => {}
        Err(failure) if failure.reason == Reason::ContentChanged => {}
        Err(failure) if failure.reason == Reason::SerializationFailure => {}
        other => panic!("{}: {other:?}", run.place),
    }
}

fn no_lock(erase: &mut ErasePlan) {
    for paged in &mut erase.pages {
        paged.delete = paged.delete.replace(" FOR SHARE)", ")");
    }
}

async fn pages_without_the_lock_on_parents_are_caught(world: Arc<World>) {
    let statements = Statements::in_pages(&world, MOVES, no_lock).await;
    for ordinal in 1..=statements.count {
        statements.run(ordinal, Writer::Sql(MOVE)).await;
        if statements.ground.number(LOST).await > 0 {
            return;
        }
    }
    panic!("it went unnoticed");
}
