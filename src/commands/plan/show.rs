//! `organization-operator plan show`.

use std::process::ExitCode;

use clap::Args;

use super::view::View;
use crate::api::Reason;
use crate::commands::output::{Format, json};
use crate::commands::target::Target;
use crate::commands::{CommandError, ConfigArgs, could_not};
use crate::domain::Failure;

/// Show what the plan means for the live schema: order, row sets, fences, and every fault with its cure.
///
/// With an organization, also how many rows of each table a deletion would take: users exactly, the rest up to 10,000. Nothing
/// is changed and nothing is locked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  organization-operator plan show --config config.yaml
  organization-operator plan show --config config.yaml acme
  organization-operator plan show --id 42 --sql

Exit code: 0 the plan can be used, 1 it has faults, 2 it could not be looked at.")]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// Print the SQL of every step, too
    #[arg(long)]
    sql: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

impl Show {
    pub(super) async fn execute(self) -> ExitCode {
        could_not(self.run().await)
    }

    async fn run(&self) -> Result<ExitCode, CommandError> {
        let (config, database) = self.config.load()?;
        let subject = self.target.identify(&database).await?;
        let plan = &config.cascade;
        let compiled = database.compile(plan).await;
        let view = match &compiled {
            Ok(compiled) => {
                let preview = match &subject {
                    Some(subject) => Some(database.preview(&subject.id, compiled).await?),
                    None => None,
                };
                View::new(plan, compiled, preview.as_ref(), self.sql)
            }
            // The organization's own table is not there: that is a fault of the plan, and all that can be shown.
            Err(error) => match Failure::from(error.clone()) {
                failure if failure.reason == Reason::SchemaMismatch => View::unresolved(plan, failure),
                failure => return Err(failure.into()),
            },
        };
        database.close().await;
        match self.output {
            Format::Json => print!("{}", json(&view)?),
            Format::Text => print!("{}", view.text()),
        }
        Ok(if view.usable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
