//! Connections: where the URL comes from, the pool, and the one way to begin a transaction.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bind::own;
use super::error::{self, During};
use super::url::{self, Target};
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
    pub(crate) fn begin(&self) -> String {
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
    /// All connections but one. It is never replaced, so that its size bounds them also while the URL changes.
    pool: PgPool,
    /// The one place beside the pool: for migrations, for looking at locks, and for finding out why nobody answers.
    beside: Arc<Semaphore>,
    servers: RwLock<Servers>,
    /// Held by the one that finds out for all: which server is the primary, or why nobody answers. And what was found wrong.
    asking: tokio::sync::Mutex<Option<(Instant, Failure)>>,
    /// Connections of the pool that are older lead to where nobody wants to go any more.
    renewed: Arc<Mutex<Option<Instant>>>,
    /// The last failure to connect. For a moment it answers for others, too: while the database is down nobody holds a
    /// place that an object which does not need the database is waiting for.
    down: Mutex<Option<(Instant, Failure)>>,
}

/// How long a failure to connect answers for others.
const DOWN: Duration = Duration::from_secs(1);

/// The servers of the URL.
struct Servers {
    text: String,
    target: Target,
    /// The one that is used. None: it has to be found among several.
    chosen: Option<usize>,
}

impl Servers {
    fn new(text: String) -> Result<Self, Failure> {
        let target = url::parse(&text)?;
        let chosen = (target.endpoints.len() == 1).then_some(0);
        Ok(Self { text, target, chosen })
    }

    fn endpoint(&self) -> Option<&PgConnectOptions> {
        self.chosen.and_then(|index| self.target.endpoints.get(index))
    }

    const fn several(&self) -> bool {
        self.target.endpoints.len() > 1
    }
}

/// A connection beside the pool, and its place.
pub(crate) struct Beside {
    connection: PgConnection,
    _place: OwnedSemaphorePermit,
}

impl Deref for Beside {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Beside {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Whether the server is a standby, and whether the session was made read-only.
const WRITES: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean";
/// How long a connection of the pool may take to show that it is alive.
const PING: Duration = Duration::from_secs(1);

impl Database {
    /// Prepares a pool; no connection is made yet, so the operator starts while the database is down.
    ///
    /// # Errors
    /// Fails when the file cannot be read or the URL cannot be parsed. The message does not repeat the URL.
    pub fn new(source: UrlSource, settings: Settings) -> Result<Self, Failure> {
        let servers = Servers::new(text(&source)?)?;
        let renewed = Arc::default();
        let first = servers.target.endpoints.first().cloned().unwrap_or_default();
        Ok(Self {
            source,
            settings,
            pool: pool(first, settings, &renewed),
            beside: Arc::new(Semaphore::new(1)),
            servers: RwLock::new(servers),
            asking: tokio::sync::Mutex::default(),
            renewed,
            down: Mutex::default(),
        })
    }

    /// Reads the URL again. True: it changed, and new connections use the new one.
    ///
    /// # Errors
    /// Fails when there is none that can be used: then the one of before goes on being used.
    pub fn reload(&self) -> Result<bool, Failure> {
        let text = text(&self.source)?;
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
                Ok(changed) if changed || self.look_again() => self.connect().await,
                Ok(_) => Err(failure),
                // A URL that cannot be read explains more than what the old one came to.
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
        let mut transaction = match self.pool.begin_with(AssertSqlSafe(self.settings.begin())).await {
            Ok(transaction) => transaction,
            // The pool hides why: one direct connection tells.
            Err(sqlx::Error::PoolTimedOut) => return Err(self.diagnose(&endpoint).await),
            Err(e) => return Err(at(&endpoint, &e)),
        };
        let asked = {
            let servers = self.read();
            servers.several() && servers.target.writable
        };
        if asked {
            takes_writes(&mut transaction, &endpoint).await?;
        }
        Ok(transaction)
    }

    /// Learns from a failure: a session that was refused as read-only may be one of a server that is no longer the primary,
    /// or have settings that were changed since, so new sessions are made.
    pub fn heard(&self, failure: &Failure) {
        if failure.sql_state.as_deref() == Some("25006") && !self.look_again() {
            self.renew(&self.read());
        }
    }

    /// Limits of the connections.
    pub(crate) const fn settings(&self) -> Settings {
        self.settings
    }

    /// Longest wait for a lock.
    pub(crate) const fn lock_timeout(&self) -> Duration {
        self.settings.lock_timeout
    }

    /// Why the pool has no connection. One asks for all who want to know at the same time.
    async fn diagnose(&self, endpoint: &PgConnectOptions) -> Failure {
        let asked = Instant::now();
        let mut last = self.asking.lock().await;
        if let Some(failure) = found_since(last.as_ref(), asked) {
            return failure;
        }
        let failure = match self.probe(endpoint, async |_| Ok(())).await {
            Ok(()) => at(endpoint, &sqlx::Error::PoolTimedOut),
            Err(failure) => failure,
        };
        *last = Some((Instant::now(), failure.clone()));
        failure
    }

    /// The connection beside the pool, for migrations and for looking at locks. Whoever comes second waits.
    ///
    /// # Errors
    /// Fails when the database cannot be reached.
    pub(crate) async fn connection(&self) -> Result<Beside, Failure> {
        let endpoint = self.server().await?;
        let place = self.place(&endpoint).await?;
        let connection = self.in_time(&endpoint, open(&endpoint)).await?;
        Ok(Beside { connection, _place: place })
    }

    async fn place(&self, endpoint: &PgConnectOptions) -> Result<OwnedSemaphorePermit, Failure> {
        match tokio::time::timeout(self.settings.connect_timeout, self.beside.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(at(endpoint, &sqlx::Error::PoolTimedOut)),
        }
    }

    /// Connects beside the pool and asks something: all of it within the time of a connection, since a server may let
    /// somebody in and then say nothing.
    async fn probe(
        &self,
        endpoint: &PgConnectOptions,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let _place = self.place(endpoint).await?;
        let asking = async {
            let mut connection = open(endpoint).await?;
            let answer = ask(&mut connection).await;
            // Nothing depends on how the probe ends.
            drop(connection.close().await);
            answer
        };
        self.in_time(endpoint, asking).await
    }

    /// Does `work` with a server within the time of a connection.
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
                .remedy("check that the database server runs and that the operator may reach it"))
        })
    }

    /// The server that is used. Among several, each is asked in the order of the URL, until one takes writes. One asks for
    /// all who want to know at the same time.
    async fn server(&self) -> Result<PgConnectOptions, Failure> {
        let asked = Instant::now();
        if let Some(endpoint) = self.read().endpoint() {
            return Ok(endpoint.clone());
        }
        let mut last = self.asking.lock().await;
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
            let suits = async |connection: &mut PgConnection| {
                if writable { takes_writes(connection, endpoint).await } else { Ok(()) }
            };
            match self.probe(endpoint, suits).await {
                Ok(()) => {
                    let mut current = self.write();
                    // Unless the URL has changed meanwhile: then the next attempt looks among the new ones.
                    if current.text == text {
                        current.chosen = Some(index);
                        tracing::info!(server = url::name(endpoint), "this server of the database URL is used");
                        self.renew(&current);
                    }
                    return Ok(endpoint.clone());
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        let failure = none_suits(refusals);
        *last = Some((Instant::now(), failure.clone()));
        Err(failure)
    }

    /// Forgets which of several servers is used. False: there is only one, or none was found before.
    fn look_again(&self) -> bool {
        let mut current = self.write();
        current.several() && current.chosen.take().is_some()
    }

    /// New connections of the pool go to the server that is used now, and old ones are not used again.
    fn renew(&self, servers: &Servers) {
        if let Some(endpoint) = servers.endpoint() {
            self.pool.set_connect_options(endpoint.clone());
        }
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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

fn pool(first: PgConnectOptions, settings: Settings, renewed: &Arc<Mutex<Option<Instant>>>) -> PgPool {
    let renewed = renewed.clone();
    PgPoolOptions::new()
        // One place is beside it.
        .max_connections(settings.max_connections.saturating_sub(1).max(1))
        .acquire_timeout(settings.connect_timeout)
        // Connections behind a load balancer die silently; a short life finds a new primary soon.
        .max_lifetime(Duration::from_mins(10))
        .idle_timeout(Duration::from_mins(2))
        // sqlx would ask each connection first whether it is alive, and wait for one whose server is gone without a word.
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            let renewed = *renewed.lock().unwrap_or_else(PoisonError::into_inner);
            // One that was being made at that moment may lead to the old server, too.
            let old = renewed.is_some_and(|at| about.age + settings.connect_timeout >= at.elapsed());
            Box::pin(async move {
                Ok(!old && tokio::time::timeout(PING, connection.ping()).await.is_ok_and(|answer| answer.is_ok()))
            })
        })
        .connect_lazy_with(first)
}

async fn open(endpoint: &PgConnectOptions) -> Result<PgConnection, Failure> {
    PgConnection::connect_with(endpoint).await.map_err(|e| at(endpoint, &e))
}

/// What somebody else found wrong after one's own question came up: it answers that question, too.
fn found_since(last: Option<&(Instant, Failure)>, asked: Instant) -> Option<Failure> {
    last.filter(|(found, _)| *found >= asked).map(|(_, failure)| failure.clone())
}

/// Whether the session is one of a server that takes writes.
async fn takes_writes(connection: &mut PgConnection, endpoint: &PgConnectOptions) -> Result<(), Failure> {
    let row = own(WRITES).fetch_one(connection).await.map_err(|e| at(endpoint, &e))?;
    let answer = |column| row.try_get::<bool, _>(column).map_err(|e| at(endpoint, &e));
    let refused = |why, remedy| {
        let message = format!("the database server {} takes no writes: {why}", url::name(endpoint));
        Err(Failure::new(Reason::DatabaseUnavailable, message).remedy(remedy))
    };
    if answer(0)? {
        refused(
            "it is a standby",
            "put the primary into the database URL, or promote one of its servers: SELECT pg_promote();",
        )
    } else if answer(1)? {
        refused(
            "it is read-only",
            "SHOW default_transaction_read_only; -- then switch it off; the operator goes on by itself",
        )
    } else {
        Ok(())
    }
}

/// A failure to connect, which says where to.
fn at(endpoint: &PgConnectOptions, error: &sqlx::Error) -> Failure {
    error::failure(error, During::action(&format!("connecting to {}", url::name(endpoint))))
}

/// What all servers of a URL answered. The reason is that of the first one that a person has to see to.
fn none_suits(refusals: Vec<Failure>) -> Failure {
    let told: Vec<String> = refusals.iter().map(Failure::message).collect();
    let message = format!("no server of the database URL can be used: {}", told.join("; "));
    let worst = refusals.into_iter().reduce(|worst, next| if worst.reason.needs_a_person() { worst } else { next });
    match worst {
        Some(failure) => failure.retold(message),
        None => Failure::new(Reason::DatabaseUnavailable, message),
    }
}

fn text(source: &UrlSource) -> Result<String, Failure> {
    match source {
        UrlSource::Text(text) => Ok(text.clone()),
        UrlSource::File(path) => std::fs::read_to_string(path).map_err(|e| {
            Failure::new(
                Reason::AuthenticationFailed,
                format!("the file {} with the database URL cannot be read ({})", path.display(), e.kind()),
            )
            .remedy("mount the Secret with the key `url`, or set DATABASE_URL")
        }),
    }
}
