//! Which organization a command is about.

use clap::Args;

use super::CommandError;
use crate::cluster::{Cluster, chain};
use crate::db::Database;
use crate::domain::Failure;

/// An organization, by its object or by its id.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Name of an Organization object, read through KUBECONFIG
    #[arg(value_name = "NAME", conflicts_with = "id")]
    pub name: Option<String>,
    /// The organization's primary key in the database instead; no API server is needed
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// With NAME: the spec.database that this configuration is for
    #[arg(long, env = "DATABASE", default_value = "default", value_name = "NAME")]
    pub database: String,
}

/// The organization that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Name of its object.
    pub name: Option<String>,
    /// Its id as it was written, or as it was claimed.
    pub id: String,
}

/// Why it is not known which organization was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// There is no such object here, or nobody could be asked.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The API server or the database refused.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Unidentified> for CommandError {
    fn from(error: Unidentified) -> Self {
        match error {
            Unidentified::Refused(error) => error,
            Unidentified::Failed(failure) => failure.into(),
        }
    }
}

impl Target {
    /// The organization that was asked for; None where none was. The operator acts on the key that it claimed, whatever the
    /// spec says later. An object is only looked for in the database that it belongs to: the same id may be another tenant's
    /// elsewhere.
    ///
    /// # Errors
    /// Fails when the API server or the database cannot be asked, when there is no such object, and when it belongs to another
    /// database than the one that the command is connected to.
    pub async fn identify(&self, database: &Database) -> Result<Option<Identified>, Unidentified> {
        let Some(name) = &self.name else {
            return Ok(self.id.clone().map(|id| Identified { name: None, id }));
        };
        let client = kube::Client::try_default().await.map_err(|e| {
            CommandError(format!(
                "no way to the API server: {}; set KUBECONFIG, or give the id itself: --id ID",
                chain(&e)
            ))
        })?;
        let Some(object) = Cluster::new(client, String::new()).live(name).await? else {
            return Err(Unidentified::Refused(CommandError(format!(
                "there is no Organization `{name}` in this cluster; see: kubectl get organizations; --id takes an id of the database"
            ))));
        };
        let (kept, serving) = (&object.spec.database, &self.database);
        if kept != serving {
            return Err(Unidentified::Refused(CommandError(format!(
                "the Organization `{name}` is kept in the database `{kept}`, and this is the configuration of `{serving}`: use the other configuration, with --database {kept}"
            ))));
        }
        let Some(claim) = object.status.and_then(|s| s.claim) else {
            return Ok(Some(Identified { name: Some(name.clone()), id: object.spec.organization_id }));
        };
        if !database.is_installation(&claim.installation).await? {
            return Err(Unidentified::Refused(CommandError(format!(
                "the Organization `{name}` was claimed in another database than the one that this configuration connects to: use the configuration of the operator that serves it, whose database says {} to SELECT id FROM organization_operator.installation",
                claim.installation
            ))));
        }
        Ok(Some(Identified { name: Some(name.clone()), id: claim.organization_key }))
    }
}
