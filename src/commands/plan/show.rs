//! `organization-operator plan show`.

use std::process::ExitCode;

use clap::Args;

use super::view::{Shown, View};
use crate::api::Reason;
use crate::commands::config::{ConfigArgs, Loaded};
use crate::commands::error::CommandError;
use crate::commands::output::OutputArgs;
use crate::commands::target::Target;
use crate::domain::Failure;

/// Show what the plan does in the live schema: the order, the row sets, the protection by foreign keys, and every fault with
/// its remedy.
///
/// With an organization, the command also shows how many rows of each table a deletion would delete: users exactly, other
/// rows up to 10,000. It changes nothing and locks nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  organization-operator plan show --config config.yaml
  organization-operator plan show --config config.yaml acme
  organization-operator plan show --id 42 --sql

Exit code: 0 the plan can be used, 1 it has faults, 2 it could not be compiled.")]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// Also print every SQL statement
    #[arg(long)]
    sql: bool,
    /// Show each table, also of a plan with more than 40 tables; without it, such a plan is shown in groups
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(super) async fn execute(self) -> Result<ExitCode, CommandError> {
        let loaded = self.target.load(&self.config).await?;
        let subject = self.target.identify(&loaded).await?;
        let Loaded { config, database, .. } = loaded;
        let plan = &config.cascade.plan;
        let compiled = database.compile(plan).await;
        let view = match &compiled {
            Ok(compiled) => {
                let preview = match &subject {
                    Some(subject) => Some(database.preview(&subject.id, compiled).await?),
                    None => None,
                };
                View::new(plan, compiled, preview.as_ref(), Shown { sql: self.sql, all: self.all })
            }
            // Without the organization's own table nothing but this fault can be shown.
            Err(error) => match Failure::from(error.clone()) {
                failure if failure.reason == Reason::SchemaMismatch => View::unresolved(plan, failure),
                failure => return Err(failure.into()),
            },
        };
        database.close().await;
        self.output.print(&view, || view.text())?;
        Ok(if view.usable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
