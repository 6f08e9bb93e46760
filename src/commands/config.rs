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
    /// `database.urlFile` in the configuration
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

impl ConfigArgs {
    /// Reads the configuration and prepares the database.
    ///
    /// # Errors
    /// Fails if one of them cannot be used.
    pub fn load(&self) -> Result<(Config, Arc<Database>), CommandError> {
        let config = Config::load(self.config.as_deref())?;
        let database = Arc::new(self.database(&config)?);
        Ok((config, database))
    }

    /// Prepares the database of this configuration.
    ///
    /// # Errors
    /// Fails if its URL cannot be used.
    pub(super) fn database(&self, config: &Config) -> Result<Database, CommandError> {
        let source = config.url_source(self.database_url.clone())?;
        Ok(Database::new(source, config.database_settings())?)
    }
}
