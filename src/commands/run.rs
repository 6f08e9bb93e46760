//! `organization-operator run`.

mod prepare;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::Client;
use kube::client::ClientBuilder;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tower::timeout::TimeoutLayer;

use super::config::ConfigArgs;
use super::error::CommandError;
use crate::background::Background;
use crate::cluster::{Cluster, chain};
use crate::config::{Config, ConfigError};
use crate::controller::{self, Inputs, PlanCache, Settings};
use crate::db::Database;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::server;
use crate::telemetry::{self, LogFormat};

/// The longest wait for the API server's answer to one request. A watch is answered when it begins.
const API_LIMIT: Duration = Duration::from_secs(30);
/// How much longer than its longest statement a reconciliation may take after SIGTERM. The sum is less than
/// `terminationGracePeriodSeconds` in deploy/base.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Run the operator until SIGTERM.
///
/// It also starts while the database or the API server is unavailable; /readyz says what is missing.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Serve the Organization objects that have this spec.database
    #[arg(long, env = "DATABASE", default_value = "default", value_name = "NAME")]
    database: String,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Format of the log lines on standard error; RUST_LOG sets what is logged
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

impl Run {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Fails if the configuration cannot be used, if the address is in use, or if a background task is lost.
    pub async fn execute(self) -> Result<(), CommandError> {
        telemetry::start(self.log_format);
        let (config, database) = self.config.load()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|e| CommandError(format!("cannot listen on {}: {e}", self.listen)))?;
        let address = listener.local_addr().map_err(|e| CommandError(e.to_string()))?;
        let metrics = Arc::new(Metrics::new());
        let (mut signals, stop) = signals::stop()?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), database = self.database, %address, "starting");
        let mut serving =
            Background::spawn("HTTP server", stop.clone(), serve(listener, metrics.clone(), stop.clone()));

        let client = client(metrics.clone()).await?;
        let mut stopping = stop.clone();
        let work = Box::pin(operate(&config, self.database, client, database.clone(), metrics, stop.clone()));
        tokio::select! {
            done = signals.guard(serving.guard(work)) => done???,
            () = async {
                // The controller ends by itself when its reconciliations have ended. The limit is for those that hang.
                drop(stopping.wait_for(|s| *s).await);
                tokio::time::sleep(Duration::from_secs(config.database.statement_timeout_seconds) + STOP_MARGIN).await;
            } => tracing::warn!("a reconciliation did not end in time; its transaction is rolled back"),
        }
        database.close().await;
        if !*stop.borrow() {
            return Err(CommandError("the controller ended without SIGTERM".to_owned()));
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    if let Err(e) = server::serve(listener, metrics, stop).await {
        tracing::warn!(error = %e, "the HTTP server failed");
    }
}

async fn operate(
    config: &Config,
    serve: String,
    client: Client,
    database: Arc<Database>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let cluster = Cluster::new(client.clone(), instance());
    let plan = Arc::new(PlanCache::new(config.cascade.plan.clone(), database.clone()));
    let (tried, first_try) = oneshot::channel::<()>();
    let (refuse, refused) = oneshot::channel();
    let preparing =
        prepare::database(tried, refuse, config.clone(), database.clone(), plan.clone(), metrics.clone(), stop.clone());
    let mut preparing = Background::spawn("database preparation", stop.clone(), preparing);
    // Dropped when the database is ready.
    let mut refused = Box::pin(async move {
        match refused.await {
            Ok(refusal) => refusal,
            Err(_) => std::future::pending().await,
        }
    });
    let cluster_id = tokio::select! {
        refusal = &mut refused => return Err(refusal),
        id = preparing.guard(prepare::cluster_id(config, &cluster, first_try)) => id?,
        _ = stop.wait_for(|s| *s) => return Ok(()),
    };
    tracing::info!(cluster = cluster_id, database = serve, "serving");
    let settings = Settings {
        database: serve,
        cluster_id,
        adopt_from: config.claims.adopt_from.clone(),
        concurrency: config.concurrency(),
        poll_interval: Duration::from_secs(config.poll_interval_seconds),
        reconcile_timeout: Duration::from_secs(config.reconcile_timeout_seconds),
        handover: Duration::from_secs(u64::from(config.handover_seconds)),
        drain: Duration::from_secs(config.drain_seconds),
        breaker: config.breaker.limit,
        retry: config.retry,
        batch: config.cascade.batch.clone(),
        pace: pace(config)?,
    };
    tokio::select! {
        refusal = refused => Err(refusal),
        done = preparing.guard(controller::run(Inputs { cluster, client, database, plan, metrics, settings }, stop)) => Ok(done??),
    }
}

/// The limits of deletions in pages.
fn pace(config: &Config) -> Result<Pace, CommandError> {
    config.cascade.batch.pace.checked().map_err(|problems| ConfigError::Invalid(problems).into())
}

/// A client that counts its requests.
async fn client(metrics: Arc<Metrics>) -> Result<Client, CommandError> {
    let config = kube::Config::infer().await.map_err(|e| {
        CommandError(format!(
            "cannot connect to the API server: {}; set KUBECONFIG, or run the operator in a cluster",
            chain(&e)
        ))
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

/// The name of this process in Events.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| format!("organization-operator-{}", std::process::id()))
}
