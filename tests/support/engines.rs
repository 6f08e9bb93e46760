//! The engines of GitOps that people use, each started at its first use.

use std::path::Path;
use std::sync::Arc;

use testbed::{ArgoCd, Flux};
use tokio::sync::OnceCell;

use super::World;
use super::world::path;

/// The file that people merge into Argo CD's configuration.
const ARGOCD_CM: &str = "deploy/gitops/argocd-cm.yaml";

/// The engines, with a control plane of their own: they read all of it, and the garbage collector acts on all of it.
pub struct Engines {
    // They end before their servers: the order of the fields counts.
    flux: OnceCell<Flux>,
    argocd: OnceCell<ArgoCd>,
    /// Their servers.
    pub world: Arc<World>,
}

impl Engines {
    pub fn new(world: World) -> Self {
        Self { flux: OnceCell::new(), argocd: OnceCell::new(), world: Arc::new(world) }
    }

    /// Flux's kustomize-controller.
    pub async fn flux(&self) -> &Flux {
        let start = || async { Flux::start(self.world.control_plane()).await.unwrap_or_else(|e| panic!("{e}")) };
        self.flux.get_or_init(start).await
    }

    /// Argo CD's engine, with the health script that ships.
    pub async fn argocd(&self) -> &ArgoCd {
        let config_map = path(ARGOCD_CM);
        let start = || async {
            ArgoCd::start(self.world.control_plane(), Path::new(&config_map)).await.unwrap_or_else(|e| panic!("{e}"))
        };
        self.argocd.get_or_init(start).await
    }
}
