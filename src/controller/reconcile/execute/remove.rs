//! A terminating object: what each decision does.

use std::time::Duration;

use super::blockers::{examine, known};
use super::erase::erase_or_activate_again;
use super::task::{Task, outdated};
use super::wait::{pause, wait, window_started};
use crate::api::Reason;
use crate::api::condition::stage;
use crate::api::status::DeletionStep;
use crate::controller::backoff::AFTER_A_CHANGE;
use crate::controller::context::Context;
use crate::db::erase::Erasure;
use crate::db::settle;
use crate::db::verify::Verification;
use crate::domain::completion::CompletionProof;
use crate::domain::decide::{Awaited, KeepBecause, Remove};
use crate::domain::facts::LedgerEntry;
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::{Effect, Failure, Subject};

/// `Retain` never waits for the database: this is how long it may take to leave a record.
const RECORD_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn remove(task: &Task<'_>, decision: Remove) -> Result<Reconciliation, Failure> {
    let (database, plan) = (&task.context.database, task.plan);
    let proof = match decision {
        Remove::Refuse(failure) => return Err(failure),
        Remove::Release(proof) => proof,
        Remove::Retain(because) => {
            database.retain(&task.context.settings.cluster_id, task.subject(), &because, Some(plan)).await?
        }
        Remove::Transfer(successor) => database.transfer(task.actor(), &successor, plan).await?,
        Remove::Deactivate { take_from } => database.deactivate(task.actor(), take_from.as_deref(), plan).await?,
        Remove::NotFound => database.not_found(task.actor(), plan).await?.ok_or_else(appeared)?,
        Remove::StartWindow { take_from } => {
            // A recovery window deactivates whatever will block the erasure at its end, and says what that is.
            let obstacle = match examine(task).await {
                Err(failure) if task.subject().recovery_window_seconds == 0 => return Err(failure),
                examined => examined.err(),
            };
            let started = database.start_window(task.actor(), take_from.as_deref(), plan).await?;
            return Ok(window_started(task, started, obstacle));
        }
        Remove::Wait { until, awaited } => {
            let obstacle = match awaited {
                // What is wrong with the plan is known already: nobody has to wait for the message.
                Awaited::Successor => {
                    plan.erase()?;
                    known(task).await
                }
                Awaited::RecoveryWindow => examine(task).await.err(),
                Awaited::Writers => None,
            };
            return Ok(wait(task, until, awaited, obstacle));
        }
        Remove::Erase { take_from } => match erase_or_activate_again(task, take_from.as_deref()).await? {
            Erasure::Completed(proof) => proof,
            Erasure::Unverified { steps } => return Ok(unverified(task, steps)),
            Erasure::PlanOutdated => return Err(outdated()),
            Erasure::Unwanted => return Ok(unwanted(task)),
        },
        Remove::Verify(entry) => return verify(task, entry).await,
    };
    Ok(completed(task, proof))
}

fn completed(task: &Task<'_>, proof: CompletionProof) -> Reconciliation {
    Reconciliation::new(Ended::Completed(proof), task.observation.observed.clone())
}

async fn verify(task: &Task<'_>, entry: LedgerEntry) -> Result<Reconciliation, Failure> {
    let Context { database, settings, .. } = task.context;
    let drained = entry.finished + settings.drain;
    if task.facts.now < drained {
        let again = Some(pause(task.facts.now, drained));
        return Ok(Reconciliation { again, ..unverified(task, entry.steps) });
    }
    let (cluster, subject, key) = (&settings.cluster_id, task.subject(), task.facts.key.as_str());
    let mut verified = database.verify(cluster, subject, key, task.plan).await?;
    if verified == Verification::PlanOutdated {
        let plan = task.context.plan.refresh().await?;
        verified = database.verify(cluster, subject, key, &plan).await?;
    }
    match verified {
        Verification::Completed(proof) => Ok(completed(task, proof)),
        Verification::Swept => Ok(unverified(task, entry.steps)),
        Verification::PlanOutdated => Err(outdated()),
    }
}

fn unverified(task: &Task<'_>, steps: Vec<DeletionStep>) -> Reconciliation {
    let message = "Everything was erased. After the drain time the operator counts the tables again that no foreign key \
                   protects.";
    let deletion = Deletion { steps, ..Deletion::at(task.subject().policy, stage::VERIFYING, message) };
    task.under_way(deletion, task.context.settings.drain)
}

fn unwanted(task: &Task<'_>) -> Reconciliation {
    let message = "The object changed before the first row was deleted. Nothing was deleted; the operator reads the object \
                   again.";
    task.under_way(Deletion::at(task.subject().policy, stage::PENDING, message), AFTER_A_CHANGE)
}

/// Keeps the data and leaves a record if that is possible within seconds.
pub(super) async fn retain_without_waiting(
    subject: &Subject,
    context: &Context,
    because: &KeepBecause,
) -> CompletionProof {
    let record = async {
        let plan = context.plan.get().await.ok();
        context.database.retain(&context.settings.cluster_id, subject, because, plan.as_deref()).await
    };
    match tokio::time::timeout(RECORD_LIMIT, record).await {
        Ok(Ok(proof)) => proof,
        Ok(Err(failure)) => {
            tracing::warn!(object = subject.name, reason = failure.reason.as_str(), "{}", failure.message());
            settle::kept_without_record(because, subject, Some(failure.reason))
        }
        Err(_) => settle::kept_without_record(because, subject, None),
    }
}

fn appeared() -> Failure {
    Failure::new(Reason::ContentChanged, "the organization, or rows of it, appeared between two queries")
        .effect(Effect::RolledBack)
        .remedy("nothing, if it passes by itself; if not, stop what writes to the organization")
}

#[cfg(test)]
mod tests {
    use super::RECORD_LIMIT;

    #[test]
    fn the_documentation_says_how_long_retain_waits() {
        let docs = include_str!("../../../../docs/organization.md");
        let sentence = format!("`Retain` waits at most {} seconds for its row", RECORD_LIMIT.as_secs());
        assert!(docs.contains(&sentence), "{sentence}");
    }
}
