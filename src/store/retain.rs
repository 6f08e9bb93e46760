//! The object is released, and the organization and its data stay as they are.

use std::fmt::Write as _;

use sqlx::Connection as _;

use super::claim::{drop_claim, lock_claim_of_object};
use super::ledger::Record;
use super::recovery_window::restore;
use super::{Actor, erasures, ledger};
use crate::api::Reason;
use crate::api::condition::stage;
use crate::api::status::Outcome;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::domain::completion::CompletionProof;
use crate::domain::decide::{KeepBecause, interrupted};
use crate::domain::{Failure, Subject};
use planner::CompiledPlan;

impl Database {
    /// Records that the data is kept, and restores the activation that a recovery window changed. An object that owns
    /// nothing restores nothing. Where pages have deleted rows, it records that instead.
    ///
    /// # Errors
    /// Fails with `ErasureInterrupted` if pages have deleted rows, and nobody has decided yet what happens to the rest; and
    /// when the database refuses. The caller then decides whether to wait.
    pub async fn retain(
        &self,
        cluster: &str,
        subject: &Subject,
        because: &KeepBecause,
        plan: Option<&CompiledPlan>,
    ) -> Result<CompletionProof, Failure> {
        match self.retain_once(cluster, subject, because, plan).await {
            // A page of another process may have been committed meanwhile: the second attempt sees what it deleted.
            Err(failure) if failure.reason == Reason::SerializationFailure => {
                self.retain_once(cluster, subject, because, plan).await
            }
            done => done,
        }
    }

    async fn retain_once(
        &self,
        cluster: &str,
        subject: &Subject,
        because: &KeepBecause,
        plan: Option<&CompiledPlan>,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        let mine = lock_claim_of_object(&mut tx, cluster, &subject.uid).await?;
        let key = mine.as_ref().map_or(subject.organization_id.as_str(), |mine| mine.key.as_str());
        let actor = Actor { cluster, subject, key };
        let entry = ledger::entry_of(&mut tx, cluster, &subject.uid).await?;
        if let Some(entry) = entry.filter(|entry| !entry.may_go_on()) {
            return Ok(CompletionProof::recorded(&entry).unwrap_or_else(|| CompletionProof::unverified(&entry)));
        }
        let begun = mine.as_ref().and_then(|mine| mine.under_way.as_ref());
        if let Some(begun) = begun.filter(|begun| begun.uid == subject.uid && begun.rows() > 0) {
            if *because == KeepBecause::Policy {
                return Err(interrupted(subject, begun, "a remainder that was not counted yet"));
            }
            let detail = format!("{}; the remainder was not counted", kept(because));
            let pages = erasures::end_with_claim(&mut tx, actor).await?;
            let record = Record::kept(Outcome::Interrupted, subject.policy, &detail).after(pages.as_ref());
            ledger::write(&mut tx, actor, &record).await?;
            self.commit(tx).await?;
            return Ok(CompletionProof::interrupted(begun.deleted.clone(), detail));
        }
        let mut detail = kept(because);
        if let Some(mine) = &mine
            && mine.claim.window.is_some_and(|w| w.was_active)
        {
            // The data is kept whether or not the organization can be switched on again.
            let mut savepoint = tx.begin().await.or_failure(During::action("restoring the activation"))?;
            let refused = match plan {
                Some(plan) => restore(&mut savepoint, mine, plan).await.err().map(|f| f.reason),
                None => Some(Reason::SchemaMismatch),
            };
            let ended = if refused.is_some() { savepoint.rollback().await } else { savepoint.commit().await };
            ended.or_failure(During::action("restoring the activation"))?;
            if let Some(reason) = refused {
                let _ = write!(
                    detail,
                    "; it is still deactivated, because activating it again failed ({reason}): activate it in the platform"
                );
            }
        }
        drop_claim(&mut tx, actor).await?;
        let record = Record::kept(Outcome::Retained, subject.policy, &detail);
        ledger::write(&mut tx, actor, &record).await?;
        self.commit(tx).await?;
        Ok(CompletionProof::retained(detail))
    }
}

fn kept(because: &KeepBecause) -> String {
    match because {
        KeepBecause::Policy => "the deletion policy says so".to_owned(),
        KeepBecause::Uninstall => {
            "the CustomResourceDefinition is being deleted, which is not a request to erase organizations".to_owned()
        }
        KeepBecause::RaiseRefused => {
            "the deletion policy was raised after the deletion began, which the operator refuses".to_owned()
        }
        KeepBecause::NotOwner { owner } => format!("the object {owner} owns the organization, this one does not"),
    }
}

/// The proof without a record: the database did not answer in time, or it could not write one.
#[must_use]
pub fn kept_without_record(because: &KeepBecause, subject: &Subject, failed: Option<Reason>) -> CompletionProof {
    let why = match failed {
        Some(Reason::DatabaseUnavailable) => "the database could not be reached".to_owned(),
        Some(reason) => format!("the operator could not write to the database ({reason})"),
        None => "the database did not answer in time".to_owned(),
    };
    let before = match subject.stage.as_deref() {
        _ if subject.rows_may_be_gone => {
            "; rows may have been deleted in pages before, and the organization may still be deactivated: check \
             organization_operator.erasures"
        }
        Some(stage::ERASING | stage::VERIFYING) => {
            "; an erasure was under way before and may have been committed: check the ledger"
        }
        Some(stage::RECOVERY_WINDOW | stage::DRAINING) => "; it is still deactivated: activate it in the platform",
        Some(stage::SHRINKING) => "; it may still be deactivated: activate it in the platform",
        _ => "",
    };
    CompletionProof::retained(format!("{}; {why}, so the ledger has no record{before}", kept(because)))
}
