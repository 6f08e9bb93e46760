//! The connections to the database, and the drift poller.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Connections of this process to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Connections that work, or are being made.
    pub in_use: u32,
    /// Open connections that nothing uses.
    pub idle: u32,
    /// The most connections at one time, `database.maxConnections`.
    pub max: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// What is known of the database.
#[derive(Default)]
pub(super) struct DatabaseMetrics {
    up: Gauge,
    connections: Family<StateLabel, Gauge>,
    polled: Gauge,
    drifted: Counter,
    source: Mutex<Option<Box<dyn Fn() -> Connections + Send>>>,
}

impl DatabaseMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("database_up", "1 if the database answered the last query of the poller", self.up.clone());
        registry.register(
            "database_connections",
            "Connections to the database, by state: in_use, idle; max is the limit",
            self.connections.clone(),
        );
        registry.register(
            "last_poll_timestamp_seconds",
            "Unix time at which the drift poller last compared all organizations; 0 if it has not yet",
            self.polled.clone(),
        );
        registry.register(
            "drifted_organizations",
            "Organizations that the drift poller found changed in the database",
            self.drifted.clone(),
        );
        self.count();
    }

    pub(super) fn seen(&self, answered: bool) {
        self.up.set(i64::from(answered));
    }

    pub(super) fn answers(&self) -> bool {
        self.up.get() == 1
    }

    pub(super) fn polled(&self, now: Timestamp, drifted: usize) {
        self.polled.set(now.as_second());
        self.drifted.inc_by(u64::try_from(drifted).unwrap_or(u64::MAX));
    }

    pub(super) fn follow(&self, connections: impl Fn() -> Connections + Send + 'static) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(connections));
    }

    /// Counts the connections.
    pub(super) fn count(&self) {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let now = source.as_ref().map(|connections| connections()).unwrap_or_default();
        for (state, number) in [("in_use", now.in_use), ("idle", now.idle), ("max", now.max)] {
            self.connections.get_or_create(&StateLabel { state }).set(i64::from(number));
        }
    }
}
