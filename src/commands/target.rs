//! Which organization a command is about.

use clap::Args;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use super::kubeconfig::ClusterArgs;
use crate::api::Organization;
use crate::config::Config;
use crate::domain::Failure;

/// An organization, by its object or by its id in the database.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Name of an Organization object
    #[arg(value_name = "NAME", conflicts_with = "id")]
    pub name: Option<String>,
    /// The organization's primary key in the database; needs no API server
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Which API server has the object
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The organization that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Name of its object.
    pub name: Option<String>,
    /// Its id as the user wrote it, or as the object claimed it.
    pub id: String,
}

/// Why the organization could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// There is no such object here, or there is no API server to ask.
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
    /// The organization that the arguments name. Returns `None` if they name none. For an object that has a claim, this is the
    /// key of the claim, as in the operator, whatever the spec says later. An object of another database is refused: there the
    /// same id may be another tenant's.
    ///
    /// # Errors
    /// Fails if the API server or the database cannot be queried, if there is no such object, and if the object belongs to
    /// a database other than the one that the command is connected to.
    pub async fn identify(&self, loaded: &Loaded) -> Result<Option<Identified>, Unidentified> {
        let Some(name) = &self.name else {
            return Ok(self.id.clone().map(|id| Identified { name: None, id }));
        };
        let object = self.object(name).await?;
        let (kept, serving) = (&object.spec.database, &loaded.name);
        if kept != serving {
            return Err(Unidentified::Refused(CommandError(format!(
                "the Organization `{name}` belongs to the database `{kept}`, but this is the configuration of `{serving}`: use the configuration of `{kept}`, with --database {kept}"
            ))));
        }
        let Some(claim) = object.status.and_then(|s| s.claim) else {
            return Ok(Some(Identified { name: Some(name.clone()), id: object.spec.organization_id }));
        };
        if !loaded.database.is_installation(&claim.installation).await? {
            return Err(Unidentified::Refused(CommandError(format!(
                "the Organization `{name}` was claimed in another database, not in the one that this configuration connects to: use the configuration of the operator that serves it; in its database, SELECT id FROM organization_operator.installation returns {}",
                claim.installation
            ))));
        }
        Ok(Some(Identified { name: Some(name.clone()), id: claim.organization_key }))
    }

    /// Reads the configuration and prepares the database of the organization: the one that the arguments name; otherwise, if the
    /// configuration lists several, that of the object.
    ///
    /// # Errors
    /// Fails if one of them cannot be used, if the object cannot be read, and if nothing says which database is meant.
    pub async fn load(&self, arguments: &ConfigArgs) -> Result<Loaded, CommandError> {
        let config = Config::load(arguments.config.as_deref())?;
        let named = match (&arguments.database, &self.name) {
            (None, Some(name)) if config.databases.len() > 1 => Some(self.object(name).await?.spec.database),
            (named, _) => named.clone(),
        };
        arguments.prepare(&config, named.as_deref())
    }

    async fn object(&self, name: &str) -> Result<Organization, CommandError> {
        let cluster = self.cluster.cluster("set KUBECONFIG, or use the id in the database: --id ID").await?;
        cluster.live(name).await?.ok_or_else(|| {
            CommandError(format!(
                "there is no Organization `{name}` in this cluster; list them with: kubectl get organizations; or use the id in the database: --id ID"
            ))
        })
    }
}
