//! Captures keys of rows that go, and locks rows, before the first delete.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::db::bind::{query, unpaired};
use crate::db::error::{During, OrFailure as _};
use crate::domain::Failure;
use planner::captured::Keys;
use planner::{CapturedKeys, ErasePlan};

/// Adds to what was captured before.
pub(super) async fn capture(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &mut CapturedKeys,
) -> Result<(), Failure> {
    for capture in &erase.captures {
        let during = During::table("locking rows of", Some(&capture.table.entity), &capture.table.name);
        let row = query(&capture.statement, key, captured).fetch_one(&mut *connection).await.or_failure(during)?;
        if !capture.columns.is_empty() {
            let keys = keys(&row, 0, &capture.columns).or_failure(during)?;
            captured.add(capture.step, keys).map_err(unpaired).or_failure(during)?;
        }
    }
    Ok(())
}

/// Reads captured columns from a row, beginning with its column number `first`.
pub(super) fn keys(row: &PgRow, first: usize, columns: &[String]) -> Result<Keys, sqlx::Error> {
    let values = (first..first + columns.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>()?;
    Keys::new(columns.to_vec(), values).map_err(unpaired)
}
