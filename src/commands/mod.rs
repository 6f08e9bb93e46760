//! What can be run by hand, one file a command.

#![expect(clippy::doc_markdown, reason = "doc comments of arguments are printed by --help, where backticks disturb")]

pub mod check;
pub mod crd;
pub mod migrate;
pub mod output;
pub mod plan;
pub mod rehearse;
pub mod run;
pub mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::db::Database;

/// Deletes, deactivates or retains the tenants of a workflow platform kept in PostgreSQL, as Organization objects say.
///
/// `kubectl delete organization NAME` erases the tenant in order if its `spec.deletionPolicy` is `Delete`, and says exactly
/// why if it cannot.
#[derive(Debug, Parser)]
#[command(name = "organization-operator", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until it is told to stop
    Run(run::Run),
    /// Say what stands in the way of deletions, or of one, and what clears it; changes nothing
    Check(check::Check),
    /// Print the CustomResourceDefinition as YAML
    Crd(crd::Crd),
    /// Create or update the operator's own schema in the database
    Migrate(migrate::Migrate),
    // A comment of the variant would replace the long help of the command itself.
    #[expect(missing_docs, reason = "the comments of the types are printed by --help")]
    Plan(plan::Plan),
    #[expect(missing_docs, reason = "the comments of the types are printed by --help")]
    Rehearse(rehearse::Rehearse),
}

/// Where configuration and database are.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file in YAML; without one, the built-in plan for the platform's schema holds
    #[arg(long, env = "CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Database URL, for example postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full; wins over
    /// `database.urlFile` of the configuration
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

/// Why a command failed: one message for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

impl From<crate::config::ConfigError> for CommandError {
    fn from(error: crate::config::ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::background::Lost> for CommandError {
    fn from(lost: crate::background::Lost) -> Self {
        Self(lost.to_string())
    }
}

impl From<crate::domain::PlanError> for CommandError {
    fn from(error: crate::domain::PlanError) -> Self {
        crate::domain::Failure::from(error).into()
    }
}

impl From<crate::domain::Failure> for CommandError {
    fn from(failure: crate::domain::Failure) -> Self {
        let remedy = failure.remedy.as_ref().map(|r| format!("\n{r}")).unwrap_or_default();
        Self(format!("{failure}{remedy}"))
    }
}

impl ConfigArgs {
    /// Reads the configuration and prepares the database.
    ///
    /// # Errors
    /// Fails when either cannot be used.
    pub fn load(&self) -> Result<(Config, Arc<Database>), CommandError> {
        let config = Config::load(self.config.as_deref())?;
        let source = config.url_source(self.database_url.clone())?;
        let database = Arc::new(Database::new(source, config.database_settings())?);
        Ok((config, database))
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails with one message for a person.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let done = match self.command {
            Command::Check(command) => return Ok(command.execute().await),
            Command::Plan(command) => return Ok(command.execute().await),
            Command::Rehearse(command) => return Ok(command.execute().await),
            Command::Run(command) => command.execute().await,
            Command::Crd(command) => command.execute(),
            Command::Migrate(command) => command.execute().await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// For commands whose exit code 1 is an answer: what keeps them from answering is 2.
fn could_not(result: Result<ExitCode, CommandError>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
