//! The controller: watches Organizations, reconciles each that changed, and polls the database for what changed there.

mod backoff;
mod cached;
mod completeness;
mod contenders;
mod context;
mod drift;
mod held;
mod index;
mod known_size;
mod left_over;
mod memory;
mod pacing;
mod packed;
mod places;
mod plan_cache;
mod quick_check;
mod reconcile;
mod status_cache;
mod uninstallation;
pub mod unserved;
mod watch;

pub use context::{Inputs, Settings};
pub use plan_cache::PlanCache;

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, WatchStreamExt as _};
use tokio::sync::watch as signal;

use crate::background::{Background, Lost};
use crate::cluster::chain;
use cached::Cached;
use context::Context;
use drift::DriftPoller;
use index::Index;
use memory::Memory;
use pacing::Pacing;
use places::Places;

/// Runs until `stop` turns true. Reconciliations that have begun end first: a cascade commits or rolls back.
///
/// # Errors
/// Fails when a background task is lost: without the drift poller the operator notices nothing that changes in the database, and
/// without the other one it does not notice that it is being uninstalled.
pub async fn run(inputs: Inputs, mut stop: signal::Receiver<bool>) -> Result<(), Lost> {
    let Inputs { cluster, client, database, plan, metrics, settings } = inputs;
    let (store, writer) = reflector::store();
    let index = Arc::new(Index::default());
    let (guarded, followed) = (index.clone(), index.clone());
    let objects = watch::organizations(client, &settings.database, metrics.clone(), guarded)
        .reflect(writer)
        .inspect_ok(move |event| followed.process(event))
        .applied_objects()
        // Own status writes are of no interest, so they trigger nothing.
        .predicate_filter(|object: &Cached| Some(object.interest()), kube::runtime::PredicateConfig::default());

    metrics.follow(held::following(store.clone()));
    let (requeue, requeued) = futures::channel::mpsc::unbounded();
    let large = settings.batch.places();
    // Small deletions are never queued behind large ones.
    let concurrency = settings.concurrency.max(1).saturating_add(large);
    let memory = Memory::new(settings.retry);
    let places = Places::new(usize::from(large), requeue.clone());
    let pacing = Pacing::new(settings.pace.clone());
    let context = Arc::new(Context {
        cluster,
        database,
        plan,
        metrics,
        settings,
        pacing,
        places,
        store: store.clone(),
        index,
        memory,
        requeue,
    });
    let polling = stop_when(stop.clone(), DriftPoller::new(context.clone()).run());
    let mut polling = Background::spawn("drift poller", stop.clone(), polling);
    let noticing = stop_when(stop.clone(), uninstallation::notice(context.clone()));
    let mut noticing = Background::spawn("uninstallation", stop.clone(), noticing);
    let stopped_early = stopped_before(stop.clone(), store.clone());
    let controller = Controller::for_stream(objects, store)
        .with_config(Config::default().concurrency(concurrency))
        .reconcile_on(requeued.map(|object| ObjectRef::new(&object.name)))
        .graceful_shutdown_on(async move {
            // A sender that is gone means that the process is ending, too.
            drop(stop.wait_for(|s| *s).await);
        })
        .run(reconcile::reconcile, |_, never, _| -> Action { match *never {} }, context)
        .for_each(|result| async move {
            if let Err(e) = result {
                // Normal for an object that went away while it was queued.
                tracing::debug!(error = chain(&e), "a queued reconciliation did not take place");
            }
        });
    let controller = Box::pin(async {
        tokio::select! {
            () = controller => {}
            () = stopped_early => {}
        }
    });
    polling.guard(noticing.guard(controller)).await?
}

/// Ends when `stop` turns true before the first list of the watch is complete. No reconciliation has begun then, and the
/// `Controller` would wait for that list, which it does not read any more.
async fn stopped_before(mut stop: signal::Receiver<bool>, store: reflector::Store<Cached>) {
    drop(stop.wait_for(|s| *s).await);
    if store.wait_until_ready().now_or_never().is_some() {
        std::future::pending::<()>().await;
    }
}

/// Does `work` until `stop` turns true.
async fn stop_when(mut stop: signal::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|s| *s) => {}
    }
}
