//! One reconciliation of one object: observe, decide, execute, publish. Only a completion proof releases the object.

mod decide;
mod execute;
mod namesakes;
mod observe;
mod publish;
mod size;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::backoff::AFTER_A_CHANGE;
use super::cached::Cached;
use super::context::Context;
use crate::api::Reason;
use crate::domain::Failure;
use crate::domain::reconciliation::{Observed, Reconciliation};
use crate::domain::subject::{Phase, Subject};
use decide::decide;
use execute::{execute, first_seen};
use observe::observe;
use publish::publish;

/// The driver. It never fails: every failure is published and decides when the next reconciliation is due.
pub(super) async fn reconcile(cached: Arc<Cached>, context: Arc<Context>) -> Result<Action, Infallible> {
    let started = Instant::now();
    let object = match cached.object() {
        Ok(object) => Arc::new(object),
        Err(error) => {
            tracing::error!(
                object = cached.name_any(),
                error,
                "the operator cannot read this object and leaves it alone"
            );
            return Ok(Action::await_change());
        }
    };
    let subject = Subject::parse(&object);
    let phase = subject.phase();
    if phase == Phase::Released {
        return Ok(Action::await_change());
    }
    let limit = context.settings.reconcile_timeout;
    let work = async {
        let observation = observe(object.clone(), &context).await?;
        let decision = decide(&observation);
        let reconciliation = execute(&observation, decision, &context).await;
        Some((observation.object, reconciliation))
    };
    let ended = tokio::time::timeout(limit, work).await;
    let ended = ended.unwrap_or_else(|_| {
        Some((object.clone(), Reconciliation::failed(&subject, Observed::default(), timed_out(limit))))
    });
    let Some((object, reconciliation)) = ended else {
        // The watch may not report the change to a live object.
        return Ok(match phase {
            Phase::Live => Action::requeue(AFTER_A_CHANGE),
            Phase::Terminating | Phase::Released => Action::await_change(),
        });
    };
    let lasting = first_seen::may_last(&reconciliation);
    let action = publish(&object, reconciliation, &context).await;
    if lasting {
        first_seen::note_lasting(&context, &subject).await;
    }
    context.metrics.reconciled(started.elapsed());
    Ok(action)
}

fn timed_out(limit: Duration) -> Failure {
    let limit = limit.as_secs();
    Failure::new(
        Reason::StatementTimeout,
        format!(
            "the reconciliation took longer than {limit} s, so the operator stopped it; the next one checks in the ledger \
             whether this one committed"
        ),
    )
    .remedy("raise reconcileTimeoutSeconds in the operator's configuration")
}
