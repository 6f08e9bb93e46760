//! The arguments that name the configuration and the database.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::error::CommandError;
use crate::config::Config;
use crate::db::Database;

/// Where the configuration and the database are.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file in YAML; without one, the built-in plan for the platform's schema applies
    #[arg(long, env = "CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Database URL, for example postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full; takes precedence over
    /// `urlFile` in the configuration
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The database, by its name in spec.database; by default that of the object, or the one that the configuration has
    #[arg(long, env = "DATABASE", value_name = "NAME")]
    pub database: Option<String>,
}

/// A database with its configuration.
pub struct Loaded {
    /// The `spec.database` of its objects.
    pub name: String,
    /// Its configuration, without any other database.
    pub config: Config,
    /// The database. It was not connected to yet.
    pub database: Arc<Database>,
}

impl ConfigArgs {
    /// Reads the configuration and prepares the database that the arguments name.
    ///
    /// # Errors
    /// Fails if one of them cannot be used, or if several databases are configured and none is named.
    pub fn load(&self) -> Result<Loaded, CommandError> {
        self.prepare(&Config::load(self.config.as_deref())?, self.database.as_deref())
    }

    /// Prepares the database of this name, or the one that the configuration means without a name.
    ///
    /// # Errors
    /// Fails as [`load`](Self::load) does.
    pub(super) fn prepare(&self, all: &Config, name: Option<&str>) -> Result<Loaded, CommandError> {
        let (name, config) = all.one(name)?;
        let database = Arc::new(self.connect(&config)?);
        Ok(Loaded { name, config, database })
    }

    /// Whether a URL is given that takes precedence over the configuration.
    pub(super) fn has_url(&self) -> bool {
        self.database_url.as_ref().is_some_and(|url| !url.trim().is_empty())
    }

    /// Prepares the database of this configuration.
    ///
    /// # Errors
    /// Fails if its URL cannot be used.
    pub(super) fn connect(&self, config: &Config) -> Result<Database, CommandError> {
        let source = config.url_source(self.database_url.clone())?;
        Ok(Database::new(source, config.database_settings())?)
    }
}
