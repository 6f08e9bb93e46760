//! `organization-operator run`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::Client;
use kube::client::ClientBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tower::timeout::TimeoutLayer;

use super::{CommandError, ConfigArgs};
use crate::api::CRD_NAME;
use crate::background::{Background, Lost};
use crate::cluster::{Cluster, chain};
use crate::config::Config;
use crate::controller::{self, Inputs, PlanCache, Settings};
use crate::db::Database;
use crate::domain::PlanError;
use crate::metrics::Metrics;
use crate::server;
use crate::store::migrations::Migrated;
use crate::telemetry::{self, LogFormat};

/// Longest wait for the API server's answer to one request. A watch has its answer when it begins.
const API_LIMIT: Duration = Duration::from_secs(30);
/// How long the database may hold up the start.
const DATABASE_LIMIT: Duration = Duration::from_secs(15);
/// How often what is missing at start is tried again.
const START_RETRY: Duration = Duration::from_secs(2);

/// What a pass gets beyond its longest statement to end after SIGTERM. Together less than the
/// `terminationGracePeriodSeconds` of deploy/base.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Run the operator until it is told to stop. It starts while the database or the API server is down, and reports that on
/// /readyz.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Which Organizations to serve: those with this `spec.database`
    #[arg(long, env = "DATABASE", default_value = "default", value_name = "NAME")]
    database: String,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How log lines look; RUST_LOG sets what is logged
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl Run {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Fails when the configuration cannot be used or the address cannot be listened on.
    pub async fn execute(self) -> Result<(), CommandError> {
        telemetry::start(self.log_format);
        let (config, database) = self.config.load()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|e| CommandError(format!("cannot listen on {}: {e}", self.listen)))?;
        let address = listener.local_addr().map_err(|e| CommandError(e.to_string()))?;
        let metrics = Arc::new(Metrics::new());
        let (mut signals, stop) = stop_signal()?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), database = self.database, %address, "starting");
        let mut serving =
            Background::spawn("HTTP server", stop.clone(), serve(listener, metrics.clone(), stop.clone()));

        let client = client(metrics.clone()).await?;
        let mut stopping = stop.clone();
        let work = Box::pin(operate(&config, self.database, client, database.clone(), metrics, stop.clone()));
        tokio::select! {
            done = signals.guard(serving.guard(work)) => done???,
            () = async {
                // The controller ends by itself, after the passes under way; only what comes before it is cut off.
                drop(stopping.wait_for(|s| *s).await);
                tokio::time::sleep(Duration::from_secs(config.database.statement_timeout_seconds) + STOP_MARGIN).await;
            } => tracing::warn!("a pass did not end in time; its transaction is rolled back"),
        }
        database.close().await;
        if !*stop.borrow() {
            return Err(CommandError("the controller ended although nobody told it to stop".to_owned()));
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    if let Err(e) = server::serve(listener, metrics, stop).await {
        tracing::warn!(error = %e, "the HTTP server broke");
    }
}

async fn operate(
    config: &Config,
    serve: String,
    client: Client,
    database: Arc<Database>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Lost> {
    let cluster = Cluster::new(client.clone(), instance());
    let plan = Arc::new(PlanCache::new(config.cascade.clone(), database.clone()));
    let (tried, first_try) = oneshot::channel::<()>();
    let preparing =
        prepare_in_background(tried, config.clone(), database.clone(), plan.clone(), metrics.clone(), stop.clone());
    let mut preparing = Background::spawn("database preparation", stop.clone(), preparing);
    let cluster_id = tokio::select! {
        id = preparing.guard(prepare(config, &cluster, first_try)) => id?,
        _ = stop.wait_for(|s| *s) => return Ok(()),
    };
    tracing::info!(cluster = cluster_id, database = serve, "serving");
    let settings = Settings {
        database: serve,
        cluster_id,
        adopt_from: config.claims.adopt_from.clone(),
        concurrency: config.concurrency,
        poll_interval: Duration::from_secs(config.poll_interval_seconds),
        reconcile_timeout: Duration::from_secs(config.reconcile_timeout_seconds),
        handover: Duration::from_secs(u64::from(config.handover_seconds)),
        drain: Duration::from_secs(config.drain_seconds),
        retry: config.retry,
    };
    preparing.guard(controller::run(Inputs { cluster, client, database, plan, metrics, settings }, stop)).await?
}

/// What must be there before the first pass: the CRD and an id of the cluster. The database may come later: objects are
/// then told so, and `Retain` works without it.
async fn prepare(config: &Config, cluster: &Cluster, first_try: oneshot::Receiver<()>) -> String {
    // An error means that the database is ready, or that the first try failed. One that hangs must not stop `Retain`.
    drop(tokio::time::timeout(DATABASE_LIMIT, first_try).await);
    loop {
        match cluster.serves_organizations().await {
            Ok(true) => break,
            Ok(false) => tracing::warn!(
                "waiting for the CustomResourceDefinition {CRD_NAME}: kubectl apply --server-side -f crds/"
            ),
            Err(failure) => tracing::warn!(
                reason = failure.reason.as_str(),
                remedy = failure.remedy.as_deref().unwrap_or_default(),
                "waiting for the API server: {}",
                failure.message()
            ),
        }
        tokio::time::sleep(START_RETRY).await;
    }
    loop {
        if !config.cluster_id.is_empty() {
            return config.cluster_id.clone();
        }
        match cluster.id().await {
            Ok(id) => return id,
            Err(failure) => {
                tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message());
                tokio::time::sleep(START_RETRY).await;
            }
        }
    }
}

/// Tries until the database is ready. Drops `tried` after the first try.
async fn prepare_in_background(
    tried: oneshot::Sender<()>,
    config: Config,
    database: Arc<Database>,
    plan: Arc<PlanCache>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tried = Some(tried);
    while !prepare_database(&config, &database, &plan, &metrics).await {
        drop(tried.take());
        tokio::select! {
            () = tokio::time::sleep(START_RETRY) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
    drop(tried.take());
    drop(stop.wait_for(|s| *s).await);
}

async fn prepare_database(config: &Config, database: &Database, plan: &PlanCache, metrics: &Metrics) -> bool {
    let ready = async {
        if database.migrate(config.database.migrate).await? == Migrated::Changed {
            tracing::info!("the schema organization_operator was created or updated");
        }
        plan.refresh().await
    };
    match ready.await {
        Ok(plan) => {
            metrics.database_seen(true);
            metrics.plan(&plan);
            true
        }
        // The database is ready; the census waits for the plan's cure.
        Err(PlanError::Faulty(faults)) => {
            metrics.database_seen(true);
            metrics.plan_unusable(&faults);
            true
        }
        Err(PlanError::Unread(failure)) => {
            tracing::warn!(
                reason = failure.reason.as_str(),
                remedy = failure.remedy.as_deref().unwrap_or_default(),
                "the database is not ready: {}",
                failure.message()
            );
            false
        }
    }
}

/// A client that counts its requests.
async fn client(metrics: Arc<Metrics>) -> Result<Client, CommandError> {
    let config = kube::Config::infer().await.map_err(|e| {
        CommandError(format!("no way to the API server: {}; set KUBECONFIG or run in a cluster", chain(&e)))
    })?;
    let counting = tower::util::MapRequestLayer::new(move |request: axum::http::Request<_>| {
        metrics.api_call(request.method().as_str());
        request
    });
    let client = ClientBuilder::try_from(config)
        .map_err(|e| CommandError(format!("the API server's address or certificate cannot be used: {}", chain(&e))))?
        .with_layer(&TimeoutLayer::new(API_LIMIT))
        .with_layer(&counting)
        .build();
    Ok(client)
}

fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| format!("organization-operator-{}", std::process::id()))
}

/// What waits for signals, and what turns true at SIGTERM or SIGINT.
fn stop_signal() -> Result<(Background, watch::Receiver<bool>), CommandError> {
    let refused = |e: std::io::Error| CommandError(format!("signals cannot be received: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let (sender, receiver) = watch::channel(false);
    let signals = Background::spawn("signals", receiver.clone(), async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; passes under way are finished first");
        sender.send_replace(true);
        // Keeps the channel open for whoever looks later.
        std::future::pending::<()>().await;
    });
    Ok((signals, receiver))
}
