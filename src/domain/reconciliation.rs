//! How a reconciliation ended, and what it observed of the organization.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use planner::{CompiledPlan, finding};

use super::announcement::Announcement;
use super::completion::CompletionProof;
use super::facts::{Facts, Presence, UnderWay};
use super::failure::{Effect, Failure};
use super::left_over::left_over;
use super::report::deletion::Deletion;
use super::report::progress::Progress;
use super::subject::Subject;
use crate::api::DeletionPolicy;
use crate::api::condition::stage;
use crate::api::status::{ClaimStatus, Inventory, ObservedState, Outcome};

/// One reconciliation of one object, after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconciliation {
    /// How it ended.
    pub ended: Ended,
    /// What it observed.
    pub observed: Observed,
    /// An Event about something that is no failure.
    pub announcement: Option<Announcement>,
    /// When to reconcile again, unless a failure is retried earlier or later.
    pub again: Option<Duration>,
}

/// How a reconciliation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Everything is as the spec says.
    InSync,
    /// The object is live, and something failed.
    Failed(Failure),
    /// The object is being deleted.
    Deleting(Deletion),
    /// The deletion is completed: only the object has to be released.
    Completed(CompletionProof),
}

impl Reconciliation {
    /// One without an Event and without a time for the next one.
    #[must_use]
    pub fn new(ended: Ended, observed: Observed) -> Self {
        Self { ended, observed, announcement: None, again: None }
    }

    /// One that failed.
    #[must_use]
    pub fn failed(subject: &Subject, observed: Observed, failure: Failure) -> Self {
        if subject.terminating_since.is_none() {
            return Self::new(Ended::Failed(failure), observed);
        }
        let erased = observed.erased
            || subject.stage.as_deref() == Some(stage::VERIFYING)
            || failure.effect == Some(Effect::Erased);
        let failure = if erased { failure.after_erasure() } else { failure };
        Self::new(Ended::Deleting(Deletion::blocked(subject.policy, failure, erased)), observed)
    }

    /// The same after pages have deleted rows, which a deletion that failed still shows. It is one with `Delete`, whatever the
    /// policy is now.
    #[must_use]
    pub fn after_pages(mut self, begun: &UnderWay) -> Self {
        if let Ended::Deleting(deletion) = &mut self.ended {
            deletion.policy = DeletionPolicy::Delete;
            deletion.steps.clone_from(&begun.deleted);
        }
        self.rows_gone(begun.rows(), begun.estimated, begun.started)
    }

    /// Shows that rows are gone: the next reconciliation asks the database about them, whatever the policy is.
    #[must_use]
    pub fn rows_gone(mut self, rows: i64, estimated: i64, since: Timestamp) -> Self {
        if let Ended::Deleting(deletion) = &mut self.ended {
            deletion.progress = Some(Progress { rows, estimated, since, waiting_for: None });
        }
        self
    }

    /// How far it is, if it goes in pages.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        match &self.ended {
            Ended::Deleting(deletion) => deletion.progress.as_ref(),
            Ended::InSync | Ended::Failed(_) | Ended::Completed(_) => None,
        }
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.ended {
            Ended::Failed(failure) => Some(failure),
            Ended::Deleting(deletion) => deletion.failure.as_ref(),
            Ended::InSync | Ended::Completed(_) => None,
        }
    }
}

/// What was observed of the organization. What was not observed stays as the previous status has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What the database says.
    pub state: Option<ObservedState>,
    /// Where the organization is claimed.
    pub claim: Option<ClaimStatus>,
    /// Rows.
    pub inventory: Option<Inventory>,
    /// Whether a deletion would work today. If it would: what could block it without anybody changing the plan.
    pub deletion_ready: Option<Result<Option<String>, Failure>>,
    /// What another object's erasure has deleted of the organization, and what to do, in a sentence.
    pub left_over: Option<String>,
    /// The ledger says that it was erased.
    pub erased: bool,
}

impl Observed {
    /// What the facts say, whatever is decided.
    #[must_use]
    pub fn of(subject: &Subject, facts: &Facts, plan: &CompiledPlan) -> Self {
        Self {
            left_over: left_over(subject, facts),
            state: Some(state(facts.organization)),
            deletion_ready: Some(plan.erase().map(|_| finding::caveat(&plan.warnings)).map_err(Failure::from)),
            erased: facts.ledger.as_ref().is_some_and(|entry| entry.outcome == Outcome::Erased),
            ..Self::default()
        }
    }

    /// All that is known if there is no compiled plan. No deletion would work without a plan that a person has to correct.
    #[must_use]
    pub fn without_plan(failure: &Failure) -> Self {
        let deletion_ready = failure.reason.needs_a_person().then(|| Err(failure.clone()));
        Self { deletion_ready, ..Self::default() }
    }
}

/// The state that the status shows.
#[must_use]
pub fn state(organization: Presence) -> ObservedState {
    match organization {
        Presence::Absent => ObservedState::Absent,
        Presence::Present { active: Some(false) } => ObservedState::Deactivated,
        Presence::Present { .. } => ObservedState::Active,
    }
}
