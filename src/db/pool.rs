//! The pool of connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Postgres, Transaction};

/// How long a connection may take to show that it is alive.
const PING: Duration = Duration::from_secs(1);
/// A connection that was used longer ago than this has to show that it is alive.
const FRESH: Duration = Duration::from_secs(1);

/// A pool whose connections can be replaced.
pub(super) struct Pool {
    /// It is never replaced, so that its size bounds the connections also while the URL changes.
    connections: PgPool,
    /// Older connections lead to a server that is no longer wanted.
    renewed: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// A pool that connects when it has to.
    pub(super) fn new(first: PgConnectOptions, size: u32, connect_timeout: Duration) -> Self {
        let renewed: Arc<Mutex<Option<Instant>>> = Arc::default();
        let since = renewed.clone();
        let connections = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(connect_timeout)
            // Connections behind a load balancer die silently; a short life finds a new primary soon.
            .max_lifetime(Duration::from_mins(10))
            .idle_timeout(Duration::from_mins(2))
            // The check of sqlx waits for a server that is gone without a word; the one below does not.
            .test_before_acquire(false)
            .before_acquire(move |connection, about| {
                let renewed = *since.lock().unwrap_or_else(PoisonError::into_inner);
                // One that was being made at that moment may lead to the old server, too.
                let old = renewed.is_some_and(|at| about.age + connect_timeout >= at.elapsed());
                // The pool has asked it when it was given back.
                let fresh = about.idle_for < FRESH;
                Box::pin(async move {
                    if old || fresh {
                        return Ok(!old);
                    }
                    Ok(tokio::time::timeout(PING, connection.ping()).await.is_ok_and(|answer| answer.is_ok()))
                })
            })
            .connect_lazy_with(first);
        Self { connections, renewed }
    }

    /// Connects to this server from now on, and uses no older connection again. If it is `None`, the server stays the same.
    pub(super) fn renew(&self, endpoint: Option<&PgConnectOptions>) {
        if let Some(endpoint) = endpoint {
            self.connections.set_connect_options(endpoint.clone());
        }
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Begins a transaction with this statement.
    pub(super) async fn begin(&self, statement: String) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.connections.begin_with(AssertSqlSafe(statement)).await
    }

    /// Its connections that are in use or being made, and those that nothing uses.
    pub(super) fn counted(&self) -> (u32, u32) {
        let idle = u32::try_from(self.connections.num_idle()).unwrap_or(u32::MAX);
        (self.connections.size().saturating_sub(idle), idle)
    }

    /// Closes all connections, waiting for transactions under way.
    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}
