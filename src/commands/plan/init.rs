//! `organization-operator plan init`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{update, yaml};
use crate::commands::config::{ConfigArgs, Loaded};
use crate::commands::error::CommandError;
use crate::commands::file;
use crate::domain::Failure;
use crate::domain::words::quantity;
use planner::infer::{self, Draft};

/// Write a configuration that fits the live schema.
///
/// The command reads all tables of the database with their keys and foreign keys, and follows the foreign keys from the
/// organization's table to its child tables. It places tables without foreign keys by column names that the foreign keys of
/// other tables agree on. It lists every other table with a sign of an organization as `unclassified`: the operator deletes no
/// organization until a person has decided about each of them. A sign is a foreign key, a column name, or a value of a column:
/// the command reads a sample of the rows of each table that it could not place. It lists tables without any sign as `global`.
///
/// With --update, the command adds the tables that FILE does not mention to FILE, and changes nothing else in it.
///
/// The command changes nothing in the database. Read the file before you use it: only you know what the law requires you to
/// keep.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  organization-operator plan init --organization organizations > config.yaml
  organization-operator plan init --organization 'app.Tenant' --key tenantId --output config.yaml
  organization-operator plan init --update config.yaml

Exit code: 0 the configuration was written, 2 it could not be written.")]
pub struct Init {
    /// The table that has one row for each organization, as TABLE or SCHEMA.TABLE
    #[arg(long, value_name = "TABLE", required_unless_present = "update")]
    organization: Option<String>,
    /// Its key column, if that is not the primary key
    #[arg(long, value_name = "COLUMN", conflicts_with = "update")]
    key: Option<String>,
    /// Add to this configuration the tables that it does not mention; FILE also says how to reach the database
    #[arg(long, value_name = "FILE", conflicts_with = "organization")]
    update: Option<PathBuf>,
    /// Write to this file instead of standard output, or instead of the updated file; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Init {
    pub(super) async fn execute(self) -> Result<ExitCode, CommandError> {
        if let Some(file) = &self.update {
            return update::execute(file, self.output.as_deref(), self.config).await;
        }
        let organization = self.organization.unwrap_or_default();
        let Loaded { database, .. } = self.config.load()?;
        let mut survey = database.survey().await?;
        let questions = infer::questions(&survey, &organization, self.key.as_deref()).map_err(Failure::from)?;
        survey.values = database.sample(&questions).await?;
        let draft = infer::infer(&survey, &organization, self.key.as_deref()).map_err(Failure::from)?;
        if draft.plan.steps.is_empty() && draft.plan.unclassified.is_empty() {
            return Err(CommandError(format!(
                "no table of the database refers to `{}`, neither by a foreign key nor by a column name, so there is no plan to write",
                draft.plan.organization.table
            )));
        }
        // The command must not write a draft that the operator itself would refuse.
        draft.plan.validate().map_err(|problems| CommandError(problems.join("\n")))?;
        let text = yaml::render(&draft);
        match &self.output {
            None => print!("{text}"),
            Some(path) => file::create(path, &text)?,
        }
        let compiled = database.compile(&draft.plan).await;
        database.close().await;
        let faults = match compiled {
            Ok(plan) => plan.faults().map_or(0, |f| f.findings().len()),
            Err(_) => 1,
        };
        eprint!("{}", summary(&draft, faults, self.output.as_deref()));
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(draft: &Draft, faults: usize, path: Option<&Path>) -> String {
    let plan = &draft.plan;
    let counts = format!(
        "{}, {} unclassified, {} without any sign of an organization.\n",
        quantity(plan.steps.len(), "step"),
        quantity(plan.unclassified.len(), "table"),
        quantity(plan.global.len(), "table"),
    );
    let file = path.map_or_else(|| "FILE".to_owned(), |p| p.display().to_string());
    let state = match faults {
        0 => "It fits the schema.".to_owned(),
        n => format!("{} must be cleared before you can use it.", quantity(n, "finding")),
    };
    format!("{counts}{state} Read it, then run: organization-operator plan show --config {file}\n")
}
