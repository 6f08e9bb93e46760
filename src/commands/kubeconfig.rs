//! The arguments that name the API server, as kubectl has them.

use std::path::PathBuf;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::error::CommandError;
use crate::cluster::{Cluster, chain};

/// Which API server a command asks, and as whom.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct ClusterArgs {
    /// Kubeconfig file; without one, KUBECONFIG or ~/.kube/config names it, and in a cluster the ServiceAccount applies
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without one, its current context applies
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterArgs {
    /// Connects to the API server.
    ///
    /// # Errors
    /// Fails if the kubeconfig cannot be used. `or_else` says what else a person can do.
    pub async fn cluster(&self, or_else: &str) -> Result<Cluster, CommandError> {
        let refused = |words: String| CommandError(format!("cannot connect to the API server: {words}; {or_else}"));
        let config = match (&self.kubeconfig, &self.context) {
            (None, None) => Config::infer().await.map_err(|e| refused(chain(&e)))?,
            (file, context) => {
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                let read = match file {
                    Some(file) => Kubeconfig::read_from(file),
                    None => Kubeconfig::read(),
                };
                let kubeconfig = read.map_err(|e| refused(chain(&e)))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| refused(chain(&e)))?
            }
        };
        let client = Client::try_from(config).map_err(|e| refused(chain(&e)))?;
        Ok(Cluster::new(client, String::new()))
    }
}
