//! The end of a pass: the Event about a failure, then status, then the Event about the outcome, then the object is let go. In
//! this order, so that whoever watches the object sees how it ended before it is gone, and a failure that the status shows
//! was announced, also when the operator is killed in between.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use super::backoff::{Doing, Phase};
use super::reconcile::Report;
use super::{Context, cleanup};
use crate::api::{Organization, OrganizationStatus, Reason};
use crate::cluster::{Announcement, Severity};
use crate::domain::Blame;
use crate::domain::completion::CompletionProof;
use crate::domain::report::{self, Attempts, Pass, Seen};
use crate::domain::{Failure, Subject};

/// When to try again what the API server refused, where the reason says only "when something changes".
const REFUSED_AGAIN: Duration = Duration::from_mins(1);

/// Tells how a pass ended, and says when the next one is due.
pub(super) async fn publish(report: Report, phase: Phase, context: &Context) -> Action {
    let Report { object, subject, pass, seen, settlement, announce, again } = report;
    let teller = Teller { object: &object, subject: &subject, phase, context, now: Timestamp::now() };
    let failure = pass.failure().cloned();
    // A fault of the plan is reported once for all: here it costs each live object one status write, and no Event, log
    // line or attempt of its own.
    let shared = phase == Phase::Live && failure.as_ref().is_some_and(|f| f.blame == Blame::Plan);
    let (mut attempts, mut delay) = (Attempts::default(), again);
    if let Some(failure) = &failure {
        context.database.renew_if_read_only(failure);
        if shared {
            context.metrics.failed(failure.reason);
        } else {
            let counted = teller.count(failure, Doing::Pass(phase));
            (attempts, delay) = (counted.0, counted.1.or(again));
            teller.log(failure, attempts);
        }
    }
    let newest = context.written.newest(&object);
    let previous = newest.as_ref();
    let status =
        report::status(&subject, previous, &pass, seen, attempts, &context.settings.retry.longest(), teller.now);
    // What the live object showed without an Event is news once it blocks a deletion.
    let shown = previous.filter(|s| s.deletion.is_some() || !failure.as_ref().is_some_and(|f| f.blame == Blame::Plan));
    let news = failure.as_ref().filter(|f| shown.and_then(|s| s.error.as_ref()).map(|e| e.reason) != Some(f.reason));
    if let Some(failure) = news.filter(|_| !shared) {
        teller.warn(failure).await;
    }
    if let Some(announcement) = announce {
        context.cluster.announce(&object, &announcement, teller.now).await;
    }
    let published = match &settlement {
        Some(settlement) => teller.let_go(settlement, previous, &status).await,
        None => match teller.write(previous, &status).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(teller.refused(&refusal).await.1),
        },
    };
    match published {
        Ok(()) => context.backoff.succeeded(&subject.uid, Doing::Publishing),
        Err(refused) => delay = Some(refused.unwrap_or(REFUSED_AGAIN)).into_iter().chain(delay).min(),
    }
    // What a deletion waits for between two attempts is no success.
    if phase == Phase::Live && (failure.is_none() || shared) {
        context.backoff.succeeded(&subject.uid, Doing::Pass(phase));
    }
    delay.map_or_else(Action::await_change, Action::requeue)
}

/// Who tells about one pass over one object.
struct Teller<'a> {
    object: &'a Organization,
    subject: &'a Subject,
    phase: Phase,
    context: &'a Context,
    now: Timestamp,
}

impl Teller<'_> {
    /// Counts a failure. Returns its attempts for the status, and how long to wait.
    fn count(&self, failure: &Failure, doing: Doing) -> (Attempts, Option<Duration>) {
        let (count, delay) = self.context.backoff.failed(&self.subject.uid, doing, failure.reason);
        self.context.metrics.failed(failure.reason);
        if self.phase == Phase::Terminating {
            self.context.metrics.blocked(failure.reason);
        }
        let next = delay.and_then(|d| self.now.checked_add(d).ok());
        (Attempts { count: i32::try_from(count).unwrap_or(i32::MAX), next }, delay)
    }

    fn log(&self, failure: &Failure, attempts: Attempts) {
        tracing::warn!(
            object = self.subject.name,
            uid = self.subject.uid,
            reason = failure.reason.as_str(),
            attempts = attempts.count,
            sql_state = failure.sql_state,
            "{}",
            failure.message()
        );
    }

    async fn warn(&self, failure: &Failure) {
        let expected = failure.reason == Reason::OrganizationNotFound;
        let announcement = Announcement {
            severity: if expected { Severity::Normal } else { Severity::Warning },
            reason: failure.reason.as_str(),
            action: if self.phase == Phase::Terminating { "Delete" } else { "Reconcile" },
            note: report::explained(failure, &self.subject.name, &self.context.settings.retry.longest()),
            occurrence: format!(".{}", self.subject.generation),
        };
        self.context.cluster.announce(self.object, &announcement, self.now).await;
    }

    /// Writes the status, if it is worth a write.
    async fn write(&self, previous: Option<&OrganizationStatus>, status: &OrganizationStatus) -> Result<(), Failure> {
        if report::worth_writing(previous, status)
            && let Some(written) = self.context.cluster.write_status(self.object, status).await?
        {
            self.context.written.note(&written, status);
        }
        Ok(())
    }

    /// What the API server refused cannot be shown in the status: the Event and the log have to do.
    async fn refused(&self, refusal: &Failure) -> (Attempts, Option<Duration>) {
        let (attempts, delay) = self.count(refusal, Doing::Publishing);
        self.log(refusal, attempts);
        if attempts.count == 1 {
            self.warn(refusal).await;
        }
        (attempts, delay)
    }

    /// Shows how the deletion ended, then lets the object go. Where that is refused, the status says so and still shows the
    /// outcome: it is not written a second time without the refusal.
    async fn let_go(
        &self,
        settlement: &CompletionProof,
        previous: Option<&OrganizationStatus>,
        status: &OrganizationStatus,
    ) -> Result<(), Option<Duration>> {
        let shown = previous.and_then(|s| s.deletion.as_ref()).and_then(|d| d.outcome) == Some(settlement.outcome());
        if !shown && let Err(refusal) = self.write(previous, status).await {
            return Err(self.refused(&refusal).await.1);
        }
        let Err(refusal) = self.release(settlement).await else { return Ok(()) };
        let (attempts, delay) = self.refused(&refusal).await;
        let before = if shown { previous } else { Some(status) };
        let pass = Pass::Deleting(report::held(self.subject.policy, settlement, refusal));
        let waits = self.context.settings.retry.longest();
        let status = report::status(self.subject, before, &pass, Seen::default(), attempts, &waits, self.now);
        if let Err(refusal) = self.write(before, &status).await {
            self.log(&refusal, attempts);
        }
        Err(delay)
    }

    async fn release(&self, settlement: &CompletionProof) -> Result<(), Failure> {
        let (context, subject) = (self.context, self.subject);
        let outcome = settlement.outcome().as_str();
        let announcement = Announcement {
            severity: Severity::Normal,
            reason: outcome,
            action: "Delete",
            note: settlement.sentence(),
            occurrence: String::new(),
        };
        context.cluster.announce(self.object, &announcement, self.now).await;
        context.cluster.release(self.object, settlement).await?;
        cleanup::wake_heirs(subject, context);
        tracing::info!(object = subject.name, uid = subject.uid, outcome, "{}", settlement.sentence());
        context.metrics.settled(settlement, subject.terminating_since, self.now);
        Ok(())
    }
}
