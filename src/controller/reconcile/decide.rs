//! Asks the tables of the domain what to do.

use super::observe::{Found, Observation, Tenant};
use crate::domain::Failure;
use crate::domain::decide::{self, Apply, Circumstances, KeepBecause, Remove};
use crate::domain::facts::Facts;

/// What to do, with what it is done.
pub(super) enum Decision<'a> {
    Apply(&'a Tenant, Apply),
    Remove(&'a Tenant, &'a Circumstances, Remove),
    Suspend(Option<&'a Facts>),
    Keep(&'a KeepBecause),
    Fail(&'a Failure),
}

/// Decides what to do with an object.
pub(super) fn decide(observation: &Observation) -> Decision<'_> {
    let subject = &observation.subject;
    match &observation.found {
        Found::Live(tenant) => {
            let supported = tenant.plan.root.activation.is_some();
            Decision::Apply(tenant, decide::apply(subject, &tenant.facts, &tenant.owner, supported))
        }
        Found::Terminating(tenant, with) => {
            Decision::Remove(tenant, with, decide::remove(subject, &tenant.facts, &tenant.owner, with))
        }
        Found::Suspended(facts) => Decision::Suspend(facts.as_ref()),
        Found::Keep(because) => Decision::Keep(because),
        Found::Failed(failure) => Decision::Fail(failure),
    }
}
