//! The statements that change the organization's rows.

use sqlx::{PgConnection, Row as _};

use super::capture::keys;
use super::changed::{classified, not_one_organization, rows_left, suppressed};
use crate::db::bind::{counted, query, unpaired};
use crate::db::error::{During, OrFailure as _};
use crate::domain::Failure;
use planner::cascade::{Delete, PlanTable};
use planner::query::Unpaired;
use planner::{CapturedKeys, CompiledPlan, ErasePlan};

/// Takes back the references for which there is no order of deletion.
pub(super) async fn detach(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &CapturedKeys,
) -> Result<(), Failure> {
    for detach in &erase.detaches {
        let during = During::change("taking back references in", None, &detach.table);
        query(&detach.statement, key, captured)
            .execute(&mut *connection)
            .await
            .or_failure(during)
            .map_err(|f| classified(f, erase))?;
    }
    Ok(())
}

/// Runs deletes in order. Returns the rows that are really gone. `found` is what was counted before the first delete.
pub(super) async fn delete<'p>(
    connection: &mut PgConnection,
    key: &str,
    erase: &'p ErasePlan,
    deletes: impl Iterator<Item = &'p Delete> + Send,
    found: Option<&[(&PlanTable, i64)]>,
    captured: &mut CapturedKeys,
) -> Result<Vec<(&'p PlanTable, i64)>, Failure> {
    let mut deleted = Vec::new();
    for delete in deletes {
        let of_table = |found: &[(&PlanTable, i64)]| sum(found.iter().filter(|(table, _)| table.id == delete.table.id));
        let rows = delete_from(connection, key, erase, delete, found.map(of_table), captured).await?;
        deleted.push((&delete.table, rows));
    }
    Ok(deleted)
}

/// Deletes from one table. Where fewer rows went than were found they are counted again while their parents are still there: a
/// trigger may suppress deletes.
async fn delete_from(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    delete: &Delete,
    found: Option<i64>,
    captured: &mut CapturedKeys,
) -> Result<i64, Failure> {
    let table = &delete.table;
    let during = During::change("deleting from", Some(&table.entity), &table.name);
    // Triggers on other tables may have deleted some already.
    let before = if delete.may_suppress && found.is_some() {
        sum(&counted(connection, &delete.left, key, captured).await.or_failure(during)?)
    } else {
        0
    };
    let row = query(&delete.statement, key, captured)
        .fetch_one(&mut *connection)
        .await
        .or_failure(during)
        .map_err(|f| classified(f, erase))?;
    let deleted: i64 = row.try_get(0).or_failure(during)?;
    if found.is_some_and(|found| deleted < found) {
        let left = counted(connection, &delete.left, key, captured).await.or_failure(during)?;
        if left.iter().any(|(_, rows)| *rows > 0) {
            return Err(rows_left(&left));
        }
        if before > deleted {
            return Err(suppressed(table, before - deleted));
        }
    }
    // Rows that appeared after the capture are parents too.
    let mut first = 1;
    for returned in &delete.returns {
        let keys = keys(&row, first, &returned.columns).or_failure(during)?;
        captured.add(returned.step, keys).map_err(unpaired).or_failure(during)?;
        first += returned.columns.len();
    }
    Unpaired::check(first, row.len()).map_err(unpaired).or_failure(during)?;
    Ok(deleted)
}

fn sum<'r>(rows: impl IntoIterator<Item = &'r (&'r PlanTable, i64)>) -> i64 {
    rows.into_iter().map(|(_, rows)| rows).sum()
}

/// Deletes the organization itself: exactly one row if it was `present` when it was locked.
pub(super) async fn delete_organization(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    present: bool,
) -> Result<i64, Failure> {
    let (erase, table) = (plan.erase()?, plan.root.table.name());
    let during = During::change("deleting the organization from", None, &table);
    let rows = query(&erase.delete_organization, key, &CapturedKeys::default())
        .execute(connection)
        .await
        .or_failure(during)
        .map_err(|f| classified(f, erase))?
        .rows_affected();
    if rows == u64::from(present) { Ok(i64::from(present)) } else { Err(not_one_organization(&table, rows)) }
}
