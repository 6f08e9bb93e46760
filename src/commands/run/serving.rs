//! Serves the objects of one database: prepares it, and runs a controller.

use std::time::Duration;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;

use super::prepare;
use super::served::Served;
use crate::background::Background;
use crate::cluster::Cluster;
use crate::commands::error::CommandError;
use crate::config::{Config, ConfigError};
use crate::controller::{self, Inputs, Settings};
use crate::pace::Pace;

/// What a replica checks that stands by. Returns what is wrong if the configuration does not fit the server.
pub(super) async fn stand_by(served: &Served) -> CommandError {
    prepare::standby(served).instrument(served.span()).await
}

/// Serves the objects of a database until it is asked to stop.
///
/// # Errors
/// Fails if the configuration does not fit the server, or if a background task is lost.
pub(super) async fn operate(
    served: &Served,
    cluster: &Cluster,
    client: &Client,
    stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    serve(served, cluster, client, stop).instrument(served.span()).await
}

async fn serve(
    served: &Served,
    cluster: &Cluster,
    client: &Client,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let (tried, first_try) = oneshot::channel::<()>();
    let (refuse, refused) = oneshot::channel();
    let preparing = prepare::database(tried, refuse, served.clone(), stop.clone());
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
        id = preparing.guard(prepare::cluster_id(&served.config, cluster, first_try)) => id?,
        _ = stop.wait_for(|s| *s) => return Ok(()),
    };
    tracing::info!(cluster = cluster_id, database = served.name, "serving");
    let inputs = Inputs {
        cluster: cluster.clone(),
        client: client.clone(),
        database: served.database.clone(),
        plan: served.plan.clone(),
        metrics: served.metrics.clone(),
        settings: settings(served, cluster_id)?,
    };
    tokio::select! {
        refusal = refused => Err(refusal),
        done = preparing.guard(controller::run(inputs, stop)) => Ok(done??),
    }
}

fn settings(served: &Served, cluster_id: String) -> Result<Settings, CommandError> {
    let config = &served.config;
    Ok(Settings {
        database: served.name.clone(),
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

/// The limits of deletions in pages.
fn pace(config: &Config) -> Result<Pace, CommandError> {
    config.cascade.batch.pace.checked().map_err(|problems| ConfigError::Invalid(problems).into())
}
