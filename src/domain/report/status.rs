//! The status after a reconciliation, and whether it is worth a write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::conditions::Situation;
use super::deletion::{Deletion, deletion_status};
use super::error::detail;
use super::progress;
use super::sentences::Waits;
use crate::api::condition;
use crate::api::status::OrganizationStatus;
use crate::domain::attempts::Attempts;
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::subject::Subject;

/// The status after a reconciliation.
#[must_use]
pub fn status(
    subject: &Subject,
    previous: Option<&OrganizationStatus>,
    reconciliation: &Reconciliation,
    attempts: Attempts,
    waits: &Waits,
    now: Timestamp,
) -> OrganizationStatus {
    let empty = OrganizationStatus::default();
    let before = previous.unwrap_or(&empty);
    let observed = &reconciliation.observed;
    let failure = reconciliation.failure();
    let completed;
    let deletion = match &reconciliation.ended {
        Ended::Deleting(deletion) => Some(deletion),
        Ended::Completed(proof) => {
            completed = Deletion::completed(subject.policy, proof);
            Some(&completed)
        }
        Ended::InSync | Ended::Failed(_) => None,
    };
    let state = observed.state.or(before.state);
    let situation = Situation {
        subject,
        waits,
        failure,
        deletion,
        state,
        deletion_ready: observed.deletion_ready.as_ref(),
        left_over: observed.left_over.as_deref(),
        before: &before.conditions,
    };
    OrganizationStatus {
        observed_generation: Some(subject.generation),
        state,
        claim: observed.claim.clone().or_else(|| before.claim.clone()),
        inventory: observed.inventory.clone().or_else(|| before.inventory.clone()),
        deletion: deletion.map(|deletion| deletion_status(deletion, before.deletion.as_ref(), attempts, now)),
        error: failure.map(|f| detail(f, before.error.as_ref(), attempts, now)),
        conditions: condition::next(&before.conditions, situation.conditions(), subject.generation, &Time(now)),
    }
}

/// Whether the new status is worth a write. Times and attempt counts alone are not, except at attempts 1, 2, 4, 8 and so
/// on, so that a person who reads the status sees that the operator is still trying.
#[must_use]
pub fn worth_writing(before: Option<&OrganizationStatus>, after: &OrganizationStatus) -> bool {
    let Some(before) = before else { return true };
    let (mut was, mut is) = (timeless(before), timeless(after));
    if was != is {
        let of = |s: &OrganizationStatus| s.deletion.as_ref().and_then(|d| d.progress.clone());
        let due = progress::due(of(before).as_ref(), of(after).as_ref());
        // Numbers of a deletion in pages grow all the time.
        return due || without_numbers(&mut was) != without_numbers(&mut is);
    }
    let count = |s: &OrganizationStatus| s.error.as_ref().and_then(|e| e.attempts).unwrap_or_default();
    let (old, new) = (count(before), count(after));
    new > old && (new & (new - 1)) == 0
}

fn without_numbers(status: &mut OrganizationStatus) -> &OrganizationStatus {
    if let Some(deletion) = &mut status.deletion
        && let Some(progress) = &mut deletion.progress
    {
        deletion.summary = None;
        (progress.rows_deleted, progress.rows_estimated, progress.percent) = (0, 0, 0);
    }
    status
}

fn timeless(status: &OrganizationStatus) -> OrganizationStatus {
    let mut status = status.clone();
    if let Some(inventory) = &mut status.inventory {
        inventory.observed_time = None;
    }
    if let Some(error) = &mut status.error {
        error.attempts = None;
        error.last_seen_time = None;
        error.first_seen_time = None;
    }
    if let Some(deletion) = &mut status.deletion {
        deletion.attempts = None;
        deletion.next_attempt_time = None;
        deletion.start_time = None;
        deletion.finish_time = None;
        if let Some(progress) = &mut deletion.progress {
            progress::timeless(progress);
        }
    }
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}
