//! The cascade: every step of it, in order, in one transaction that the caller ends.

use sqlx::PgConnection;

use super::capture::capture;
use super::delete::{delete, delete_organization, detach};
use super::preflight::refuse_blocked;
use super::recount::{nothing_left, parents_gone};
use super::schema::{defer_constraints, unchanged};
use crate::api::status::DeletionStep;
use crate::db::bind::counted;
use crate::db::error::{During, OrFailure as _};
use crate::db::settle::lock_organization;
use crate::domain::Failure;
use crate::domain::completion::NothingLeft;
use planner::cascade::PlanTable;
use planner::{CapturedKeys, CompiledPlan, ErasePlan};

/// How a cascade ended, in a transaction that is still open.
pub(super) enum Attempt {
    /// Everything is gone.
    Done(Deleted),
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
    /// It is no longer wanted; nothing was touched.
    Unwanted,
}

/// What a cascade deleted.
pub(super) struct Deleted {
    pub(super) proof: NothingLeft,
    pub(super) steps: Vec<DeletionStep>,
    /// Rows of the organization's own table.
    pub(super) organizations: i64,
    pub(super) captured: CapturedKeys,
}

/// Deletes everything under the lock of the organization, and counts again. Right before the first delete `wanted` is asked.
pub(super) async fn cascade(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    wanted: impl Future<Output = Result<bool, Failure>>,
) -> Result<Attempt, Failure> {
    let erase = plan.erase()?;
    if !unchanged(connection, plan).await? {
        return Ok(Attempt::PlanOutdated);
    }
    let present = lock_organization(connection, key, plan).await?.is_some();
    defer_constraints(connection, erase).await?;
    let mut captured = CapturedKeys::default();
    capture(connection, key, erase, &mut captured).await?;
    refuse_blocked(connection, key, &erase.preflight, &captured).await?;
    let found = counted(connection, &erase.count, key, &captured).await.or_failure(During::action("counting"))?;
    if !wanted.await? {
        return Ok(Attempt::Unwanted);
    }
    detach(connection, key, erase, &captured).await?;
    let deleted = delete(connection, key, erase, erase.deletes.iter(), Some(&found), &mut captured).await?;
    let organizations = delete_organization(connection, key, plan, present).await?;
    let proof = nothing_left(connection, key, erase, &captured).await?;
    parents_gone(connection, key, erase, &captured).await?;
    Ok(Attempt::Done(Deleted { proof, steps: steps(erase, &found, &deleted), organizations, captured }))
}

fn steps(erase: &ErasePlan, found: &[(&PlanTable, i64)], deleted: &[(&PlanTable, i64)]) -> Vec<DeletionStep> {
    erase
        .by_entity(found)
        .into_iter()
        .zip(erase.by_entity(deleted))
        .map(|((entity, found), (_, deleted))| DeletionStep {
            entity: entity.name.clone(),
            tables: entity.tables.clone(),
            // Rows that appeared between counting and deleting were found, too.
            found: found.max(deleted),
            deleted,
        })
        .collect()
}
