//! One of the databases that this process serves: its pool, its plan, its metrics, and a controller for its objects.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tracing::{Instrument as _, Span};

use super::prepare;
use crate::background::Background;
use crate::cluster::Cluster;
use crate::commands::config::ConfigArgs;
use crate::commands::error::CommandError;
use crate::config::{Config, ConfigError};
use crate::controller::{self, Inputs, PlanCache, Settings};
use crate::db::Database;
use crate::metrics::{Connections, DatabaseMetrics, Metrics};
use crate::pace::Pace;

/// One of the databases.
#[derive(Clone)]
pub(super) struct Served {
    /// The `spec.database` of its objects.
    pub(super) name: String,
    /// The configuration of this database alone.
    pub(super) config: Config,
    pub(super) database: Arc<Database>,
    pub(super) plan: Arc<PlanCache>,
    pub(super) metrics: Arc<DatabaseMetrics>,
    /// There are others, which go on whatever is wrong with this one.
    pub(super) has_others: bool,
}

impl Served {
    /// All of them. `prepared` gives each what they share.
    ///
    /// # Errors
    /// Fails if a URL cannot be used.
    pub(super) fn all(
        databases: Vec<(String, Config)>,
        arguments: &ConfigArgs,
        metrics: &Metrics,
        prepared: impl Fn(Database) -> Database,
    ) -> Result<Vec<Self>, CommandError> {
        let has_others = databases.len() > 1;
        if has_others && arguments.has_url() {
            return Err(CommandError(
                "a database URL is given (DATABASE_URL, --database-url), and the configuration has several databases: remove the URL, or name the database that it belongs to with --database NAME"
                    .to_owned(),
            ));
        }
        let served = databases.into_iter().zip(metrics.databases()).map(|((name, config), metrics)| {
            let database = Arc::new(prepared(arguments.connect(&config)?));
            metrics.follow_connections(connections(&database, config.database.max_connections));
            let plan = Arc::new(PlanCache::new(config.cascade.plan.clone(), database.clone()));
            Ok(Self { name, config, database, plan, metrics: metrics.clone(), has_others })
        });
        served.collect()
    }

    /// Says in each log line which database it is about, if there are several.
    fn span(&self) -> Span {
        if self.has_others { tracing::info_span!("serving", database = self.name) } else { Span::none() }
    }

    /// What a replica checks that stands by. Returns what is wrong if the configuration does not fit the server.
    pub(super) async fn stand_by(&self) -> CommandError {
        prepare::standby(self).instrument(self.span()).await
    }

    /// Serves the objects of this database until it is asked to stop.
    ///
    /// # Errors
    /// Fails if the configuration does not fit the server, or if a background task is lost.
    pub(super) async fn operate(
        &self,
        cluster: &Cluster,
        client: &Client,
        stop: watch::Receiver<bool>,
    ) -> Result<(), CommandError> {
        self.serve(cluster, client, stop).instrument(self.span()).await
    }

    async fn serve(
        &self,
        cluster: &Cluster,
        client: &Client,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), CommandError> {
        let (tried, first_try) = oneshot::channel::<()>();
        let (refuse, refused) = oneshot::channel();
        let preparing = prepare::database(tried, refuse, self.clone(), stop.clone());
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
            id = preparing.guard(prepare::cluster_id(&self.config, cluster, first_try)) => id?,
            _ = stop.wait_for(|s| *s) => return Ok(()),
        };
        tracing::info!(cluster = cluster_id, database = self.name, "serving");
        let inputs = Inputs {
            cluster: cluster.clone(),
            client: client.clone(),
            database: self.database.clone(),
            plan: self.plan.clone(),
            metrics: self.metrics.clone(),
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
            database: self.name.clone(),
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

/// Counts the connections to the database.
fn connections(database: &Arc<Database>, max: u32) -> impl Fn() -> Connections + Send + 'static {
    let database = database.clone();
    move || {
        let (in_use, idle) = database.connections();
        Connections { in_use, idle, max }
    }
}

/// The limits of deletions in pages.
fn pace(config: &Config) -> Result<Pace, CommandError> {
    config.cascade.batch.pace.checked().map_err(|problems| ConfigError::Invalid(problems).into())
}
