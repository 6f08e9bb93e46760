//! One page, in one transaction: its rows, the cursor and the counts are committed together.

use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use super::super::changed::{classified, moved_away};
use super::super::{schema, written};
use crate::api::Reason;
use crate::api::status::DeletionStep;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::db::transaction::{commit, rollback, server};
use crate::domain::facts::UnderWay;
use crate::domain::{Failure, decide, written as sums};
use crate::pace::PageDone;
use crate::store::Actor;
use crate::store::claim::lock_claim;
use crate::store::erasures::{self, Cursor, Locked, Written};
use planner::cascade::{Guard, PagedTable, PlanTable};
use planner::{CompiledPlan, ErasePlan};

/// Blocks of the first page of a table.
const FIRST: i64 = 8;
/// Most blocks of a page: 1 GiB.
const MOST: i64 = 1 << 17;

/// How the transaction of a page ended.
pub(super) enum Page {
    /// The page is gone, and this much with it. How long it took is for the caller to say.
    Deleted(PageDone, UnderWay),
    /// There are no more pages.
    None(UnderWay),
    /// The plan was compiled against a schema that has changed since.
    PlanOutdated,
    /// The pages before were those of another plan. Contains the estimated number of rows.
    OtherPlan(i64),
}

/// Which blocks of which table.
struct Place<'p> {
    table: &'p PagedTable,
    /// The first block, and the first one of the next page.
    blocks: (i64, i64),
    /// Rows deleted since block 0.
    rows_of_pass: i64,
}

impl Database {
    /// Deletes the next page.
    pub(super) async fn page(&self, actor: Actor<'_>, plan: &CompiledPlan, page: Duration) -> Result<Page, Failure> {
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
            let Some(place) = next_place(&mut tx, erase, &locked.cursor, page).await? else {
                rollback(tx).await?;
                return Ok(Page::None(locked.under_way));
            };
            let Locked { mut under_way, written, wal, .. } = locked;
            let (rows, since) = delete(&mut tx, actor.key, plan, &place).await?;
            let written = if place.table.triggers { sums::sum(written, since) } else { written };
            count_in(&mut under_way.deleted, erase, &place.table.table, rows);
            let cursor = Cursor {
                table: Some(place.table.table.name.clone()),
                next_block: place.blocks.1,
                rows_of_pass: place.rows_of_pass + rows,
                page_blocks: adapted(place.blocks.1 - place.blocks.0, page, began.elapsed()),
            };
            let end = erasures::advance(&mut tx, actor, &under_way.deleted, written.as_deref(), &cursor).await?;
            commit(tx).await?;
            let wal_bytes = u64::try_from(end - wal).unwrap_or_default();
            let table = place.table.table.name.clone();
            Ok(Page::Deleted(PageDone { table, rows, took: Duration::ZERO, wal_bytes }, under_way))
        };
        self.naming_blockers(server.pid, Box::pin(work)).await
    }
}

/// Where the next page is. Returns `None` if there is none.
async fn next_place<'p>(
    connection: &mut PgConnection,
    erase: &'p ErasePlan,
    cursor: &Cursor,
    page: Duration,
) -> Result<Option<Place<'p>>, Failure> {
    let tables = &erase.pages;
    let at = cursor.table.as_ref().and_then(|name| tables.iter().position(|paged| paged.table.name == *name));
    let first = if page.is_zero() { 1 } else { FIRST };
    let (mut next, mut rows_of_pass, mut width) = match at {
        Some(_) => (cursor.next_block, cursor.rows_of_pass, cursor.page_blocks.clamp(1, MOST)),
        None => (0, 0, first),
    };
    for table in tables.iter().skip(at.unwrap_or_default()) {
        let during = During::table("reading the size of", Some(&table.table.entity), &table.table.name);
        let row = sqlx::query(AssertSqlSafe(table.blocks.clone())).persistent(false).fetch_one(&mut *connection).await;
        let blocks: i64 = row.and_then(|row| row.try_get(0)).or_failure(during)?;
        // A row that others of the table refer to goes in a later pass than they. Passes that delete little are not worth
        // their reading.
        if next >= blocks && table.repeats && rows_of_pass > 0 && rows_of_pass >= blocks {
            (next, rows_of_pass) = (0, 0);
        }
        if next < blocks {
            return Ok(Some(Place { table, blocks: (next, (next + width).min(blocks)), rows_of_pass }));
        }
        (next, rows_of_pass, width) = (0, 0, first);
    }
    Ok(None)
}

/// How many blocks the next page should have. A page of the last blocks may be narrower, and says little.
fn adapted(blocks: i64, page: Duration, took: Duration) -> i64 {
    let (wanted, took) = (page.as_micros(), took.as_micros().max(1));
    let blocks = u128::from(blocks.unsigned_abs());
    let fitting = (blocks * wanted / took).clamp(blocks / 2, blocks * 2);
    i64::try_from(fitting).unwrap_or(MOST).clamp(1, MOST)
}

/// Deletes the rows of a page. Returns their number, and what triggers wrote if the table has triggers.
async fn delete(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    place: &Place<'_>,
) -> Result<(i64, Written), Failure> {
    let erase = plan.erase()?;
    let PagedTable { table, guard, delete, triggers, .. } = place.table;
    let tids = [place.blocks.0, place.blocks.1].map(|block| format!("({block},0)"));
    let locked = match guard {
        None => None,
        Some(guard) => {
            let locked = lock(connection, key, (table, guard), &tids).await?;
            if locked.1.is_empty() {
                return Ok((0, Some(Vec::new())));
            }
            Some(locked)
        }
    };
    let before = if *triggers { Some(written::before(connection).await?) } else { None };
    let mut query = bound(delete, key, &tids);
    if let Some((tables, rows)) = locked {
        query = query.bind(tables).bind(rows);
    }
    let during = During::change("deleting from", Some(&table.entity), &table.name);
    let row = query.fetch_one(&mut *connection).await.or_failure(during).map_err(|f| classified(f, erase))?;
    let (rows, moved): (i64, i64) = row.try_get(0).and_then(|rows| Ok((rows, row.try_get(1)?))).or_failure(during)?;
    if moved > 0 {
        return Err(moved_away(table, moved));
    }
    let since = match before {
        Some(before) => before.since_all(connection, plan).await?,
        None => Some(Vec::new()),
    };
    Ok((rows, since))
}

/// Locks the rows of a page, and fails if something refers to them that the delete would change.
async fn lock(
    connection: &mut PgConnection,
    key: &str,
    (table, guard): (&PlanTable, &Guard),
    tids: &[String; 2],
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let during = During::table("locking rows of", Some(&table.entity), &table.name);
    let row = bound(&guard.lock, key, tids).fetch_one(&mut *connection).await.or_failure(during)?;
    let locked: (Vec<String>, Vec<String>) =
        row.try_get(0).and_then(|tables| Ok((tables, row.try_get(1)?))).or_failure(during)?;
    if locked.1.is_empty() {
        return Ok(locked);
    }
    let during = During::action("checking for references from outside");
    let check = bound(&guard.check, key, tids).bind(&locked.0).bind(&locked.1);
    let referred: i64 = check.fetch_one(connection).await.and_then(|row| row.try_get(0)).or_failure(during)?;
    if referred > 0 {
        return Err(Failure::new(
            Reason::ForeignKeyViolation,
            format!("rows outside the plan refer to {referred} rows of `{}` since the deletion began", table.name),
        )
        .table(&table.name)
        .entity(&table.entity)
        .rows(referred));
    }
    Ok(locked)
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
            assert_eq!(adapted(blocks, page, took), expected, "{blocks} blocks in {took:?}");
        }
    }
}
