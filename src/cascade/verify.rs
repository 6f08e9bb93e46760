//! The second count, after COMMIT, of what no foreign key protects.

use sqlx::PgConnection;

use super::delete::Before;
use super::run::Run;
use super::schema;
use super::written;
use crate::api::Reason;
use crate::db::Database;
use crate::db::error::During;
use crate::db::organization::lock;
use crate::domain::commands::keep_data;
use crate::domain::completion::CompletionProof;
use crate::domain::facts::Presence;
use crate::domain::{Failure, Subject};
use crate::store::{Actor, captured_keys, ledger};
use planner::CompiledPlan;

/// What a second count found.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// Nothing is left.
    Completed(CompletionProof),
    /// Something had appeared and was deleted, so it has to be counted once more after another while.
    Swept,
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
}

impl Database {
    /// Counts again, after open transactions drained, what no foreign key protects, and deletes what has appeared.
    ///
    /// # Errors
    /// Fails when the database refuses, or when the organization is there again.
    pub async fn verify(
        &self,
        cluster: &str,
        subject: &Subject,
        key: &str,
        plan: &CompiledPlan,
    ) -> Result<Verification, Failure> {
        let actor = Actor { cluster, subject, key };
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let Some(entry) = ledger::entry_of(&mut tx, cluster, &subject.uid).await? else {
            return Err(Failure::new(Reason::InternalError, "the ledger entry of this erasure is gone"));
        };
        if let Some(done) = CompletionProof::recorded(&entry) {
            return Ok(Verification::Completed(done));
        }
        if !schema::unchanged(&mut tx, plan).await? {
            return Ok(Verification::PlanOutdated);
        }
        refuse_created_again(&mut tx, actor, plan).await?;
        // What has appeared since may be parents, too, and others may refer to it.
        captured_keys::resume(&mut tx, actor, erase).await?;
        let mut run = Run { connection: &mut tx, key, erase, keys: captured_keys::of(actor), unaccounted: 0 };
        run.defer_constraints().await?;
        run.forget_keys_in_use().await?;
        run.capture(&erase.late_exclusive).await?;
        run.refuse_blocked(&erase.late_preflight).await?;
        let before = written::before(run.connection).await?;
        run.detach().await?;
        let there = Before { found: None, organizations: &plan.root.table.name(), present: false, partitions: &[] };
        let deleted = run.delete(erase.late_deletes.iter(), &there).await?.rows;
        run.parents_gone().await?;
        // Only what these rows referred to: whoever stayed at the first time may be nobody's since, and is not ours to judge.
        run.none_left_behind().await?;
        let mut steps = entry.steps.clone();
        for (entity, rows) in erase.by_entity(&deleted) {
            if let Some(step) = steps.iter_mut().find(|s| s.entity == entity.name) {
                step.found += rows;
                step.deleted += rows;
            }
        }
        let written = before.since_all(run.connection, plan).await?;
        if deleted.iter().any(|(_, rows)| *rows > 0) {
            captured_keys::keep(run.connection, actor, erase).await?;
            ledger::amend(&mut tx, actor, &steps, written.as_deref(), false).await?;
            // The deleted rows may belong to an organization that was created meanwhile.
            refuse_created_again(&mut tx, actor, plan).await?;
            self.commit(tx).await?;
            return Ok(Verification::Swept);
        }
        let proof = run.nothing_left().await?;
        ledger::amend(&mut tx, actor, &steps, written.as_deref(), true).await?;
        captured_keys::drop(&mut tx, actor).await?;
        self.commit(tx).await?;
        Ok(Verification::Completed(CompletionProof::erased(proof, steps)))
    }
}

impl Run<'_> {
    /// Keys of parents that are there again belong to another organization now, and so do the rows that are found by them.
    async fn forget_keys_in_use(&mut self) -> Result<(), Failure> {
        let during = During::action("checking for keys that are in use again");
        for back in &self.erase.parents_back {
            self.row(&back.statement, during).await?;
        }
        Ok(())
    }
}

/// An organization that has the id of an erased one makes the rows of the two indistinguishable.
async fn refuse_created_again(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    if lock(connection, actor.key, plan).await? == Presence::Absent {
        return Ok(());
    }
    Err(Failure::new(
        Reason::ContentChanged,
        "an organization with this id was created before the operator had counted the unprotected tables of the erased one again; the rows of the two cannot be told apart",
    )
    .remedy(format!(
        "delete the new organization's row, or keep its data: {}",
        keep_data(&actor.subject.name)
    )))
}
