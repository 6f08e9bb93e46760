//! What the controller is started with, and what all reconciliations share.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use super::cached::Cached;
use super::index::Index;
use super::memory::Memory;
use super::pacing::Pacing;
use super::places::Places;
use super::plan_cache::PlanCache;
use crate::api::{Organization, OrganizationStatus};
use crate::cluster::Cluster;
use crate::config::{BatchConfig, RetryBounds};
use crate::db::Database;
use crate::domain::breaker::Limit;
use crate::metrics::DatabaseMetrics;
use crate::pace::Pace;

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
    /// Metrics of that database.
    pub metrics: Arc<DatabaseMetrics>,
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
    /// Objects reconciled at the same time.
    pub concurrency: u16,
    /// How often the drift poller reads all organizations.
    pub poll_interval: Duration,
    /// Longest reconciliation of one object.
    pub reconcile_timeout: Duration,
    /// How long an erasure waits for an object that takes the organization over.
    pub handover: Duration,
    /// How long transactions that write to unprotected tables get to end.
    pub drain: Duration,
    /// How many deletions may begin at once before no further one erases. `None`: any number.
    pub breaker: Option<Limit>,
    /// Bounds of the retries.
    pub retry: RetryBounds,
    /// How large tenants are deleted.
    pub batch: BatchConfig,
    /// The limits of deletions in pages.
    pub pace: Pace,
}

/// Shared by all reconciliations.
pub(crate) struct Context {
    pub(super) cluster: Cluster,
    pub(super) database: Arc<Database>,
    pub(super) plan: Arc<PlanCache>,
    pub(super) metrics: Arc<DatabaseMetrics>,
    pub(super) settings: Settings,
    /// The pace of deletions in pages.
    pub(super) pacing: Pacing,
    pub(super) store: Store<Cached>,
    pub(super) index: Arc<Index>,
    pub(super) memory: Memory,
    pub(super) places: Arc<Places>,
    pub(super) requeue: UnboundedSender<ObjectRef<Organization>>,
}

impl Context {
    /// Notes a status that this process wrote, with the metadata that the API server returned.
    pub(super) fn wrote_status(&self, returned: &ObjectMeta, status: &OrganizationStatus) {
        let cached = self.store.get(&ObjectRef::new(returned.name.as_deref().unwrap_or_default()));
        self.index.written(returned, cached.as_deref());
        self.memory.wrote_status(returned, status);
    }

    /// Asks for a reconciliation of an object.
    pub(super) fn requeue(&self, object: ObjectRef<Organization>) {
        // The receiver ends with the controller.
        drop(self.requeue.unbounded_send(object));
    }
}
