//! `PgBouncer` in front of a PostgreSQL server.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::ports::free_port;
use crate::postgres::{Postgres, account, give};
use crate::process_guard::{ProcessGuard, Signal};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::tool::Tool;

const READY_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_secs(5);

/// How to start a [`PgBouncer`].
#[derive(Clone, Debug, Default)]
pub struct PgBouncerOptions {
    /// Users that may connect, with their passwords, which the server must know, too.
    pub users: Vec<(String, String)>,
    /// Insist on TLS with this certificate and key, as PEM.
    pub tls: Option<(String, String)>,
    /// Where lines about long work go.
    pub progress: Progress,
}

/// A `PgBouncer` in transaction mode. It ends when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    _running: ProcessGuard,
    port: u16,
    _scratch: Scratch,
}

impl PgBouncer {
    /// Starts it in front of all databases of a server, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Fails when the program can be had nowhere, or ends, or does not listen in time.
    pub async fn start(postgres: &Postgres, options: PgBouncerOptions) -> Result<Self> {
        let found = Tool::PgBouncer.locate(&options.progress).await?;
        let account = account()?;
        let scratch = Scratch::new("pgbouncer")?;
        let port = free_port()?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = scratch.join(name);
            fs::write(&path, text).map_err(Error::file("write", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(Error::file("protect", &path))?;
            give(&path, account)?;
            Ok(path)
        };
        let quoted = |text: &str| text.replace('"', "\"\"");
        let users: Vec<String> = options
            .users
            .iter()
            .map(|(user, password)| format!("\"{}\" \"{}\"\n", quoted(user), quoted(password)))
            .collect();
        let users = write("users.txt", &users.concat())?;
        let mut config = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\npool_mode = transaction\nauth_type = scram-sha-256\nauth_file = {}\n\
             max_client_conn = 500\ndefault_pool_size = 10\nserver_login_retry = 1\n",
            postgres.host(),
            postgres.port(),
            users.display()
        );
        if let Some((certificate, key)) = &options.tls {
            let (certificate, key) = (write("server.crt", certificate)?, write("server.key", key)?);
            let tls = format!(
                "client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
                certificate.display(),
                key.display()
            );
            config.push_str(&tls);
        }
        let config = write("pgbouncer.ini", &config)?;
        let running = found
            // It refuses to run as root.
            .launch(Tool::PgBouncer.packaged(), account, &scratch, scratch.join("pgbouncer.log"))?
            .arg(config)
            .current_dir(scratch.path())
            .stop_with(Signal::Interrupt, GRACE)
            .start()?;
        let begin = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(exit) = running.exit() {
                return Err(Error::Ended { name: "PgBouncer".to_owned(), exit, log: running.log_tail(20) });
            }
            if begin.elapsed() > READY_TIMEOUT {
                let why = "it does not listen".to_owned();
                let (name, log) = ("PgBouncer".to_owned(), running.log_tail(20));
                return Err(Error::NotReady { name, waited: begin.elapsed(), why, log });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { _running: running, port, _scratch: scratch })
    }

    /// The port on 127.0.0.1 where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}
