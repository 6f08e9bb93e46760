//! The drift poller: it compares all tenants with what it saw last, in one query, and requeues the objects whose tenant has
//! changed. All others cost nothing.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};

use super::cached::Cached;
use super::context::Context;
use super::left_over::LeftOver;
use crate::api::Reason;
use crate::domain::{Blame, Failure, PlanError};

/// Existence, activation and users of all tenants, and the catalogue, read on every interval.
pub(super) struct DriftPoller {
    context: Arc<Context>,
    reported: Reported,
    left_over: LeftOver,
}

impl DriftPoller {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, reported: Reported::default(), left_over: LeftOver::default() }
    }

    /// Polls for ever.
    pub(super) async fn run(mut self) {
        let context = self.context.clone();
        let mut interval = tokio::time::interval(context.settings.poll_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.reported.plan = context.plan.fingerprint();
        // The first reconciliation of each object reads the database itself.
        interval.tick().await;
        loop {
            interval.tick().await;
            // A server that dies without an answer must not end the polling.
            let polled = tokio::time::timeout(context.settings.reconcile_timeout, self.poll()).await;
            let failed = polled.unwrap_or_else(|_| Err(unanswered())).err();
            if let Some(failure) = &failed {
                context.database.renew_if_read_only(failure);
            }
            let next = self.reported.judge(failed.as_ref());
            context.metrics.database_seen(next.answered);
            if next.requeue_waiting {
                let objects = context.store.state();
                requeue(&context, objects.iter().filter(|o| waits_for_the_database(o)));
            }
            if let Some(failure) = failed.filter(|_| next.log) {
                tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message());
            }
        }
    }

    async fn poll(&mut self) -> Result<(), Failure> {
        let context = &self.context;
        let objects = context.store.state();
        let uids: HashSet<&str> = objects.iter().filter_map(|o| o.meta().uid.as_deref()).collect();
        context.memory.keep_only(|uid| uids.contains(uid));
        self.left_over.check(context, &uids).await;

        let refreshed = context.plan.refresh().await;
        match &refreshed {
            Ok(plan) => context.metrics.plan(plan),
            Err(PlanError::Faulty(faults)) => context.metrics.plan_unusable(faults),
            Err(PlanError::Unread(_)) => {}
        }
        if self.reported.is_new(context.plan.fingerprint()) {
            requeue(context, &objects);
        }
        let plan = refreshed?;
        let keys = context.memory.keys();
        let mut drifted = Vec::new();
        if !keys.is_empty() {
            let found = context.database.tenants(&keys, &plan).await.map_err(|f| f.explained_by(&plan))?;
            drifted = context.memory.drifted(&found);
        }
        context.metrics.polled(Timestamp::now(), drifted.len());
        for object in drifted {
            context.requeue(object);
        }
        Ok(())
    }
}

fn requeue<'a>(context: &Context, objects: impl IntoIterator<Item = &'a Arc<Cached>>) {
    for object in objects {
        context.requeue(ObjectRef::new(&object.name_any()));
    }
}

/// What the poller reported last, so that it reports nothing twice.
#[derive(Debug, Default)]
struct Reported {
    /// The fingerprint of the plan when all objects were requeued for it.
    plan: Option<String>,
    /// The failure that was logged last, if there was none since.
    failure: Option<String>,
    /// The database could not be reached, and has not answered since.
    unreachable: bool,
}

/// What follows from a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    /// The database answered.
    answered: bool,
    /// It answered again: objects that wait for nothing else need not wait for their next try.
    requeue_waiting: bool,
    /// The failure is new.
    log: bool,
}

impl Reported {
    /// Whether this plan differs from the one for which the objects were requeued last, not from the plan before: a
    /// reconciliation may have compiled it in between.
    fn is_new(&mut self, plan: Option<String>) -> bool {
        let new = plan != self.plan;
        self.plan = plan;
        new
    }

    fn judge(&mut self, failed: Option<&Failure>) -> Next {
        // With a fault of the plan, the database did answer. The plan cache logs the fault when it compiles the plan.
        let silence = failed.filter(|f| f.blame != Blame::Plan);
        self.unreachable |= failed.is_some_and(|f| unreachable(f.reason));
        let requeue_waiting = silence.is_none() && std::mem::take(&mut self.unreachable);
        let message = silence.map(Failure::message);
        let log = message.is_some() && message != self.failure;
        self.failure = message;
        Next { answered: silence.is_none(), requeue_waiting, log }
    }
}

const fn unreachable(reason: Reason) -> bool {
    matches!(reason, Reason::AuthenticationFailed | Reason::DatabaseUnavailable)
}

fn waits_for_the_database(object: &Cached) -> bool {
    object.error().is_some_and(unreachable)
}

fn unanswered() -> Failure {
    Failure::new(Reason::DatabaseUnavailable, "the database did not answer while the operator read all organizations")
        .remedy("check that the database server runs and that the operator can reach it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_each_poll() {
        let down = Failure::new(Reason::DatabaseUnavailable, "down");
        let denied = Failure::new(Reason::AuthenticationFailed, "denied");
        let slow = Failure::new(Reason::StatementTimeout, "slow");
        let mut plan = Failure::new(Reason::SchemaMismatch, "a table is missing");
        plan.blame = Blame::Plan;
        let mut reported = Reported::default();
        // What failed; whether the database answered, the waiting objects are requeued, and the failure is logged.
        for (row, (failed, answered, requeue_waiting, log)) in [
            (None, true, false, false),
            (Some(&down), false, false, true),
            (Some(&down), false, false, false),
            (Some(&denied), false, false, true),
            (Some(&slow), false, false, true),
            (None, true, true, false),
            (None, true, false, false),
            (Some(&slow), false, false, true),
            (None, true, false, false),
            (Some(&slow), false, false, true),
            (Some(&down), false, false, true),
            (Some(&plan), true, true, false),
            (Some(&plan), true, false, false),
            (Some(&down), false, false, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(reported.judge(failed), Next { answered, requeue_waiting, log }, "row {row}");
        }
    }

    #[test]
    fn a_plan_is_told_once() {
        let mut reported = Reported::default();
        let plan = |name: &str| Some(name.to_owned());
        let new = [None, plan("a"), plan("a"), plan("b"), plan("a"), None].map(|plan| reported.is_new(plan));
        assert_eq!(new, [false, true, false, true, true, true]);
    }
}
