//! Carries a decision out, and returns how that ended.

mod blocked;
mod blockers;
mod breaker;
mod erase;
pub(super) mod first_seen;
mod live;
mod removal;
mod remove;
mod shrink;
mod wait;

use super::decide::Decision;
use super::observe::Observation;
use crate::controller::backoff::{AFTER_A_CHANGE, resync};
use crate::controller::context::Context;
use crate::domain::decide::Remove;
use crate::domain::facts::Facts;
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::{Blame, Failure, suspension};
use blocked::blocked;
use removal::{Gone, Removal};

/// Carries a decision out.
pub(super) async fn execute(observation: &Observation, decision: Decision<'_>, context: &Context) -> Reconciliation {
    let (subject, observed) = (&observation.subject, &observation.observed);
    if !goes_on(&decision) {
        context.places.leave(&subject.uid);
    }
    let failed = match decision {
        Decision::Apply(tenant, apply) => {
            return cured_for_all(live::apply(observation, tenant, apply, context).await);
        }
        Decision::Remove(tenant, with, remove) => {
            let gone = Gone::default();
            let removal = Removal { observation, context, plan: &tenant.plan, facts: &tenant.facts, with, gone: &gone };
            match remove::remove(&removal, remove).await {
                Ok(reconciliation) => return reconciliation,
                Err(failure) => return removal.failed(failure).await,
            }
        }
        Decision::Suspend(facts) => return suspended(observation, facts),
        Decision::Keep(because) => match remove::retain_without_waiting(subject, context, because).await {
            Ok(proof) => return Reconciliation::new(Ended::Completed(proof), observed.clone()),
            Err(failure) => return rows_gone_unseen(observation, failure),
        },
        Decision::Fail(failure) if subject.terminating_since.is_none() => {
            return cured_for_all(Reconciliation::failed(subject, observed.clone(), failure.clone()));
        }
        Decision::Fail(failure) => failure.clone(),
    };
    blocked(observation, failed)
}

/// The deletion of a suspended object waits, and says so.
fn suspended(observation: &Observation, facts: Option<&Facts>) -> Reconciliation {
    let Observation { object, subject, observed, .. } = observation;
    let deletion = suspension::suspended(subject, facts);
    let announcement = suspension::begins(object, subject, &deletion.message);
    let ended = Ended::Deleting(deletion);
    Reconciliation { announcement, again: Some(resync()), ..Reconciliation::new(ended, observed.clone()) }
}

/// Whether a large deletion goes on: else another one may have its place.
const fn goes_on(decision: &Decision<'_>) -> bool {
    matches!(decision, Decision::Remove(_, _, Remove::Erase { .. }))
}

/// The database says that rows are gone, and the status did not say so.
fn rows_gone_unseen(observation: &Observation, failure: Failure) -> Reconciliation {
    let rows = failure.rows.unwrap_or_default();
    let since = observation.subject.terminating_since.unwrap_or_default();
    let reconciliation = blocked(observation, failure).rows_gone(rows, rows, since);
    Reconciliation { again: Some(AFTER_A_CHANGE), ..reconciliation }
}

/// A fault of the plan is cleared for all live objects at once, and then the drift poller requeues this one.
fn cured_for_all(reconciliation: Reconciliation) -> Reconciliation {
    let of_the_plan = reconciliation.failure().is_some_and(|f| f.blame == Blame::Plan);
    Reconciliation { again: if of_the_plan { Some(resync()) } else { reconciliation.again }, ..reconciliation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use crate::domain::decide::KeepBecause;

    #[test]
    fn a_deletion_that_does_not_go_on_gives_its_place_back() {
        let failure = Failure::new(Reason::SchemaMismatch, "a table is missing");
        for (name, decision) in [
            ("the plan has a fault, or something cannot be read", Decision::Fail(&failure)),
            ("the policy was lowered", Decision::Keep(&KeepBecause::Policy)),
            ("the operator is uninstalled", Decision::Keep(&KeepBecause::Uninstall)),
            ("the object is suspended", Decision::Suspend(None)),
        ] {
            assert!(!goes_on(&decision), "{name}");
        }
    }
}
