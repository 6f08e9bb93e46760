//! `organization-operator plan`.

mod additions;
mod edit;
mod entries;
mod groups;
mod init;
mod show;
mod sql;
mod text;
mod update;
mod view;
mod ways;
mod yaml;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::commands::error::CommandError;

/// Draft the plan of the cascade from the live schema, or show what a plan does there.
#[derive(Debug, Args)]
#[command(after_help = "Steps to a plan:
  1. organization-operator plan init --organization organizations --output config.yaml
  2. Read config.yaml: decide about each unclassified table, and move to `keep` what must stay.
  3. organization-operator plan show --config config.yaml        # order and faults
  4. organization-operator plan show --config config.yaml NAME   # what would be deleted
  5. organization-operator rehearse --config config.yaml NAME    # the deletion, rolled back
When the schema has changed:
  organization-operator plan init --update config.yaml           # adds the new tables")]
pub struct Plan {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Show(show::Show),
}

impl Plan {
    /// Runs the command. The exit code says whether the plan can be used.
    ///
    /// # Errors
    /// Fails if the plan could not be drafted or compiled.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        match self.command {
            Command::Init(command) => command.execute().await,
            Command::Show(command) => command.execute().await,
        }
    }
}
