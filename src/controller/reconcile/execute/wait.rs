//! An erasure that waits: for a successor, for the end of the recovery window, or for open transactions to end.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::removal::Removal;
use crate::api::condition::{self, stage};
use crate::api::status::ObservedState;
use crate::domain::Failure;
use crate::domain::announcement::{Announcement, Severity};
use crate::domain::decide::Awaited;
use crate::domain::facts::Window;
use crate::domain::reconciliation::Reconciliation;
use crate::domain::report::deletion::Deletion;
use crate::domain::report::sentences::until_erasure;
use crate::domain::subject::whole_seconds;

/// A deletion whose organization was deactivated just now.
pub(super) fn window_started(removal: &Removal<'_>, started: Timestamp, obstacle: Option<Failure>) -> Reconciliation {
    let window = Window { started, was_active: true };
    let (until, awaited) = removal.with.due(removal.subject(), removal.facts, Some(window));
    let mut reconciliation = waiting(removal, until, awaited, true, obstacle);
    reconciliation.observed.state = Some(ObservedState::Deactivated);
    reconciliation
}

/// A deletion that waits. `obstacle` is what will block the erasure unless somebody clears it before.
pub(super) fn wait(
    removal: &Removal<'_>,
    until: Timestamp,
    awaited: Awaited,
    obstacle: Option<Failure>,
) -> Reconciliation {
    let deactivated = removal.observation.observed.state == Some(ObservedState::Deactivated);
    waiting(removal, until, awaited, deactivated, obstacle)
}

fn waiting(
    removal: &Removal<'_>,
    until: Timestamp,
    awaited: Awaited,
    deactivated: bool,
    obstacle: Option<Failure>,
) -> Reconciliation {
    let subject = removal.subject();
    let (stage, until) = match awaited {
        // The end by this process's clock moves a little with each reconciliation: what is shown does not.
        Awaited::Successor => (stage::AWAITING_SUCCESSOR, shown_end(removal, whole_seconds(until))),
        Awaited::RecoveryWindow => (stage::RECOVERY_WINDOW, whole_seconds(until)),
        Awaited::Writers => (stage::DRAINING, whole_seconds(until)),
    };
    // A temporary cause, such as a lock, says nothing about a time that is hours away.
    let obstacle = obstacle.filter(|o| o.reason.needs_a_person());
    let message = until_erasure(subject, awaited, until, deactivated, obstacle.as_ref());
    let begins = awaited == Awaited::RecoveryWindow && !shows(removal, stage);
    let deletion = Deletion { erase_time: Some(until), ..Deletion::at(subject.policy, stage, message.clone()) };
    let mut reconciliation = removal.under_way(deletion, pause(removal.facts.now, until));
    if let Some(obstacle) = obstacle {
        reconciliation.observed.deletion_ready = Some(Err(obstacle));
    }
    reconciliation.announcement = begins.then(|| Announcement::once(Severity::Warning, stage, "Delete", message));
    reconciliation
}

/// The end of the wait that the status shows already, where it is this one to within two seconds.
fn shown_end(removal: &Removal<'_>, until: Timestamp) -> Timestamp {
    let newest = removal.context.memory.newest_status(&removal.observation.object);
    let shown = newest.and_then(|s| s.deletion).and_then(|d| d.erase_time).map(|t| t.0);
    let near = |t: &Timestamp| until.duration_since(*t).abs() <= SignedDuration::from_secs(2);
    shown.filter(near).unwrap_or(until)
}

/// Whether the object's status shows this stage already.
fn shows(removal: &Removal<'_>, stage: &str) -> bool {
    let mut conditions = removal.observation.object.status.iter().flat_map(|s| &s.conditions);
    conditions.any(|c| c.type_ == condition::DELETING && c.reason == stage)
}

/// A little longer than the rest, so that the time has surely passed by the database's clock.
pub(super) fn pause(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(until)).unwrap_or_default() + Duration::from_millis(50)
}
