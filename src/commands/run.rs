//! `organization-operator run`.

mod client;
mod lease;
mod prepare;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::config::ConfigArgs;
use super::error::CommandError;
use crate::background::Background;
use crate::cluster::{Cluster, Leases};
use crate::config::{Config, ConfigError};
use crate::controller::{self, Inputs, PlanCache, Settings};
use crate::db::Database;
use crate::leadership::Candidate;
use crate::metrics::{Connections, Metrics};
use crate::pace::Pace;
use crate::server;
use crate::telemetry::{self, LogFormat};
use crate::tenure::Tenure;
use client::{Clients, clients};
use lease::LeaseSettings;

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
    /// Namespace of the Lease by which replicas elect their leader; by default the namespace of the pod. Outside a cluster there
    /// is no election without it
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
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
    /// Fails if the configuration cannot be used, if the address is in use, if a background task is lost, or if another replica
    /// has become the leader.
    pub async fn execute(self) -> Result<(), CommandError> {
        telemetry::start(self.log_format);
        let config = Config::load(self.config.config.as_deref())?;
        let lease = LeaseSettings::of(&config, self.lease_namespace.as_deref(), &self.database);
        let tenure = lease.as_ref().map_or_else(Tenure::unlimited, |_| Tenure::not_yet());
        let renew = lease.as_ref().map(|lease| lease.times.renew());
        let database = Arc::new(self.config.database(&config)?.within(tenure.clone(), renew));
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|e| CommandError(format!("cannot listen on {}: {e}", self.listen)))?;
        let address = listener.local_addr().map_err(|e| CommandError(e.to_string()))?;
        let metrics = Arc::new(Metrics::new());
        metrics.follow_connections(connections(&database, config.database.max_connections));
        let (mut signals, stop) = signals::stop()?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), database = self.database, %address, "starting");
        let mut serving =
            Background::spawn("HTTP server", stop.clone(), serve(listener, metrics.clone(), stop.clone()));

        let Clients { work: client, election } = clients(&metrics, &tenure).await?;
        let plan = Arc::new(PlanCache::new(config.cascade.plan.clone(), database.clone()));
        let candidate = lease.map(|LeaseSettings { namespace, name, times }| {
            let leases = Leases::new(election, namespace, name, Candidate::limit(times));
            Candidate::new(leases, &instance(), times, tenure, metrics.clone())
        });
        let replica = Replica {
            config,
            serve: self.database,
            client,
            database: database.clone(),
            plan,
            metrics,
            stop: stop.clone(),
        };
        let work = Box::pin(replica.run(candidate));
        signals.guard(serving.guard(work)).await???;
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

/// Counts the connections to the database.
fn connections(database: &Arc<Database>, max: u32) -> impl Fn() -> Connections + Send + 'static {
    let database = database.clone();
    move || {
        let (in_use, idle) = database.connections();
        Connections { in_use, idle, max }
    }
}

/// What one process works with.
struct Replica {
    config: Config,
    /// The `spec.database` that it serves.
    serve: String,
    client: Client,
    database: Arc<Database>,
    plan: Arc<PlanCache>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

impl Replica {
    /// Leads until it is asked to stop, and before that stands by until it may lead.
    ///
    /// # Errors
    /// Fails as `operate` does, and if it leads no longer. Then the process ends: nothing of what it had begun or knew outlives
    /// its leadership.
    async fn run(&self, candidate: Option<Candidate>) -> Result<(), CommandError> {
        let Some(candidate) = candidate else {
            self.metrics.leads(true);
            return self.operate_until_stopped().await;
        };
        self.metrics.lease_seen(false);
        let mut stop = self.stop.clone();
        let mut leader = tokio::select! {
            leader = candidate.win() => leader,
            refused = prepare::standby(&self.config, &self.database, &self.plan, &self.metrics) => return Err(refused),
            _ = stop.wait_for(|s| *s) => return Ok(()),
        };
        let done = tokio::select! {
            biased;
            lost = leader.lost() => return Err(lost.into()),
            done = self.operate_until_stopped() => done,
        };
        leader.release().await;
        done
    }

    async fn operate_until_stopped(&self) -> Result<(), CommandError> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = self.operate() => done,
            () = async {
                // The controller ends by itself when its reconciliations have ended. The limit is for those that hang.
                drop(stop.wait_for(|s| *s).await);
                let longest = Duration::from_secs(self.config.database.statement_timeout_seconds);
                tokio::time::sleep(longest + STOP_MARGIN).await;
            } => {
                tracing::warn!("a reconciliation did not end in time; its transaction is rolled back");
                Ok(())
            }
        }
    }

    async fn operate(&self) -> Result<(), CommandError> {
        let Self { config, client, database, plan, metrics, .. } = self;
        let mut stop = self.stop.clone();
        let cluster = Cluster::new(client.clone(), instance());
        let (tried, first_try) = oneshot::channel::<()>();
        let (refuse, refused) = oneshot::channel();
        let preparing = prepare::database(
            tried,
            refuse,
            config.clone(),
            database.clone(),
            plan.clone(),
            metrics.clone(),
            stop.clone(),
        );
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
        tracing::info!(cluster = cluster_id, database = self.serve, "serving");
        let inputs = Inputs {
            cluster,
            client: client.clone(),
            database: database.clone(),
            plan: plan.clone(),
            metrics: metrics.clone(),
            settings: self.settings(cluster_id)?,
        };
        tokio::select! {
            refusal = refused => Err(refusal),
            done = preparing.guard(controller::run(inputs, stop)) => Ok(done??),
        }
    }

    fn settings(&self, cluster_id: String) -> Result<Settings, CommandError> {
        let config = &self.config;
        Ok(Settings {
            database: self.serve.clone(),
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
        })
    }
}

/// The limits of deletions in pages.
fn pace(config: &Config) -> Result<Pace, CommandError> {
    config.cascade.batch.pace.checked().map_err(|problems| ConfigError::Invalid(problems).into())
}

/// The name of this process in Events, and the first part of its name in the Lease.
fn instance() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name: &String| !name.is_empty());
    let pod = named("POD_NAME").or_else(|| named("HOSTNAME"));
    pod.unwrap_or_else(|| format!("organization-operator-{}", std::process::id()))
}
