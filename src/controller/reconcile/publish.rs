//! Writes what the domain decided to publish: log line, Events, status, and the release of the object.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use crate::api::{Organization, OrganizationStatus};
use crate::controller::contenders::requeue_contenders;
use crate::controller::context::Context;
use crate::controller::memory::Task;
use crate::domain::attempts::Attempts;
use crate::domain::completion::CompletionProof;
use crate::domain::publish::{self, Publication};
use crate::domain::reconciliation::Reconciliation;
use crate::domain::report::sentences::Waits;
use crate::domain::{Failure, Subject};

/// When to try again what the API server refused, where the reason says only "when something changes".
const REFUSED_AGAIN: Duration = Duration::from_mins(1);

/// Publishes how a reconciliation ended. Returns when the next one is due.
pub(super) async fn publish(object: &Organization, reconciliation: Reconciliation, context: &Context) -> Action {
    let subject = Subject::parse(object);
    let waits = context.settings.retry.longest();
    let writer = Writer { object, subject: &subject, context, waits, now: Timestamp::now() };
    let attempts = writer.count(&reconciliation);
    let previous = context.memory.newest_status(object);
    let published =
        publish::publication(&subject, previous.as_ref(), &reconciliation, attempts, &writer.waits, writer.now);
    context.metrics.pages(&subject.name, reconciliation.progress().zip(Some(published.rate)));
    let again = match writer.write(&published, previous.as_ref(), attempts).await {
        Ok(()) => {
            context.memory.succeeded(&subject.uid, Task::Publish);
            published.again
        }
        Err(delay) => Some(delay.unwrap_or(REFUSED_AGAIN)).into_iter().chain(published.again).min(),
    };
    again.map_or_else(Action::await_change, Action::requeue)
}

/// Writes about one object.
struct Writer<'a> {
    object: &'a Organization,
    subject: &'a Subject,
    context: &'a Context,
    waits: Waits,
    now: Timestamp,
}

/// When to try a refused write again. `None` if something has to change first.
type Refused = Option<Duration>;

impl Writer<'_> {
    /// Counts how the reconciliation ended, in memory and metrics. Returns the attempts of its own failure.
    fn count(&self, reconciliation: &Reconciliation) -> Attempts {
        let (context, uid) = (self.context, &self.subject.uid);
        let terminating = self.subject.terminating_since.is_some();
        if let Some(failure) = reconciliation.failure() {
            context.database.renew_if_read_only(failure);
            context.metrics.failed(failure.reason);
        }
        match publish::own_failure(self.subject, reconciliation) {
            Some(failure) if terminating => {
                context.metrics.blocked(failure.reason);
                context.memory.failed(uid, Task::Delete, failure.reason)
            }
            Some(failure) => context.memory.failed(uid, Task::Apply, failure.reason),
            None => {
                // A deletion that waits between two attempts is not a success.
                context.memory.succeeded(uid, Task::Apply);
                Attempts::default()
            }
        }
    }

    async fn write(
        &self,
        published: &Publication<'_>,
        previous: Option<&OrganizationStatus>,
        attempts: Attempts,
    ) -> Result<(), Refused> {
        if let Some(failure) = published.log {
            self.log(failure, attempts);
        }
        for event in &published.events {
            self.context.cluster.announce(self.object, event, self.now).await;
        }
        if let Some(status) = &published.status
            && let Err(refusal) = self.write_status(status).await
        {
            return Err(self.refused(&refusal).await.delay);
        }
        let Some(proof) = published.release else { return Ok(()) };
        let Err(refusal) = self.release(proof).await else { return Ok(()) };
        // The status says that, and still shows the outcome: it was not written a second time without the refusal.
        let attempts = self.refused(&refusal).await;
        let before = published.status.as_ref().or(previous);
        let held = publish::held(self.subject, before, proof, refusal, attempts, &self.waits, self.now);
        if let Some(status) = held
            && let Err(refusal) = self.write_status(&status).await
        {
            self.log(&refusal, attempts);
        }
        Err(attempts.delay)
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

    async fn write_status(&self, status: &OrganizationStatus) -> Result<(), Failure> {
        if let Some(written) = self.context.cluster.write_status(self.object, status).await? {
            self.context.wrote_status(&written, status);
        }
        Ok(())
    }

    /// What the API server refused cannot be shown in the status: only the Event and the log show it.
    async fn refused(&self, refusal: &Failure) -> Attempts {
        let attempts = self.context.memory.failed(&self.subject.uid, Task::Publish, refusal.reason);
        self.context.metrics.failed(refusal.reason);
        if self.subject.terminating_since.is_some() {
            self.context.metrics.blocked(refusal.reason);
        }
        self.log(refusal, attempts);
        if let Some(event) = publish::refused(self.subject, refusal, attempts, &self.waits) {
            self.context.cluster.announce(self.object, &event, self.now).await;
        }
        attempts
    }

    async fn release(&self, proof: &CompletionProof) -> Result<(), Failure> {
        let (context, subject) = (self.context, self.subject);
        context.cluster.announce(self.object, &publish::completed(proof), self.now).await;
        context.cluster.release(self.object, proof).await?;
        requeue_contenders(subject, context);
        let outcome = proof.outcome().as_str();
        tracing::info!(object = subject.name, uid = subject.uid, outcome, "{}", proof.sentence());
        context.metrics.completed(proof, subject.terminating_since, self.now);
        Ok(())
    }
}
