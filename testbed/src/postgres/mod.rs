//! PostgreSQL: the server of `DATABASE_URL`, or one of the testbed's own on loopback.

mod binaries;
mod kept;
mod server;

use std::sync::{Mutex, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use url::Url;

use crate::error::{Error, Result};
use crate::process_guard::{Exit, ProcessGuard};
use crate::progress::Progress;
pub(crate) use binaries::installed;
pub use kept::Kept;
use server::Installation;
pub(crate) use server::{account, give, within_reach};

/// Which PostgreSQL to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresVersion {
    /// The server of `DATABASE_URL`, else the newest on the machine, else a downloaded one.
    #[default]
    Any,
    /// This major version: from the machine, else downloaded. Ignores `DATABASE_URL`.
    Major(u16),
}

/// How to start a [`Postgres`].
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Which PostgreSQL to run.
    pub version: PostgresVersion,
    /// Start a server even when `DATABASE_URL` is set: for tests that stop or kill it.
    pub own: bool,
    /// Write to disk as in production (`fsync`, `full_page_writes`, `synchronous_commit`). Off by
    /// default, because tests are faster and their data is thrown away; on for benchmarks.
    pub durable: bool,
    /// More settings, as in `postgresql.conf`: `("wal_level", "logical")`.
    pub settings: Vec<(String, String)>,
    /// Where lines about long work go.
    pub progress: Progress,
}

/// A PostgreSQL server.
///
/// One that the testbed started ends, and its data with it, when dropped. Everything takes
/// `&self`, so one server can serve many tests at once.
#[derive(Debug)]
pub struct Postgres {
    // The server ends before its data is removed: the order of the fields counts.
    running: Mutex<Option<ProcessGuard>>,
    installation: Option<Installation>,
    /// The superuser's URL, with whatever the caller's `DATABASE_URL` has in it.
    superuser: Url,
}

impl Postgres {
    /// Finds or gets PostgreSQL and starts it, unless the server of `DATABASE_URL` will do.
    ///
    /// # Errors
    ///
    /// Fails when `DATABASE_URL` is no URL, when no PostgreSQL can be had, or when it does not
    /// become ready; the message says what to do.
    pub async fn start(options: PostgresOptions) -> Result<Self> {
        if options.version == PostgresVersion::Any
            && !options.own
            && let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())
        {
            return Self::of(&url);
        }
        let programs = binaries::locate(options.version, &options.progress).await?;
        let (installation, running) = Installation::create(programs, options).await?;
        Ok(Self {
            superuser: installation.superuser.clone(),
            running: Mutex::new(Some(running)),
            installation: Some(installation),
        })
    }

    /// Finds the programs of a PostgreSQL, and downloads them first if need be, so that a start does not have to.
    ///
    /// # Errors
    ///
    /// Fails when they can be had nowhere; the message says why, and what to do.
    pub async fn prepare(version: PostgresVersion, progress: &Progress) -> Result<()> {
        binaries::locate(version, progress).await.map(|_| ())
    }

    /// Starts a hot standby that follows this server, which must be the testbed's own.
    ///
    /// # Errors
    ///
    /// Fails when this server is not the testbed's, when `pg_basebackup` can be had nowhere, or when the standby does not
    /// become ready.
    pub async fn standby(&self) -> Result<Self> {
        let primary = self.installation.as_ref().ok_or(Error::NotOurs { doing: "copy" })?;
        let (installation, running) = Installation::standby_of(primary).await?;
        Ok(Self {
            superuser: installation.superuser.clone(),
            running: Mutex::new(Some(running)),
            installation: Some(installation),
        })
    }

    /// Uses a server that somebody else runs, through the URL of a superuser.
    ///
    /// # Errors
    ///
    /// Fails when it is not a URL of a PostgreSQL server.
    pub fn of(url: &str) -> Result<Self> {
        let wrong = |why: String| Error::DatabaseUrl { what: "DATABASE_URL", why };
        let superuser = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(superuser.scheme(), "postgres" | "postgresql") || !superuser.has_host() {
            return Err(wrong("it needs the scheme postgres and a host".to_owned()));
        }
        Ok(Self { running: Mutex::new(None), installation: None, superuser })
    }

    /// Whether the testbed started this server, and may therefore stop it.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.installation.is_some()
    }

    /// The host name or address.
    #[must_use]
    pub fn host(&self) -> String {
        self.superuser.host_str().unwrap_or("127.0.0.1").to_owned()
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.superuser.port().unwrap_or(5432)
    }

    /// The superuser's URL for one database.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        let mut url = self.superuser.clone();
        url.set_path(database);
        url.into()
    }

    /// The superuser's URL for one database through another port of this machine, for example that of a
    /// [`SqlProxy`](crate::proxy::SqlProxy).
    #[must_use]
    pub fn admin_url_through(&self, port: u16, database: &str) -> String {
        let mut url = self.superuser.clone();
        // These fail only for URLs without a host, which `of` refuses.
        let _ = url.set_host(Some("127.0.0.1"));
        let _ = url.set_port(Some(port));
        url.set_path(database);
        url.into()
    }

    /// A user's URL for one database.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        self.url_through(self.port(), user, password, database)
    }

    /// A user's URL for one database through another port of this machine, for example that of a
    /// [`SqlProxy`](crate::proxy::SqlProxy).
    #[must_use]
    pub fn url_through(&self, port: u16, user: &str, password: &str, database: &str) -> String {
        let mut url = self.superuser.clone();
        // These fail only for URLs without a host, which `of` refuses.
        let _ = url.set_username(user);
        let _ = url.set_password(Some(password));
        if port != self.port() {
            let _ = url.set_host(Some("127.0.0.1"));
            let _ = url.set_port(Some(port));
        }
        url.set_path(database);
        url.into()
    }

    /// A new connection of the superuser, without `jit`: PostgreSQL would compile statements that run for a millisecond (writing
    /// one small tenant took 635 ms instead of 7, with the default costs and no statistics).
    ///
    /// # Errors
    ///
    /// Fails when the server is not running or the database does not exist.
    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        let failed = |source| Error::Sql { doing: format!("connect to the database `{database}`"), source };
        let options: PgConnectOptions = self.admin_url(database).parse().map_err(failed)?;
        options.options([("jit", "off")]).disable_statement_logging().connect().await.map_err(failed)
    }

    /// Runs any number of statements, separated by semicolons, as superuser.
    ///
    /// # Errors
    ///
    /// Fails with what the database says about the first statement that fails.
    pub async fn run_sql(&self, database: &str, sql: &str) -> Result<()> {
        let mut connection = self.connect(database).await?;
        // Trusted: the tests' own text.
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .map_err(|source| Error::Sql { doing: format!("run SQL in the database `{database}`"), source })?;
        // The work is done, so a failure to say goodbye does not matter.
        let _ = connection.close().await;
        Ok(())
    }

    /// Creates an empty database.
    ///
    /// # Errors
    ///
    /// Fails when a database of this name exists.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.create_database_from("template1", name).await
    }

    /// Creates a database as a copy of another, to which nobody may be connected.
    ///
    /// # Errors
    ///
    /// Fails when a database of this name exists, or somebody is connected to the template.
    pub async fn create_database_from(&self, template: &str, name: &str) -> Result<()> {
        let sql = format!("CREATE DATABASE {} TEMPLATE {}", quote(name), quote(template));
        self.run_sql("postgres", &sql).await
    }

    /// Removes a database and ends the connections to it. Not an error if there is none.
    ///
    /// # Errors
    ///
    /// Fails when the server is not running.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        self.run_sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(name))).await
    }

    /// Stops the server in an orderly way, without waiting for its clients.
    ///
    /// # Errors
    ///
    /// Fails when it is stopped already, or not the testbed's.
    pub async fn stop(&self) -> Result<Exit> {
        self.take("stop")?.stop().await
    }

    /// Stops the server at once, as a crash would: its next start recovers from the write-ahead log.
    ///
    /// # Errors
    ///
    /// Fails when it is stopped already, or not the testbed's.
    pub async fn kill(&self) -> Result<Exit> {
        let running = self.take("kill")?;
        running.signal(crate::process_guard::Signal::Quit)?;
        match running.wait_exit(server::GRACE).await {
            Some(exit) => Ok(exit),
            None => running.kill().await,
        }
    }

    /// Starts the server again after [`Postgres::stop`] or [`Postgres::kill`], on the same port and
    /// with the same data, and waits until it answers.
    ///
    /// # Errors
    ///
    /// Fails when it is running, not the testbed's, or does not become ready.
    pub async fn start_again(&self) -> Result<()> {
        let installation = self.installation.as_ref().ok_or(Error::NotOurs { doing: "start" })?;
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Err(Error::WrongState { doing: "start", name: "PostgreSQL", state: "running" });
        }
        let running = installation.launch().await?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    /// The server's process, if the testbed started it and it runs: to pause it, for example.
    ///
    /// # Errors
    ///
    /// Fails when it is stopped or not the testbed's.
    pub fn with_server<T>(&self, work: impl FnOnce(&ProcessGuard) -> T) -> Result<T> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(work).ok_or_else(|| self.not_running("use"))
    }

    fn take(&self, doing: &'static str) -> Result<ProcessGuard> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.ok_or_else(|| self.not_running(doing))
    }

    const fn not_running(&self, doing: &'static str) -> Error {
        if self.is_own() {
            Error::WrongState { doing, name: "PostgreSQL", state: "stopped" }
        } else {
            Error::NotOurs { doing }
        }
    }
}

/// Quotes an identifier for SQL.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
