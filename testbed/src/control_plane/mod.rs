//! etcd and kube-apiserver on loopback, with RBAC, an audit log and `kubectl`.

mod audit;
mod credentials;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use audit::AuditEvent;

use crate::error::{Error, Result};
use crate::http;
use crate::ports::free_port;
use crate::process_guard::{ProcessGuard, Signal};
use crate::programs::{Program, locate};
use crate::progress::Progress;
use crate::scratch::Scratch;
use credentials::Credentials;

/// A machine that is busy compiling needs many times the usual two seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(25);
/// Starts with other ports, should another process be quicker to take one.
const ATTEMPTS: usize = 3;

/// How to start a [`ControlPlane`].
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneOptions {
    /// Where lines about long work go.
    pub progress: Progress,
    /// The audit policy (YAML). By default all requests on the operator's API group and on Events
    /// are logged at level `Metadata` when they are complete, and nothing else.
    pub audit_policy: Option<String>,
    /// More arguments for kube-apiserver.
    pub api_server_args: Vec<String>,
}

/// A Kubernetes control plane without nodes.
///
/// It ends, and its data with it, when dropped. Everything takes `&self`, so one control plane
/// can serve many tests at once.
#[derive(Debug)]
pub struct ControlPlane {
    // Servers end before the directory with their data is removed: the order of the fields counts.
    controller_manager: Mutex<Option<ProcessGuard>>,
    api_server: Mutex<Option<ProcessGuard>>,
    etcd: ProcessGuard,
    kubectl: PathBuf,
    credentials: Credentials,
    options: ControlPlaneOptions,
    layout: Layout,
    scratch: Scratch,
}

/// What the API server is started with, each time.
#[derive(Debug)]
struct Layout {
    program: PathBuf,
    port: u16,
    etcd_port: u16,
    directory: PathBuf,
}

impl ControlPlane {
    /// Finds the programs (see [`crate::programs`]), starts etcd and kube-apiserver, and waits until
    /// the API server is ready.
    ///
    /// # Errors
    ///
    /// Fails when a program cannot be had, or does not become ready; the message shows its log.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self> {
        let kubectl = locate(Program::Kubectl, &options.progress).await?;
        let etcd = locate(Program::Etcd, &options.progress).await?;
        let api_server = locate(Program::ApiServer, &options.progress).await?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&etcd, &api_server, &kubectl, &options).await {
                Err(Error::Ended { log, .. }) if attempt < ATTEMPTS && log.contains("address already in use") => {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(etcd: &Path, api_server: &Path, kubectl: &Path, options: &ControlPlaneOptions) -> Result<Self> {
        let scratch = Scratch::new("kubernetes")?;
        let credentials = Credentials::create(scratch.path())?;
        let policy = scratch.join("audit-policy.yaml");
        let text = options.audit_policy.as_deref().unwrap_or(audit::POLICY);
        fs::write(&policy, text).map_err(Error::file("write", &policy))?;

        let etcd_port = free_port()?;
        let etcd = start_etcd(etcd, etcd_port, &scratch).await?;
        let layout = Layout {
            program: api_server.to_owned(),
            port: free_port()?,
            etcd_port,
            directory: scratch.path().to_owned(),
        };
        let control_plane = Self {
            controller_manager: Mutex::new(None),
            api_server: Mutex::new(None),
            etcd,
            kubectl: kubectl.to_owned(),
            credentials,
            options: options.clone(),
            layout,
            scratch,
        };
        control_plane.start_api_server().await?;
        let kubeconfig = control_plane.kubeconfig(control_plane.admin_token(), None);
        let path = control_plane.admin_kubeconfig().to_owned();
        fs::write(&path, kubeconfig).map_err(Error::file("write", &path))?;
        Ok(control_plane)
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.layout.port)
    }

    /// The file with the certificates that vouch for the API server.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.layout.certificate()
    }

    /// The key that belongs to the first of these certificates.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.layout.certificates().join("apiserver.key")
    }

    /// The certificates that vouch for the API server.
    ///
    /// # Errors
    ///
    /// Fails when the file has been removed.
    pub fn ca_pem(&self) -> Result<String> {
        let path = self.ca_file();
        fs::read_to_string(&path).map_err(Error::file("read", path))
    }

    /// The bearer token of a member of `system:masters`.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.credentials.admin_token
    }

    /// A kubeconfig for the holder of `token`. With `server`, for example the URL of an
    /// [`ApiProxy`](crate::proxy::ApiProxy), requests go there instead.
    #[must_use]
    pub fn kubeconfig(&self, token: &str, server: Option<&str>) -> String {
        let own = self.url();
        credentials::kubeconfig(server.unwrap_or(&own), &self.ca_file(), token)
    }

    /// The file with the kubeconfig of the administrator.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.credentials.admin_kubeconfig
    }

    /// A `kubectl` of the administrator, with its caches in the control plane's own directory.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let home = self.scratch.join("home");
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("HOME", &home)
            .env("KUBECACHEDIR", home.join("kube-cache"))
            // Nobody's preferences apply to a test.
            .env("KUBERC", "off");
        command
    }

    /// The `kubectl` program itself.
    #[must_use]
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// The audit log until now. A request is in it before its answer is complete.
    ///
    /// # Errors
    ///
    /// Fails when the log cannot be read.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        audit::read(&self.layout.audit_log())
    }

    /// The process of the API server, if it runs: to pause it, for example.
    ///
    /// # Errors
    ///
    /// Fails when the API server is stopped.
    pub fn with_api_server<T>(&self, work: impl FnOnce(&ProcessGuard) -> T) -> Result<T> {
        let api_server = self.api_server.lock().unwrap_or_else(PoisonError::into_inner);
        api_server.as_ref().map(work).ok_or(Error::WrongState {
            doing: "use",
            name: "kube-apiserver",
            state: "stopped",
        })
    }

    /// The process of etcd.
    #[must_use]
    pub const fn etcd(&self) -> &ProcessGuard {
        &self.etcd
    }

    /// The port on which etcd serves clients, without TLS.
    #[must_use]
    pub const fn etcd_port(&self) -> u16 {
        self.layout.etcd_port
    }

    /// Kills the API server. What it has acknowledged stays in etcd.
    ///
    /// # Errors
    ///
    /// Fails when it is already stopped.
    pub async fn kill_api_server(&self) -> Result<()> {
        let running = self.api_server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let running = running.ok_or(Error::WrongState { doing: "kill", name: "kube-apiserver", state: "stopped" })?;
        running.kill().await?;
        Ok(())
    }

    /// Starts the API server again, on its port, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails when it runs already or does not become ready.
    pub async fn start_api_server(&self) -> Result<()> {
        if self.with_api_server(|_| ()).is_ok() {
            return Err(Error::WrongState { doing: "start", name: "kube-apiserver", state: "running" });
        }
        let api_server = self.layout.launch_api_server(&self.credentials, &self.options)?;
        self.layout.wait_until_ready(&api_server, self.admin_token()).await?;
        *self.api_server.lock().unwrap_or_else(PoisonError::into_inner) = Some(api_server);
        Ok(())
    }

    /// Starts the controllers of namespaces, garbage collection and service accounts, which a
    /// control plane of this kind otherwise lacks. Builds the program first if need be.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be had or started.
    pub async fn start_controller_manager(&self) -> Result<()> {
        let program = locate(Program::ControllerManager, &self.options.progress).await?;
        let mut running = self.controller_manager.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            let guard = ProcessGuard::program(program, self.scratch.join("kube-controller-manager.log"))
                .arg(format!("--kubeconfig={}", self.admin_kubeconfig().display()))
                .arg("--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller")
                .args(["--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false"])
                .stop_with(Signal::Kill, Duration::from_secs(1))
                .start()?;
            *running = Some(guard);
        }
        Ok(())
    }
}

/// Collects garbage when the heap has grown to five times what is in use, not twice: the heap of a test's servers is small,
/// and a quarter of the API server's processor time would go into that.
const GOGC: &str = "400";

async fn start_etcd(program: &Path, port: u16, scratch: &Scratch) -> Result<ProcessGuard> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let etcd = ProcessGuard::program(program, scratch.join("etcd.log"))
        .arg("--data-dir")
        .arg(scratch.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .arg(format!("--initial-cluster=default={peer}"))
        // The data is thrown away, so it need not survive a power failure.
        .args(["--unsafe-no-fsync", "--log-level=warn"])
        .env("GOGC", GOGC)
        .stop_with(Signal::Kill, Duration::from_secs(1))
        .start()?;
    let begin = Instant::now();
    loop {
        match tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(_) => return Ok(etcd),
            Err(error) => check_on(&etcd, begin, &error.to_string())?,
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Fails when waiting any longer makes no sense.
fn check_on(server: &ProcessGuard, begin: Instant, why: &str) -> Result<()> {
    if let Some(exit) = server.exit() {
        return Err(Error::Ended { name: server.name().to_owned(), exit, log: server.log_tail(20) });
    }
    if begin.elapsed() > READY_TIMEOUT {
        return Err(Error::NotReady {
            name: server.name().to_owned(),
            waited: begin.elapsed(),
            why: why.to_owned(),
            log: server.log_tail(20),
        });
    }
    Ok(())
}

impl Layout {
    fn certificates(&self) -> PathBuf {
        self.directory.join("certificates")
    }

    /// The API server makes a certificate of its own, followed by the one that signed it.
    fn certificate(&self) -> PathBuf {
        self.certificates().join("apiserver.crt")
    }

    fn audit_log(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    fn launch_api_server(&self, credentials: &Credentials, options: &ControlPlaneOptions) -> Result<ProcessGuard> {
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        ProcessGuard::program(&self.program, self.directory.join("kube-apiserver.log"))
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .arg(format!("--secure-port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            // Nobody looks up this one API server's address in the Service `kubernetes`.
            .arg("--endpoint-reconciler-type=none")
            .arg(path("cert-dir", &self.certificates()))
            .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"])
            .arg(path("token-auth-file", &credentials.token_file))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(path("service-account-key-file", &credentials.service_account_public_key))
            .arg(path("service-account-signing-key-file", &credentials.service_account_key))
            // No controller makes the service account `default`, without which no Pod would be admitted.
            .arg("--disable-admission-plugins=ServiceAccount")
            .args(["--allow-privileged=true", "--profiling=false"])
            // Plain limits, far away: a benchmark should measure the operator, not queues between its
            // requests and those of the test.
            .arg("--enable-priority-and-fairness=false")
            .args(["--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000"])
            .arg(path("audit-policy-file", &self.directory.join("audit-policy.yaml")))
            .arg(path("audit-log-path", &self.audit_log()))
            // Blocking: what a client has seen answered is in the log.
            .args(["--audit-log-format=json", "--audit-log-mode=blocking", "--audit-log-maxsize=10000"])
            .args(&options.api_server_args)
            .env("GOGC", GOGC)
            // The log of a graceful end and the data are thrown away together.
            .stop_with(Signal::Kill, Duration::from_secs(1))
            .start()
    }

    async fn wait_until_ready(&self, api_server: &ProcessGuard, token: &str) -> Result<()> {
        let begin = Instant::now();
        let url = format!("https://127.0.0.1:{}/readyz", self.port);
        loop {
            // The API server makes its certificate when it starts. What cannot be trusted yet may have
            // been read half written, so it is read anew.
            let why = match http::client_trusting(&self.certificate()) {
                Err(error) => error.to_string(),
                Ok(client) => match client.get(&url).bearer_auth(token).timeout(Duration::from_secs(5)).send().await {
                    Ok(answer) if answer.status().is_success() => return Ok(()),
                    Ok(answer) => format!("/readyz answers {}", answer.status()),
                    Err(error) => Error::http(format!("ask {url}"), error).to_string(),
                },
            };
            check_on(api_server, begin, &why)?;
            tokio::time::sleep(POLL).await;
        }
    }
}
