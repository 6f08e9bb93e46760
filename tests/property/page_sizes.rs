//! How large pages are.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::api::Reason;
use organization_operator::cascade::shrink::{Next, PageDone, PageSize, Shrunk};
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::store::Actor;
use planner::CompiledPlan;

use super::case::{CLUSTER, Ground, SETTINGS, SMALLEST};
use crate::support::{World, subject};
use crate::tests;

tests![
    the_rows_of_one_parent_go_in_many_pages,
    a_page_that_takes_too_long_is_halved,
    a_table_of_few_rows_waits_for_the_last_transaction,
];

const PAGE: Duration = Duration::from_millis(100);

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
    {entity: runs, table: runs, parent: flows, column: flow_id}]}";

/// One flow of organization 1 has all its runs, and each of organization 2 has one.
fn tables(runs: u32) -> String {
    format!(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE organizations (id bigint PRIMARY KEY); \
         CREATE TABLE flows (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
         CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint REFERENCES flows); CREATE INDEX ON runs (flow_id); \
         INSERT INTO organizations VALUES (1), (2); INSERT INTO flows SELECT i, 2 FROM generate_series(2, 500) i; \
         INSERT INTO flows VALUES (1, 1); INSERT INTO runs SELECT i, 1 FROM generate_series(1, {runs}) i; \
         INSERT INTO runs SELECT {runs} + i, i FROM generate_series(2, 500) i"
    )
}

/// Deletes the pages, and returns them and how often the database ended a statement for its time.
async fn pages(database: &Database, compiled: &CompiledPlan, page: PageSize, estimated: i64) -> (Vec<PageDone>, u32) {
    let subject = subject("sizes", "1");
    let actor = Actor { cluster: CLUSTER, subject: &subject, key: "1" };
    database.begin_shrinking(actor, None, compiled, estimated).await.expect("begun");
    let (mut pages, mut too_long) = (Vec::new(), 0);
    loop {
        let shrunk = database.shrink(
            actor,
            compiled,
            || page,
            |done, _| {
                pages.push(done.clone());
                Next::Continue
            },
        );
        match shrunk.await {
            Ok(Shrunk::Done(_)) => return (pages, too_long),
            Err(failure) if failure.reason == Reason::StatementTimeout => too_long += 1,
            other => panic!("{other:?}"),
        }
        assert!(too_long < 20, "it never ends: {pages:?}");
    }
}

async fn the_rows_of_one_parent_go_in_many_pages(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let compiled = ground.prepare(&tables(40), PLAN).await.expect("compiled");
    let (pages, _) = pages(ground.database(), &compiled, SMALLEST, 0).await;
    let of_runs: Vec<i64> = pages.iter().filter(|page| page.table == "public.runs").map(|page| page.rows).collect();
    assert_eq!((of_runs.iter().max(), of_runs.iter().sum::<i64>()), (Some(&5), 40), "five rows a page: {of_runs:?}");
    assert_eq!(ground.number("SELECT count(*) FROM runs").await, 499, "those of the other organization");
    assert_eq!(ground.number("SELECT count(*) FROM flows WHERE organization_id = 1").await, 0);
}

/// What comes first is quick, so that pages grow until they meet what takes long.
async fn a_page_that_takes_too_long_is_halved(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF OLD.id > 3000 THEN PERFORM pg_sleep(0.01); END IF; RETURN OLD; END $$; \
        CREATE TRIGGER slow BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION slow()";
    let compiled = ground.prepare(&format!("{}; {slow}", tables(3300)), PLAN).await.expect("compiled");
    let settings = Settings { statement_timeout: Duration::from_millis(700), ..SETTINGS };
    let impatient = Database::new(UrlSource::Text(ground.url()), settings).expect("a URL");
    let (pages, too_long) = pages(&impatient, &compiled, PAGE.into(), 0).await;
    assert!(too_long > 0, "no page met the slow rows at once: {pages:?}");
    let of_runs = pages.iter().filter(|page| page.table == "public.runs").map(|page| page.rows);
    assert_eq!(of_runs.sum::<i64>(), 3300, "every row, once");
}

async fn a_table_of_few_rows_waits_for_the_last_transaction(world: Arc<World>) {
    let ground = Ground::in_pages(&world).await;
    let compiled = ground.prepare(&tables(300), PLAN).await.expect("compiled");
    let (pages, _) = pages(ground.database(), &compiled, PAGE.into(), 301).await;
    let of_flows = pages.iter().filter(|page| page.table == "public.flows").count();
    let of_runs: i64 = pages.iter().filter(|page| page.table == "public.runs").map(|page| page.rows).sum();
    assert_eq!((of_runs, of_flows), (300, 0), "one flow of 301 rows is not worth a walk: {pages:?}");
}
