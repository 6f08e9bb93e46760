//! The one way to the database: a pool, a connection beside it, and the server that both lead to.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pool::Pool;
use super::servers::{Servers, accepts_writes, none_usable, open, while_connecting};
use super::transaction::commit;
use super::url::{self, Target};
use super::url_source::UrlSource;
use crate::api::Reason;
use crate::domain::{Effect, Failure};
use crate::tenure::{Ended, Tenure};

/// Limits of the connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most connections at one time, whatever they are for. At least 2.
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
    fn begin(&self, idle: Duration) -> String {
        // What triggers tell their client (NOTICE, WARNING) may hold values of rows, and the driver logs it. Every statement runs
        // once in its transaction: compiling it (`jit`) takes longer than it saves.
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL client_min_messages = error; SET LOCAL row_security = off; SET LOCAL jit = off; \
             SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}",
            lock = self.lock_timeout.as_millis(),
            statement = self.statement_timeout.as_millis(),
            idle = idle.as_millis(),
        )
    }
}

/// A failure, and when it was found.
type Dated = (Instant, Failure);

/// The database.
pub struct Database {
    source: UrlSource,
    settings: Settings,
    /// For how long this process may commit.
    tenure: Tenure,
    /// `idle_in_transaction_session_timeout` of every transaction: after it, the server rolls back what a process that is frozen
    /// or gone has begun.
    idle_timeout: Duration,
    /// All connections but one.
    pool: Pool,
    /// The permit for the one connection beside the pool: for migrations, for queries about locks, and for finding out why
    /// no server answers.
    extra: Arc<Semaphore>,
    servers: RwLock<Servers>,
    /// Held by the task that finds out, for all, which server is the primary or why no server answers; and what it found.
    diagnosis: tokio::sync::Mutex<Option<Dated>>,
    /// The last failure to connect. For a moment it answers for other tasks, too: while the database is down, no task takes the
    /// place of an object that does not need the database.
    down: Mutex<Option<Dated>>,
}

/// How long a failure to connect answers for other tasks.
const DOWN: Duration = Duration::from_secs(1);

/// The connection beside the pool, with its permit.
pub(crate) struct Extra {
    connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Extra {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Extra {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Database {
    /// Prepares a pool; no connection is made yet, so the operator starts while the database is down.
    ///
    /// # Errors
    /// Fails when the file cannot be read or the URL cannot be parsed. The message does not repeat the URL.
    pub fn new(source: UrlSource, settings: Settings) -> Result<Self, Failure> {
        let servers = Servers::new(source.read()?)?;
        let first = servers.target.endpoints.first().map(|first| PgConnectOptions::clone(first)).unwrap_or_default();
        // One connection is beside the pool.
        let size = settings.max_connections.saturating_sub(1).max(1);
        Ok(Self {
            source,
            settings,
            tenure: Tenure::unlimited(),
            idle_timeout: settings.statement_timeout,
            pool: Pool::new(first, size, settings.connect_timeout),
            extra: Arc::new(Semaphore::new(1)),
            servers: RwLock::new(servers),
            diagnosis: tokio::sync::Mutex::default(),
            down: Mutex::default(),
        })
    }

    /// Connections that are in use or being made, and those that nothing uses.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let (in_use, idle) = self.pool.counted();
        let beside = u32::from(self.extra.available_permits() == 0);
        (in_use + beside, idle)
    }

    /// Commits only as long as `tenure` lasts. If this process is frozen, the server rolls back after `renew`, which is how long
    /// a leader acts after its last renewal: no successor finds its locks.
    #[must_use]
    pub fn within(mut self, tenure: Tenure, renew: Option<Duration>) -> Self {
        self.idle_timeout =
            renew.map_or(self.settings.statement_timeout, |renew| renew.min(self.settings.statement_timeout));
        self.tenure = tenure;
        self
    }

    /// The statement with which every transaction begins.
    pub(crate) fn opening(&self) -> String {
        self.settings.begin(self.idle_timeout)
    }

    /// Whether this process may still commit.
    ///
    /// # Errors
    /// Fails if it does not lead any more.
    pub(crate) fn may_commit(&self) -> Result<(), Failure> {
        if self.tenure.holds() {
            return Ok(());
        }
        Err(Failure::new(Reason::InternalError, Ended.to_string()).effect(Effect::RolledBack))
    }

    /// Commits, if this process still may.
    ///
    /// # Errors
    /// Fails when the server refuses, and if this process does not lead any more; it then rolls back.
    pub(crate) async fn commit(&self, tx: Transaction<'static, Postgres>) -> Result<(), Failure> {
        self.may_commit()?;
        commit(tx).await
    }

    /// Reads the URL again. Returns whether it changed; new connections then use the new one.
    ///
    /// # Errors
    /// Fails when the new URL cannot be used: then the operator goes on with the old one.
    pub fn reload(&self) -> Result<bool, Failure> {
        let text = self.source.read()?;
        if self.read().text == text {
            return Ok(false);
        }
        let servers = Servers::new(text)?;
        let mut current = self.write();
        *current = servers;
        self.renew(&current);
        Ok(true)
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
            Err(failure) => match self.reload() {
                // The file may hold another URL by now, and another server may have become the primary.
                Ok(changed) if changed || self.forget_server() => self.connect().await,
                Ok(_) => Err(failure),
                // A URL that cannot be read explains more than the failure of the old one.
                Err(unusable) => Err(unusable),
            },
            begun => begun,
        };
        if let Err(failure) = &begun {
            *self.down.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), failure.clone()));
        }
        begun
    }

    async fn connect(&self) -> Result<Transaction<'static, Postgres>, Failure> {
        let endpoint = self.server().await?;
        let mut transaction = match self.pool.begin(self.opening()).await {
            Ok(transaction) => transaction,
            // The pool does not say why, but a direct connection does.
            Err(sqlx::Error::PoolTimedOut) => return Err(self.diagnose(&endpoint).await),
            Err(e) => return Err(while_connecting(&endpoint, &e)),
        };
        let must_accept_writes = {
            let servers = self.read();
            servers.several() && servers.target.writable
        };
        if must_accept_writes {
            accepts_writes(&mut transaction, &endpoint).await?;
        }
        Ok(transaction)
    }

    /// Replaces the sessions if the failure is that one of them is read-only: its server may no longer be the primary, or its
    /// settings may have changed since it began.
    pub fn renew_if_read_only(&self, failure: &Failure) {
        if failure.sql_state.as_deref() == Some("25006") && !self.forget_server() {
            self.renew(&self.read());
        }
    }

    /// Limits of the connections.
    pub(crate) const fn settings(&self) -> Settings {
        self.settings
    }

    /// Why the pool has no connection. One task asks for all that want to know at the same time.
    async fn diagnose(&self, endpoint: &PgConnectOptions) -> Failure {
        let asked = Instant::now();
        let mut last = self.diagnosis.lock().await;
        if let Some(failure) = found_since(last.as_ref(), asked) {
            return failure;
        }
        let failure = match self.probe(endpoint, async |_| Ok(())).await {
            Ok(()) => while_connecting(endpoint, &sqlx::Error::PoolTimedOut),
            Err(failure) => failure,
        };
        *last = Some((Instant::now(), failure.clone()));
        failure
    }

    /// The connection beside the pool, for migrations and for queries about locks. Only one task has it at a time.
    ///
    /// # Errors
    /// Fails when the database cannot be reached.
    pub(crate) async fn extra_connection(&self) -> Result<Extra, Failure> {
        let endpoint = self.server().await?;
        let permit = self.permit(&endpoint).await?;
        let connection = self.in_time(&endpoint, open(&endpoint)).await?;
        Ok(Extra { connection, _permit: permit })
    }

    async fn permit(&self, endpoint: &PgConnectOptions) -> Result<OwnedSemaphorePermit, Failure> {
        match tokio::time::timeout(self.settings.connect_timeout, self.extra.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(while_connecting(endpoint, &sqlx::Error::PoolTimedOut)),
        }
    }

    /// Connects beside the pool and asks something, all of it within the connect timeout: a server may accept a connection
    /// and then say nothing.
    async fn probe(
        &self,
        endpoint: &PgConnectOptions,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let _permit = self.permit(endpoint).await?;
        let asking = async {
            let mut connection = open(endpoint).await?;
            let answer = ask(&mut connection).await;
            // Nothing depends on how the probe ends.
            drop(connection.close().await);
            answer
        };
        self.in_time(endpoint, asking).await
    }

    /// Does `work` with a server within the connect timeout.
    async fn in_time<T>(
        &self,
        endpoint: &PgConnectOptions,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.settings.connect_timeout;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let (server, limit) = (url::name(endpoint), limit.as_secs());
            let message = format!("the database server {server} did not answer within {limit} s while connecting");
            Err(Failure::new(Reason::DatabaseUnavailable, message)
                .remedy("check that the database server runs and that the operator can reach it"))
        })
    }

    /// The server that is used. Among several, each is asked in the order of the URL until one accepts writes. One task asks
    /// for all that want to know at the same time.
    async fn server(&self) -> Result<Arc<PgConnectOptions>, Failure> {
        let asked = Instant::now();
        if let Some(endpoint) = self.read().endpoint() {
            return Ok(endpoint.clone());
        }
        let mut last = self.diagnosis.lock().await;
        let (text, Target { endpoints, writable }) = {
            let servers = self.read();
            if let Some(endpoint) = servers.endpoint() {
                return Ok(endpoint.clone());
            }
            (servers.text.clone(), servers.target.clone())
        };
        if let Some(failure) = found_since(last.as_ref(), asked) {
            return Err(failure);
        }
        let mut refusals = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let usable = async |connection: &mut PgConnection| {
                if writable { accepts_writes(connection, endpoint).await } else { Ok(()) }
            };
            match self.probe(endpoint, usable).await {
                Ok(()) => {
                    let mut current = self.write();
                    // Unless the URL has changed meanwhile: then the next attempt asks the new servers.
                    if current.text == text {
                        current.chosen = Some(index);
                        tracing::info!(
                            server = url::name(endpoint),
                            "the operator uses this server of the database URL"
                        );
                        self.renew(&current);
                    }
                    return Ok(endpoint.clone());
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        let failure = none_usable(refusals);
        *last = Some((Instant::now(), failure.clone()));
        Err(failure)
    }

    /// Forgets which of several servers is used. Returns false if there is only one, or none was found before.
    fn forget_server(&self) -> bool {
        let mut current = self.write();
        current.several() && current.chosen.take().is_some()
    }

    /// New connections of the pool go to the server that is used now, and old ones are not used again.
    fn renew(&self, servers: &Servers) {
        self.pool.renew(servers.endpoint().map(AsRef::as_ref));
    }

    fn read(&self) -> RwLockReadGuard<'_, Servers> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Servers> {
        self.servers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections, waiting for transactions under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What another task found after this task asked: it answers this task's question, too.
fn found_since(last: Option<&Dated>, asked: Instant) -> Option<Failure> {
    last.filter(|(found, _)| *found >= asked).map(|(_, failure)| failure.clone())
}
