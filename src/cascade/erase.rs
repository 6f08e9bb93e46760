//! Erases an organization: the cascade and its record, all in one transaction.

use sqlx::{Postgres, Transaction};

use super::attempt::{Attempt, Deleted, cascade};
use crate::api::DeletionPolicy;
use crate::api::status::{DeletionStep, Outcome};
use crate::db::Database;
use crate::db::transaction::{check_constraints, server};
use crate::domain::completion::CompletionProof;
use crate::domain::{Effect, Failure, decide, written as sums};
use crate::store::claim::{lock_claim, lock_own_claim};
use crate::store::ledger::{self, Record};
use crate::store::{Actor, captured_keys, erasures};
use planner::CompiledPlan;

/// How an erasure ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Erasure {
    /// Nothing is left.
    Completed(CompletionProof),
    /// Everything was deleted, and tables that no foreign key protects have to be counted again after a while.
    Unverified {
        /// What was found and deleted.
        steps: Vec<DeletionStep>,
    },
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
    /// It is no longer wanted; nothing was touched.
    Unwanted,
}

impl Database {
    /// Erases the organization. All or nothing. Right before the first delete, `wanted` says whether it is still wanted.
    ///
    /// # Errors
    /// Fails with every blocker when something blocks the deletion, and with `ContentChanged` when the recount finds rows.
    /// Nothing was deleted then.
    pub async fn erase(
        &self,
        actor: Actor<'_>,
        plan: &CompiledPlan,
        wanted: impl Future<Output = Result<bool, Failure>>,
    ) -> Result<Erasure, Failure> {
        plan.erase()?;
        let mut tx = self.begin().await.map_err(|f| f.or_effect(Effect::RolledBack))?;
        let own = lock_own_claim(&mut tx, actor).await.map_err(|f| f.or_effect(Effect::RolledBack))?;
        let pid = if let Some(pid) = own {
            pid
        } else {
            let server = server(&mut tx).await.map_err(|f| f.or_effect(Effect::RolledBack))?;
            if server.standby {
                return Err(decide::on_a_standby().or_effect(Effect::RolledBack));
            }
            server.pid
        };
        let work = Box::pin(erase_and_record(self, tx, actor, plan, own.is_some(), wanted));
        self.naming_blockers(pid, work).await.map_err(|f| f.or_effect(Effect::RolledBack))
    }
}

/// The whole erasure, from the locks to the commit. `locked`: the object's claim is locked, and the ledger has no entry.
async fn erase_and_record(
    database: &Database,
    mut tx: Transaction<'static, Postgres>,
    actor: Actor<'_>,
    plan: &CompiledPlan,
    locked: bool,
    wanted: impl Future<Output = Result<bool, Failure>>,
) -> Result<Erasure, Failure> {
    let erase = plan.erase()?;
    if !locked {
        lock_claim(&mut tx, actor, None).await?;
        if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
            return Ok(Erasure::Completed(done));
        }
    }
    let deleted = match cascade(&mut tx, actor.key, plan, captured_keys::of(actor), wanted).await? {
        Attempt::Done(deleted) => deleted,
        Attempt::PlanOutdated => return Ok(Erasure::PlanOutdated),
        Attempt::Unwanted => return Ok(Erasure::Unwanted),
    };
    let Deleted { proof, mut steps, organizations, before } = deleted;
    let verified = !erase.has_unprotected();
    if !verified && erase.defer_constraints {
        // Checks that would run at COMMIT must not count as drain time, which begins with the record.
        check_constraints(&mut tx).await?;
    }
    let mut written = before.since_all(&mut tx, plan).await?;
    let pages = erasures::end_with_claim(&mut tx, actor).await?;
    let started = pages.as_ref().map(|pages| pages.under_way.started);
    if let Some(pages) = pages {
        steps = pages.under_way.and_then(steps);
        written = sums::sum(pages.written, written);
    }
    let record = Record {
        outcome: Outcome::Erased,
        policy: DeletionPolicy::Delete,
        steps: &steps,
        organizations,
        detail: "",
        plan_digest: &plan.digest,
        written: written.as_deref(),
        verified,
        started,
    };
    ledger::write(&mut tx, actor, &record).await?;
    captured_keys::keep(&mut tx, actor, erase).await?;
    database.commit(tx).await?;
    Ok(if verified { Erasure::Completed(CompletionProof::erased(proof, steps)) } else { Erasure::Unverified { steps } })
}
