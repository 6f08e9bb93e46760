//! The servers of the whole run, with everything from `deploy/` applied.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use kube::config::{KubeConfigOptions, Kubeconfig};
use testbed::{
    ControlPlane, ControlPlaneOptions, Image, PgBouncer, PgBouncerOptions, Postgres, PostgresOptions, PostgresVersion,
    Testbed,
};
use tokio::sync::{Mutex, OnceCell};

use super::engines::Engines;
use super::scene::Variant;

/// Role as which the operator connects; `examples/platform/grants.sql` makes it.
pub const ROLE: &str = "organization_operator";
/// Its password in the tests. Recognisable, so that a leak is found.
pub const PASSWORD: &str = "canary-password-7d1f";

/// The major versions of PostgreSQL that are tested: the oldest that is supported, and the newest.
pub const OLDEST: u16 = 15;
pub const NEWEST: u16 = 18;

/// Numbers that no two tests have, in whatever world.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// Held by whoever makes or alters the operator's role: it belongs to the server, which several worlds may share.
static ROLE_CHANGES: Mutex<()> = Mutex::const_new(());

/// Whatever the operator asks of the API server is in the audit log, and nothing else.
const AUDIT: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: Metadata
  users: [system:serviceaccount:organization-operator-system:organization-operator]
- level: None
";

/// The servers of the whole run.
pub struct World {
    control_plane: Arc<ControlPlane>,
    postgres: Postgres,
    /// The same control plane with the newest PostgreSQL, started at the first use.
    newer: OnceCell<Arc<World>>,
    /// A transaction pooler in front of PostgreSQL, started at the first use.
    pooler: OnceCell<PgBouncer>,
    /// The engines of GitOps, with a control plane of their own, while a test uses them: for whom nobody works, they go on
    /// asking their API server.
    engines: Mutex<Weak<Engines>>,
    /// The image, if a test takes it.
    pub image: Option<testbed::Result<Image>>,
    /// A client with all rights.
    pub client: kube::Client,
    /// Token of the operator's ServiceAccount, with exactly the rights that `deploy/` gives it.
    pub token: String,
    templates: Mutex<HashMap<Variant, String>>,
    pub directory: tempfile::TempDir,
}

impl World {
    /// The PostgreSQL is that of `DATABASE_URL`, else the oldest that is supported, whatever else this machine has.
    pub async fn start(image: Option<testbed::Result<Image>>) -> Result<Self, Box<dyn std::error::Error>> {
        let options = if given() { PostgresOptions::default() } else { oldest() };
        let testbed = Testbed::start_with(audited(), options).await?;
        Ok(Self { image, ..Self::on(testbed).await? })
    }

    /// A control plane of a test's own, with the PostgreSQL of everybody: for what would disturb other tests there.
    pub async fn apart(&self) -> Self {
        let control_plane = ControlPlane::start(audited()).await.expect("a control plane");
        let postgres = Postgres::of(&self.postgres().admin_url("postgres")).expect("the PostgreSQL of everybody");
        Self::on(Testbed { control_plane, postgres }).await.expect("the servers start")
    }

    /// Servers of a test's own, whose PostgreSQL may be stopped.
    pub async fn alone() -> Self {
        Self::alone_with(&[]).await
    }

    /// The same, with these settings of PostgreSQL.
    pub async fn alone_with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let own = PostgresOptions { own: true, durable: true, settings, ..oldest() };
        let testbed = Testbed::start_with(audited(), own).await.expect("the servers start");
        Self::on(testbed).await.expect("the servers are prepared")
    }

    /// The control plane of everybody, with a PostgreSQL of a test's own, which may be stopped.
    pub async fn with_postgres(&self, mut options: PostgresOptions) -> Self {
        options.own = true;
        if options.version == PostgresVersion::Any {
            options.version = oldest().version;
        }
        let postgres = Postgres::start(options).await.expect("PostgreSQL starts");
        self.beside(postgres)
    }

    /// The control plane of everybody, with this PostgreSQL.
    pub fn beside(&self, postgres: Postgres) -> Self {
        Self {
            control_plane: self.control_plane.clone(),
            postgres,
            newer: OnceCell::new(),
            pooler: OnceCell::new(),
            engines: Mutex::default(),
            image: None,
            client: self.client.clone(),
            token: self.token.clone(),
            templates: Mutex::default(),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The control plane of everybody, with the newest PostgreSQL: one server for the whole run.
    pub async fn newer(&self) -> Arc<Self> {
        let start = || async {
            let version = PostgresVersion::Major(NEWEST);
            Arc::new(self.with_postgres(PostgresOptions { version, ..PostgresOptions::default() }).await)
        };
        self.newer.get_or_init(start).await.clone()
    }

    /// `PgBouncer` in transaction mode, in front of this world's PostgreSQL: one for the whole run.
    pub async fn pooler(&self) -> &PgBouncer {
        let start = || async {
            let users = vec![(ROLE.to_owned(), PASSWORD.to_owned())];
            let options = PgBouncerOptions { users, ..PgBouncerOptions::default() };
            PgBouncer::start(&self.postgres, options).await.unwrap_or_else(|e| panic!("{e}"))
        };
        self.pooler.get_or_init(start).await
    }

    /// The engines of GitOps: one of each for all tests that run at the same time. They end with the last of these tests.
    pub async fn engines(&self) -> Arc<Engines> {
        let mut running = self.engines.lock().await;
        if let Some(engines) = running.upgrade() {
            return engines;
        }
        let engines = Arc::new(Engines::new(self.apart().await));
        *running = Arc::downgrade(&engines);
        engines
    }

    async fn on(testbed: Testbed) -> Result<Self, Box<dyn std::error::Error>> {
        let client = client(&testbed.control_plane).await?;
        let world = Self {
            control_plane: Arc::new(testbed.control_plane),
            postgres: testbed.postgres,
            newer: OnceCell::new(),
            pooler: OnceCell::new(),
            engines: Mutex::default(),
            image: None,
            client,
            token: String::new(),
            templates: Mutex::default(),
            directory: tempfile::tempdir()?,
        };
        world.ok(&["apply", "--server-side", "-f", &path("crds/organizations.organization-operator.io.yaml")]).await;
        world.ok(&["wait", "--for=condition=Established", "crd/organizations.organization-operator.io"]).await;
        world.ok(&["apply", "--server-side", "-k", &path("deploy/default")]).await;
        let namespace = "organization-operator-system";
        let output = world.ok(&["create", "token", "organization-operator", "-n", namespace, "--duration=24h"]).await;
        let token = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { token, ..world })
    }

    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// A number that no other test has.
    #[expect(clippy::unused_self, reason = "the number is a thing of the world, wherever it is counted")]
    pub fn number(&self) -> u32 {
        NUMBERS.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs the real kubectl as a cluster administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_with(&[], arguments).await
    }

    /// Runs the real kubectl with environment variables.
    pub async fn kubectl_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.control_plane().kubectl());
        command.envs(environment.iter().copied()).args(arguments);
        command.kill_on_drop(true).output().await.expect("kubectl runs")
    }

    /// Runs kubectl and insists on a refusal. Returns what it printed.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments).await;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "kubectl {} was not refused: {text}", arguments.join(" "));
        text
    }

    /// Runs kubectl and insists on success.
    pub async fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.kubectl(arguments).await;
        assert!(
            output.status.success(),
            "kubectl {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// A fresh database of this variant, copied from a template.
    pub async fn database(&self, variant: Variant) -> String {
        let template = {
            let mut templates = self.templates.lock().await;
            if let Some(name) = templates.get(&variant) {
                name.clone()
            } else {
                let name = format!("template_{}_{}_{}", variant.name(), std::process::id(), self.number());
                self.postgres().create_database(&name).await.expect("a template database");
                let _alone = ROLE_CHANGES.lock().await;
                for file in variant.files() {
                    let sql = std::fs::read_to_string(path(file)).expect("an example file");
                    self.postgres().run_sql(&name, &sql).await.expect("the example loads");
                }
                if templates.is_empty() {
                    let password = format!("ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'");
                    self.postgres().run_sql(&name, &password).await.expect("a password");
                }
                templates.insert(variant, name.clone());
                name
            }
        };
        let name = format!("test_{}_{}", std::process::id(), self.number());
        self.postgres().create_database_from(&template, &name).await.expect("a fresh database");
        name
    }
}

/// Whether somebody else runs the PostgreSQL of the whole run.
pub fn given() -> bool {
    std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty())
}

fn oldest() -> PostgresOptions {
    PostgresOptions { version: PostgresVersion::Major(OLDEST), ..PostgresOptions::default() }
}

fn audited() -> ControlPlaneOptions {
    ControlPlaneOptions { audit_policy: Some(AUDIT.to_owned()), ..ControlPlaneOptions::default() }
}

async fn client(control_plane: &ControlPlane) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let kubeconfig = Kubeconfig::read_from(control_plane.admin_kubeconfig())?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// A file of the project.
pub fn path(relative: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative).to_string_lossy().into_owned()
}

/// The operator's binary, of the same profile as this test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_organization-operator"))
}
