//! One pass over one object, on one page: look, decide, act, report, and let go only with a settlement in hand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;

use super::backoff::Phase;
use super::{Context, apply, cleanup, publish};
use crate::api::condition::stage;
use crate::api::{Organization, Reason};
use crate::cluster::Announcement;
use crate::domain::completion::CompletionProof;
use crate::domain::report::{self, Pass, Seen};
use crate::domain::{Failure, Subject};

/// How a pass ended.
pub(super) struct Report {
    /// The object as it was acted on.
    pub(super) object: Arc<Organization>,
    pub(super) subject: Subject,
    pub(super) pass: Pass,
    pub(super) seen: Seen,
    /// The deletion is dealt with: announce it and let the object go.
    pub(super) settlement: Option<CompletionProof>,
    /// Something worth an Event.
    pub(super) announce: Option<Announcement>,
    /// When to look again, if nothing failed.
    pub(super) again: Option<Duration>,
}

/// The driver. It never fails: every failure is reported and decides when the next pass is due.
pub(super) async fn reconcile(object: Arc<Organization>, context: Arc<Context>) -> Result<Action, Infallible> {
    let started = Instant::now();
    let subject = Subject::parse(&object);
    let phase = if subject.terminating_since.is_some() { Phase::Terminating } else { Phase::Live };
    if phase == Phase::Terminating && !subject.has_finalizer {
        return Ok(Action::await_change());
    }
    let work = async {
        match phase {
            Phase::Live => apply::apply(&object, &subject, &context).await,
            Phase::Terminating => cleanup::cleanup(&object, &subject, &context).await,
        }
    };
    let Some(report) = tokio::time::timeout(context.settings.reconcile_timeout, work)
        .await
        .unwrap_or_else(|_| Some(Report::timed_out(&object, &subject, &context)))
    else {
        // What changed a live object may be no change that the watch wakes for.
        return Ok(match phase {
            Phase::Live => Action::requeue(apply::LOOK_AGAIN),
            Phase::Terminating => Action::await_change(),
        });
    };
    let action = publish::publish(report, phase, &context).await;
    context.metrics.reconciled(started.elapsed());
    Ok(action)
}

impl Report {
    /// A pass over a live object that failed.
    pub(super) fn failed(object: &Arc<Organization>, subject: &Subject, seen: Seen, failure: Failure) -> Self {
        Self::new(object, subject, Pass::Failed(failure), seen)
    }

    /// A pass over a terminating object that cannot go on.
    pub(super) fn blocked(object: &Arc<Organization>, subject: &Subject, seen: Seen, failure: Failure) -> Self {
        let erased = seen.erased || subject.stage.as_deref() == Some(stage::VERIFYING);
        Self::new(object, subject, Pass::Deleting(report::blocked(subject.policy, failure, erased)), seen)
    }

    /// A terminating object that was dealt with.
    pub(super) fn settled(
        object: &Arc<Organization>,
        subject: &Subject,
        seen: Seen,
        settlement: CompletionProof,
    ) -> Self {
        let pass = Pass::Deleting(report::settled_as(subject.policy, &settlement));
        Self { settlement: Some(settlement), ..Self::new(object, subject, pass, seen) }
    }

    pub(super) fn new(object: &Arc<Organization>, subject: &Subject, pass: Pass, seen: Seen) -> Self {
        Self {
            object: object.clone(),
            subject: subject.clone(),
            pass,
            seen,
            settlement: None,
            announce: None,
            again: None,
        }
    }

    fn timed_out(object: &Arc<Organization>, subject: &Subject, context: &Context) -> Self {
        let limit = context.settings.reconcile_timeout.as_secs();
        let failure = Failure::new(
            Reason::StatementTimeout,
            format!("the pass took longer than {limit} s and was cut off; the next one finds in the ledger what it committed, if it did"),
        )
        .remedy("raise reconcileTimeoutSeconds in the operator's configuration");
        if subject.terminating_since.is_some() {
            Self::blocked(object, subject, Seen::default(), failure)
        } else {
            Self::failed(object, subject, Seen::default(), failure)
        }
    }
}
