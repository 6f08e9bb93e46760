//! What the operator needs before the first reconciliation, and waits for.

use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::served::Served;
use crate::api::{CRD_NAME, Reason};
use crate::cluster::Cluster;
use crate::commands::error::CommandError;
use crate::config::Config;
use crate::db::Database;
use crate::domain::{Failure, PlanError};
use crate::store::migrations::Migrated;
use crate::store::standbys::UNKNOWN_REMEDY;

/// How long the start waits for the database.
const DATABASE_LIMIT: Duration = Duration::from_secs(15);
/// How long the start waits before it tries again.
const RETRY: Duration = Duration::from_secs(2);

/// Waits until the API server serves the CRD, and returns the id of the cluster. The database may become available later:
/// until then the status of the objects says so, and `Retain` works without it.
pub(super) async fn cluster_id(config: &Config, cluster: &Cluster, first_try: oneshot::Receiver<()>) -> String {
    // The sender is dropped when the database is ready or the first try failed. A try that hangs must not delay `Retain`.
    drop(tokio::time::timeout(DATABASE_LIMIT, first_try).await);
    loop {
        match cluster.serves_organizations().await {
            Ok(true) => break,
            Ok(false) => tracing::warn!(
                "waiting for the CustomResourceDefinition {CRD_NAME}: kubectl apply --server-side -f crds/"
            ),
            Err(failure) => warn("waiting for the API server", &failure),
        }
        tokio::time::sleep(RETRY).await;
    }
    loop {
        if !config.cluster_id.is_empty() {
            return config.cluster_id.clone();
        }
        match cluster.id().await {
            Ok(id) => return id,
            Err(failure) => {
                warn("waiting for the API server", &failure);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Prepares the database, and tries again until it is ready. Drops `tried` after the first try. If the configuration does not
/// fit the server, `refuse` gets what is wrong, and nothing more happens.
pub(super) async fn database(
    tried: oneshot::Sender<()>,
    refuse: oneshot::Sender<CommandError>,
    served: Served,
    mut stop: watch::Receiver<bool>,
) {
    let mut tried = Some(tried);
    loop {
        match try_database(&served).await {
            Ok(true) => break,
            Ok(false) => drop(tried.take()),
            // The others go on, and this one once somebody has put it right.
            Err(refused) if served.has_others => {
                tracing::error!("{refused}");
                drop(tried.take());
            }
            Err(refused) => {
                drop(refuse.send(refused));
                drop(stop.wait_for(|s| *s).await);
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
    }
    drop(tried.take());
    drop(stop.wait_for(|s| *s).await);
}

/// What a replica checks that stands by: whether it could lead. It tries again until it could, and changes nothing.
/// Returns what is wrong if the configuration does not fit the server.
pub(super) async fn standby(served: &Served) -> CommandError {
    loop {
        match standby_check(served).await {
            Ok(usable) => {
                served.metrics.database_seen(true);
                served.metrics.plan_usable(usable);
                if usable {
                    return std::future::pending().await;
                }
                tokio::time::sleep(Duration::from_secs(served.config.poll_interval_seconds)).await;
            }
            Err(Unfit::Refused(refused)) if served.has_others => {
                tracing::error!("{refused}");
                tokio::time::sleep(RETRY).await;
            }
            Err(Unfit::Refused(refused)) => return refused,
            Err(Unfit::Failed(failure)) => {
                warn("the database is not ready", &failure);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Why the database cannot be used.
enum Unfit {
    /// The configuration does not fit the server.
    Refused(CommandError),
    /// It may be used later.
    Failed(Failure),
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Returns whether the plan can be used.
async fn standby_check(served: &Served) -> Result<bool, Unfit> {
    let Served { config, database, plan, .. } = served;
    match database.migrate(false).await {
        Ok(_) => refuse_unknown_standbys(config, database).await?,
        // The next leader of this version updates the schema.
        Err(failure) if config.database.migrate && failure.reason == Reason::SchemaMismatch => {}
        Err(failure) => return Err(failure.into()),
    }
    match plan.refresh().await {
        Ok(plan) => Ok(plan.faults().is_none()),
        Err(PlanError::Faulty(_)) => Ok(false),
        Err(PlanError::Unread(failure)) => Err(failure.into()),
    }
}

async fn refuse_unknown_standbys(config: &Config, database: &Database) -> Result<(), Unfit> {
    match database.unknown_standbys(&config.cascade.batch.pace.standbys).await? {
        None => Ok(()),
        Some(unknown) => Err(Unfit::Refused(CommandError(format!("{}; {UNKNOWN_REMEDY}", unknown.sentence())))),
    }
}

async fn try_database(served: &Served) -> Result<bool, CommandError> {
    let Served { config, database, plan, metrics, .. } = served;
    let ready = async {
        if database.migrate(config.database.migrate).await? == Migrated::Changed {
            tracing::info!("the schema organization_operator was created or updated");
        }
        refuse_unknown_standbys(config, database).await?;
        let standbys = &config.cascade.batch.pace.standbys;
        if !standbys.is_empty() {
            database.remember_standbys(standbys).await?;
        }
        Ok(plan.refresh().await)
    };
    let refreshed = match ready.await {
        Ok(refreshed) => refreshed,
        Err(Unfit::Refused(refused)) => return Err(refused),
        Err(Unfit::Failed(failure)) => Err(PlanError::Unread(failure)),
    };
    Ok(match refreshed {
        Ok(plan) => {
            metrics.database_seen(true);
            metrics.plan(&plan);
            true
        }
        // The database is ready. The drift poller compiles the plan again until its faults are cleared.
        Err(PlanError::Faulty(faults)) => {
            metrics.database_seen(true);
            metrics.plan_unusable(&faults);
            true
        }
        Err(PlanError::Unread(failure)) => {
            warn("the database is not ready", &failure);
            false
        }
    })
}

fn warn(what: &str, failure: &Failure) {
    let remedy = failure.remedy.as_deref().unwrap_or_default();
    tracing::warn!(reason = failure.reason.as_str(), remedy, "{what}: {}", failure.message());
}
