//! Connections: where the URL comes from, the pool, and the one way to begin a transaction.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::error::{self, During};
use crate::api::Reason;
use crate::domain::Failure;

/// Where the database URL comes from.
#[derive(Clone)]
pub enum UrlSource {
    /// The text itself, from the environment.
    Text(String),
    /// A file, for example of a mounted Secret. It is read again whenever no connection can be made.
    File(PathBuf),
}

impl std::fmt::Debug for UrlSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The URL holds a password.
            Self::Text(_) => f.write_str("UrlSource::Text(..)"),
            Self::File(path) => f.debug_tuple("UrlSource::File").field(path).finish(),
        }
    }
}

/// Limits of the connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Size of the pool.
    pub max_connections: u32,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// `lock_timeout` of every transaction.
    pub lock_timeout: Duration,
    /// `statement_timeout` of every transaction.
    pub statement_timeout: Duration,
}

impl Settings {
    /// The statement with which every transaction begins.
    pub(super) fn begin(&self) -> String {
        // What triggers tell their client (NOTICE, WARNING) may hold values of rows, and the driver logs it.
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL client_min_messages = error; SET LOCAL row_security = off; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.lock_timeout.as_millis(),
            self.statement_timeout.as_millis(),
            self.statement_timeout.as_millis(),
        )
    }
}

/// The database.
pub struct Database {
    source: UrlSource,
    settings: Settings,
    pool: RwLock<Pool>,
    /// The last failure to connect. For a moment it answers for others, too: while the database is down nobody holds a
    /// place that an object which does not need the database is waiting for.
    down: Mutex<Option<(Instant, Failure)>>,
}

/// How long a failure to connect answers for others.
const DOWN: Duration = Duration::from_secs(1);

struct Pool {
    options: PgConnectOptions,
    pool: PgPool,
}

impl Database {
    /// Prepares a pool; no connection is made yet, so the operator starts while the database is down.
    ///
    /// # Errors
    /// Fails when the file cannot be read or the URL cannot be parsed. The message does not repeat the URL.
    pub fn new(source: UrlSource, settings: Settings) -> Result<Self, Failure> {
        let options = options(&source)?;
        let pool = RwLock::new(Pool { pool: pool(&options, settings), options });
        Ok(Self { source, settings, pool, down: Mutex::default() })
    }

    /// Reads the URL again. True: it changed, and new connections use the new one.
    pub fn reload(&self) -> bool {
        let Ok(options) = options(&self.source) else { return false };
        let mut current = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        // Debug of the options is the only comparison that sqlx offers; it is not shown to anybody.
        if format!("{options:?}") == format!("{:?}", current.options) {
            return false;
        }
        *current = Pool { pool: pool(&options, self.settings), options };
        true
    }

    fn current(&self) -> (PgPool, PgConnectOptions) {
        let current = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        (current.pool.clone(), current.options.clone())
    }

    /// Begins a transaction with row-level security off (hidden rows are an error, not a silence) and with timeouts.
    ///
    /// # Errors
    /// Fails when the database cannot be reached; the failure names the true cause.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Failure> {
        if let Some((since, failure)) = &*self.down.lock().unwrap_or_else(PoisonError::into_inner)
            && since.elapsed() < DOWN
        {
            return Err(failure.clone());
        }
        let begun = match self.connect().await {
            // The file may hold another URL by now.
            Err(_) if self.reload() => self.connect().await,
            begun => begun,
        };
        if let Err(failure) = &begun {
            *self.down.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), failure.clone()));
        }
        begun
    }

    async fn connect(&self) -> Result<Transaction<'static, Postgres>, Failure> {
        let (pool, options) = self.current();
        let connecting = During::action("connecting");
        match pool.begin_with(AssertSqlSafe(self.settings.begin())).await {
            Ok(transaction) => Ok(transaction),
            // The pool hides why: one direct connection tells.
            Err(sqlx::Error::PoolTimedOut) => Err(self.diagnose(&options).await),
            Err(e) => Err(error::failure(&e, connecting)),
        }
    }

    /// Learns from a failure: a session that was refused as read-only may be one of a server that is no longer the primary,
    /// or have settings that were changed since, so new sessions are made.
    pub fn heard(&self, failure: &Failure) {
        if failure.sql_state.as_deref() == Some("25006") {
            let mut current = self.pool.write().unwrap_or_else(PoisonError::into_inner);
            let options = current.options.clone();
            *current = Pool { pool: pool(&options, self.settings), options };
        }
    }

    /// Limits of the connections.
    pub(super) const fn settings(&self) -> Settings {
        self.settings
    }

    /// Longest wait for a lock.
    pub(super) const fn lock_timeout(&self) -> Duration {
        self.settings.lock_timeout
    }

    async fn diagnose(&self, options: &PgConnectOptions) -> Failure {
        let connecting = During::action("connecting");
        let attempt = PgConnection::connect_with(options);
        match tokio::time::timeout(self.settings.connect_timeout, attempt).await {
            Ok(Ok(connection)) => {
                // Nothing depends on how the probe ends.
                drop(connection.close().await);
                error::failure(&sqlx::Error::PoolTimedOut, connecting)
            }
            Ok(Err(e)) => error::failure(&e, connecting),
            Err(_) => {
                Failure::new(Reason::DatabaseUnavailable, "the database server did not answer in time while connecting")
                    .remedy("check that the database server runs and that the operator may reach it")
            }
        }
    }

    /// One connection outside the pool, for migrations and for looking at locks.
    ///
    /// # Errors
    /// Fails when the database cannot be reached.
    pub(super) async fn connection(&self) -> Result<PgConnection, Failure> {
        let (_, options) = self.current();
        let attempt = PgConnection::connect_with(&options);
        match tokio::time::timeout(self.settings.connect_timeout, attempt).await {
            Ok(result) => result.map_err(|e| error::failure(&e, During::action("connecting"))),
            Err(_) => Err(Failure::new(
                Reason::DatabaseUnavailable,
                "the database server did not answer in time while connecting",
            )
            .remedy("check that the database server runs and that the operator may reach it")),
        }
    }

    /// Closes all connections, waiting for transactions under way.
    pub async fn close(&self) {
        let (pool, _) = self.current();
        pool.close().await;
    }
}

fn pool(options: &PgConnectOptions, settings: Settings) -> PgPool {
    PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.connect_timeout)
        // Connections behind a load balancer die silently; a short life finds a new primary soon.
        .max_lifetime(Duration::from_mins(10))
        .idle_timeout(Duration::from_mins(2))
        .connect_lazy_with(options.clone())
}

fn options(source: &UrlSource) -> Result<PgConnectOptions, Failure> {
    let text = match source {
        UrlSource::Text(text) => text.clone(),
        UrlSource::File(path) => std::fs::read_to_string(path).map_err(|e| {
            Failure::new(
                Reason::AuthenticationFailed,
                format!("the file {} with the database URL cannot be read ({})", path.display(), e.kind()),
            )
            .remedy("mount the Secret with the key `url`, or set DATABASE_URL")
        })?,
    };
    let refused = || {
        Failure::new(Reason::AuthenticationFailed, "the database URL cannot be parsed")
            .remedy("write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full")
    };
    let text = text.trim();
    // sqlx takes any scheme, and what it does not understand becomes its default: the server on localhost.
    if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(refused());
    }
    let options: PgConnectOptions = text.parse().map_err(|_| refused())?;
    // No statement stays prepared on the server: a transaction pooler may hand out another server connection.
    // Nor is anything set at the start of a session that poolers do not know.
    Ok(options.application_name("organization-operator").statement_cache_capacity(0).extra_float_digits(None))
}
