//! Existence, activation and users of all organizations, looked at regularly in one query. Objects whose organization has
//! changed are passed over again; all others cost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc::UnboundedSender;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::api::{Organization, Reason};
use crate::db::tenants::TenantState;
use crate::domain::{Blame, Failure, PlanError};

/// What an object's last pass saw.
#[derive(Clone, Debug)]
struct Known {
    object: ObjectRef<Organization>,
    key: String,
    seen: Option<TenantState>,
}

pub(super) struct Census {
    known: Mutex<HashMap<String, Known>>,
    poke: UnboundedSender<ObjectRef<Organization>>,
}

impl Census {
    pub(super) fn new(poke: UnboundedSender<ObjectRef<Organization>>) -> Self {
        Self { known: Mutex::new(HashMap::new()), poke }
    }

    /// Notes what a pass saw of an object's organization; None: it is not there.
    pub(super) fn note(&self, object: &Organization, key: &str, seen: Option<TenantState>) {
        let known = Known { object: ObjectRef::from_obj(object), key: key.to_owned(), seen };
        self.lock().insert(object.uid().unwrap_or_default(), known);
    }

    /// Other objects are looked at no more.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| exists(uid));
    }

    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.lock().values().map(|k| k.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Pokes the objects whose organization is not as it was seen last.
    fn compare(&self, found: &HashMap<String, TenantState>) {
        for known in self.lock().values_mut() {
            let now = found.get(&known.key).copied();
            if now != known.seen {
                known.seen = now;
                self.poke(known.object.clone());
            }
        }
    }

    /// Asks for a pass over an object.
    pub(super) fn poke(&self, object: ObjectRef<Organization>) {
        // The receiver ends with the controller.
        drop(self.poke.unbounded_send(object));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was told last, so that nothing is told twice.
struct Told {
    /// The plan's mark when all objects were last asked to look at it.
    objects: Option<String>,
    /// The failure that was logged last, if there was none since.
    log: Option<String>,
}

/// Looks at all organizations, and at the catalogue, on every interval.
pub(super) async fn look_regularly(context: Arc<Context>) {
    let mut interval = tokio::time::interval(context.settings.poll_interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = Told { objects: context.plan.mark(), log: None };
    // The first pass over each object looks by itself.
    interval.tick().await;
    let mut unreachable = false;
    loop {
        interval.tick().await;
        // A server that dies without a word must not end the looking.
        let looked = tokio::time::timeout(context.settings.reconcile_timeout, look(&context, &mut told)).await;
        let looked = looked.unwrap_or_else(|_| Err(unanswered()));
        // A fault of the plan is no silence of the database, and its own words are logged where it is compiled.
        let silent = looked.as_ref().is_err_and(|f| f.blame != Blame::Plan);
        context.metrics.database_seen(!silent);
        if let Err(failure) = &looked {
            context.database.renew_if_read_only(failure);
            unreachable |= waits_for_the_database(failure.reason);
        }
        if !silent && std::mem::take(&mut unreachable) {
            wake_the_waiting(&context);
        }
        let failure = looked.err().filter(|_| silent);
        if let Some(failure) = failure.as_ref().filter(|f| told.log.as_ref() != Some(&f.message())) {
            tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message());
        }
        told.log = failure.map(|f| f.message());
    }
}

const fn waits_for_the_database(reason: Reason) -> bool {
    matches!(reason, Reason::AuthenticationFailed | Reason::DatabaseUnavailable)
}

/// The database is there again: objects that wait for nothing else need not wait for their next try.
fn wake_the_waiting(context: &Context) {
    for object in context.store.state() {
        let error = object.status.as_ref().and_then(|s| s.error.as_ref());
        if error.is_some_and(|e| waits_for_the_database(e.reason)) {
            context.census.poke(ObjectRef::from_obj(object.as_ref()));
        }
    }
}

fn unanswered() -> Failure {
    Failure::new(Reason::DatabaseUnavailable, "the database did not answer while all organizations were looked at")
        .remedy("check that the database server runs and that the operator may reach it")
}

async fn look(context: &Context, told: &mut Told) -> Result<(), Failure> {
    let objects = context.store.state();
    let uids: HashSet<&str> = objects.iter().filter_map(|o| o.metadata.uid.as_deref()).collect();
    context.census.keep_only(|uid| uids.contains(uid));
    context.backoff.keep_only(|uid| uids.contains(uid));
    context.written.keep_only(|uid| uids.contains(uid));
    context.terminating.keep_only(|uid| uids.contains(uid));
    context.quick_checks.keep_only(|uid| uids.contains(uid));

    let refreshed = context.plan.refresh().await;
    match &refreshed {
        Ok(plan) => context.metrics.plan(plan),
        Err(PlanError::Faulty(faults)) => context.metrics.plan_unusable(faults),
        Err(PlanError::Unread(_)) => {}
    }
    // Compared with what the objects were told, not with the plan before: a pass may have compiled it in between.
    let mark = context.plan.mark();
    if mark != told.objects {
        told.objects = mark;
        for object in &objects {
            context.census.poke(ObjectRef::from_obj(object.as_ref()));
        }
    }
    let plan = refreshed?;
    let keys = context.census.keys();
    if keys.is_empty() {
        return Ok(());
    }
    let found = context.database.tenants(&keys, &plan).await.map_err(|f| f.explained_by(&plan))?;
    context.census.compare(&found);
    Ok(())
}
