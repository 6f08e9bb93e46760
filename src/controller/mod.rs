//! The controller: watches Organizations, runs a pass over each that changed, and looks at all of them regularly.

mod apply;
mod backoff;
mod census;
mod cleanup;
mod first_seen;
mod plan_cache;
mod publish;
mod quick_check;
mod reconcile;
mod watch;
mod written;

pub use plan_cache::PlanCache;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{Controller, Predicate as _, WatchStreamExt as _, predicates};
use tokio::sync::watch as signal;

use crate::api::Organization;
use crate::background::{Background, Lost};
use crate::cluster::{Cluster, chain};
use crate::config::RetryBounds;
use crate::db::Database;
use crate::metrics::Metrics;
use backoff::Backoff;
use census::Census;
use first_seen::FirstSeen;
use quick_check::QuickChecks;
use written::Written;

/// What the controller needs.
pub struct Inputs {
    /// The API server.
    pub cluster: Cluster,
    /// A client for the watch.
    pub client: kube::Client,
    /// The database.
    pub database: Arc<Database>,
    /// The compiled plan.
    pub plan: Arc<PlanCache>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Settings.
    pub settings: Settings,
}

/// Settings of the controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which objects to serve: those with this `spec.database`.
    pub database: String,
    /// Id of this cluster in claims and ledger.
    pub cluster_id: String,
    /// Other clusters whose claims may be taken over.
    pub adopt_from: Vec<String>,
    /// Objects worked on at the same time.
    pub concurrency: u16,
    /// How often all organizations are looked at.
    pub poll_interval: Duration,
    /// Longest pass over one object.
    pub reconcile_timeout: Duration,
    /// How long an erasure waits for an object that takes the organization over.
    pub handover: Duration,
    /// How long writers of tables without a foreign key get to settle.
    pub drain: Duration,
    /// Bounds of the retries.
    pub retry: RetryBounds,
}

/// Shared by all passes.
pub(crate) struct Context {
    cluster: Cluster,
    database: Arc<Database>,
    plan: Arc<PlanCache>,
    metrics: Arc<Metrics>,
    settings: Settings,
    store: Store<Organization>,
    backoff: Backoff,
    census: Arc<Census>,
    written: Written,
    terminating: FirstSeen,
    quick_checks: QuickChecks,
}

/// Runs until `stop` turns true. Passes under way end first: a cascade commits or rolls back.
///
/// # Errors
/// Fails when the task that looks at all organizations is lost: without it nothing that changes in the database is noticed.
pub async fn run(inputs: Inputs, mut stop: signal::Receiver<bool>) -> Result<(), Lost> {
    let Inputs { cluster, client, database, plan, metrics, settings } = inputs;
    let (store, writer) = reflector::store();
    // Own status writes change none of these, so they trigger nothing.
    let interesting = predicates::generation
        .combine(predicates::finalizers)
        .combine(predicates::annotations)
        .combine(predicates::labels);
    let objects = watch::organizations(client, &settings.database, metrics.clone())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(interesting, kube::runtime::PredicateConfig::default());

    metrics.follow(store.clone());
    let (poke, poked) = futures::channel::mpsc::unbounded();
    let census = Arc::new(Census::new(poke));
    let context = Arc::new(Context {
        cluster,
        database,
        plan,
        metrics,
        store: store.clone(),
        backoff: Backoff::new(settings.retry),
        census: census.clone(),
        written: Written::default(),
        terminating: FirstSeen::default(),
        quick_checks: QuickChecks::default(),
        settings: settings.clone(),
    });
    let looking = stop_when(stop.clone(), census::look_regularly(context.clone()));
    let mut looking = Background::spawn("census", stop.clone(), looking);
    let controller = Controller::for_stream(objects, store)
        .with_config(Config::default().concurrency(settings.concurrency.max(1)))
        .reconcile_on(poked)
        .graceful_shutdown_on(async move {
            // A sender that is gone means that the process is ending, too.
            drop(stop.wait_for(|s| *s).await);
        })
        .run(reconcile::reconcile, |_, never, _| -> Action { match *never {} }, context)
        .for_each(|result| async move {
            if let Err(e) = result {
                // Normal for an object that went away while it waited for its next pass.
                tracing::debug!(error = chain(&e), "a scheduled pass did not take place");
            }
        });
    looking.guard(controller).await
}

/// Does `work` until `stop` turns true.
async fn stop_when(mut stop: signal::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|s| *s) => {}
    }
}
