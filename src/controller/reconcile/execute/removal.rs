//! What a decision about a terminating object is carried out with.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::blocked::blocked;
use crate::api::Reason;
use crate::api::condition::stage;
use crate::api::status::ClaimStatus;
use crate::controller::backoff::AFTER_A_CHANGE;
use crate::controller::context::Context;
use crate::controller::reconcile::observe::Observation;
use crate::domain::decide::{Circumstances, Size};
use crate::domain::facts::{Facts, UnderWay};
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::{Effect, Failure, Subject};
use crate::store::Actor;
use planner::CompiledPlan;

/// A terminating object, and what was found of it.
#[derive(Clone, Copy)]
pub(super) struct Removal<'a> {
    pub(super) observation: &'a Observation,
    pub(super) context: &'a Context,
    pub(super) plan: &'a CompiledPlan,
    pub(super) facts: &'a Facts,
    pub(super) with: &'a Circumstances,
    /// What pages have deleted by now, if this reconciliation deleted some.
    pub(super) gone: &'a Gone,
}

/// The last that is known of the rows that pages have deleted.
#[derive(Default)]
pub(super) struct Gone(Mutex<Option<UnderWay>>);

impl Gone {
    /// Notes what is gone after a page.
    pub(super) fn note(&self, begun: &UnderWay) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun.clone());
    }

    fn last(&self) -> Option<UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<'a> Removal<'a> {
    pub(super) fn subject(&self) -> &'a Subject {
        &self.observation.subject
    }

    pub(super) fn actor(&self) -> Actor<'a> {
        Actor { cluster: &self.context.settings.cluster_id, subject: self.subject(), key: &self.facts.key }
    }

    /// Whether this object owns the claim.
    pub(super) fn owns_claim(&self) -> bool {
        let claim = self.facts.claim.as_ref();
        claim.is_some_and(|c| c.cluster == self.context.settings.cluster_id && c.uid == self.subject().uid)
    }

    /// A deletion that failed. Where pages have deleted rows, it says how many.
    pub(super) async fn failed(&self, failure: Failure) -> Reconciliation {
        if !matches!(self.with.size, Size::Large { .. }) {
            return blocked(self.observation, failure);
        }
        let now = self.context.database.erasure_under_way(&self.facts.key).await;
        // The last that is known is no more than is gone.
        let last = || self.gone.last().or_else(|| self.facts.under_way().cloned());
        let begun = now.unwrap_or_else(|_| last()).filter(|begun| begun.rows() > 0);
        let Some(begun) = begun else { return blocked(self.observation, failure) };
        let failure = match failure.effect {
            Some(Effect::Open | Effect::Erased) => failure,
            _ => failure.effect(Effect::Partial(begun.rows())),
        };
        blocked(self.observation, failure).after_pages(&begun)
    }

    /// An erasure that is not wanted any more: the object changed.
    pub(super) fn unwanted(&self) -> Reconciliation {
        let message = match self.with.size {
            Size::Large { .. } => "The object changed before the erasure went on; the operator reads the object again.",
            _ => {
                "The object changed before the first row was deleted. Nothing was deleted; the operator reads the object \
                 again."
            }
        };
        self.under_way(Deletion::at(self.subject().policy, stage::PENDING, message), AFTER_A_CHANGE)
    }

    /// A deletion that is under way and goes on after `again`.
    pub(super) fn under_way(&self, deletion: Deletion, again: Duration) -> Reconciliation {
        let mut observed = self.observation.observed.clone();
        observed.claim = Some(claim_status(self.facts));
        Reconciliation { again: Some(again), ..Reconciliation::new(Ended::Deleting(deletion), observed) }
    }
}

/// Where the organization is claimed, as the status shows it.
pub(super) fn claim_status(facts: &Facts) -> ClaimStatus {
    ClaimStatus { installation: facts.installation.clone(), organization_key: facts.key.clone() }
}

/// The plan was compiled twice, and each time the schema had changed before it was used.
pub(super) fn outdated() -> Failure {
    Failure::new(Reason::SerializationFailure, "the database's schema changed twice since the plan was compiled")
        .effect(Effect::RolledBack)
        .remedy("wait, because this usually clears by itself; if it does not, stop whatever changes the schema")
}
