//! Claims a live organization and switches it as its spec says, in one transaction.

use super::Actor;
use super::claim::{lock_claim, record_spec};
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::organization::switch;
use crate::db::transaction::server;
use crate::domain::Failure;
use crate::domain::decide::Enforce;
use planner::CompiledPlan;

impl Database {
    /// Brings claim and activation in line with the spec.
    ///
    /// # Errors
    /// Fails when the claim cannot be obtained, or the database refuses.
    pub async fn enforce(&self, actor: Actor<'_>, enforce: &Enforce, plan: &CompiledPlan) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        let pid = server(&mut tx).await?.pid;
        let work = async move {
            lock_claim(&mut tx, actor, enforce.take_from.as_deref()).await?;
            if let Some(target) = enforce.activation {
                switch(&mut tx, actor.key, target, plan).await?;
            }
            record_spec(&mut tx, actor).await?;
            self.may_commit()?;
            tx.commit().await.or_failure(During::action("committing"))
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }
}
