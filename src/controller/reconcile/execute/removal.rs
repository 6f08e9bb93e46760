//! What a decision about a terminating object is carried out with.

use std::time::Duration;

use crate::api::Reason;
use crate::api::status::ClaimStatus;
use crate::controller::context::Context;
use crate::controller::reconcile::observe::Observation;
use crate::domain::decide::Circumstances;
use crate::domain::facts::Facts;
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
