//! One page, in one transaction: its rows, the cursor and the counts are committed together.

use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use super::super::changed::{classified, moved_away};
use super::super::{schema, written};
use super::size::count;
use crate::api::Reason;
use crate::api::status::DeletionStep;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::db::transaction::{rollback, server};
use crate::domain::facts::UnderWay;
use crate::domain::{Failure, decide, written as sums};
use crate::pace::{PageDone, PageSize};
use crate::store::Actor;
use crate::store::claim::lock_claim;
use crate::store::erasures::{self, Cursor, Locked, Written};
use planner::cascade::{Guard, PageStatements, PagedTable, PlanTable, Walk};
use planner::{CompiledPlan, ErasePlan};

/// Blocks and rows of the first page of a table. Pages double, and what a row costs is known only from the first one: a trigger
/// may take long.
const FIRST: (i64, i64) = (1, 100);
/// Most blocks of a page: 8 MiB. Pages in which the organization has nothing are quick, and the next one may be full of its rows.
const MOST: i64 = 1 << 10;
/// The same where the operator holds the places of the rows in memory.
const MOST_LOCKED: i64 = 1 << 8;
/// Most rows of a page, where that can be limited.
const MOST_ROWS: i64 = 1 << 17;
/// A page that takes so many times as long as it should is slow for its rows.
const SLOW: u32 = 4;
/// A table of which the organization has no more rows is not worth a walk: they wait for the last transaction.
const FEW: i64 = 10_000;
/// Nor is one that has no more than this part of all its rows.
const SMALL_PART: i64 = 100;
/// Longest search for the organization's rows of one table, in milliseconds. If it takes longer, or longer than any statement may,
/// the table is walked whole.
const LONGEST_CAPTURE: &str = "SELECT set_config('statement_timeout', LEAST(s.setting::bigint, 30000)::text, true)
FROM pg_catalog.pg_settings s WHERE s.name = 'statement_timeout'";

/// How the transaction of a page ended.
pub(super) enum Page {
    /// The page is gone, and this much with it. How long it took is for the caller to say.
    Deleted(PageDone, UnderWay),
    /// Nothing was deleted: it is recorded now how the pages of the next table are found.
    Captured,
    /// There are no more pages.
    None(UnderWay),
    /// The plan was compiled against a schema that has changed since.
    PlanOutdated,
    /// The pages before were those of another plan. Contains the estimated number of rows.
    OtherPlan(i64),
}

/// What comes next.
enum Step<'p> {
    /// A page.
    Page(Place<'p>),
    /// Before the first page of this table: to find out where the organization's rows lie, if there are at most so many of the
    /// walked table.
    Capture(&'p PagedTable, i64),
    /// Nothing: there are no more pages.
    End,
}

/// Which blocks of which table, or which of the captured tuple identifiers.
struct Place<'p> {
    table: &'p PagedTable,
    /// How many tuple identifiers were captured. `None` if this is about blocks.
    captured: Option<i64>,
    /// The first one, and the first one of the next page.
    range: (i64, i64),
    /// The most rows that go, where that has to be limited.
    rows: i64,
    /// Rows deleted since the pass began.
    rows_of_pass: i64,
}

/// How far a pass over a table has come.
#[derive(Clone, Copy)]
struct Pass {
    /// The first block, or captured tuple identifier, of the next page.
    next: i64,
    /// Rows deleted since it began.
    rows: i64,
    /// Blocks and rows of the next page.
    size: (i64, i64),
}

impl Pass {
    const BEGIN: Self = Self { next: 0, rows: 0, size: FIRST };

    /// The next page, if there is one before this end.
    fn place(self, (table, captured): (&PagedTable, Option<i64>), end: i64, page: PageSize) -> Option<Place<'_>> {
        let (blocks, rows) = self.size;
        let next = self.next + blocks.min(page.blocks).clamp(1, most_blocks(table));
        let rows = rows.min(page.rows).clamp(1, MOST_ROWS);
        (self.next < end).then_some(Place {
            table,
            captured,
            range: (self.next, next.min(end)),
            rows,
            rows_of_pass: self.rows,
        })
    }
}

impl Database {
    /// Deletes the next page.
    pub(super) async fn page(&self, actor: Actor<'_>, plan: &CompiledPlan, page: PageSize) -> Result<Page, Failure> {
        plan.erase()?;
        let mut tx = self.begin().await?;
        let server = server(&mut tx).await?;
        let work = async move {
            // What a crash takes away is the end of the log: cursor, counts and rows come back together. The last transaction
            // waits for the disk, and with it for all pages before it.
            own("SET LOCAL synchronous_commit = off")
                .execute(&mut *tx)
                .await
                .or_failure(During::action("beginning a page"))?;
            if server.standby {
                return Err(decide::on_a_standby());
            }
            let Some(locked) = erasures::lock(&mut tx, actor).await? else {
                lock_claim(&mut tx, actor, None).await?;
                return Err(not_begun());
            };
            if locked.plan_digest != plan.digest {
                rollback(tx).await?;
                return Ok(Page::OtherPlan(locked.under_way.estimated));
            }
            if !schema::unchanged(&mut tx, plan).await? {
                rollback(tx).await?;
                return Ok(Page::PlanOutdated);
            }
            let erase = plan.erase()?;
            let began = Instant::now();
            let few = FEW.min(locked.under_way.estimated / SMALL_PART);
            let step = next_step(&mut tx, erase, actor.key, (&locked.cursor, page, few)).await?;
            let Locked { mut under_way, written, wal, .. } = locked;
            let place = match step {
                Step::Page(place) => place,
                Step::Capture(table, most) => {
                    let captured = capture(&mut tx, actor.key, table, most).await?;
                    let cursor = at_the_beginning(table, captured);
                    erasures::advance(&mut tx, actor, &under_way.deleted, written.as_deref(), &cursor).await?;
                    self.commit(tx).await?;
                    return Ok(Page::Captured);
                }
                Step::End => {
                    rollback(tx).await?;
                    return Ok(Page::None(under_way));
                }
            };
            let Deleted { rows, full, written: since } = delete(&mut tx, actor.key, plan, &place).await?;
            let written = if place.table.triggers { sums::sum(written, since) } else { written };
            count_in(&mut under_way.deleted, erase, &place.table.table, rows);
            let cursor = place.followed_by(rows, full, (page, began.elapsed()));
            let end = erasures::advance(&mut tx, actor, &under_way.deleted, written.as_deref(), &cursor).await?;
            self.commit(tx).await?;
            let wal_bytes = u64::try_from(end - wal).unwrap_or_default();
            let table = place.table.table.name.clone();
            Ok(Page::Deleted(PageDone { table, rows, took: Duration::ZERO, wal_bytes }, under_way))
        };
        self.naming_blockers(server.pid, Box::pin(work)).await
    }
}

impl<'p> Place<'p> {
    /// The statements of this page, and the range as they take it.
    fn statements(&self) -> (&'p PageStatements, [String; 2]) {
        let ends = [self.range.0, self.range.1];
        match &self.table.by_tids {
            Some(by_tids) if self.captured.is_some() => (&by_tids.page, ends.map(|number| number.to_string())),
            _ => (&self.table.by_blocks, ends.map(first_of_block)),
        }
    }

    /// Where the next page begins after this one, which deleted so many rows, and how large it should be. A full page may have
    /// left rows: then it is the same place again, unless nothing went there.
    fn followed_by(&self, rows: i64, full: bool, (page, took): (PageSize, Duration)) -> Cursor {
        let (first, next) = self.range;
        let (width, page_rows) = followed((next - first, self.rows), full, most_blocks(self.table), (page.takes, took));
        Cursor {
            table: Some(self.table.table.name.clone()),
            captured: self.captured,
            next: if full && rows > 0 { first } else { next },
            rows_of_pass: self.rows_of_pass + rows,
            width,
            page_rows,
        }
    }
}

/// The cursor before the first page of a table.
fn at_the_beginning(table: &PagedTable, captured: Option<i64>) -> Cursor {
    let Pass { next, rows, size: (width, page_rows) } = Pass::BEGIN;
    Cursor { table: Some(table.table.name.clone()), captured, next, rows_of_pass: rows, width, page_rows }
}

/// What comes after the pages before.
async fn next_step<'p>(
    connection: &mut PgConnection,
    erase: &'p ErasePlan,
    key: &str,
    (cursor, page, few): (&Cursor, PageSize, i64),
) -> Result<Step<'p>, Failure> {
    let tables = &erase.pages;
    // An index that was dropped is no other plan, but what was captured by it cannot be used any more.
    let usable = |paged: &PagedTable| cursor.captured.is_none() || paged.by_tids.is_some();
    let is_at = |paged: &PagedTable| cursor.table.as_ref() == Some(&paged.table.name) && usable(paged);
    let at = tables.iter().position(is_at);
    let mut pass = at.map_or(Pass::BEGIN, |_| Pass {
        next: cursor.next,
        rows: cursor.rows_of_pass,
        size: (cursor.width, cursor.page_rows),
    });
    for (i, table) in tables.iter().enumerate().skip(at.unwrap_or_default()) {
        let mut begins = at != Some(i);
        if let Some(captured) = cursor.captured.filter(|_| !begins) {
            if let Some(place) = pass.place((table, Some(captured)), captured, page) {
                return Ok(Step::Page(place));
            }
            // A row that changed meanwhile lies elsewhere now. Passes that delete little are not worth their search.
            begins = pass.rows > few;
            pass = Pass::BEGIN;
            if !begins {
                continue;
            }
        }
        if begins && !is_worth_a_walk(connection, erase, key, (table, few)).await? {
            continue;
        }
        let during = During::table("reading the size of", Some(&table.table.entity), &table.table.name);
        let row = sqlx::query(AssertSqlSafe(table.blocks.clone())).persistent(false).fetch_one(&mut *connection).await;
        let blocks: i64 = row.and_then(|row| row.try_get(0)).or_failure(during)?;
        let most = most_captured(blocks, page.sparse);
        if begins && most > 0 && table.by_tids.is_some() {
            return Ok(Step::Capture(table, most));
        }
        // A row that others of the table refer to goes in a later pass than they. Passes that delete little are not worth
        // their reading.
        if pass.next >= blocks && table.repeats && pass.rows > 0 && pass.rows >= blocks {
            pass = Pass { next: 0, rows: 0, ..pass };
        }
        if let Some(place) = pass.place((table, None), blocks, page) {
            return Ok(Step::Page(place));
        }
        pass = Pass::BEGIN;
    }
    Ok(Step::End)
}

/// How many rows of the walked table the organization may have at most, if pages are to visit only those.
fn most_captured(blocks: i64, sparse: i64) -> i64 {
    blocks.checked_div(sparse).unwrap_or(i64::MAX - 1)
}

/// Captures where the organization's rows lie in the walked table. Returns `None` if there are more, or if that takes too long.
async fn capture(
    connection: &mut PgConnection,
    key: &str,
    table: &PagedTable,
    most: i64,
) -> Result<Option<i64>, Failure> {
    let Some(by_tids) = &table.by_tids else { return Ok(None) };
    erasures::forget_tids(connection, key).await?;
    let during = During::table("finding rows of", Some(&table.table.entity), &table.table.name);
    // An index is there, whatever the statistics say.
    for before in ["SAVEPOINT captured", "SET LOCAL enable_seqscan = off", LONGEST_CAPTURE] {
        own(before).execute(&mut *connection).await.or_failure(during)?;
    }
    let capture = sqlx::query(AssertSqlSafe(by_tids.capture.clone())).persistent(false).bind(key).bind(most + 1);
    let found = capture.fetch_one(&mut *connection).await.and_then(|row| row.try_get::<i64, _>(0)).or_failure(during);
    match found {
        Ok(found) if found <= most => return Ok(Some(found)),
        Err(failure) if failure.reason != Reason::StatementTimeout => return Err(failure),
        Ok(_) | Err(_) => {}
    }
    own("ROLLBACK TO SAVEPOINT captured").execute(connection).await.or_failure(during)?;
    Ok(None)
}

/// Whether the organization has more than a few rows of the table. Each page of a walk reads rows of all organizations.
async fn is_worth_a_walk(
    connection: &mut PgConnection,
    erase: &ErasePlan,
    key: &str,
    (table, few): (&PagedTable, i64),
) -> Result<bool, Failure> {
    let Some(size) = erase.sizes.iter().find(|size| size.table.name == table.table.name) else { return Ok(true) };
    let during = During::table("counting rows of", Some(&table.table.entity), &table.table.name);
    Ok(count(connection, size, key, few + 1).await.or_failure(during)? > few)
}

fn most_blocks(table: &PagedTable) -> i64 {
    if table.by_blocks.guard.is_some() { MOST_LOCKED } else { MOST }
}

/// Blocks and rows of the next page after one of this size.
///
/// A page that was not full had all rows of its blocks, so their number decides how long it takes. A full page comes again to the
/// same place, and all its blocks are read again: so there are fewer of them, whatever made it slow. Otherwise a busy machine would
/// end with wide pages of one row. For the same reason the rows become fewer than those of a first page only where they are slow,
/// not the block before them.
fn followed(
    (blocks, rows): (i64, i64),
    full: bool,
    most_blocks: i64,
    (page, took): (Duration, Duration),
) -> (i64, i64) {
    if !full {
        return (adapted(blocks, most_blocks, page, took), rows);
    }
    let least = if took <= page * SLOW { FIRST.1.min(rows * 2) } else { 1 };
    ((blocks / 2).max(1), adapted(rows, MOST_ROWS, page, took).max(least))
}

/// How many blocks or rows the next page should have. A page of the last blocks may be narrower, and says little.
fn adapted(amount: i64, most: i64, page: Duration, took: Duration) -> i64 {
    let (wanted, took) = (page.as_micros(), took.as_micros().max(1));
    let amount = u128::from(amount.unsigned_abs());
    let fitting = (amount * wanted / took).clamp(amount / 2, amount * 2);
    i64::try_from(fitting).unwrap_or(most).clamp(1, most)
}

/// What a page deleted.
struct Deleted {
    rows: i64,
    /// There may be more rows in its place.
    full: bool,
    /// What triggers wrote, if the table has triggers.
    written: Written,
}

/// Deletes the rows of a page.
async fn delete(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    place: &Place<'_>,
) -> Result<Deleted, Failure> {
    let erase = plan.erase()?;
    let PagedTable { table, walk, triggers, .. } = place.table;
    let (PageStatements { guard, delete }, range) = place.statements();
    let mut query = bound(delete, key, &range);
    if let Some(guard) = guard {
        let (tables, rows) = lock(connection, key, (table, guard), &range).await?;
        if rows.is_empty() {
            return Ok(Deleted { rows: 0, full: false, written: Some(Vec::new()) });
        }
        query = query.bind(tables).bind(rows);
    }
    if matches!(walk, Walk::Parents { .. }) {
        query = query.bind(place.rows);
    }
    let before = if *triggers { Some(written::before(connection).await?) } else { None };
    let during = During::change("deleting from", Some(&table.entity), &table.name);
    let row = query.fetch_one(&mut *connection).await.or_failure(during).map_err(|f| classified(f, erase))?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let (rows, moved, full): (i64, i64, bool) = read().or_failure(during)?;
    if moved > 0 {
        return Err(moved_away(table, moved));
    }
    let written = match before {
        Some(before) => before.since_all(connection, plan).await?,
        None => Some(Vec::new()),
    };
    Ok(Deleted { rows, full, written })
}

/// Locks the rows of a page, and fails if something refers to them that the delete would change.
async fn lock(
    connection: &mut PgConnection,
    key: &str,
    (table, guard): (&PlanTable, &Guard),
    range: &[String; 2],
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let during = During::table("locking rows of", Some(&table.entity), &table.name);
    let row = bound(&guard.lock, key, range).fetch_one(&mut *connection).await.or_failure(during)?;
    let locked: (Vec<String>, Vec<String>) =
        row.try_get(0).and_then(|tables| Ok((tables, row.try_get(1)?))).or_failure(during)?;
    if locked.1.is_empty() {
        return Ok(locked);
    }
    let during = During::action("checking for references from outside");
    let check = bound(&guard.check, key, range).bind(&locked.0).bind(&locked.1);
    let referred: i64 = check.fetch_one(connection).await.and_then(|row| row.try_get(0)).or_failure(during)?;
    if referred > 0 {
        return Err(Failure::new(
            Reason::ForeignKeyViolation,
            format!(
                "since the deletion began, rows outside the plan have come to refer to {referred} rows of `{}`",
                table.name
            ),
        )
        .table(&table.name)
        .entity(&table.entity)
        .rows(referred));
    }
    Ok(locked)
}

/// The `ctid` with which a block begins.
fn first_of_block(block: i64) -> String {
    format!("({block},0)")
}

/// A statement of a page, with what all of them take.
fn bound<'q>(sql: &str, key: &'q str, [from, to]: &'q [String; 2]) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).bind(key).bind(from).bind(to)
}

/// Adds the rows of a page to what was deleted before.
fn count_in(deleted: &mut Vec<DeletionStep>, erase: &ErasePlan, table: &PlanTable, rows: i64) {
    if let Some(step) = deleted.iter_mut().find(|step| step.entity == table.entity) {
        step.found += rows;
        step.deleted += rows;
        if !step.tables.contains(&table.name) {
            step.tables.push(table.name.clone());
        }
        return;
    }
    let entity = erase.entities.iter().find(|entity| entity.name == table.entity);
    let tables = entity.map_or_else(|| vec![table.name.clone()], |entity| entity.tables.clone());
    deleted.push(DeletionStep { entity: table.entity.clone(), tables, found: rows, deleted: rows });
}

/// The object has the claim, and no deletion in pages has begun.
pub(super) fn not_begun() -> Failure {
    Failure::new(Reason::SerializationFailure, "the deletion in pages has not begun, or has ended meanwhile")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table is walked on machines of any speed. What a page costs has three parts: each block is read, each row that went
    /// already is passed once more, and each row is deleted. Six times: where one block takes longer than a page, it is read for
    /// each hundred of its rows.
    #[test]
    fn a_page_never_comes_to_nothing_because_its_blocks_are_slow() {
        let page = Duration::from_millis(100);
        for (block, row) in [(2, 2), (50, 2), (2_000, 2), (2_000, 500), (60_000, 5), (300_000, 5)]
            .map(|(block, row)| (Duration::from_micros(block), Duration::from_micros(row)))
        {
            // In the middle of a walk: wide pages of one row, as a machine leaves them that was busy meanwhile.
            for start in [FIRST, (173, 1), (MOST, MOST_ROWS), (MOST, 1), (1, MOST_ROWS)] {
                const IN_A_BLOCK: i64 = 440;
                const WALKED: i64 = 50_000;
                let (mut size, mut there, mut spent) = (start, 0, Duration::ZERO);
                let mut done = 0;
                while done < WALKED * IN_A_BLOCK {
                    let left = size.0 * IN_A_BLOCK - there;
                    let rows = left.min(size.1);
                    let full = rows == size.1;
                    let took = block * u32::try_from(size.0).unwrap()
                        + row * u32::try_from(rows).unwrap()
                        + Duration::from_nanos(200) * u32::try_from(there).unwrap();
                    spent += took;
                    done += rows;
                    let before = size.0;
                    size = followed(size, full, MOST, (page, took));
                    // The blocks of a full page are visited again; of fewer blocks, a part of those rows is there.
                    there = if full { (there + rows).min(size.0 * IN_A_BLOCK) * size.0 / before.max(1) } else { 0 };
                    there = there.min(size.0 * IN_A_BLOCK - 1);
                }
                let least = (block + row * 440) * u32::try_from(WALKED).unwrap();
                assert!(
                    spent < least * 6,
                    "{block:?} a block, {row:?} a row, from {start:?}: {spent:?} instead of {least:?}"
                );
            }
        }
    }

    #[test]
    fn a_page_adapts_to_the_time_it_should_take() {
        let ms = Duration::from_millis;
        for (blocks, page, took, expected) in [
            (100, ms(100), ms(100), 100),
            (100, ms(100), ms(50), 200),
            (100, ms(100), ms(1), 200),
            (100, ms(100), ms(125), 80),
            (100, ms(100), ms(5000), 50),
            (1, ms(100), ms(5000), 1),
            (1, ms(0), ms(0), 1),
            (1, ms(0), ms(5), 1),
            (MOST, ms(100), ms(1), MOST),
        ] {
            assert_eq!(adapted(blocks, MOST, page, took), expected, "{blocks} blocks in {took:?}");
        }
    }
}
