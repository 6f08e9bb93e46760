//! What is published, row by row.

use k8s_openapi::jiff::SignedDuration;

use super::*;
use crate::api::DeletionPolicy;
use crate::api::condition::stage;
use crate::api::status::{DeletionStatus, ObservedState, Outcome};
use crate::domain::report::error_detail;
use crate::domain::subject::example;

const WAITS: Waits = Waits { backoff: Duration::from_mins(1), slow: Duration::from_mins(15) };
const RESYNC: Duration = Duration::from_mins(10);
const RETRY: Duration = Duration::from_secs(4);

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1000)
}

fn subject(terminating: bool) -> Subject {
    Subject { terminating_since: terminating.then(now), ..example() }
}

fn failure(reason: Reason, blame: Blame) -> Failure {
    let mut failure = Failure::new(reason, "it went wrong");
    failure.blame = blame;
    failure
}

/// The status of an object that showed this failure, and this end of its deletion.
fn showed(reason: Option<Reason>, deleting: bool, outcome: Option<Outcome>) -> OrganizationStatus {
    let error = reason.map(|reason| error_detail(&failure(reason, Blame::Object)));
    let deletion = deleting.then(|| DeletionStatus { outcome, ..DeletionStatus::default() });
    OrganizationStatus { deletion, error, ..OrganizationStatus::default() }
}

fn ended(ended: Ended) -> Reconciliation {
    let observed = Observed { state: Some(ObservedState::Active), ..Observed::default() };
    Reconciliation { again: Some(RESYNC), ..Reconciliation::new(ended, observed) }
}

fn failed(terminating: bool, reason: Reason, blame: Blame) -> Reconciliation {
    Reconciliation::failed(&subject(terminating), Observed::default(), failure(reason, blame))
}

/// What is published, in a few words.
fn told(terminating: bool, previous: Option<&OrganizationStatus>, reconciliation: &Reconciliation) -> String {
    let subject = subject(terminating);
    let attempts = match own_failure(&subject, reconciliation) {
        Some(_) => Attempts { count: 1, delay: Some(RETRY) },
        None => Attempts::default(),
    };
    let published = publication(&subject, previous, reconciliation, attempts, &WAITS, now());
    let mut words = Vec::new();
    words.extend(published.log.map(|_| "log".to_owned()));
    words.extend(published.events.iter().map(|event| format!("{:?} {}", event.severity, event.action)));
    words.extend(published.status.map(|_| "status".to_owned()));
    words.extend(published.release.map(|_| "release".to_owned()));
    let again = [(Some(RETRY), "retry"), (Some(RESYNC), "resync"), (None, "wait")];
    words.extend(again.into_iter().filter(|(again, _)| *again == published.again).map(|(_, word)| word.to_owned()));
    words.join(", ")
}

#[test]
fn live_objects() {
    let failed = |reason| failed(false, reason, Blame::Object);
    let schema = super::tests::failed(false, Reason::SchemaMismatch, Blame::Plan);
    let event = Some(completed(&CompletionProof::deactivated()));
    let announced = Reconciliation { announcement: event, ..ended(Ended::InSync) };
    let in_sync = Some(status(&subject(false), None, &ended(Ended::InSync), Attempts::default(), &WAITS, now()));
    let showed = |reason| Some(showed(Some(reason), false, None));
    let lock = || failed(Reason::LockTimeout);
    let missing = failed(Reason::OrganizationNotFound);
    for (name, previous, reconciliation, expected) in [
        ("in sync for the first time", None, ended(Ended::InSync), "status, resync"),
        ("in sync as before", in_sync.clone(), ended(Ended::InSync), "resync"),
        ("something was done", in_sync.clone(), announced, "Normal Delete, resync"),
        ("a failure", in_sync.clone(), lock(), "log, Warning Reconcile, status, retry"),
        ("the same failure again", showed(Reason::LockTimeout), lock(), "log, status, retry"),
        ("another failure", showed(Reason::StatementTimeout), lock(), "log, Warning Reconcile, status, retry"),
        ("nothing to worry about", None, missing, "log, Normal Reconcile, status, retry"),
        ("a fault of the plan", in_sync, schema, "status, wait"),
    ] {
        assert_eq!(told(false, previous.as_ref(), &reconciliation), expected, "{name}");
    }
}

#[test]
fn terminating_objects() {
    let waits = || ended(Ended::Deleting(Deletion::at(DeletionPolicy::Delete, stage::RECOVERY_WINDOW, "Waiting.")));
    let waiting = status(&subject(true), None, &waits(), Attempts::default(), &WAITS, now());
    let done = || ended(Ended::Completed(CompletionProof::deactivated()));
    let blocked = || failed(true, Reason::ForeignKeyViolation, Blame::Object);
    let schema = || failed(true, Reason::SchemaMismatch, Blame::Plan);
    let was_blocked = |reason| Some(showed(Some(reason), true, None));
    let live = Some(showed(Some(Reason::SchemaMismatch), false, None));
    let held = Some(showed(Some(Reason::AdmissionDenied), true, Some(Outcome::Deactivated)));
    let otherwise = Some(showed(None, true, Some(Outcome::Retained)));
    for (name, previous, reconciliation, expected) in [
        ("it waits", None, waits(), "status, resync"),
        ("it still waits", Some(waiting), waits(), "resync"),
        ("it is blocked", None, blocked(), "log, Warning Delete, status, retry"),
        ("it is still blocked", was_blocked(Reason::ForeignKeyViolation), blocked(), "log, status, retry"),
        ("a fault of the plan that the live object showed", live, schema(), "log, Warning Delete, status, retry"),
        ("a fault that blocked it before", was_blocked(Reason::SchemaMismatch), schema(), "log, status, retry"),
        ("it is completed", None, done(), "status, release, resync"),
        ("it is completed, and was not released", held, done(), "release, resync"),
        ("it ended otherwise than the status shows", otherwise, done(), "status, release, resync"),
    ] {
        assert_eq!(told(true, previous.as_ref(), &reconciliation), expected, "{name}");
    }
}

#[test]
fn a_refused_release_keeps_the_outcome_and_is_announced_once() {
    let (subject, proof) = (subject(true), CompletionProof::deactivated());
    let refusal = || failure(Reason::AdmissionDenied, Blame::Object);
    let attempt = |count| Attempts { count, delay: Some(RETRY) };
    for (count, announced) in [(1, true), (2, false), (3, false)] {
        assert_eq!(refused(&subject, &refusal(), attempt(count), &WAITS).is_some(), announced, "{count}");
    }
    let first = held(&subject, None, &proof, refusal(), attempt(1), &WAITS, now()).expect("a status");
    assert_eq!(first.deletion.as_ref().and_then(|d| d.outcome), Some(Outcome::Deactivated));
    assert_eq!(first.error.as_ref().map(|e| e.reason), Some(Reason::AdmissionDenied));
    for (count, written) in [(2, true), (3, false), (4, true)] {
        let again = held(&subject, Some(&first), &proof, refusal(), attempt(count), &WAITS, now());
        assert_eq!(again.is_some(), written, "{count}");
    }
}
