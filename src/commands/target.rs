//! Which organization a command is about.

use clap::Args;

use super::CommandError;
use crate::cluster::Cluster;

/// An organization, by its object or by its id.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Name of an Organization object, read through KUBECONFIG
    #[arg(value_name = "NAME", conflicts_with = "id")]
    pub name: Option<String>,
    /// The organization's primary key in the database instead; no API server is needed
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

impl Target {
    /// The id of the organization; None where none was asked for.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked, or has no such object.
    pub async fn resolve(&self) -> Result<Option<String>, CommandError> {
        let Some(name) = &self.name else { return Ok(self.id.clone()) };
        let client = kube::Client::try_default().await.map_err(|e| {
            CommandError(format!("no way to the API server: {e}; set KUBECONFIG, or give the id itself: --id ID"))
        })?;
        let Some(object) = Cluster::new(client, String::new()).live(name).await? else {
            return Err(CommandError(format!("there is no Organization `{name}`; see: kubectl get organizations")));
        };
        // The operator acts on the key that it claimed, whatever the spec says later.
        let claimed = object.status.and_then(|s| s.claim).map(|c| c.organization_key);
        Ok(Some(claimed.unwrap_or(object.spec.organization_id)))
    }
}
