//! `organization-operator migrate`.

use clap::Args;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use crate::store::migrations::{Migrated, script};

/// Create or update the operator's own schema, organization_operator, in the database.
///
/// The platform's own schema is not touched.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the SQL for a database administrator instead of running it
    #[arg(long)]
    print: bool,
    /// With --print: the role that the operator connects as
    #[arg(long, default_value = "organization_operator", value_name = "ROLE")]
    role: String,
}

impl Migrate {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails if the database cannot be reached or refuses.
    pub async fn execute(self) -> Result<(), CommandError> {
        if self.print {
            print!("{}", script(&self.role));
            return Ok(());
        }
        let Loaded { database, .. } = self.config.load()?;
        let migrated = database.migrate(true).await?;
        println!(
            "{}",
            match migrated {
                Migrated::UpToDate => "The schema organization_operator is up to date.",
                Migrated::Changed => "The schema organization_operator was created or updated.",
            }
        );
        database.close().await;
        Ok(())
    }
}
