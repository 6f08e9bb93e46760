//! What is published about a reconciliation: `(previous status, reconciliation, attempts, waits, now) -> what to write`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::announcement::{Announcement, Severity};
use super::attempts::Attempts;
use super::completion::CompletionProof;
use super::failure::{Blame, Failure};
use super::reconciliation::{Ended, Observed, Reconciliation};
use super::report::deletion::Deletion;
use super::report::sentences::{Waits, explained};
use super::report::status::{status, worth_writing};
use super::subject::Subject;
use crate::api::Reason;
use crate::api::status::{OrganizationStatus, Outcome};

/// What to write, in the order of the fields: whoever watches the object sees how a deletion ended before the object is gone,
/// and a failure that the status shows was announced, also when the operator is killed in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication<'a> {
    /// A failure to log.
    pub log: Option<&'a Failure>,
    /// Events.
    pub events: Vec<Announcement>,
    /// The status. `None` if it says nothing new.
    pub status: Option<OrganizationStatus>,
    /// The proof with which the object is released, if it is.
    pub release: Option<&'a CompletionProof>,
    /// Rows deleted in a second, if they go in pages.
    pub rate: Option<i64>,
    /// When to reconcile again. `None` if something has to change first.
    pub again: Option<Duration>,
}

/// Decides what to publish. `attempts` is nothing unless the reconciliation has a [`failure of its own`](own_failure).
#[must_use]
pub fn publication<'a>(
    subject: &Subject,
    previous: Option<&OrganizationStatus>,
    reconciliation: &'a Reconciliation,
    attempts: Attempts,
    waits: &Waits,
    now: Timestamp,
) -> Publication<'a> {
    let own = own_failure(subject, reconciliation);
    let warning = own.filter(|failure| is_news(failure, previous)).map(|failure| warning(subject, failure, waits));
    let release = match &reconciliation.ended {
        Ended::Completed(proof) => Some(proof),
        _ => None,
    };
    // A status that shows the outcome already may say more: why the object was not released.
    let outcome = previous.and_then(|s| s.deletion.as_ref()).and_then(|d| d.outcome);
    let shown = outcome.is_some() && outcome == release.map(CompletionProof::outcome);
    let status = status(subject, previous, reconciliation, attempts, waits, now);
    let progress = status.deletion.as_ref().and_then(|d| d.progress.as_ref());
    Publication {
        rate: progress.and_then(|p| p.rows_per_second),
        log: own,
        events: warning.into_iter().chain(reconciliation.announcement.clone()).collect(),
        status: (!shown && worth_writing(previous, &status)).then_some(status),
        release,
        again: attempts.delay.or(reconciliation.again),
    }
}

/// The failure that has an Event, a log line and attempts of its own. A fault of the plan is reported once for all live
/// objects: each of them gets no more than one status write.
#[must_use]
pub fn own_failure<'a>(subject: &Subject, reconciliation: &'a Reconciliation) -> Option<&'a Failure> {
    reconciliation.failure().filter(|f| subject.terminating_since.is_some() || f.blame != Blame::Plan)
}

/// Whether the failure was not reported yet. A fault of the plan that the live object showed had no Event: it is news once it
/// blocks a deletion.
fn is_news(failure: &Failure, previous: Option<&OrganizationStatus>) -> bool {
    let shown = previous.filter(|s| s.deletion.is_some() || failure.blame != Blame::Plan);
    shown.and_then(|s| s.error.as_ref()).is_none_or(|error| error.reason != failure.reason)
}

fn warning(subject: &Subject, failure: &Failure, waits: &Waits) -> Announcement {
    let expected = failure.reason == Reason::OrganizationNotFound;
    let severity = if expected { Severity::Normal } else { Severity::Warning };
    let action = if subject.terminating_since.is_some() { "Delete" } else { "Reconcile" };
    let note = explained(failure, &subject.name, waits);
    Announcement::once(severity, failure.reason.as_str(), action, note).per_generation(subject.generation)
}

/// The Event about a write that the API server refused. The status cannot show it, so the first refusal has an Event.
#[must_use]
pub fn refused(subject: &Subject, refusal: &Failure, attempts: Attempts, waits: &Waits) -> Option<Announcement> {
    (attempts.count == 1).then(|| warning(subject, refusal, waits))
}

/// The status of an object whose deletion is completed, and that the API server refuses to release. `None` if it says
/// nothing new.
#[must_use]
pub fn held(
    subject: &Subject,
    previous: Option<&OrganizationStatus>,
    proof: &CompletionProof,
    refusal: Failure,
    attempts: Attempts,
    waits: &Waits,
    now: Timestamp,
) -> Option<OrganizationStatus> {
    let deletion = Deletion::held(subject.policy, proof, refusal);
    let reconciliation = Reconciliation::new(Ended::Deleting(deletion), Observed::default());
    Some(status(subject, previous, &reconciliation, attempts, waits, now)).filter(|s| worth_writing(previous, s))
}

/// The Event about a completed deletion.
#[must_use]
pub fn completed(proof: &CompletionProof) -> Announcement {
    let severity = if proof.outcome() == Outcome::Interrupted { Severity::Warning } else { Severity::Normal };
    Announcement::once(severity, proof.outcome().as_str(), "Delete", proof.sentence())
}

#[cfg(test)]
mod tests;
