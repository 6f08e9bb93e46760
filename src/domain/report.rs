//! How the outcome of a pass becomes status.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::completion::CompletionProof;
use super::decide::{Awaited, keep_data};
use super::failure::{Blame, Failure};
use super::subject::Subject;
use crate::api::condition::{self, Status, Wanted, stage};
use crate::api::status::{
    ClaimStatus, DeletionStatus, DeletionStep, ErrorDetail, Inventory, ObservedState, OrganizationStatus, Outcome,
};
use crate::api::{Activation, DeletionPolicy, Reason, Retry};

/// How a pass over a live object ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Pass {
    /// Everything is as the spec says.
    Settled,
    /// It failed.
    Failed(Failure),
    /// The object is being deleted.
    Deleting(Deletion),
}

impl Pass {
    /// What went wrong, if something did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Deleting(deletion) => deletion.failure.as_ref(),
            Self::Settled => None,
        }
    }
}

/// How a pass over a terminating object ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// The policy in effect.
    pub policy: DeletionPolicy,
    /// Where it stands: one of [`stage`].
    pub stage: &'static str,
    /// One sentence about the stage.
    pub message: String,
    /// When the data will be erased.
    pub erase_time: Option<Timestamp>,
    /// What was found and deleted.
    pub steps: Vec<DeletionStep>,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// What stands in the way.
    pub failure: Option<Failure>,
}

/// What was seen of the organization in this pass. What was not seen stays as the previous status has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What the database says.
    pub state: Option<ObservedState>,
    /// Where the organization is claimed.
    pub claim: Option<ClaimStatus>,
    /// Rows.
    pub inventory: Option<Inventory>,
    /// Whether a deletion would work today.
    pub deletion_ready: Option<Result<(), Failure>>,
    /// The ledger says that it was erased.
    pub erased: bool,
    /// With a deletion that would work: what could stand in its way without anybody changing the plan.
    pub caveat: Option<String>,
}

/// Failed attempts at the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many.
    pub count: i32,
    /// When the next one is due.
    pub next: Option<Timestamp>,
}

/// The longest waits between two attempts, as they are configured. Sentences name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After what is expected to pass by itself.
    pub backoff: Duration,
    /// After what a person has to clear.
    pub slow: Duration,
}

/// The status after a pass.
#[must_use]
pub fn status(
    subject: &Subject,
    previous: Option<&OrganizationStatus>,
    pass: &Pass,
    seen: Seen,
    attempts: Attempts,
    waits: &Waits,
    now: Timestamp,
) -> OrganizationStatus {
    let empty = OrganizationStatus::default();
    let before = previous.unwrap_or(&empty);
    let failure = pass.failure();
    let state = seen.state.or(before.state);
    let about = About { subject, waits };
    let wanted = wanted(&about, pass, failure, state, before, (seen.deletion_ready, seen.caveat));
    OrganizationStatus {
        observed_generation: Some(subject.generation),
        state,
        claim: seen.claim.or_else(|| before.claim.clone()),
        inventory: seen.inventory.or_else(|| before.inventory.clone()),
        deletion: match pass {
            Pass::Deleting(deletion) => Some(deletion_status(deletion, before, attempts, now)),
            _ => None,
        },
        error: failure.map(|f| detail(f, before.error.as_ref(), attempts, now)),
        conditions: condition::next(&before.conditions, wanted, subject.generation, &Time(now)),
    }
}

/// Whose conditions are written, and what their sentences need besides.
struct About<'a> {
    subject: &'a Subject,
    waits: &'a Waits,
}

impl About<'_> {
    fn explained(&self, failure: &Failure) -> String {
        explained(failure, &self.subject.name, self.waits)
    }

    /// What would stand in the way of a deletion. Of rows, nothing was tried before somebody deletes: they were looked for.
    fn foreseen(&self, failure: &Failure) -> String {
        if failure.reason != Reason::ForeignKeyViolation || self.subject.terminating_since.is_some() {
            return self.explained(failure);
        }
        format!("{} It is looked for again regularly; at once after: {}", cured(failure), try_again(&self.subject.name))
    }
}

fn wanted(
    about: &About<'_>,
    pass: &Pass,
    failure: Option<&Failure>,
    state: Option<ObservedState>,
    before: &OrganizationStatus,
    (deletion_ready, caveat): (Option<Result<(), Failure>>, Option<String>),
) -> Vec<Wanted> {
    let mut conditions = Vec::new();
    match pass {
        Pass::Settled => conditions.push(settled(about.subject, state)),
        Pass::Failed(failure) => {
            conditions.push(Wanted {
                kind: condition::READY,
                status: Status::False,
                reason: failure.reason.as_str(),
                message: about.explained(failure),
            });
        }
        Pass::Deleting(deletion) => {
            let (reason, message) = match failure {
                Some(f) => (f.reason.as_str(), about.explained(f)),
                None => (condition::DELETING, deletion.message.clone()),
            };
            conditions.push(Wanted { kind: condition::READY, status: Status::False, reason, message });
        }
    }
    conditions.extend(progress(about, pass, failure));
    let blocked = matches!(pass, Pass::Deleting(_)).then(|| failure.cloned().map(Err)).flatten();
    conditions.push(ready_to_delete(about, before, blocked.or(deletion_ready), caveat.as_deref()));
    if let Pass::Deleting(deletion) = pass {
        conditions.push(Wanted {
            kind: condition::DELETING,
            status: Status::True,
            reason: deletion.stage,
            message: deletion.message.clone(),
        });
        conditions.push(match failure {
            Some(f) => Wanted {
                kind: condition::DELETION_BLOCKED,
                status: Status::True,
                reason: f.reason.as_str(),
                message: about.explained(f),
            },
            None => Wanted {
                kind: condition::DELETION_BLOCKED,
                status: Status::False,
                reason: condition::NOT_BLOCKED,
                message: "Nothing stands in the way.".into(),
            },
        });
    }
    conditions
}

fn settled(subject: &Subject, state: Option<ObservedState>) -> Wanted {
    let (reason, message) = match (subject.state, state) {
        (_, Some(ObservedState::Deactivated)) if subject.state != Some(Activation::Active) => {
            (condition::DEACTIVATED, "The organization is deactivated; its data is kept.")
        }
        _ => (condition::RECONCILED, "The organization is as the spec says."),
    };
    Wanted { kind: condition::READY, status: Status::True, reason, message: message.into() }
}

/// `Reconciling` while work is left, `Stalled` while only a person can help (kstatus).
fn progress(about: &About<'_>, pass: &Pass, failure: Option<&Failure>) -> Option<Wanted> {
    match failure {
        Some(f) if f.reason.needs_a_person() => Some(Wanted {
            kind: condition::STALLED,
            status: Status::True,
            reason: f.reason.as_str(),
            message: about.explained(f),
        }),
        Some(f) => Some(Wanted {
            kind: condition::RECONCILING,
            status: Status::True,
            reason: condition::PROGRESSING_WITH_RETRY,
            message: about.explained(f),
        }),
        None => match pass {
            Pass::Deleting(deletion) => Some(Wanted {
                kind: condition::RECONCILING,
                status: Status::True,
                reason: condition::DELETING,
                message: deletion.message.clone(),
            }),
            _ => None,
        },
    }
}

fn ready_to_delete(
    about: &About<'_>,
    before: &OrganizationStatus,
    seen: Option<Result<(), Failure>>,
    caveat: Option<&str>,
) -> Wanted {
    match seen {
        Some(Ok(())) => Wanted {
            kind: condition::DELETION_READY,
            status: Status::True,
            reason: condition::PLAN_COMPLETE,
            message: ["Nothing is known that would stand in the way of a deletion."]
                .into_iter()
                .chain(caveat)
                .collect::<Vec<_>>()
                .join(" "),
        },
        Some(Err(f)) => Wanted {
            kind: condition::DELETION_READY,
            status: Status::False,
            reason: f.reason.as_str(),
            message: about.foreseen(&f),
        },
        None => before
            .conditions
            .iter()
            .find(|c| c.type_ == condition::DELETION_READY)
            .and_then(|c| {
                // Keep what was said last; the words are ours, so the reason is one of ours.
                let reason = Reason::ALL
                    .iter()
                    .map(|r| r.as_str())
                    .chain([condition::PLAN_COMPLETE, condition::UNKNOWN])
                    .find(|r| *r == c.reason)?;
                let status =
                    [Status::True, Status::False, Status::Unknown].into_iter().find(|s| s.as_str() == c.status)?;
                Some(Wanted { kind: condition::DELETION_READY, status, reason, message: c.message.clone() })
            })
            .unwrap_or_else(|| Wanted {
                kind: condition::DELETION_READY,
                status: Status::Unknown,
                reason: condition::UNKNOWN,
                message: "The database has not been asked yet.".into(),
            }),
    }
}

/// The message of a condition: what happened, what clears it, when it is tried again.
#[must_use]
pub fn explained(failure: &Failure, name: &str, waits: &Waits) -> String {
    let mut text = cured(failure);
    match (failure.reason, failure.reason.retry()) {
        _ if failure.blame == Blame::Plan => {
            text.push_str(
                " It holds for every organization. It is tried again when the schema has changed, \
                 which is looked for at every poll.",
            );
        }
        (Reason::OrganizationNotFound, _) => text.push_str(" The database is asked again regularly."),
        (_, Retry::Backoff) => {
            let _ = write!(text, " It is tried again after at most {}.", length(waits.backoff));
        }
        (_, Retry::Slow) => {
            let _ = write!(
                text,
                " It is tried again after at most {}; at once after: {}",
                length(waits.slow),
                try_again(name)
            );
        }
        (_, Retry::Change) => text.push_str(" It is tried again when the object changes."),
    }
    text
}

/// What happened, and what clears it.
fn cured(failure: &Failure) -> String {
    let mut text = failure.message();
    if !text.ends_with('.') {
        text.push('.');
    }
    if let Some(remedy) = &failure.remedy {
        text.push_str(" To clear it: ");
        text.push_str(remedy);
        if !remedy.ends_with(['.', ';']) {
            text.push('.');
        }
    }
    text
}

/// What makes the operator look at an object at once.
fn try_again(name: &str) -> String {
    format!("kubectl annotate organization {name} organization-operator.io/retry=\"$(date +%s)\" --overwrite")
}

/// A wait in the words of a person: whole minutes as such, all else in seconds.
fn length(wait: Duration) -> String {
    match wait.as_secs() {
        60 => "a minute".to_owned(),
        1 => "a second".to_owned(),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

fn deletion_status(
    deletion: &Deletion,
    before: &OrganizationStatus,
    attempts: Attempts,
    now: Timestamp,
) -> DeletionStatus {
    let previous = before.deletion.as_ref();
    DeletionStatus {
        policy: deletion.policy,
        outcome: deletion.outcome,
        steps: if deletion.steps.is_empty() {
            previous.map(|p| p.steps.clone()).unwrap_or_default()
        } else {
            deletion.steps.clone()
        },
        start_time: previous.and_then(|p| p.start_time.clone()).or(Some(Time(now))),
        finish_time: deletion.outcome.map(|_| previous.and_then(|p| p.finish_time.clone()).unwrap_or(Time(now))),
        erase_time: deletion.erase_time.map(Time),
        attempts: (attempts.count > 0).then_some(attempts.count),
        next_attempt_time: attempts.next.map(Time),
    }
}

fn detail(failure: &Failure, before: Option<&ErrorDetail>, attempts: Attempts, now: Timestamp) -> ErrorDetail {
    let first_seen =
        before.filter(|b| b.reason == failure.reason).and_then(|b| b.first_seen_time.clone()).unwrap_or(Time(now));
    ErrorDetail {
        attempts: Some(attempts.count.max(1)),
        first_seen_time: Some(first_seen),
        last_seen_time: Some(Time(now)),
        ..error_detail(failure)
    }
}

/// The standard error detail of a failure, without times and attempts.
#[must_use]
pub fn error_detail(failure: &Failure) -> ErrorDetail {
    let cut = |text: &str, limit: usize| condition::truncate(text.to_owned(), limit);
    ErrorDetail {
        reason: failure.reason,
        code: failure.reason.code(),
        message: cut(&failure.message(), 8192),
        entity: failure.entity.as_deref().map(|t| cut(t, 63)),
        table: failure.table.as_deref().map(|t| cut(t, 255)),
        constraint: failure.constraint.as_deref().map(|t| cut(t, 255)),
        sql_state: failure.sql_state.clone(),
        rows: failure.rows,
        causes: failure
            .causes
            .iter()
            .take(64)
            .cloned()
            .map(|mut cause| {
                cause.message = cut(&cause.message, 2048);
                cause.remedy = cause.remedy.map(|r| cut(&r, 2048));
                cause
            })
            .collect(),
        remedy: failure.remedy.as_deref().map(|t| cut(t, 8192)),
        attempts: None,
        first_seen_time: None,
        last_seen_time: None,
    }
}

/// Whether the new status is worth a write. Times and attempt counts alone are not, except at attempts 1, 2, 4, 8 and so
/// on, so that a person who looks sees that the operator is still trying.
#[must_use]
pub fn worth_writing(before: Option<&OrganizationStatus>, after: &OrganizationStatus) -> bool {
    let Some(before) = before else { return true };
    if timeless(before) != timeless(after) {
        return true;
    }
    let count = |s: &OrganizationStatus| s.error.as_ref().and_then(|e| e.attempts).unwrap_or_default();
    let (old, new) = (count(before), count(after));
    new > old && (new & (new - 1)) == 0
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
    }
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}

/// A deletion that stands at `stage` with nothing to report but that.
#[must_use]
pub fn deleting(policy: DeletionPolicy, stage: &'static str, message: impl Into<String>) -> Deletion {
    Deletion {
        policy,
        stage,
        message: message.into(),
        erase_time: None,
        steps: Vec::new(),
        outcome: None,
        failure: None,
    }
}

/// What a deletion that waits says about itself: what will happen and when, what will block it then (`obstacle`), and how to
/// undo it.
#[must_use]
pub fn until_erasure(
    subject: &Subject,
    awaited: Awaited,
    until: Timestamp,
    deactivated: bool,
    obstacle: Option<&Failure>,
) -> String {
    let state = if deactivated { "The organization is deactivated" } else { "Nothing has been changed yet" };
    let mut text = match awaited {
        Awaited::Successor => format!(
            "{state}. The organization and its data will be erased at {until:.0}, unless another object with this \
             spec.organizationId is created before then; that object then takes over, and nothing is erased."
        ),
        Awaited::RecoveryWindow => format!("{state}; its data will be erased at {until:.0}."),
        Awaited::Writers => format!(
            "{state}; its data will be erased at {until:.0}, when transactions that still write have had time to end."
        ),
    };
    if let Some(obstacle) = obstacle {
        let _ = write!(
            text,
            " As things stand, the erasure will be blocked then ({}): {}.",
            obstacle.reason,
            obstacle.what().trim_end_matches('.')
        );
        if let Some(remedy) = &obstacle.remedy {
            let _ = write!(text, " To clear it: {}.", remedy.trim_end_matches('.'));
        }
    }
    let _ = write!(text, " To undo: {}", keep_data(&subject.name));
    text
}

/// A deletion that cannot go on. `erased`: its cascade was committed before, and the count after it is still to come.
#[must_use]
pub fn blocked(policy: DeletionPolicy, failure: Failure, erased: bool) -> Deletion {
    let deletion = if erased {
        deleting(policy, stage::VERIFYING, "Everything was erased; counting again what has no foreign key is blocked.")
    } else {
        deleting(policy, stage::PENDING, "The deletion is blocked; nothing was deleted.")
    };
    Deletion { failure: Some(failure), ..deletion }
}

/// A deletion that is dealt with, of an object that the API server does not let go.
#[must_use]
pub fn held(policy: DeletionPolicy, settlement: &CompletionProof, refusal: Failure) -> Deletion {
    let outcome = settlement.outcome().as_str();
    let refusal = refusal.sentence(&format!("The deletion itself is done ({outcome}); only the object is still there"));
    Deletion { failure: Some(refusal), ..settled_as(policy, settlement) }
}

/// A deletion that is dealt with.
#[must_use]
pub fn settled_as(policy: DeletionPolicy, settlement: &CompletionProof) -> Deletion {
    Deletion {
        outcome: Some(settlement.outcome()),
        steps: settlement.steps().to_vec(),
        ..deleting(policy, stage::COMPLETED, settlement.sentence())
    }
}

#[cfg(test)]
mod tests;
