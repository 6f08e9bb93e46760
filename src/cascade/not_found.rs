//! There is nothing to erase.

use super::exclusive;
use crate::api::status::Outcome;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::organization::lock;
use crate::db::statement::counted;
use crate::db::transaction::server;
use crate::domain::Failure;
use crate::domain::completion::{CompletionProof, NothingLeft};
use crate::domain::facts::Presence;
use crate::store::claim::lock_claim_of_organization;
use crate::store::ledger::{self, Record};
use crate::store::{Actor, erasures};
use planner::CompiledPlan;

impl Database {
    /// Records that there is nothing to delete: on a primary, with row-level security off, after counting every table of
    /// the plan again. Returns `None` if there is something after all.
    ///
    /// # Errors
    /// Fails when the plan must not be used, the claim cannot be obtained, or the database refuses.
    pub async fn not_found(&self, actor: Actor<'_>, plan: &CompiledPlan) -> Result<Option<CompletionProof>, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
            return Ok(Some(done));
        }
        if server(&mut tx).await?.standby {
            return Ok(None);
        }
        lock_claim_of_organization(&mut tx, actor.key).await?;
        if lock(&mut tx, actor.key, plan).await? != Presence::Absent {
            return Ok(None);
        }
        let during = During::action("counting");
        let captured = exclusive::find(&mut tx, erase, actor.key).await.or_failure(during)?;
        let rows = counted(&mut tx, &erase.count, actor.key, &captured).await.or_failure(during)?;
        let Some(proof) = NothingLeft::prove(rows.iter().map(|(_, rows)| rows)) else { return Ok(None) };
        // What pages deleted before somebody else deleted the rest.
        let pages = erasures::end_with_claim(&mut tx, actor).await?;
        let record = Record::kept(Outcome::NotFound, actor.subject.policy, "").after(pages.as_ref());
        ledger::write(&mut tx, actor, &record).await?;
        self.commit(tx).await?;
        Ok(Some(CompletionProof::not_found(proof)))
    }
}
