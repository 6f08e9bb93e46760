//! Condition types, those of their reasons that are not failures, and the one function that sets a condition.
//!
//! Rules: API conventions of Kubernetes (every condition has a reason; `lastTransitionTime` moves only when `status`
//! flips) and kstatus (`Ready` always; `Reconciling` and `Stalled` only while true).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{EnumString, IntoStaticStr};

/// The tenant matches the spec.
pub const READY: &str = "Ready";
/// Work is in progress, or the operator tries again. Present only while true.
pub const RECONCILING: &str = "Reconciling";
/// A person has to act. Present only while true.
pub const STALLED: &str = "Stalled";
/// Whether a deletion with `deletionPolicy: Delete` would succeed today.
pub const DELETION_READY: &str = "DeletionReady";
/// The object is being deleted; the reason is the stage. Present only during a deletion.
pub const DELETING: &str = "Deleting";
/// The deletion cannot continue; the reason is the error. Present only during a deletion.
pub const DELETION_BLOCKED: &str = "DeletionBlocked";

/// `Ready=True`: the tenant is active, or the operator leaves its activation alone.
pub const RECONCILED: &str = "Reconciled";
/// `Ready=True`: the tenant is deactivated, by `spec.state` or in the database.
pub const DEACTIVATED: &str = "Deactivated";
/// `Ready=True` of a live object, `DeletionBlocked=True` of a terminating one: `spec.suspend` is true.
pub const SUSPENDED: &str = "Suspended";
/// `Reconciling=True`: the last attempt failed; the operator tries again.
pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
/// `DeletionReady=True`: the operator knows nothing that would block a deletion.
pub const PLAN_COMPLETE: &str = "PlanComplete";
/// `DeletionReady=Unknown`: the operator has not queried the database yet.
pub const UNKNOWN: &str = "Unknown";
/// `DeletionBlocked=False`: nothing blocks.
pub const NOT_BLOCKED: &str = "NotBlocked";

/// Stages of a deletion: reasons of `Deleting`. `docs/organization.md` explains each.
pub mod stage {
    /// The operator has not decided yet what to do, or the deletion is blocked.
    pub const PENDING: &str = "Pending";
    /// `spec.suspend` is true: the operator does nothing until it is false again.
    pub const SUSPENDED: &str = super::SUSPENDED;
    /// The operator waits for another object that takes over the organization. It has changed nothing yet.
    pub const AWAITING_SUCCESSOR: &str = "AwaitingSuccessor";
    /// The organization is deactivated. The operator waits for the end of the recovery window.
    pub const RECOVERY_WINDOW: &str = "RecoveryWindow";
    /// The organization is deactivated. The operator waits for open transactions to drain, because some tables are not
    /// protected by a foreign key.
    pub const DRAINING: &str = "Draining";
    /// The organization is deactivated. Its rows are deleted in pages, because it has many. What is left is erased afterwards.
    pub const SHRINKING: &str = "Shrinking";
    /// The cascade runs.
    pub const ERASING: &str = "Erasing";
    /// The organization is erased. The operator counts again in the tables that are not protected by a foreign key.
    pub const VERIFYING: &str = "Verifying";
    /// The deletion is complete. The operator is about to release the finalizer.
    pub const COMPLETED: &str = "Completed";
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum Status {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The operator does not know.
    Unknown,
}

impl Status {
    /// The word that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a condition should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One of the types above.
    pub kind: &'static str,
    /// Its status.
    pub status: Status,
    /// One word, for `kubectl get`.
    pub reason: &'static str,
    /// One sentence, for `kubectl describe`.
    pub message: String,
}

/// The longest message that `metav1.Condition` accepts, in bytes.
const MESSAGE_LIMIT: usize = 32_768;

/// The conditions of the next status: exactly `wanted`, in that order. Each keeps the transition time of its
/// predecessor unless its status flips.
#[must_use]
pub fn next(previous: &[Condition], wanted: Vec<Wanted>, generation: i64, now: &Time) -> Vec<Condition> {
    wanted
        .into_iter()
        .map(|w| {
            let before = previous.iter().find(|c| c.type_ == w.kind);
            let since = before
                .filter(|c| c.status == w.status.as_str())
                .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
            Condition {
                type_: w.kind.to_owned(),
                status: w.status.as_str().to_owned(),
                reason: w.reason.to_owned(),
                message: truncate(w.message, MESSAGE_LIMIT),
                observed_generation: Some(generation),
                last_transition_time: since,
            }
        })
        .collect()
}

/// Cuts a text at `limit` bytes, on a character boundary.
#[must_use]
pub fn truncate(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let mut end = limit.saturating_sub(3);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("in range"))
    }

    fn ready(status: Status, message: &str) -> Vec<Wanted> {
        vec![Wanted { kind: READY, status, reason: RECONCILED, message: message.to_owned() }]
    }

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let first = next(&[], ready(Status::True, "a"), 1, &at(10));
        let same = next(&first, ready(Status::True, "b"), 2, &at(20));
        let flipped = next(&same, ready(Status::False, "b"), 2, &at(30));
        assert_eq!(same[0].last_transition_time, at(10));
        assert_eq!(same[0].message, "b");
        assert_eq!(same[0].observed_generation, Some(2));
        assert_eq!(flipped[0].last_transition_time, at(30));
    }

    #[test]
    fn a_condition_that_is_not_wanted_any_more_is_gone() {
        let first = next(&[], ready(Status::True, "a"), 1, &at(10));
        assert!(next(&first, Vec::new(), 1, &at(20)).is_empty());
    }

    #[test]
    fn truncation_respects_characters() {
        assert_eq!(truncate("äöü".to_owned(), 5), "ä...");
        assert_eq!(truncate("short".to_owned(), 5), "short");
    }
}
