//! Objects whose `spec.database` nobody serves: the operator says so in their status, and does nothing else to them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector;
use kube::runtime::{Controller, WatchStreamExt as _};
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::watch as signal;

use super::cached::Cached;
use super::watch;
use crate::api::{Organization, Reason};
use crate::cluster::{Cluster, chain};
use crate::domain::report::sentences::Waits;
use crate::domain::subject::{Phase, Subject};
use crate::domain::unserved::{is_unobserved, unserved};
use crate::metrics::Metrics;

/// When to try a refused write again.
const AGAIN: Duration = Duration::from_mins(1);

/// What the reports need.
pub struct Inputs {
    /// The API server.
    pub cluster: Cluster,
    /// A client for the watch.
    pub client: kube::Client,
    /// The names of the databases that are served.
    pub served: Vec<String>,
    /// How long an object may stay unobserved.
    pub patience: Duration,
    /// The longest waits between two attempts.
    pub waits: Waits,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

struct Reports {
    cluster: Cluster,
    served: Vec<String>,
    patience: Duration,
    waits: Waits,
    /// Since when this process has seen what nobody has observed, by name.
    unobserved: Mutex<HashMap<String, Unobserved>>,
}

/// An object as nobody has observed it yet.
#[derive(Debug)]
struct Unobserved {
    /// Its uid and generation.
    as_is: (Option<String>, Option<i64>),
    since: Instant,
}

/// Reports until `stop` turns true.
pub async fn report(inputs: Inputs, mut stop: signal::Receiver<bool>) {
    let Inputs { cluster, client, served, patience, waits, metrics } = inputs;
    let (store, writer) = reflector::store();
    let counted = store.clone();
    metrics.follow_unserved(move || {
        counted.state_filter(|object: &Cached| object.error() == Some(Reason::DatabaseNotServed)).len()
    });
    let objects = watch::others(client, &served)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(|object: &Cached| Some(object.interest()), kube::runtime::PredicateConfig::default());
    let reports = Arc::new(Reports { cluster, served, patience, waits, unobserved: Mutex::default() });
    Controller::for_stream(objects, store)
        .graceful_shutdown_on(async move {
            drop(stop.wait_for(|s| *s).await);
        })
        .run(consider, |_, never, _| -> Action { match *never {} }, reports)
        .for_each(|result| async move {
            if let Err(e) = result {
                tracing::debug!(error = chain(&e), "a queued report did not take place");
            }
        })
        .await;
}

/// Whoever serves the object gets the time to say so. Then it is read past the cache, which may lag.
async fn consider(cached: Arc<Cached>, reports: Arc<Reports>) -> Result<Action, Infallible> {
    let left = cached.object().ok().and_then(|object| reports.left(&object));
    Ok(match left {
        None => Action::await_change(),
        Some(Duration::ZERO) => reports.tell(&cached).await,
        Some(left) => Action::requeue(left),
    })
}

impl Reports {
    /// How long the object may stay as it is. `None` if there is nothing to say.
    fn left(&self, object: &Organization) -> Option<Duration> {
        let mut all = self.unobserved.lock().unwrap_or_else(PoisonError::into_inner);
        let name = object.name_any();
        if !concerns(object) {
            all.remove(&name);
            return None;
        }
        let as_is = (object.uid(), object.metadata.generation);
        let fresh = || Unobserved { as_is: as_is.clone(), since: Instant::now() };
        let seen = all.entry(name).or_insert_with(fresh);
        if seen.as_is != as_is {
            *seen = fresh();
        }
        Some(self.patience.saturating_sub(seen.since.elapsed()))
    }

    async fn tell(&self, cached: &Cached) -> Action {
        let object = match self.cluster.live(&cached.name_any()).await {
            Ok(Some(live)) if live.uid() == cached.meta().uid && concerns(&live) => live,
            Ok(_) => return Action::await_change(),
            Err(failure) => {
                tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message());
                return Action::requeue(AGAIN);
            }
        };
        let (events, status) = unserved(&object, &self.served, &self.waits, Timestamp::now());
        let Some(status) = status else { return Action::await_change() };
        let database = &object.spec.database;
        tracing::warn!(object = object.name_any(), database, "no operator has taken up this object");
        for event in &events {
            self.cluster.announce(&object, event, Timestamp::now()).await;
        }
        match self.cluster.write_status(&object, &status).await {
            Ok(_) => Action::await_change(),
            Err(failure) => {
                tracing::warn!(object = object.name_any(), reason = failure.reason.as_str(), "{}", failure.message());
                Action::requeue(AGAIN)
            }
        }
    }
}

/// Whether the object is one about which there is something to say. One without the finalizer that is being deleted was never
/// served, and is not held by this operator.
fn concerns(object: &Organization) -> bool {
    Subject::parse(object).phase() != Phase::Released && is_unobserved(object)
}
