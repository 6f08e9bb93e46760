//! One pass over one object, on one page: look, decide, act, report, and let go only with a settlement in hand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use super::backoff::Phase;
use super::{Context, apply, cleanup};
use crate::api::condition::stage;
use crate::api::{Organization, Reason};
use crate::cluster::{Announcement, Severity};
use crate::domain::report::{self, Attempts, Pass, Seen};
use crate::domain::settlement::Settlement;
use crate::domain::{Failure, Subject};

/// How a pass ended.
pub(super) struct Report {
    /// The object as it was acted on.
    pub(super) object: Arc<Organization>,
    pub(super) subject: Subject,
    pub(super) pass: Pass,
    pub(super) seen: Seen,
    /// The deletion is dealt with: announce it and let the object go.
    pub(super) settlement: Option<Settlement>,
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
    let action = finish(report, phase, &context).await;
    context.metrics.reconciled(started.elapsed());
    Ok(action)
}

/// Writes status, announces, and lets the object go if it is settled. In this order, so that whoever watches the object sees
/// how it ended before it is gone.
async fn finish(report: Report, phase: Phase, context: &Context) -> Action {
    let now = Timestamp::now();
    let Report { object, subject, pass, seen, settlement, announce, again } = report;
    let failure = failure_of(&pass).cloned();
    if let Some(failure) = &failure {
        context.database.heard(failure);
    }
    // A fault of the plan is reported once for all: here it costs each live object one status write, and no Event, log
    // line or attempt of its own.
    let shared = phase == Phase::Live && failure.as_ref().is_some_and(Failure::of_the_plan);
    let (attempts, delay) = if let Some(f) = failure.as_ref().filter(|_| !shared) {
        let (count, delay) = context.backoff.failed(&subject.uid, phase, f.reason);
        context.metrics.failed(f.reason);
        if phase == Phase::Terminating {
            context.metrics.blocked(f.reason);
        }
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        (Attempts { count, next: delay.and_then(|d| now.checked_add(d).ok()) }, delay.or(again))
    } else {
        if let Some(f) = &failure {
            context.metrics.failed(f.reason);
        }
        context.backoff.succeeded(&subject.uid, phase);
        (Attempts::default(), again)
    };
    let newest = context.written.newest(&object);
    let previous = newest.as_ref();
    let status = report::status(&subject, previous, &pass, seen, attempts, now);
    // What the live object showed without an Event is news once it blocks a deletion.
    let shown = previous.filter(|s| s.deletion.is_some() || !failure.as_ref().is_some_and(Failure::of_the_plan));
    let news = failure.as_ref().filter(|f| shown.and_then(|s| s.error.as_ref()).map(|e| e.reason) != Some(f.reason));
    if let Some(failure) = failure.as_ref().filter(|_| !shared) {
        log(&subject, failure, attempts);
    }
    // Events before status: whatever the status shows was announced, also when the operator is killed in between.
    if let Some(failure) = news.filter(|_| !shared) {
        context.cluster.announce(&object, &warning(failure, phase, &subject), now).await;
    }
    if let Some(announcement) = announce {
        context.cluster.announce(&object, &announcement, now).await;
    }
    let mut done = Ok(());
    if report::worth_writing(previous, &status) {
        done = context.cluster.write_status(&object, &status).await.map(|written| {
            if let Some(written) = written {
                context.written.note(&written, &status);
            }
        });
    }
    if let (Some(settlement), Ok(())) = (&settlement, &done) {
        done = release(&object, &subject, settlement, context, now).await;
    }
    match (done, delay) {
        (Err(f), _) => {
            let (count, delay) = context.backoff.failed(&subject.uid, phase, f.reason);
            log(&subject, &f, Attempts { count: i32::try_from(count).unwrap_or(i32::MAX), next: None });
            Action::requeue(delay.unwrap_or(Duration::from_mins(1)))
        }
        (Ok(()), Some(delay)) => Action::requeue(delay),
        (Ok(()), None) => Action::await_change(),
    }
}

async fn release(
    object: &Organization,
    subject: &Subject,
    settlement: &Settlement,
    context: &Context,
    now: Timestamp,
) -> Result<(), Failure> {
    let outcome = settlement.outcome().as_str();
    let announcement = Announcement {
        severity: Severity::Normal,
        reason: outcome,
        action: "Delete",
        note: settlement.sentence(),
        occurrence: String::new(),
    };
    context.cluster.announce(object, &announcement, now).await;
    context.cluster.release(object, settlement).await?;
    cleanup::wake_heirs(subject, context);
    tracing::info!(object = subject.name, uid = subject.uid, outcome, "{}", settlement.sentence());
    context.metrics.settled(settlement, subject.terminating_since, now);
    Ok(())
}

fn failure_of(pass: &Pass) -> Option<&Failure> {
    match pass {
        Pass::Failed(failure) => Some(failure),
        Pass::Deleting(deletion) => deletion.failure.as_ref(),
        Pass::Settled => None,
    }
}

fn warning(failure: &Failure, phase: Phase, subject: &Subject) -> Announcement {
    Announcement {
        severity: if failure.reason == Reason::OrganizationNotFound { Severity::Normal } else { Severity::Warning },
        reason: failure.reason.as_str(),
        action: if phase == Phase::Terminating { "Delete" } else { "Reconcile" },
        note: report::explained(failure, &subject.name),
        occurrence: format!(".{}", subject.generation),
    }
}

fn log(subject: &Subject, failure: &Failure, attempts: Attempts) {
    tracing::warn!(
        object = subject.name,
        uid = subject.uid,
        reason = failure.reason.as_str(),
        attempts = attempts.count,
        sql_state = failure.sql_state,
        "{}",
        failure.message
    );
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
    pub(super) fn settled(object: &Arc<Organization>, subject: &Subject, seen: Seen, settlement: Settlement) -> Self {
        let mut deletion = report::deleting(subject.policy, stage::COMPLETED, settlement.sentence());
        deletion.outcome = Some(settlement.outcome());
        deletion.steps = settlement.steps().to_vec();
        Self { settlement: Some(settlement), ..Self::new(object, subject, Pass::Deleting(deletion), seen) }
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
