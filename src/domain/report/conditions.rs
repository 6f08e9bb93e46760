//! The conditions of the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::deletion::Deletion;
use super::sentences::{Waits, explained, foreseen};
use crate::api::condition::{self, Status, Wanted};
use crate::api::status::ObservedState;
use crate::api::{Activation, Reason};
use crate::domain::failure::Failure;
use crate::domain::subject::Subject;
use crate::domain::suspension::observed_only;

/// What the conditions are made from.
pub(super) struct Situation<'a> {
    pub(super) subject: &'a Subject,
    pub(super) waits: &'a Waits,
    /// What went wrong.
    pub(super) failure: Option<&'a Failure>,
    /// `None` if the object is live.
    pub(super) deletion: Option<&'a Deletion>,
    /// What the database says.
    pub(super) state: Option<ObservedState>,
    /// Whether a deletion would work today. `None` if that was not observed.
    pub(super) deletion_ready: Option<&'a Result<Option<String>, Failure>>,
    /// What another object's erasure has deleted of the organization, in a sentence.
    pub(super) left_over: Option<&'a str>,
    /// The conditions of the previous status.
    pub(super) before: &'a [Condition],
}

impl Situation<'_> {
    pub(super) fn conditions(&self) -> Vec<Wanted> {
        let mut conditions = vec![self.ready()];
        conditions.extend(self.progress());
        conditions.push(self.ready_to_delete());
        if let Some(deletion) = self.deletion {
            conditions.push(wanted(condition::DELETING, Status::True, deletion.stage, deletion.said()));
            conditions.push(match self.failure {
                Some(f) => wanted(condition::DELETION_BLOCKED, Status::True, f.reason.as_str(), self.explained(f)),
                None if deletion.suspended() => {
                    wanted(condition::DELETION_BLOCKED, Status::True, condition::SUSPENDED, deletion.said())
                }
                None => wanted(
                    condition::DELETION_BLOCKED,
                    Status::False,
                    condition::NOT_BLOCKED,
                    "Nothing blocks the deletion.",
                ),
            });
        }
        conditions
    }

    fn explained(&self, failure: &Failure) -> String {
        explained(failure, &self.subject.name, self.waits)
    }

    fn ready(&self) -> Wanted {
        match (self.failure, self.deletion) {
            (Some(f), _) => wanted(condition::READY, Status::False, f.reason.as_str(), self.explained(f)),
            (None, Some(deletion)) => {
                let reason = if deletion.suspended() { condition::SUSPENDED } else { condition::DELETING };
                wanted(condition::READY, Status::False, reason, deletion.said())
            }
            // Nothing failed, and nothing is under way: for kstatus the object is current.
            (None, None) if self.subject.suspended => {
                let message: Vec<String> =
                    [observed_only(self.subject)].into_iter().chain(self.left_over.map(str::to_owned)).collect();
                wanted(condition::READY, Status::True, condition::SUSPENDED, message.join(" "))
            }
            (None, None) => {
                let deactivated =
                    self.state == Some(ObservedState::Deactivated) && self.subject.state != Some(Activation::Active);
                let (reason, message) = match (deactivated, self.left_over) {
                    (true, None) => (condition::DEACTIVATED, "The organization is deactivated; its data is kept."),
                    (true, Some(_)) => (condition::DEACTIVATED, "The organization is deactivated."),
                    (false, _) => (condition::RECONCILED, "The organization matches the spec."),
                };
                let message: Vec<&str> = [message].into_iter().chain(self.left_over).collect();
                wanted(condition::READY, Status::True, reason, message.join(" "))
            }
        }
    }

    /// `Reconciling` while work is left, `Stalled` while only a person can help (kstatus).
    fn progress(&self) -> Option<Wanted> {
        Some(match (self.failure, self.deletion) {
            (Some(f), _) if f.reason.needs_a_person() => {
                wanted(condition::STALLED, Status::True, f.reason.as_str(), self.explained(f))
            }
            (Some(f), _) => {
                wanted(condition::RECONCILING, Status::True, condition::PROGRESSING_WITH_RETRY, self.explained(f))
            }
            (None, Some(deletion)) if deletion.suspended() => {
                wanted(condition::STALLED, Status::True, condition::SUSPENDED, deletion.said())
            }
            (None, Some(deletion)) => {
                wanted(condition::RECONCILING, Status::True, condition::DELETING, deletion.said())
            }
            (None, None) => return None,
        })
    }

    fn ready_to_delete(&self) -> Wanted {
        // What blocks this deletion is why a deletion would not work today.
        let blocked = self.failure.filter(|_| self.deletion.is_some());
        let ready = match (blocked, self.deletion_ready) {
            (Some(failure), _) => Some(Err(failure)),
            (None, observed) => observed.map(Result::as_ref),
        };
        match ready {
            Some(Ok(caveat)) => {
                let sentence = ["Nothing is known to block a deletion."];
                let message: Vec<&str> = sentence.into_iter().chain(self.left_over).chain(caveat.as_deref()).collect();
                wanted(condition::DELETION_READY, Status::True, condition::PLAN_COMPLETE, message.join(" "))
            }
            Some(Err(f)) => {
                let message = foreseen(f, self.subject, self.waits);
                wanted(condition::DELETION_READY, Status::False, f.reason.as_str(), message)
            }
            None => self.said_last().unwrap_or_else(|| {
                let message = "The operator has not queried the database yet.";
                wanted(condition::DELETION_READY, Status::Unknown, condition::UNKNOWN, message)
            }),
        }
    }

    /// `DeletionReady` as the previous status has it. The operator wrote it, so its words are known.
    fn said_last(&self) -> Option<Wanted> {
        let last = self.before.iter().find(|c| c.type_ == condition::DELETION_READY)?;
        let mut reasons = Reason::ALL.iter().map(|r| r.as_str()).chain([condition::PLAN_COMPLETE, condition::UNKNOWN]);
        let reason = reasons.find(|r| *r == last.reason)?;
        let status = last.status.parse().ok()?;
        Some(wanted(condition::DELETION_READY, status, reason, last.message.clone()))
    }
}

fn wanted(kind: &'static str, status: Status, reason: &'static str, message: impl Into<String>) -> Wanted {
    Wanted { kind, status, reason, message: message.into() }
}
