//! kstatus, what is worth a write, and what is kept from one status to the next.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::deletion::Deletion;
use super::sentences::{Waits, explained};
use super::status::{status, worth_writing};
use crate::api::condition::{self, stage};
use crate::api::status::{ClaimStatus, ErrorCause, Inventory, ObservedState, OrganizationStatus, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::domain::attempts::Attempts;
use crate::domain::completion::CompletionProof;
use crate::domain::reconciliation::{Ended, Observed, Reconciliation};
use crate::domain::subject::example as subject;
use crate::domain::{Effect, Failure};

const WAITS: Waits = Waits { backoff: Duration::from_mins(1), slow: Duration::from_mins(15) };

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn failure(reason: Reason) -> Failure {
    Failure::new(reason, "it went wrong").remedy("set it right")
}

fn observed(state: ObservedState) -> Observed {
    Observed { state: Some(state), deletion_ready: Some(Ok(None)), ..Observed::default() }
}

fn attempt(count: i32) -> Attempts {
    Attempts { count, delay: Some(Duration::from_mins(1)) }
}

fn after(previous: Option<&OrganizationStatus>, ended: &Ended, attempts: Attempts, now: i64) -> OrganizationStatus {
    let reconciliation = Reconciliation::new(ended.clone(), observed(ObservedState::Active));
    status(&subject(), previous, &reconciliation, attempts, &WAITS, at(now))
}

fn condition<'a>(status: &'a OrganizationStatus, kind: &str) -> Option<(&'a str, &'a str)> {
    status.conditions.iter().find(|c| c.type_ == kind).map(|c| (c.status.as_str(), c.reason.as_str()))
}

fn every_end() -> Vec<Ended> {
    let mut ends = vec![Ended::InSync];
    for &reason in Reason::ALL {
        ends.push(Ended::Failed(failure(reason)));
        ends.push(Ended::Deleting(Deletion::blocked(DeletionPolicy::Delete, failure(reason), false)));
    }
    for stage in
        [stage::SUSPENDED, stage::RECOVERY_WINDOW, stage::DRAINING, stage::ERASING, stage::VERIFYING, stage::COMPLETED]
    {
        ends.push(Ended::Deleting(Deletion::at(DeletionPolicy::Delete, stage, "Under way.")));
    }
    ends
}

#[test]
fn kstatus_rules_hold_after_every_end() {
    for ended in every_end() {
        let status = after(None, &ended, attempt(1), 1);
        assert_eq!(status.observed_generation, Some(7), "{ended:?}");
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(7), "{ended:?}: {}", condition.type_);
            assert!(!condition.reason.is_empty() && !condition.message.is_empty(), "{ended:?}: {}", condition.type_);
        }
        let ready = condition(&status, "Ready").expect("Ready is always there");
        let (reconciling, stalled) = (condition(&status, "Reconciling"), condition(&status, "Stalled"));
        assert!(reconciling.is_none_or(|c| c.0 == "True"), "{ended:?}: Reconciling only while true");
        assert!(stalled.is_none_or(|c| c.0 == "True"), "{ended:?}: Stalled only while true");
        assert!(reconciling.is_none() || stalled.is_none(), "{ended:?}: not both");
        assert_eq!(ready.0 == "True", reconciling.is_none() && stalled.is_none(), "{ended:?}: {status:?}");
        let deletes = matches!(ended, Ended::Deleting(_));
        assert_eq!(condition(&status, "Deleting").is_some(), deletes, "{ended:?}");
        assert_eq!(condition(&status, "DeletionBlocked").is_some(), deletes, "{ended:?}");
        // What blocks this deletion is why a deletion would not work today.
        let blocked = match &ended {
            Ended::Deleting(deletion) => deletion.failure.as_ref().map(|f| ("False", f.reason.as_str())),
            _ => None,
        };
        assert_eq!(condition(&status, "DeletionReady"), Some(blocked.unwrap_or(("True", "PlanComplete"))), "{ended:?}");
    }
}

#[test]
fn an_error_is_one_word_everywhere_and_says_what_to_do() {
    for &reason in Reason::ALL {
        let status = after(
            None,
            &Ended::Deleting(Deletion::blocked(DeletionPolicy::Delete, failure(reason), false)),
            attempt(1),
            1,
        );
        assert_eq!(condition(&status, "DeletionBlocked"), Some(("True", reason.as_str())));
        assert_eq!(condition(&status, "Ready"), Some(("False", reason.as_str())));
        assert_eq!(condition(&status, "Stalled").is_some(), reason.needs_a_person(), "{reason}");
        let error = status.error.expect("an error");
        assert_eq!((error.reason, error.code, error.remedy.as_deref()), (reason, reason.code(), Some("set it right")));
        let message = &status.conditions.iter().find(|c| c.type_ == "DeletionBlocked").expect("blocked").message;
        assert!(message.contains("it went wrong.") && message.contains("set it right."), "{message}");
    }
}

#[test]
fn a_blocked_deletion_that_goes_on_clears_its_error() {
    let blocked = after(
        None,
        &Ended::Deleting(Deletion::blocked(DeletionPolicy::Delete, failure(Reason::LockTimeout), false)),
        attempt(1),
        1,
    );
    let done =
        Deletion { outcome: Some(Outcome::Erased), ..Deletion::at(DeletionPolicy::Delete, stage::COMPLETED, "Done.") };
    let status = after(Some(&blocked), &Ended::Deleting(done), Attempts::default(), 9);
    assert_eq!(status.error, None);
    assert_eq!(condition(&status, "DeletionBlocked"), Some(("False", "NotBlocked")));
    let deletion = status.deletion.expect("a deletion");
    assert_eq!(deletion.start_time, Some(Time(at(1))), "the start is kept");
    assert_eq!(deletion.finish_time, Some(Time(at(9))));
    assert_eq!((deletion.attempts, deletion.outcome), (None, Some(Outcome::Erased)));
}

#[test]
fn only_attempts_1_2_4_8_are_worth_a_write() {
    let ended = Ended::Failed(failure(Reason::DatabaseUnavailable));
    let mut written = after(None, &ended, attempt(1), 1);
    assert!(worth_writing(None, &written));
    let mut writes = vec![1];
    for count in 2..=40 {
        let next = after(Some(&written), &ended, attempt(count), i64::from(count) * 100);
        if worth_writing(Some(&written), &next) {
            writes.push(count);
            written = next;
        }
    }
    assert_eq!(writes, [1, 2, 4, 8, 16, 32]);
    let error = written.error.expect("an error");
    assert_eq!(error.first_seen_time, Some(Time(at(1))), "first seen is kept");
    assert_eq!(error.last_seen_time, Some(Time(at(3200))));
    assert_eq!(error.attempts, Some(32));
}

#[test]
fn another_reason_is_a_new_error() {
    let before = after(None, &Ended::Failed(failure(Reason::LockTimeout)), attempt(3), 1);
    let status = after(Some(&before), &Ended::Failed(failure(Reason::PermissionDenied)), attempt(1), 50);
    assert!(worth_writing(Some(&before), &status));
    assert_eq!(status.error.expect("an error").first_seen_time, Some(Time(at(50))));
}

#[test]
fn nothing_new_is_not_worth_a_write() {
    for ended in every_end() {
        let before = after(None, &ended, Attempts::default(), 1);
        let status = after(Some(&before), &ended, Attempts::default(), 5000);
        assert!(!worth_writing(Some(&before), &status), "{ended:?}");
        assert_eq!(
            before.conditions.iter().map(|c| &c.last_transition_time).collect::<Vec<_>>(),
            status.conditions.iter().map(|c| &c.last_transition_time).collect::<Vec<_>>(),
            "{ended:?}: nothing flipped"
        );
    }
    let before = after(None, &Ended::InSync, Attempts::default(), 1);
    let off = Reconciliation::new(Ended::InSync, observed(ObservedState::Deactivated));
    let deactivated = status(&subject(), Some(&before), &off, Attempts::default(), &WAITS, at(2));
    assert!(worth_writing(Some(&before), &deactivated));
    assert_eq!(condition(&deactivated, "Ready"), Some(("True", "Deactivated")));
}

#[test]
fn what_was_not_observed_stays() {
    let claim = ClaimStatus { installation: "db".into(), organization_key: "1".into() };
    let inventory = Inventory { users: Some(3), total: 3, ..Inventory::default() };
    let full = Observed {
        claim: Some(claim.clone()),
        inventory: Some(inventory.clone()),
        deletion_ready: Some(Err(failure(Reason::SchemaMismatch))),
        ..observed(ObservedState::Active)
    };
    let full = Reconciliation::new(Ended::InSync, full);
    let before = status(&subject(), None, &full, Attempts::default(), &WAITS, at(1));
    let failed = Reconciliation::failed(&subject(), Observed::default(), failure(Reason::DatabaseUnavailable));
    let after = status(&subject(), Some(&before), &failed, attempt(1), &WAITS, at(2));
    assert_eq!(
        (after.state, &after.claim, &after.inventory),
        (Some(ObservedState::Active), &Some(claim), &Some(inventory))
    );
    assert_eq!(condition(&after, "DeletionReady"), Some(("False", "SchemaMismatch")));
    let first = status(&subject(), None, &failed, attempt(1), &WAITS, at(2));
    assert_eq!(condition(&first, "DeletionReady"), Some(("Unknown", "Unknown")));
}

#[test]
fn everything_stays_within_the_bounds_of_the_schema() {
    let long = "ä".repeat(20_000);
    let mut failure = Failure::new(Reason::ForeignKeyViolation, long.clone()).remedy(long.clone()).table(long.clone());
    failure = failure.entity(long.clone());
    failure.constraint = Some(long.clone());
    failure.causes = vec![ErrorCause { message: long.clone(), remedy: Some(long), ..ErrorCause::default() }; 100];
    let status = after(None, &Ended::Failed(failure), attempt(1), 1);
    let error = status.error.expect("an error");
    let within =
        |text: &str, limit: usize| assert!(text.chars().count() <= limit, "{} > {limit}", text.chars().count());
    within(&error.message, 8192);
    within(error.remedy.as_deref().expect("a remedy"), 8192);
    within(error.table.as_deref().expect("a table"), 255);
    within(error.constraint.as_deref().expect("a constraint"), 255);
    within(error.entity.as_deref().expect("an entity"), 63);
    assert_eq!(error.causes.len(), 64);
    within(&error.causes[0].message, 2048);
    within(error.causes[0].remedy.as_deref().expect("a remedy"), 2048);
    for condition in &status.conditions {
        within(&condition.message, 32_768);
    }
}

#[test]
fn sentences_name_the_configured_waits() {
    let waits = Waits { backoff: Duration::from_secs(90), slow: Duration::from_hours(1) };
    let told = |reason| explained(&failure(reason), "acme", &waits);
    let text = told(Reason::LockTimeout);
    assert!(text.ends_with(" The operator tries again after at most 90 seconds."), "{text}");
    let text = told(Reason::AdmissionDenied);
    assert!(
        text.contains(" The operator tries again after at most 60 minutes. To try at once: kubectl annotate"),
        "{text}"
    );
    let text = explained(&failure(Reason::LockTimeout), "acme", &WAITS);
    assert!(text.ends_with(" after at most a minute."), "{text}");
}

#[test]
fn an_object_that_is_held_shows_how_its_deletion_ended() {
    let refusal = failure(Reason::AdmissionDenied);
    let ended = Ended::Deleting(Deletion::held(DeletionPolicy::Deactivate, &CompletionProof::deactivated(), refusal));
    let status = after(None, &ended, attempt(1), 1);
    assert_eq!(status.deletion.as_ref().and_then(|d| d.outcome), Some(Outcome::Deactivated));
    assert_eq!(condition(&status, condition::DELETION_BLOCKED), Some(("True", "AdmissionDenied")));
    assert_eq!(condition(&status, condition::DELETING), Some(("True", stage::COMPLETED)));
    let message = status.error.expect("an error").message;
    assert!(message.ends_with("The deletion itself is completed (Deactivated); only the object remains"), "{message}");
}

#[test]
fn after_an_erasure_no_failure_says_that_nothing_was_deleted() {
    let mut terminating = subject();
    terminating.terminating_since = Some(at(0));
    let plain = terminating.clone();
    terminating.stage = Some(stage::VERIFYING.to_owned());
    let recorded = Observed { erased: true, ..Observed::default() };
    for (subject, observed, effect, expected) in [
        (&terminating, Observed::default(), Some(Effect::RolledBack), "This attempt deleted nothing"),
        (&plain, recorded.clone(), Some(Effect::RolledBack), "This attempt deleted nothing"),
        (&plain, recorded.clone(), Some(Effect::Untouched), "This attempt deleted nothing"),
        (&plain, recorded, Some(Effect::Open), "is not known"),
        (&plain, Observed::default(), Some(Effect::Erased), "The organization was erased"),
        (&plain, Observed::default(), Some(Effect::RolledBack), "Nothing was deleted"),
        (&plain, Observed::default(), Some(Effect::Open), "is not known"),
    ] {
        let failure = effect.into_iter().fold(failure(Reason::SchemaMismatch), Failure::effect);
        let reconciliation = Reconciliation::failed(subject, observed, failure);
        let message = reconciliation.failure().expect("a failure").message();
        assert!(message.contains(expected), "{message}");
        let status = status(subject, None, &reconciliation, attempt(1), &WAITS, at(1));
        let deleting = status.conditions.iter().find(|c| c.type_ == condition::DELETING).expect("it is deleted");
        let says_nothing = deleting.message.contains("Nothing was deleted");
        assert_eq!(says_nothing, expected == "Nothing was deleted", "{}", deleting.message);
    }
}

#[test]
fn what_another_object_left_is_told_of_a_live_object_whatever_it_asks_for() {
    for (state, expected) in [
        (ObservedState::Active, "The organization matches the spec. Look."),
        (ObservedState::Deactivated, "The organization is deactivated. Look."),
    ] {
        let observed = Observed { left_over: Some("Look.".into()), ..observed(state) };
        let reconciliation = Reconciliation::new(Ended::InSync, observed);
        let status = status(&subject(), None, &reconciliation, Attempts::default(), &WAITS, at(1));
        let message = |kind: &str| {
            status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.message.clone()).unwrap_or_default()
        };
        assert_eq!(message("Ready"), expected);
        assert_eq!(message("DeletionReady"), "Nothing is known to block a deletion. Look.");
    }
}
