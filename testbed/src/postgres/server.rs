//! One data directory and the server that runs on it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use url::Url;

use super::PostgresOptions;
use crate::error::{Error, Result};
use crate::ports::free_port;
use crate::process_guard::{Account, ProcessGuard, Signal};
use crate::scratch::Scratch;
use crate::secret;
use crate::tool::Tool;

/// A busy machine may need long, and a server that recovers as well.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
/// For the end of a server, before SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// Starts on other ports, should another process be quicker to take one.
const ATTEMPTS: usize = 3;
/// The most a Unix socket's path may have on any system, less the name of PostgreSQL's socket.
const LONGEST_SOCKET_DIRECTORY: usize = 103 - ".s.PGSQL.65535".len();

/// What the server is started with, each time.
#[derive(Debug)]
pub(super) struct Installation {
    pub superuser: Url,
    programs: PathBuf,
    account: Option<Account>,
    port: u16,
    options: PostgresOptions,
    scratch: Scratch,
}

impl Installation {
    /// Makes a data directory and starts a server on it.
    pub(super) async fn create(programs: PathBuf, options: PostgresOptions) -> Result<(Self, ProcessGuard)> {
        let account = account()?;
        let scratch = Scratch::new("postgres")?;
        let programs = within_reach(programs, account, &scratch)?;
        directories(account, &scratch)?;
        let password = secret::random();
        initialize(&programs, account, &scratch, &password).await?;
        Self { superuser: superuser(0, &password)?, programs, account, port: 0, options, scratch }.first_launch().await
    }

    /// Copies a running server and starts the copy as its hot standby.
    pub(super) async fn standby_of(primary: &Self) -> Result<(Self, ProcessGuard)> {
        let scratch = Scratch::new("postgres")?;
        directories(primary.account, &scratch)?;
        let log = scratch.join("pg_basebackup.log");
        let own = primary.programs.join("pg_basebackup");
        // A server that was downloaded comes without it.
        let launch = if own.is_file() {
            ProcessGuard::program(own, log).run_as(primary.account)
        } else {
            let found = Tool::PgBaseBackup.locate(&primary.options.progress).await?;
            found.launch(Tool::PgBaseBackup.packaged(), primary.account, &scratch, log)?
        };
        let copy = launch
            .arg("-D")
            .arg(scratch.join("data"))
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .arg(format!("--dbname={}", primary.superuser))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(scratch.path())
            .start()?;
        let exit = match copy.wait_exit(READY_TIMEOUT).await {
            Some(exit) => exit,
            None => copy.stop().await?,
        };
        if !exit.success() {
            return Err(Error::Setup { program: "pg_basebackup", exit, log: copy.log_tail(20) });
        }
        let (programs, options) = (primary.programs.clone(), primary.options.clone());
        let superuser = primary.superuser.clone();
        Self { superuser, programs, account: primary.account, port: 0, options, scratch }.first_launch().await
    }

    /// Starts the server on a port that is free.
    async fn first_launch(mut self) -> Result<(Self, ProcessGuard)> {
        let mut attempt = 1;
        loop {
            self.port = free_port()?;
            // Fails only for URLs without a host.
            let _ = self.superuser.set_port(Some(self.port));
            match self.launch().await {
                Err(Error::Ended { log, .. }) if attempt < ATTEMPTS && log.contains("Address already in use") => {
                    attempt += 1;
                }
                outcome => return outcome.map(|running| (self, running)),
            }
        }
    }

    /// Starts the server and waits until it answers.
    pub(super) async fn launch(&self) -> Result<ProcessGuard> {
        let server = ProcessGuard::program(self.programs.join("postgres"), self.scratch.join("postgres.log"))
            .arg("-D")
            .arg(self.scratch.join("data"))
            .args(self.settings().iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
            // Messages in one language, whatever the machine's: tests read them.
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.scratch.path())
            .run_as(self.account)
            // SIGINT is "fast": connections are ended, not waited for.
            .stop_with(Signal::Interrupt, GRACE)
            .start()?;
        let begin = Instant::now();
        loop {
            let why = match PgConnection::connect(self.superuser.as_str()).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(server);
                }
                Err(error) => error.to_string(),
            };
            if let Some(exit) = server.exit() {
                return Err(Error::Ended { name: "PostgreSQL".to_owned(), exit, log: server.log_tail(20) });
            }
            if begin.elapsed() > READY_TIMEOUT {
                return Err(Error::NotReady {
                    name: "PostgreSQL".to_owned(),
                    waited: begin.elapsed(),
                    why,
                    log: server.log_tail(20),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let sockets = self.scratch.join("sockets").display().to_string();
        let sockets = if sockets.len() > LONGEST_SOCKET_DIRECTORY { String::new() } else { sockets };
        let port = self.port.to_string();
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &sockets),
            ("max_connections", "300"),
            ("deadlock_timeout", "200ms"),
            ("shared_buffers", "128MB"),
            // The server log is for the reader of a failed test.
            ("log_line_prefix", "%m [%p] %q%u@%d "),
            ("log_lock_waits", "on"),
        ];
        if !self.options.durable {
            settings.extend([
                ("fsync", "off"),
                ("full_page_writes", "off"),
                ("synchronous_commit", "off"),
                // Every new database writes some megabytes of log.
                ("wal_init_zero", "off"),
                // Every test has a database, and none lives for long.
                ("autovacuum_naptime", "1h"),
            ]);
        }
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain(self.options.settings.iter().cloned())
            .collect()
    }
}

fn superuser(port: u16, password: &str) -> Result<Url> {
    Url::parse(&format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"))
        .map_err(|error| Error::DatabaseUrl { what: "the URL of the testbed's own server", why: error.to_string() })
}

/// The server's own files are its user's; the rest of the scratch directory is ours.
fn directories(account: Option<Account>, scratch: &Scratch) -> Result<()> {
    for name in ["data", "sockets"] {
        let path = scratch.join(name);
        fs::create_dir(&path).map_err(Error::file("create", &path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(Error::file("protect", &path))?;
        give(&path, account)?;
    }
    Ok(())
}

async fn initialize(programs: &Path, account: Option<Account>, scratch: &Scratch, password: &str) -> Result<()> {
    let password_file = scratch.join("password");
    fs::write(&password_file, password).map_err(Error::file("write", &password_file))?;
    fs::set_permissions(&password_file, Permissions::from_mode(0o600))
        .map_err(Error::file("protect", &password_file))?;
    give(&password_file, account)?;
    let initdb = ProcessGuard::program(programs.join("initdb"), scratch.join("initdb.log"))
        .arg("-D")
        .arg(scratch.join("data"))
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .args(["--auth-host=scram-sha-256", "--auth-local=scram-sha-256"])
        .arg(format!("--pwfile={}", password_file.display()))
        .env("LC_ALL", "C.UTF-8")
        // The directory this process runs in may be closed to the server's user.
        .current_dir(scratch.path())
        .run_as(account)
        .start()?;
    let exit = match initdb.wait_exit(READY_TIMEOUT).await {
        Some(exit) => exit,
        None => initdb.stop().await?,
    };
    if exit.success() { Ok(()) } else { Err(Error::Setup { program: "initdb", exit, log: initdb.log_tail(20) }) }
}

/// Who runs the server: nobody else, unless this process is root.
pub(crate) fn account() -> Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"].into_iter().find_map(lookup).map(Some).ok_or(Error::NoAccount)
}

fn lookup(user: &str) -> Option<Account> {
    // `id` asks whatever knows the users of the machine, not just /etc/passwd.
    let id = |option| {
        let output = Command::new("id").args([option, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some(Account { uid: id("-u")?, gid: id("-g")? })
}

pub(crate) fn give(path: &Path, account: Option<Account>) -> Result<()> {
    match account {
        Some(Account { uid, gid }) => chown(path, Some(uid), Some(gid)).map_err(Error::file("hand over", path)),
        None => Ok(()),
    }
}

/// The programs in a place where the server's user can reach them. The cache of root is mostly
/// closed to others, so they are copied from there.
pub(crate) fn within_reach(programs: PathBuf, account: Option<Account>, scratch: &Scratch) -> Result<PathBuf> {
    let open = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0);
    let Some(installation) = programs.parent() else {
        return Ok(programs);
    };
    if account.is_none() || programs.ancestors().all(open) {
        return Ok(programs);
    }
    let copy = scratch.join("programs");
    copy_tree(installation, &copy)?;
    Ok(copy.join("bin"))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).map_err(Error::file("create", to))?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(Error::file("open up", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::file("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            let leads_to = fs::read_link(&source).map_err(Error::file("read", &source))?;
            std::os::unix::fs::symlink(leads_to, &target).map_err(Error::file("create", &target))?;
        } else {
            fs::copy(&source, &target).map_err(Error::file("copy", &source))?;
        }
    }
    Ok(())
}
