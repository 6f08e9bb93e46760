//! The servers, the operator and the files of the demo.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use testbed::{ControlPlane, ControlPlaneOptions, Postgres, PostgresOptions, ProcessGuard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::terminal::Terminal;
use crate::{Outcome, Stopped};

/// The platform's database.
pub(crate) const DATABASE: &str = "platform";
/// The role that `examples/platform/grants.sql` makes.
pub(crate) const ROLE: &str = "organization_operator";
const OPERATOR_START: Duration = Duration::from_secs(30);

/// Everything that runs, and where it is.
pub(crate) struct Stage<'a> {
    // Ends in this order: the operator before the servers, the directory last.
    operator: Mutex<Option<ProcessGuard>>,
    control_plane: ControlPlane,
    pub(crate) postgres: Postgres,
    pub(crate) terminal: &'a Terminal,
    /// The project's directory, in which commands are typed.
    pub(crate) project: PathBuf,
    /// A copy of the manifests that stands for a Git repository.
    pub(crate) tenants: PathBuf,
    binary: PathBuf,
    directory: tempfile::TempDir,
}

impl<'a> Stage<'a> {
    /// Starts the servers. What is missing on this machine is downloaded or built first.
    pub(crate) async fn build(terminal: &'a Terminal, binary: PathBuf) -> Outcome<Self> {
        terminal
            .chapter(
                "Servers",
                "etcd, kube-apiserver and PostgreSQL start on loopback. What this machine lacks is downloaded or built once.",
            )
            .await;
        let begin = Instant::now();
        // Always servers of its own: the demo never touches the database in DATABASE_URL.
        let (control_plane, postgres) = tokio::try_join!(
            ControlPlane::start(ControlPlaneOptions {
                progress: terminal.progress(),
                ..ControlPlaneOptions::default()
            }),
            Postgres::start(PostgresOptions { own: true, progress: terminal.progress(), ..PostgresOptions::default() }),
        )?;
        postgres.create_database(DATABASE).await?;
        let directory = tempfile::Builder::new().prefix("organization-operator-demo-").tempdir()?;
        let tenants = directory.path().join("tenants");
        fs::create_dir(&tenants)?;
        let project = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?;
        terminal.checked(&format!("they are ready after {:.1} s", begin.elapsed().as_secs_f64()));
        Ok(Self { operator: Mutex::new(None), control_plane, postgres, terminal, project, tenants, binary, directory })
    }

    pub(crate) async fn run_kubectl(&self, place: &Path, arguments: &[&str]) -> Outcome<Output> {
        let mut command = tokio::process::Command::from(self.control_plane.kubectl());
        let output = command.args(arguments).current_dir(place).kill_on_drop(true).output().await;
        output.map_err(|error| Stopped::because(format!("kubectl cannot be run: {error}")))
    }

    /// Starts the operator with a ServiceAccount's token and the password of its own database role, and waits until it is ready.
    pub(crate) async fn start_operator(&self, token: &str, password: &str) -> Outcome {
        let kubeconfig = self.directory.path().join("kubeconfig");
        let text = self.control_plane.kubeconfig(token, None);
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&kubeconfig)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        let log = self.directory.path().join("operator.log");
        let operator = ProcessGuard::program(&self.binary, &log)
            .name("organization-operator")
            .args(["run", "--config", "examples/platform/config.yaml", "--listen", "127.0.0.1:0"])
            .current_dir(&self.project)
            .env("KUBECONFIG", &kubeconfig)
            .env("DATABASE_URL", self.postgres.url(ROLE, password, DATABASE))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .env_remove("CONFIG")
            .env_remove("DATABASE")
            .env_remove("LOG_FORMAT")
            .start()?;
        let ready = self.terminal.progress().during("starting the operator", wait_until_ready(&operator)).await;
        *self.operator.lock().unwrap_or_else(PoisonError::into_inner) = Some(operator);
        ready
    }

    /// The last lines of the operator's log; empty if it never ran.
    pub(crate) fn operator_log(&self) -> String {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        operator.as_ref().map(|operator| operator.log_tail(15)).unwrap_or_default()
    }

    /// Stops the operator as a Deployment would, then everything else.
    pub(crate) async fn end(self) -> Outcome {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(operator) = operator {
            operator.stop().await?;
        }
        Ok(())
    }
}

async fn wait_until_ready(operator: &ProcessGuard) -> Outcome {
    let end = Instant::now() + OPERATOR_START;
    loop {
        if let Some(address) = address(&operator.log())
            && ready(address).await == Some(true)
        {
            return Ok(());
        }
        if let Some(exit) = operator.exit() {
            return Err(Stopped::because(format!("the operator ended ({exit})")));
        }
        if Instant::now() > end {
            return Err(Stopped::because(format!("the operator is not ready after {} s", OPERATOR_START.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where the operator listens, as its first log line says.
fn address(log: &str) -> Option<SocketAddr> {
    log.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
}

/// Whether /readyz says so. Returns `None` if nobody answers.
async fn ready(address: SocketAddr) -> Option<bool> {
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.split_whitespace().nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "2026-01-01T00:00:00Z  INFO x: starting version=\"0.1.0\" database=\"default\" address=127.0.0.1:4567\nmore\n";
        assert_eq!(address(log), "127.0.0.1:4567".parse().ok());
        assert_eq!(address("nothing"), None);
    }
}
