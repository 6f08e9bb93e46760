//! `organization-operator run`.

mod client;
mod lease;
mod prepare;
mod served;
mod serving;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::{join_all, try_join_all};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::config::ConfigArgs;
use super::error::CommandError;
use crate::background::Background;
use crate::cluster::{Cluster, Leases};
use crate::config::Config;
use crate::controller::unserved;
use crate::leadership::{self, Election};
use crate::metrics::Metrics;
use crate::server;
use crate::telemetry::{self, LogFormat};
use crate::tenure::Tenure;
use client::{Clients, clients};
use lease::LeaseSettings;
use served::Served;

/// How much longer than its longest statement a reconciliation may take after SIGTERM. The sum is less than
/// `terminationGracePeriodSeconds` in deploy/base.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// How long connections may take to close. A server that does not answer must not keep the process. Part of the same sum.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Run the operator until SIGTERM.
///
/// With a list of `databases` in the configuration, it serves the objects of all of them, or only those of --database. Without
/// a list, it serves the objects whose spec.database is --database (`default`). It also starts while a database or the API
/// server is unavailable; /readyz says what is missing.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArgs,
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
        let one = self.config.database.as_deref();
        let databases = config.served(one)?;
        let lease = LeaseSettings::of(&config, self.lease_namespace.as_deref(), one);
        let tenure = lease.as_ref().map_or_else(Tenure::unlimited, |_| Tenure::not_yet());
        let renew = lease.as_ref().map(|lease| lease.times.renew());
        let metrics = Arc::new(Metrics::new(databases.iter().map(|(name, _)| name.as_str())));
        let served = Served::all(databases, &self.config, &metrics, |database| database.within(tenure.clone(), renew))?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|e| CommandError(format!("cannot listen on {}: {e}", self.listen)))?;
        let address = listener.local_addr().map_err(|e| CommandError(e.to_string()))?;
        let (mut signals, stop) = signals::stop()?;
        let names = served.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        tracing::info!(version = env!("CARGO_PKG_VERSION"), database = names, %address, "starting");
        let mut serving =
            Background::spawn("HTTP server", stop.clone(), serve(listener, metrics.clone(), stop.clone()));

        let Clients { work: client, election: elections } = clients(&metrics, &tenure).await?;
        let election = lease.map(|LeaseSettings { namespace, name, times }| {
            let leases = Leases::new(elections, namespace, name, Election::limit(times));
            Election::new(leases, &instance(), times, tenure, metrics.clone())
        });
        let lists = !config.databases.is_empty() && one.is_none();
        let replica = Replica { served, lists, client, metrics, stop: stop.clone() };
        let work = Box::pin(replica.run(election));
        signals.guard(serving.guard(work)).await???;
        let closed = join_all(replica.served.iter().map(|one| one.database.close()));
        if tokio::time::timeout(CLOSE_LIMIT, closed).await.is_err() {
            tracing::warn!("connections to a database that does not answer were left open");
        }
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

/// What one process works with.
struct Replica {
    served: Vec<Served>,
    /// It serves all databases of a list, so it says of which objects nobody serves the database.
    lists: bool,
    client: Client,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

impl Replica {
    /// Leads until it is asked to stop, and before that stands by until it may lead.
    ///
    /// # Errors
    /// Fails as `operate` does, and if it leads no longer. Then the process ends: nothing of what it had begun or knew outlives
    /// its leadership.
    async fn run(&self, election: Option<Election>) -> Result<(), CommandError> {
        let Some(election) = election else {
            self.metrics.leads(true);
            return self.operate_until_stopped().await;
        };
        self.metrics.lease_seen(false);
        let mut stop = self.stop.clone();
        let mut leader = tokio::select! {
            leader = leadership::win(election) => leader,
            refused = self.stand_by() => return Err(refused),
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

    /// Checks whether it could lead, and returns what is wrong if a configuration does not fit its server.
    async fn stand_by(&self) -> CommandError {
        let (refused, ..) =
            futures::future::select_all(self.served.iter().map(|one| Box::pin(serving::stand_by(one)))).await;
        refused
    }

    async fn operate_until_stopped(&self) -> Result<(), CommandError> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = self.operate() => done,
            () = async {
                // The controller ends by itself when its reconciliations have ended. The limit is for those that hang.
                drop(stop.wait_for(|s| *s).await);
                let longest = self.served.iter().map(|one| one.config.database.statement_timeout_seconds).max();
                tokio::time::sleep(Duration::from_secs(longest.unwrap_or_default()) + STOP_MARGIN).await;
            } => {
                tracing::warn!("a reconciliation did not end in time; its transaction is rolled back");
                Ok(())
            }
        }
    }

    /// Serves each database as if there were no other.
    async fn operate(&self) -> Result<(), CommandError> {
        let cluster = Cluster::new(self.client.clone(), instance());
        let unserved = async {
            if let Some(inputs) = self.unserved(&cluster) {
                unserved::report(inputs, self.stop.clone()).await;
            }
            Ok(())
        };
        let all = try_join_all(
            self.served.iter().map(|one| serving::operate(one, &cluster, &self.client, self.stop.clone())),
        );
        tokio::try_join!(all, unserved).map(|_| ())
    }

    /// What the reports need about objects whose database nobody serves. `None` if this process serves one database and
    /// knows nothing of others.
    fn unserved(&self, cluster: &Cluster) -> Option<unserved::Inputs> {
        let first = self.served.first().filter(|_| self.lists)?;
        Some(unserved::Inputs {
            cluster: cluster.clone(),
            client: self.client.clone(),
            served: self.served.iter().map(|one| one.name.clone()).collect(),
            patience: 2 * Duration::from_secs(first.config.poll_interval_seconds),
            waits: first.config.retry.longest(),
            metrics: self.metrics.clone(),
        })
    }
}

/// The name of this process in Events, and the first part of its name in the Lease.
fn instance() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name: &String| !name.is_empty());
    let pod = named("POD_NAME").or_else(|| named("HOSTNAME"));
    pod.unwrap_or_else(|| format!("organization-operator-{}", std::process::id()))
}
