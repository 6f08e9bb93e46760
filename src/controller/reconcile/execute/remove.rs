//! A terminating object: what each decision does.

use std::time::Duration;

use super::blockers::{examine, known};
use super::breaker;
use super::erase::{activated_again, erase};
use super::removal::{Removal, outdated};
use super::shrink::{Part, shrink};
use super::wait::{pause, wait, window_started};
use crate::api::Reason;
use crate::api::condition::stage;
use crate::api::status::DeletionStep;
use crate::cascade::erase::Erasure;
use crate::cascade::verify::Verification;
use crate::controller::context::Context;
use crate::domain::completion::CompletionProof;
use crate::domain::decide::{Awaited, KeepBecause, Remove, Size, interrupted};
use crate::domain::facts::{LedgerEntry, Presence};
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::{Effect, Failure, Subject};
use crate::store::retain::kept_without_record;

/// `Retain` never waits for the database: this is how long it may take to leave a record.
const RECORD_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn remove(removal: &Removal<'_>, decision: Remove) -> Result<Reconciliation, Failure> {
    let (database, plan) = (&removal.context.database, removal.plan);
    let proof = match decision {
        Remove::Refuse(failure) if matches!(failure.reason, Reason::BreakerTripped | Reason::StaleDeletion) => {
            return Err(activated_again(removal, failure).await);
        }
        Remove::Refuse(failure) => return Err(failure),
        Remove::Release(proof) => proof,
        Remove::Retain(because) => {
            database.retain(&removal.context.settings.cluster_id, removal.subject(), &because, Some(plan)).await?
        }
        Remove::Transfer(successor) => database.transfer(removal.actor(), &successor, plan).await?,
        Remove::Deactivate { take_from } => database.deactivate(removal.actor(), take_from.as_deref(), plan).await?,
        Remove::NotFound => database.not_found(removal.actor(), plan).await?.ok_or_else(appeared)?,
        Remove::StartWindow { take_from } => {
            breaker::let_pass(removal).await?;
            // A recovery window deactivates even if something will block the erasure at its end, and says what that is.
            let obstacle = match examine(removal).await {
                Err(failure) if removal.subject().recovery_window_seconds == 0 => return Err(failure),
                examined => examined.err(),
            };
            let started = database.start_window(removal.actor(), take_from.as_deref(), plan).await?;
            return Ok(window_started(removal, started, obstacle));
        }
        Remove::Wait { until, awaited } => {
            let obstacle = match awaited {
                // The faults of the plan are known already: the message need not wait.
                Awaited::Successor => {
                    plan.erase()?;
                    known(removal).await
                }
                Awaited::RecoveryWindow => examine(removal).await.err(),
                Awaited::Writers => None,
            };
            return Ok(wait(removal, until, awaited, obstacle));
        }
        Remove::Erase { take_from } => match let_pass_and_erase(removal, take_from.as_deref()).await {
            Ok(Ok(Erasure::Completed(proof))) => proof,
            Ok(Ok(Erasure::Unverified { steps })) => return Ok(unverified(removal, steps)),
            Ok(Ok(Erasure::PlanOutdated)) => return Err(activated_again(removal, outdated()).await),
            Ok(Ok(Erasure::Unwanted)) => return Ok(removal.unwanted()),
            Ok(Err(later)) => return Ok(*later),
            Err(failure) => return Err(activated_again(removal, failure).await),
        },
        Remove::Interrupt(begun) => {
            let left = database.interrupt(removal.actor(), plan, removal.facts).await?;
            return Err(interrupted(removal.subject(), &begun, &left));
        }
        Remove::KeepRemainder => database.keep_remainder(removal.actor(), plan, present(removal)).await?,
        Remove::Verify(entry) => return verify(removal, entry).await,
    };
    Ok(completed(removal, proof))
}

async fn let_pass_and_erase(
    removal: &Removal<'_>,
    take_from: Option<&str>,
) -> Result<Result<Erasure, Box<Reconciliation>>, Failure> {
    breaker::let_pass(removal).await?;
    erase_at_once_or_in_pages(removal, take_from).await
}

/// Erases, a large organization in slices. What is not the end of the erasure is a reconciliation that goes on later.
async fn erase_at_once_or_in_pages(
    removal: &Removal<'_>,
    take_from: Option<&str>,
) -> Result<Result<Erasure, Box<Reconciliation>>, Failure> {
    let Size::Large { estimated } = removal.with.size else {
        return erase(removal, take_from).await.map(Ok);
    };
    let place = match shrink(removal, take_from, estimated).await? {
        Part::Later(reconciliation) => return Ok(Err(reconciliation)),
        Part::Done(place) => place,
    };
    let erased = erase(removal, None).await;
    drop(place);
    erased.map(Ok)
}

/// Whether the organization's own row is there.
fn present(removal: &Removal<'_>) -> bool {
    removal.facts.organization != Presence::Absent
}

fn completed(removal: &Removal<'_>, proof: CompletionProof) -> Reconciliation {
    Reconciliation::new(Ended::Completed(proof), removal.observation.observed.clone())
}

async fn verify(removal: &Removal<'_>, entry: LedgerEntry) -> Result<Reconciliation, Failure> {
    let Context { database, settings, .. } = removal.context;
    let drained = entry.finished + settings.drain;
    if removal.facts.now < drained {
        let again = Some(pause(removal.facts.now, drained));
        return Ok(Reconciliation { again, ..unverified(removal, entry.steps) });
    }
    let (cluster, subject, key) = (&settings.cluster_id, removal.subject(), removal.facts.key.as_str());
    let mut verified = database.verify(cluster, subject, key, removal.plan).await?;
    if verified == Verification::PlanOutdated {
        let plan = removal.context.plan.refresh().await?;
        verified = database.verify(cluster, subject, key, &plan).await?;
    }
    match verified {
        Verification::Completed(proof) => Ok(completed(removal, proof)),
        Verification::Swept => Ok(unverified(removal, entry.steps)),
        Verification::PlanOutdated => Err(outdated()),
    }
}

fn unverified(removal: &Removal<'_>, steps: Vec<DeletionStep>) -> Reconciliation {
    let message = "Everything was erased. After the drain time, the operator counts the unprotected tables again.";
    let deletion = Deletion { steps, ..Deletion::at(removal.subject().policy, stage::VERIFYING, message) };
    removal.under_way(deletion, removal.context.settings.drain)
}

/// Keeps the data and leaves a record if that is possible within seconds. Fails if the database says that rows are gone.
pub(super) async fn retain_without_waiting(
    subject: &Subject,
    context: &Context,
    because: &KeepBecause,
) -> Result<CompletionProof, Failure> {
    let record = async {
        let plan = context.plan.get().await.ok();
        context.database.retain(&context.settings.cluster_id, subject, because, plan.as_deref()).await
    };
    Ok(match tokio::time::timeout(RECORD_LIMIT, record).await {
        Ok(Ok(proof)) => proof,
        Ok(Err(failure)) if failure.reason == Reason::ErasureInterrupted => return Err(failure),
        Ok(Err(failure)) => {
            tracing::warn!(object = subject.name, reason = failure.reason.as_str(), "{}", failure.message());
            kept_without_record(because, subject, Some(failure.reason))
        }
        Err(_) => kept_without_record(because, subject, None),
    })
}

fn appeared() -> Failure {
    Failure::new(Reason::ContentChanged, "the organization, or rows of it, appeared between two queries")
        .effect(Effect::RolledBack)
        .remedy("wait, because this usually clears by itself; if it does not, stop whatever writes to the organization")
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
