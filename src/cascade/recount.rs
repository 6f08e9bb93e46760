//! The count after the last delete.

use sqlx::PgConnection;

use super::changed::rows_left;
use crate::api::Reason;
use crate::db::bind::counted;
use crate::db::error::{During, OrFailure as _};
use crate::domain::Failure;
use crate::domain::completion::NothingLeft;
use planner::{CapturedKeys, ErasePlan};

/// Counts every table of the plan again. Fails with the rows that are left.
pub(super) async fn nothing_left(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &CapturedKeys,
) -> Result<NothingLeft, Failure> {
    let left = counted(connection, &erase.recount, key, captured).await.or_failure(During::action("counting again"))?;
    NothingLeft::prove(left.iter().map(|(_, rows)| rows)).ok_or_else(|| rows_left(&left))
}

/// Every parent whose children were deleted must be gone itself. One that is still there has moved to another organization
/// after its children were found, and they were that organization's.
pub(super) async fn parents_gone(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &CapturedKeys,
) -> Result<(), Failure> {
    let Some(parents) = &erase.parents_left else { return Ok(()) };
    let left = counted(connection, parents, key, captured)
        .await
        .or_failure(During::action("looking for parents that were moved"))?;
    let Some((table, rows)) = left.iter().find(|(_, rows)| *rows > 0) else { return Ok(()) };
    Err(Failure::new(
        Reason::ContentChanged,
        format!(
            "{rows} rows of `{table}` belonged to the organization when its deletion began, or have the key of one that did, and belong to another one now"
        ),
    )
    .table(*table)
    .rows(*rows)
    .remedy("nothing: the next attempt deletes neither the moved rows nor their child rows"))
}
