//! `kubectl organization history`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use super::output::{OutputArgs, table};
use crate::api::Reason;
use crate::api::status::{DeletionStep, Outcome};
use crate::config::Config;
use crate::db::Database;
use crate::domain::PlanError;
use crate::store::history::PastDeletion;

/// Show how the deletions of an organization ended: when, how, how many rows, and who set the policy.
///
/// The command reads the ledger of the database, so it also knows objects that are gone long ago. With NAME it shows the
/// deletions of every object that had the same organization, whatever its name was. It needs no API server.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  the ledger has entries
  1  the ledger has none: no deletion of this organization has ended
  2  the ledger cannot be read

Examples:
  kubectl organization history acme --config config.yaml
  kubectl organization history --id ac3e0000-0000-4000-8000-000000000001
  kubectl organization history acme -o json | jq '.[] | select(.outcome == \"Erased\") | .finishTime'")]
pub struct History {
    /// Name that an Organization object has or had
    #[arg(value_name = "NAME", required_unless_present = "id")]
    name: Option<String>,
    /// The organization's primary key in the database
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    id: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// An entry of the ledger as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    start_time: String,
    finish_time: String,
    verified_time: Option<String>,
    outcome: &'a str,
    detail: Option<&'a str>,
    object_name: &'a str,
    object_uid: &'a str,
    cluster_id: &'a str,
    organization_key: &'a str,
    policy: &'a str,
    policy_manager: Option<&'a str>,
    rows_deleted: i64,
    steps: &'a [DeletionStep],
    organizations_deleted: i64,
    operator_version: &'a str,
}

impl History {
    /// Runs the command. The exit code says whether the ledger has entries.
    ///
    /// # Errors
    /// Fails if the ledger cannot be read.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let Loaded { config, database, .. } = self.config.load()?;
        let read = self.read(&config, &database).await;
        database.close().await;
        let entries = read?;
        let printed: Vec<Printed<'_>> = entries.iter().map(printed).collect();
        self.output
            .print(&printed, || text(&entries, self.name.as_deref().or(self.id.as_deref()).unwrap_or_default()))?;
        Ok(if entries.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn read(&self, config: &Config, database: &Database) -> Result<Vec<PastDeletion>, CommandError> {
        let key = match &self.id {
            Some(id) => Some(canonical(id, config, database).await?),
            None => None,
        };
        database.history(key.as_deref(), self.name.as_deref()).await?.ok_or_else(|| {
            CommandError(
                "this database has no ledger (the schema organization_operator): no operator has worked here yet, or it is another database".to_owned(),
            )
        })
    }
}

/// The id in the database's own spelling. The ledger outlives the schema: without the organizations' table the id counts as it
/// is written.
async fn canonical(id: &str, config: &Config, database: &Database) -> Result<String, CommandError> {
    match database.compile(&config.cascade.plan).await {
        Ok(plan) => database.canonical(id, &plan).await?.ok_or_else(|| {
            CommandError(format!(
                "{}: the id is no value of the type {}",
                Reason::InvalidOrganizationId,
                plan.root.key_type
            ))
        }),
        Err(PlanError::Faulty(_)) => Ok(id.to_owned()),
        Err(error) => Err(error.into()),
    }
}

fn rows(entry: &PastDeletion) -> i64 {
    entry.steps.iter().map(|step| step.deleted).sum::<i64>() + entry.organizations
}

fn printed(entry: &PastDeletion) -> Printed<'_> {
    Printed {
        start_time: entry.started.to_string(),
        finish_time: entry.finished.to_string(),
        verified_time: entry.verified.map(|time| time.to_string()),
        outcome: &entry.outcome,
        detail: entry.detail.as_deref().filter(|detail| !detail.is_empty()),
        object_name: &entry.object_name,
        object_uid: &entry.object_uid,
        cluster_id: &entry.cluster,
        organization_key: &entry.organization_key,
        policy: &entry.policy,
        policy_manager: entry.policy_manager.as_deref(),
        rows_deleted: rows(entry),
        steps: &entry.steps,
        organizations_deleted: entry.organizations,
        operator_version: &entry.operator_version,
    }
}

fn text(entries: &[PastDeletion], asked: &str) -> String {
    if entries.is_empty() {
        return format!("The ledger of this database has no entry for {asked}: no such deletion has ended.\n");
    }
    let head = ["FINISHED", "OUTCOME", "OBJECT", "ORGANIZATION", "POLICY", "SET BY", "ROWS", "WHAT"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    lines.extend(entries.iter().map(|entry| {
        vec![
            format!("{:.0}", entry.finished),
            entry.outcome.clone(),
            entry.object_name.clone(),
            entry.organization_key.clone(),
            entry.policy.clone(),
            entry.policy_manager.clone().unwrap_or_default(),
            rows(entry).to_string(),
            what(entry),
        ]
    }));
    table(&lines)
}

/// What was deleted, or what the entry says in words, and what is still to come.
fn what(entry: &PastDeletion) -> String {
    let deleted = entry.steps.iter().filter(|step| step.deleted > 0);
    let deleted: Vec<String> = deleted.map(|step| format!("{} {}", step.deleted, step.entity)).collect();
    let detail = entry.detail.as_deref().filter(|detail| deleted.is_empty() && !detail.is_empty());
    let open = match (entry.verified, Outcome::parse(&entry.outcome)) {
        (Some(_), _) => None,
        (None, Some(Outcome::Interrupted)) => Some("it can still go on"),
        (None, _) => Some("still to be counted again"),
    };
    [detail.map(str::to_owned), (!deleted.is_empty()).then(|| deleted.join(", ")), open.map(str::to_owned)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}
