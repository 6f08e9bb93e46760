//! The object is released, and another object of this cluster owns the organization from then on.

use super::claim::{drop_claim, hand_over, lock_claim_of_object};
use super::ledger::Record;
use super::recovery_window::restore;
use super::{Actor, ledger};
use crate::api::status::Outcome;
use crate::db::Database;
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;
use crate::domain::facts::Successor;
use planner::CompiledPlan;

impl Database {
    /// Hands the claim to another live object of this cluster, and restores the activation.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn transfer(
        &self,
        actor: Actor<'_>,
        successor: &Successor,
        plan: &CompiledPlan,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
            return Ok(done);
        }
        if let Some(locked) = lock_claim_of_object(&mut tx, actor.cluster, &actor.subject.uid).await? {
            restore(&mut tx, &locked, plan).await?;
            hand_over(&mut tx, actor, successor).await?;
            drop_claim(&mut tx, actor).await?;
        }
        let proof = CompletionProof::transferred(&successor.name);
        let detail = proof.sentence();
        let record = Record::kept(Outcome::Transferred, actor.subject.policy, &detail);
        ledger::write(&mut tx, actor, &record).await?;
        self.commit(tx).await?;
        Ok(proof)
    }
}
