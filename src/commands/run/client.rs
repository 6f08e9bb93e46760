//! The clients of the API server.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use tower::timeout::TimeoutLayer;

use crate::cluster::{Fence, chain};
use crate::commands::error::CommandError;
use crate::metrics::Metrics;
use crate::tenure::Tenure;

/// The longest wait for the API server's answer to one request. A watch is answered when it begins.
const LIMIT: Duration = Duration::from_secs(30);

/// Two clients that count and time their requests.
pub(super) struct Clients {
    /// For all work: it writes only as long as the tenure lasts.
    pub(super) work: Client,
    /// For the election: it tries no request again by itself.
    pub(super) election: Client,
}

/// Connects to the API server of the cluster, or of `KUBECONFIG`.
pub(super) async fn clients(metrics: &Arc<Metrics>, tenure: &Tenure) -> Result<Clients, CommandError> {
    let mut config = kube::Config::infer().await.map_err(|e| {
        CommandError(format!(
            "cannot connect to the API server: {}; set KUBECONFIG, or run the operator in a cluster",
            chain(&e)
        ))
    })?;
    let built = |config| {
        ClientBuilder::try_from(config)
            .map_err(|e| CommandError(format!("the API server's address or certificate cannot be used: {}", chain(&e))))
    };
    let work = built(config.clone())?
        .with_layer(&TimeoutLayer::new(LIMIT))
        .with_layer(&metrics.metered())
        .with_layer(&Fence(tenure.clone()))
        .build();
    config.default_retry = false;
    let election = built(config)?.with_layer(&metrics.metered()).build();
    Ok(Clients { work, election })
}
