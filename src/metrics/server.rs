//! The connections to a database server, and the drift poller.

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::label::DatabaseLabel;

/// Connections of this process to a database.
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
    #[prometheus(flatten)]
    database: DatabaseLabel,
    state: &'static str,
}

/// What is known of the servers.
#[derive(Clone, Default)]
pub(super) struct ServerMetrics {
    up: Family<DatabaseLabel, Gauge>,
    connections: Family<StateLabel, Gauge>,
    polled: Family<DatabaseLabel, Gauge>,
    drifted: Family<DatabaseLabel, Counter>,
}

impl ServerMetrics {
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
    }

    /// Shows a database of which nothing is known yet.
    pub(super) fn zero(&self, database: &DatabaseLabel) {
        self.seen(database, false);
        drop(self.polled.get_or_create(database));
        drop(self.drifted.get_or_create(database));
    }

    pub(super) fn seen(&self, database: &DatabaseLabel, answered: bool) {
        self.up.get_or_create(database).set(i64::from(answered));
    }

    pub(super) fn answers(&self, database: &DatabaseLabel) -> bool {
        self.up.get_or_create(database).get() == 1
    }

    pub(super) fn polled(&self, database: &DatabaseLabel, now: Timestamp, drifted: usize) {
        self.polled.get_or_create(database).set(now.as_second());
        self.drifted.get_or_create(database).inc_by(u64::try_from(drifted).unwrap_or(u64::MAX));
    }

    pub(super) fn connected(&self, database: &DatabaseLabel, now: Connections) {
        for (state, number) in [("in_use", now.in_use), ("idle", now.idle), ("max", now.max)] {
            let label = StateLabel { database: database.clone(), state };
            self.connections.get_or_create(&label).set(i64::from(number));
        }
    }
}
