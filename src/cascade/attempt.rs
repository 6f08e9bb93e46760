//! The cascade: every step of it, in order, in one transaction that the caller ends.

use sqlx::PgConnection;

use super::delete::{self, Gone};
use super::run::Run;
use super::schema;
use super::written::{self, Before};
use crate::api::status::DeletionStep;
use crate::db::error::During;
use crate::db::organization::lock;
use crate::db::statement::Keys;
use crate::domain::Failure;
use crate::domain::completion::NothingLeft;
use crate::domain::facts::Presence;
use planner::cascade::PlanTable;
use planner::{CompiledPlan, ErasePlan};

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
    /// What the session had written before the first delete.
    pub(super) before: Before,
}

/// Deletes everything under the lock of the organization, and counts again. Right before the first delete, it calls `wanted`.
pub(super) async fn cascade(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    keys: Keys,
    wanted: impl Future<Output = Result<bool, Failure>>,
) -> Result<Attempt, Failure> {
    let erase = plan.erase()?;
    if !schema::unchanged(connection, plan).await? {
        return Ok(Attempt::PlanOutdated);
    }
    let present = lock(connection, key, plan).await? != Presence::Absent;
    let mut run = Run { connection, key, erase, keys, unaccounted: 0 };
    run.defer_constraints().await?;
    let partitions = run.lock_partitions().await?;
    run.capture(&erase.exclusive).await?;
    run.forget_shared_parts().await?;
    run.refuse_blocked(&erase.preflight).await?;
    // Where nothing can interfere, the deletes remove what they find, and say how much that is.
    let found =
        if erase.may_interfere { Some(run.count(&erase.count, During::action("counting")).await?) } else { None };
    if !wanted.await? {
        return Ok(Attempt::Unwanted);
    }
    let before = if erase.may_interfere { written::before(run.connection).await? } else { Before::nothing_to_come() };
    run.detach().await?;
    let organizations = plan.root.table.name();
    let there =
        delete::Before { found: found.as_deref(), organizations: &organizations, present, partitions: &partitions };
    let Gone { rows: deleted, organizations } = run.delete(erase.deletes.iter(), &there).await?;
    // Foreign keys prove something when the organization's row goes, and only then.
    let proof = if organizations == 1 && !erase.may_interfere {
        run.nothing_left_unproven().await?
    } else {
        run.nothing_left().await?
    };
    run.parents_accounted_for().await?;
    run.none_left_behind().await?;
    let steps = steps(erase, found.as_deref(), &deleted);
    Ok(Attempt::Done(Deleted { proof, steps, organizations, before }))
}

/// What was found and deleted, by entity; found is what was deleted where it was not counted.
fn steps(erase: &ErasePlan, found: Option<&[(&PlanTable, i64)]>, deleted: &[(&PlanTable, i64)]) -> Vec<DeletionStep> {
    let both = erase.by_entity(found.unwrap_or(deleted)).into_iter().zip(erase.by_entity(deleted));
    both.map(|((entity, found), (_, deleted))| DeletionStep {
        entity: entity.name.clone(),
        tables: entity.tables.clone(),
        // Rows that appeared between counting and deleting were found, too.
        found: found.max(deleted),
        deleted,
    })
    .collect()
}
