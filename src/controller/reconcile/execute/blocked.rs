//! A deletion that failed.

use crate::api::Reason;
use crate::controller::reconcile::observe::Observation;
use crate::domain::commands::keep_data;
use crate::domain::reconciliation::Reconciliation;
use crate::domain::{Effect, Failure, Subject};

/// A deletion that failed.
pub(super) fn blocked(observation: &Observation, failure: Failure) -> Reconciliation {
    let failure = with_way_out(failure.or_effect(Effect::NothingThisTime), &observation.subject);
    Reconciliation::failed(&observation.subject, observation.observed.clone(), failure)
}

/// An id that is no value of the key's type can have no rows, but an error is never taken for an absence: a person says
/// that nothing has to be deleted.
fn with_way_out(failure: Failure, subject: &Subject) -> Failure {
    if failure.reason != Reason::InvalidOrganizationId {
        return failure;
    }
    failure.remedy(format!("{} # an id that is not a valid key has no data to delete", keep_data(&subject.name)))
}
