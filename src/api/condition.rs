//! Condition types, their reasons that are not failures, and the one function that sets a condition.
//!
//! Rules: API conventions of Kubernetes (every condition has a reason; `lastTransitionTime` moves only when `status`
//! flips) and kstatus (`Ready` always; `Reconciling` and `Stalled` only while true).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{EnumString, IntoStaticStr};

/// The object is as its spec says.
pub const READY: &str = "Ready";
/// Work is left or is being retried. Present only while true.
pub const RECONCILING: &str = "Reconciling";
/// Only a person can help. Present only while true.
pub const STALLED: &str = "Stalled";
/// Would a deletion with `deletionPolicy: Delete` work today?
pub const DELETION_READY: &str = "DeletionReady";
/// The object is being deleted; the reason is the stage. Present only while deleting.
pub const DELETING: &str = "Deleting";
/// The deletion cannot go on; the reason is the error. Present only while deleting.
pub const DELETION_BLOCKED: &str = "DeletionBlocked";

/// `Ready=True`: active, or activation left alone.
pub const RECONCILED: &str = "Reconciled";
/// `Ready=True`: deactivated, as `spec.state` says or as it is in the database.
pub const DEACTIVATED: &str = "Deactivated";
/// `Reconciling=True`: failed, trying again.
pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
/// `DeletionReady=True`: nothing is known to stand in the way.
pub const PLAN_COMPLETE: &str = "PlanComplete";
/// `DeletionReady=Unknown`: the database could not be asked.
pub const UNKNOWN: &str = "Unknown";
/// `DeletionBlocked=False`: nothing stands in the way.
pub const NOT_BLOCKED: &str = "NotBlocked";

/// Stages of a deletion: reasons of `Deleting`.
pub mod stage {
    /// Not settled yet which way to go, or the way is blocked.
    pub const PENDING: &str = "Pending";
    /// Nothing is changed yet; waiting for another object that takes the organization over.
    pub const AWAITING_SUCCESSOR: &str = "AwaitingSuccessor";
    /// Deactivated; waiting for the recovery window to end.
    pub const RECOVERY_WINDOW: &str = "RecoveryWindow";
    /// Deactivated; waiting for writers of tables without a foreign key to settle.
    pub const DRAINING: &str = "Draining";
    /// The cascade is running.
    pub const ERASING: &str = "Erasing";
    /// Erased; counting once more what no foreign key protects.
    pub const VERIFYING: &str = "Verifying";
    /// Done; the finalizer is about to be released.
    pub const COMPLETED: &str = "Completed";
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
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

/// Longest message that `metav1.Condition` takes.
const MESSAGE_LIMIT: usize = 32_768;

/// The conditions of the next status: exactly `wanted`, in that order, each keeping the transition time of its
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
