//! Where the organization has a small part of a table, its rows are found first, and pages visit only those.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::shrink::{Next, PageDone, PageSize, Shrunk};
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::store::Actor;
use planner::CompiledPlan;
use planner::cascade::Walk;
use sqlx::AssertSqlSafe;

use super::case::{CLUSTER, Ground, SETTINGS, SMALLEST};
use crate::support::{World, subject};
use crate::tests;

tests![
    only_the_blocks_of_a_small_organization_are_visited,
    only_the_parents_of_a_small_organization_are_visited,
    a_table_of_which_it_has_much_is_walked,
    a_table_whose_rows_take_too_long_to_find_is_walked,
    rows_that_lie_elsewhere_by_now_are_found_again,
    a_row_that_came_to_a_captured_place_is_judged_like_any_other,
    another_plan_captures_anew,
    an_index_that_is_dropped_meanwhile_is_not_missed,
    a_page_finds_its_rows_by_their_place_whatever_the_statistics_say,
];

/// Pages of ten blocks. A table is walked if the organization has more than one row of it in four blocks.
const TEN: PageSize = PageSize { blocks: 10, sparse: 4, ..SMALLEST };

/// Of 400 blocks, organization 1 has a row in every eighth. A row fills a block.
const RUNS: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE organizations (id bigint PRIMARY KEY); \
    INSERT INTO organizations VALUES (1), (2); \
    CREATE TABLE runs (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations, \
        filler text DEFAULT repeat(md5('x'), 130)); ALTER TABLE runs ALTER filler SET STORAGE PLAIN; \
    CREATE INDEX ON runs (organization_id); \
    CREATE TABLE outputs (run_id bigint NOT NULL REFERENCES runs, n bigint); CREATE INDEX ON outputs (run_id); \
    INSERT INTO runs SELECT i, CASE WHEN i % 8 = 0 THEN 1 ELSE 2 END FROM generate_series(1, 400) i; \
    INSERT INTO outputs SELECT i, n FROM generate_series(1, 400) i, generate_series(1, 2) n";

const OWN: &str = "{organization: {table: organizations, key: id}, steps: [{entity: runs, table: runs, organization: organization_id}, \
    {entity: outputs, table: outputs, parent: runs, column: run_id}]}";

const CAPTURED: &str = "SELECT COALESCE(sum(cardinality(tids)), 0) FROM organization_operator.captured_tids";

/// An erasure of organization 1 in pages.
struct Erasing<'g> {
    ground: &'g Ground,
    compiled: CompiledPlan,
}

impl<'g> Erasing<'g> {
    async fn begin(ground: &'g Ground, sql: &str) -> Self {
        let compiled = ground.prepare(sql, OWN).await.expect("compiled");
        let begun = Self { ground, compiled };
        begun.again().await;
        begun
    }

    /// Everything that blocks is checked, as before the first page.
    async fn again(&self) {
        let subject = subject("tids", "1");
        let begun = self.ground.database().begin_shrinking(actor(&subject), None, &self.compiled, 0).await;
        begun.expect("begun");
    }

    /// The pages that are left, or the next one alone.
    async fn pages(&self, database: &Database, page: PageSize, next: Next) -> Vec<PageDone> {
        let subject = subject("tids", "1");
        let mut pages = Vec::new();
        let until = |done: &PageDone, _: &_| {
            pages.push(done.clone());
            next
        };
        let shrunk = database.shrink(actor(&subject), &self.compiled, || page, until).await.expect("shrunk");
        assert_eq!(matches!(shrunk, Shrunk::More(_)), next == Next::Stop, "{shrunk:?}");
        pages
    }

    /// All pages, and then the last transaction. Returns the numbers of pages and rows of this table.
    async fn all(&self, page: PageSize, table: &str) -> (usize, i64) {
        let pages = self.pages(self.ground.database(), page, Next::Continue).await;
        self.end().await;
        count(&pages, table)
    }

    /// The last transaction. Everything of organization 1 is gone, and nothing else.
    async fn end(&self) {
        let (ground, subject) = (self.ground, subject("tids", "1"));
        let theirs = "SELECT (SELECT count(*) FROM runs WHERE organization_id = 2) * 1000 + (SELECT count(*) FROM outputs o \
            JOIN runs r ON r.id = o.run_id WHERE r.organization_id = 2)";
        let before = ground.number(theirs).await;
        let ended = ground.database().erase(actor(&subject), &self.compiled, std::future::ready(Ok(true))).await;
        assert!(matches!(ended, Ok(Erasure::Completed(_))), "{ended:?}");
        assert_eq!(ground.number("SELECT count(*) FROM runs WHERE organization_id = 1").await, 0);
        assert_eq!(
            ground
                .number("SELECT count(*) FROM outputs o LEFT JOIN runs r ON r.id = o.run_id WHERE r.id IS NULL")
                .await,
            0
        );
        assert_eq!(ground.number(theirs).await, before, "rows of the other organization");
        assert_eq!(ground.number(CAPTURED).await, 0, "nothing is left of it");
    }
}

fn actor(subject: &organization_operator::domain::Subject) -> Actor<'_> {
    Actor { cluster: CLUSTER, subject, key: "1" }
}

/// The numbers of pages and rows of this table.
fn count(pages: &[PageDone], table: &str) -> (usize, i64) {
    let of_table: Vec<&PageDone> = pages.iter().filter(|page| page.table == table).collect();
    (of_table.len(), of_table.iter().map(|page| page.rows).sum())
}

/// 50 of 400 blocks: pages of 1, 2, 4 and 8 rows, and then of ten.
async fn only_the_blocks_of_a_small_organization_are_visited(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let erasing = Erasing::begin(&ground, RUNS).await;
    let (pages, rows) = erasing.all(TEN, "public.runs").await;
    assert_eq!(rows, 50, "all of them in pages");
    assert!((5..=12).contains(&pages), "{pages} pages; a walk has more than 40");
}

/// The rows go by their parents, and those are visited.
async fn only_the_parents_of_a_small_organization_are_visited(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let erasing = Erasing::begin(&ground, RUNS).await;
    let (pages, rows) = erasing.all(PageSize { rows: 1000, ..TEN }, "public.outputs").await;
    assert_eq!(rows, 100, "all of them in pages");
    assert!((5..=12).contains(&pages), "{pages} pages; a walk has more than 40");
}

async fn a_table_of_which_it_has_much_is_walked(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let much = RUNS.replace("i % 8 = 0", "i % 3 = 0");
    let erasing = Erasing::begin(&ground, &much).await;
    let (pages, rows) = erasing.all(TEN, "public.runs").await;
    assert_eq!(rows, 133, "all of them in pages");
    assert!(pages > 40, "{pages} pages");
}

/// The operator's own table takes its time, as a search in a table that is not in memory does.
async fn a_table_whose_rows_take_too_long_to_find_is_walked(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let erasing = Erasing::begin(&ground, RUNS).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$; \
        CREATE TRIGGER slow AFTER INSERT ON organization_operator.captured_tids FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    ground.execute(slow).await;
    let settings = Settings { statement_timeout: Duration::from_millis(500), ..SETTINGS };
    let impatient = Database::new(UrlSource::Text(ground.url()), settings).expect("a URL");
    let pages = erasing.pages(&impatient, TEN, Next::Continue).await;
    ground.execute("DROP TRIGGER slow ON organization_operator.captured_tids").await;
    let (pages, rows) = count(&pages, "public.runs");
    assert_eq!(rows, 50, "all of them in pages");
    assert!(pages > 40, "{pages} pages");
    erasing.end().await;
}

/// A captured place is not followed when its row changes. The rows are found again before the last transaction.
async fn rows_that_lie_elsewhere_by_now_are_found_again(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let erasing = Erasing::begin(&ground, &RUNS.replace("INSERT INTO outputs", "-- ")).await;
    let first = erasing.pages(ground.database(), TEN, Next::Stop).await;
    assert_eq!((count(&first, "public.runs"), ground.number(CAPTURED).await), ((1, 1), 50));
    // All but the rows of the next page.
    ground.execute("UPDATE runs SET filler = filler || 'y' WHERE organization_id = 1 AND id > 32").await;
    let rest = erasing.pages(ground.database(), TEN, Next::Continue).await;
    assert_eq!(count(&rest, "public.runs").1, 49, "all of them in pages: {rest:?}");
    erasing.end().await;
}

async fn a_row_that_came_to_a_captured_place_is_judged_like_any_other(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let erasing = Erasing::begin(&ground, &RUNS.replace("INSERT INTO outputs", "-- ")).await;
    erasing.pages(ground.database(), TEN, Next::Stop).await;
    // The places of half of the captured rows, the last ones, are those of the other organization's new rows.
    ground
        .execute("CREATE TABLE places AS SELECT ctid AS place FROM runs WHERE organization_id = 1 AND id > 200")
        .await;
    ground.execute("DELETE FROM runs WHERE organization_id = 1 AND id > 200").await;
    ground.execute("VACUUM runs").await;
    ground.execute("INSERT INTO runs SELECT 1000 + i, 2 FROM generate_series(1, 25) i").await;
    let taken = "SELECT count(*) FROM runs WHERE organization_id = 2 AND ctid IN (SELECT place FROM places)";
    assert!(ground.number(taken).await > 5, "the places are used again");
    let rest = erasing.pages(ground.database(), TEN, Next::Continue).await;
    assert_eq!(count(&rest, "public.runs").1, 24);
    assert_eq!(ground.number("SELECT count(*) FROM runs WHERE id > 1000").await, 25);
    erasing.end().await;
}

/// Places that were captured for one plan are not those of another.
async fn another_plan_captures_anew(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let mut erasing = Erasing::begin(&ground, RUNS).await;
    erasing.pages(ground.database(), TEN, Next::Stop).await;
    assert_eq!(ground.number(CAPTURED).await, 50, "the parents of outputs");
    let renamed = OWN.replace("entity: runs", "entity: executions").replace("parent: runs", "parent: executions");
    let less = "DELETE FROM outputs WHERE run_id = 400; DELETE FROM runs WHERE id = 400";
    erasing.compiled = ground.prepare(less, &renamed).await.expect("compiled");
    erasing.again().await;
    erasing.pages(ground.database(), TEN, Next::Stop).await;
    assert_eq!(ground.number(CAPTURED).await, 49, "without the one that is gone");
    let (_, rows) = erasing.all(TEN, "public.outputs").await;
    assert!((94..=96).contains(&rows), "{rows} rows after two pages");
}

/// What was captured by it is of no use then: the walk begins anew.
async fn an_index_that_is_dropped_meanwhile_is_not_missed(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let mut erasing = Erasing::begin(&ground, RUNS).await;
    erasing.pages(ground.database(), TEN, Next::Stop).await;
    erasing.compiled = ground.prepare("DROP INDEX runs_organization_id_idx", OWN).await.expect("compiled");
    let (_, rows) = erasing.all(TEN, "public.outputs").await;
    assert_eq!(rows, 98, "what the first page left");
}

/// Statistics may be older than the rows. An index on the tenant's column would pass all rows that earlier pages deleted.
async fn a_page_finds_its_rows_by_their_place_whatever_the_statistics_say(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let others = "INSERT INTO organizations SELECT i FROM generate_series(3, 402) i; UPDATE runs SET organization_id = id + 2; ANALYZE";
    let compiled = ground.prepare(&format!("{RUNS}; {others}"), OWN).await.expect("compiled");
    let mut connection = ground.connect().await;
    let mut seen = 0;
    for paged in &compiled.erase().expect("a plan").pages {
        let by_tids = paged.by_tids.as_ref().expect("an index finds the rows");
        for (sql, range) in [(&paged.by_blocks.delete, ["(0,0)", "(10,0)"]), (&by_tids.page.delete, ["0", "10"])] {
            let explain = format!("EXPLAIN {sql}");
            let mut query =
                sqlx::query_scalar::<_, String>(AssertSqlSafe(explain)).bind("1").bind(range[0]).bind(range[1]);
            if matches!(paged.walk, Walk::Parents { .. }) {
                query = query.bind(100_i64);
            }
            let plan = query.fetch_all(&mut connection).await.expect("a plan").join("\n");
            let found = plan.contains("Tid Range Scan on runs") || plan.contains("Tid Scan on runs");
            assert!(found && !plan.contains("runs_organization_id_idx"), "{sql}\n{plan}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}
