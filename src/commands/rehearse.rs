//! `organization-operator rehearse`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::output::{Format, explained, json, table};
use super::target::{Identified, Target};
use super::{CommandError, ConfigArgs, could_not};
use crate::api::Reason;
use crate::api::status::{DeletionStep, ErrorDetail};
use crate::cascade::rehearse::Rehearsal;
use crate::domain::{Effect, Failure, report};
use planner::CompiledPlan;

/// Run the real deletion of one organization in a transaction, check every constraint, and roll it back.
///
/// Nothing is changed: no row of the platform, no claim, no record in the ledger. What would block the deletion is shown with
/// its remedy, as `status.error` would show it.
///
/// While it runs it holds the same locks as a deletion: whoever writes to this organization waits until it is rolled back. It
/// waits for locks itself, and for each statement, no longer than the configuration says. Triggers of the schema run: what they
/// do outside of the transaction, such as advancing a sequence, stays. Only the cascade is rehearsed: not who owns the
/// organization, not the deletion policy. An object that belongs to another database is refused.
///
/// Exit code: 0 a deletion would succeed, 1 it is blocked, 2 it could not be tried.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  organization-operator rehearse acme --config config.yaml
  organization-operator rehearse --id ac3e0000-0000-4000-8000-000000000001 -o json")]
pub struct Rehearse {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organizations: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    steps: &'a [DeletionStep],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unprotected_tables: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

impl Rehearse {
    /// Runs it.
    ///
    /// # Errors
    /// Never fails: what went wrong is printed, and shows in the exit code.
    pub async fn execute(self) -> ExitCode {
        could_not(self.run().await)
    }

    async fn run(&self) -> Result<ExitCode, CommandError> {
        let (config, database) = self.config.load()?;
        let Some(Identified { id, .. }) = self.target.identify(&database).await? else {
            return Err(CommandError("say which organization: NAME of its object, or --id ID".into()));
        };
        eprintln!(
            "Rehearsing the deletion of one organization. Its rows are locked until it is rolled back; whoever writes to it waits."
        );
        let mut plan = None;
        let mut outcome = Err(outdated());
        // Once more if the schema changed between compiling and running.
        for _ in 0..2 {
            let compiled = match database.compile(&config.cascade).await {
                Ok(compiled) => plan.insert(compiled),
                Err(failure) => {
                    outcome = Err(failure.into());
                    break;
                }
            };
            match database.rehearse(&id, compiled).await.transpose() {
                Some(done) => {
                    outcome = done;
                    break;
                }
                None => outcome = Err(outdated()),
            }
        }
        database.close().await;
        let unprotected = plan.as_ref().map(CompiledPlan::unprotected_tables).unwrap_or_default();
        match (self.output, &outcome) {
            (Format::Json, _) => print!("{}", json(&described(&outcome, unprotected))?),
            (Format::Text, Ok(rehearsal)) => print!("{}", success(rehearsal, &unprotected)),
            (Format::Text, Err(failure)) => print!("{}", refusal(failure)),
        }
        Ok(ExitCode::from(match &outcome {
            Ok(_) => 0,
            Err(failure) if was_tried(failure) => 1,
            Err(_) => 2,
        }))
    }
}

fn outdated() -> Failure {
    Failure::new(Reason::SerializationFailure, "the database's schema changed twice since the plan was compiled")
        .effect(Effect::RolledBack)
        .remedy("try again when nobody changes the schema")
}

/// Whether the failure says something about the deletion, and not about the way to the database.
fn was_tried(failure: &Failure) -> bool {
    !matches!(
        failure.reason,
        Reason::OrganizationNotFound
            | Reason::InvalidOrganizationId
            | Reason::DatabaseMismatch
            | Reason::DatabaseUnavailable
            | Reason::AuthenticationFailed
            | Reason::InternalError
    )
}

fn described<'a>(outcome: &'a Result<Rehearsal, Failure>, unprotected_tables: Vec<&'a str>) -> Printed<'a> {
    let rehearsal = outcome.as_ref().ok();
    let failure = outcome.as_ref().err();
    Printed {
        outcome: match failure {
            None => "WouldErase",
            Some(failure) if was_tried(failure) => "Blocked",
            Some(_) => "NotTried",
        },
        organization_key: rehearsal.map(|r| r.key.as_str()),
        seconds: rehearsal.map(|r| (r.took.as_secs_f64() * 1000.0).round() / 1000.0),
        organizations: rehearsal.map(|r| r.organizations),
        steps: rehearsal.map(|r| r.steps.as_slice()).unwrap_or_default(),
        unprotected_tables,
        error: failure.map(report::error_detail),
    }
}

fn success(rehearsal: &Rehearsal, unprotected: &[&str]) -> String {
    let mut rows = vec![vec!["ENTITY".to_owned(), "ROWS".to_owned(), "TABLES".to_owned()]];
    for step in &rehearsal.steps {
        rows.push(vec![step.entity.clone(), step.deleted.to_string(), step.tables.join(", ")]);
    }
    let total: i64 = rehearsal.steps.iter().map(|s| s.deleted).sum::<i64>() + rehearsal.organizations;
    rows.push(vec!["(organization)".to_owned(), rehearsal.organizations.to_string(), String::new()]);
    let mut text = table(&rows);
    text.extend([format!(
        "\nA deletion would succeed: {total} rows in {:.3} s, every constraint checked. All of it was rolled back.\n",
        rehearsal.took.as_secs_f64()
    )]);
    if !unprotected.is_empty() {
        text.extend([format!(
            "Not protected by a foreign key: {}. A deletion waits for open transactions to drain, and counts again.\n",
            unprotected.join(", ")
        )]);
    }
    text
}

fn refusal(failure: &Failure) -> String {
    let what = if was_tried(failure) { "A deletion is blocked" } else { "The deletion could not be tried" };
    format!("{what}: {}", explained(failure))
}
