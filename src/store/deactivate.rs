//! The deletion policy `Deactivate`: the organization is switched off for good, and its data is kept.

use super::claim::{drop_claim, lock_claim};
use super::ledger::Record;
use super::{Actor, ledger};
use crate::api::status::Outcome;
use crate::api::{Activation, DeletionPolicy};
use crate::db::Database;
use crate::db::organization::switch;
use crate::db::transaction::server;
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;
use planner::CompiledPlan;

impl Database {
    /// Switches the organization off for good and keeps its data.
    ///
    /// # Errors
    /// Fails when the claim cannot be obtained, or the database refuses.
    pub async fn deactivate(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        let pid = server(&mut tx).await?.pid;
        let work = async move {
            lock_claim(&mut tx, actor, take_from).await?;
            if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
                return Ok(done);
            }
            switch(&mut tx, actor.key, Activation::Deactivated, plan).await?;
            drop_claim(&mut tx, actor).await?;
            let record = Record::kept(Outcome::Deactivated, DeletionPolicy::Deactivate, "");
            ledger::write(&mut tx, actor, &record).await?;
            self.commit(tx).await?;
            Ok(CompletionProof::deactivated())
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }
}
