//! Failures that say that the organization's rows changed while they were deleted.

use crate::api::Reason;
use crate::db::error::triggers;
use crate::domain::{Effect, Failure};
use planner::ErasePlan;
use planner::cascade::{ParentLeft, PlanTable};

/// Rows are left after the last delete.
pub(super) fn rows_left(left: &[(&PlanTable, i64)]) -> Failure {
    let left: Vec<_> = left.iter().filter(|(_, rows)| *rows > 0).collect();
    let list = left.iter().map(|(table, rows)| format!("{rows} in `{}`", table.name)).collect::<Vec<_>>().join(", ");
    let failure = Failure::new(Reason::ContentChanged, format!("rows were left after the last delete: {list}"))
        .rows(left.iter().map(|(_, rows)| rows).sum());
    match left.first() {
        Some((table, _)) => failure.table(&table.name).entity(&table.entity).remedy(stop_writers(&table.name)),
        None => failure,
    }
}

/// Rows that were found were not deleted and no longer belong to the organization. A trigger on the table can do that; they
/// may also have moved away by themselves; then the next attempt finds fewer.
pub(super) fn suppressed(table: &PlanTable, rows: i64) -> Failure {
    let what =
        "were found and not deleted, and they no longer belong to the organization; a trigger on the table can do that";
    of_table(format!("{rows} rows of `{}` {what}", table.name), table, rows)
        .effect(Effect::RolledBack)
        .remedy(stop_writers(&table.name))
}

/// A partition that can hold only the organization's rows holds others.
pub(super) fn not_only_ours(table: &PlanTable, rows: i64) -> Failure {
    let message = format!(
        "the partition of `{}` that should hold only this organization's rows holds {rows} others, so it was not removed",
        table.name
    );
    of_table(message, table, rows)
        .effect(Effect::RolledBack)
        .remedy("remove `partitions: drop` from this step of the plan (cascade), and check the partition's bound")
}

/// Rows of a page were found by rows that have moved to another organization before the delete ended.
pub(super) fn moved_away(table: &PlanTable, rows: i64) -> Failure {
    let message = format!("{rows} rows of `{}` moved to another organization while they were deleted", table.name);
    of_table(message, table, rows).remedy("wait for the next attempt, which does not delete the moved rows")
}

/// So many rows of a table changed.
fn of_table(message: String, table: &PlanTable, rows: i64) -> Failure {
    Failure::new(Reason::ContentChanged, message).table(&table.name).entity(&table.entity).rows(rows)
}

/// Parents whose children were deleted belong to another organization. If the children were found by part of a key, it may
/// also be another row that has the same part.
pub(super) fn moved_parents(parent: &ParentLeft, rows: i64) -> Failure {
    let ParentLeft { table, part } = parent;
    let (same, remedy) = if *part {
        (
            "have the part of a key by which its child rows are found",
            "wait for the next attempt, which deletes neither the moved rows nor their child rows; if child rows could belong to either organization, it deletes nothing and shows them",
        )
    } else {
        (
            "have the key of such a row",
            "wait for the next attempt, which deletes neither the moved rows nor their child rows",
        )
    };
    Failure::new(
        Reason::ContentChanged,
        format!(
            "{rows} rows of `{table}` belonged to the organization when its deletion began, or {same}, and now belong to another organization"
        ),
    )
    .table(table)
    .rows(rows)
    .remedy(remedy)
}

/// The delete of the organization's own row did not delete exactly one row.
pub(super) fn not_one_organization(table: &str, rows: u64) -> Failure {
    Failure::new(
        Reason::ContentChanged,
        format!(
            "deleting the organization from `{table}` removed {rows} rows instead of one; a trigger or a view may be the cause"
        ),
    )
    .effect(Effect::RolledBack)
    .remedy(stop_writers(table))
    .table(table)
}

/// The preflight found nothing, so a foreign key from a table of the plan means that rows of it are there that should be
/// gone: they appeared since, or a trigger suppressed their delete.
pub(super) fn classified(mut failure: Failure, erase: &ErasePlan) -> Failure {
    let Some(table) = erase.tables().find(|t| Some(&t.name) == failure.table.as_ref()) else { return failure };
    if failure.reason == Reason::ForeignKeyViolation {
        failure.reason = Reason::ContentChanged;
        failure.entity = Some(table.entity.clone());
        failure.remedy = Some(stop_writers(&table.name));
    }
    failure
}

/// The same where the statement deletes the organization, too: its row, or another one that appeared since, still refers to
/// rows that are gone.
pub(super) fn of_organization(mut failure: Failure, organizations: &str) -> Failure {
    if failure.reason == Reason::ForeignKeyViolation && failure.table.as_deref() == Some(organizations) {
        failure.reason = Reason::ContentChanged;
        failure.remedy = Some(stop_writers(organizations));
    }
    failure
}

/// What clears `ContentChanged`.
fn stop_writers(table: &str) -> String {
    format!("{}, or stop whatever writes to the organization", triggers(table))
}
