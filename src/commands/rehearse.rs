//! `organization-operator rehearse`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use super::output::{OutputArgs, explained, table};
use super::target::{Identified, Target};
use crate::api::Reason;
use crate::api::status::{DeletionStep, ErrorDetail};
use crate::cascade::rehearse::Rehearsal;
use crate::cascade::step::{Step, followed};
use crate::db::Database;
use crate::domain::written::WrittenTable;
use crate::domain::{Effect, Failure, report};
use planner::CompiledPlan;

/// What a terminal shows meanwhile: how many of the statements that change rows have begun, and which one runs.
const BAR: &str = "{spinner} [{bar:30}] {pos}/{len} {elapsed}  {wide_msg}";
/// How often the terminal shows that the command is alive.
const TICK: Duration = Duration::from_millis(200);

/// Run the real deletion of one organization in a transaction, check every constraint, and roll it back.
///
/// Nothing is changed: no row of the platform, no claim, no record in the ledger. If something would block the deletion, the
/// command shows it with its remedy, as `status.error` would show it.
///
/// The rehearsal holds the same locks as a deletion: anybody who writes to this organization waits until the rollback. The
/// timeouts of the configuration limit its own waits for locks and the duration of each statement. Triggers of the schema run,
/// and their effects outside the transaction stay: for example, sequences advance. The command rehearses only the cascade: it
/// does not check who owns the organization or what the deletion policy is. It refuses an object that belongs to another
/// database. On a terminal, a bar on standard error shows which statement runs.
///
/// Exit code: 0 a deletion would succeed, 1 it is blocked, 2 it could not be rehearsed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  organization-operator rehearse acme --config config.yaml
  organization-operator rehearse --id ac3e0000-0000-4000-8000-000000000001 -o json")]
pub struct Rehearse {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The result as JSON.
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
    /// What triggers wrote to tables that are not steps of the plan. `None` if nothing was rehearsed, or if the server does not
    /// count.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<&'a [WrittenTable]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unprotected_tables: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

impl Rehearse {
    /// Runs the command. The exit code says whether a deletion would succeed.
    ///
    /// # Errors
    /// Fails if no organization is given, or if it cannot be identified.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let loaded = self.target.load(&self.config).await?;
        let Some(Identified { id, .. }) = self.target.identify(&loaded).await? else {
            return Err(CommandError("no organization is given: add the NAME of its object, or --id ID".into()));
        };
        let Loaded { config, database, .. } = loaded;
        eprintln!(
            "Rehearsing the deletion of one organization. Its rows are locked until the rollback; anybody who writes to it waits."
        );
        let mut plan = None;
        let mut outcome = Err(outdated());
        // A second time if the schema changed after the plan was compiled.
        for _ in 0..2 {
            let compiled = match database.compile(&config.cascade.plan).await {
                Ok(compiled) => plan.insert(compiled),
                Err(failure) => {
                    outcome = Err(failure.into());
                    break;
                }
            };
            match rehearse(&database, &id, compiled).await.transpose() {
                Some(done) => {
                    outcome = done;
                    break;
                }
                None => outcome = Err(outdated()),
            }
        }
        database.close().await;
        let unprotected = plan.as_ref().map(CompiledPlan::unprotected_tables).unwrap_or_default();
        self.output.print(&printed(&outcome, &unprotected), || match &outcome {
            Ok(rehearsal) => success(rehearsal, &unprotected),
            Err(failure) => refusal(failure),
        })?;
        Ok(ExitCode::from(match &outcome {
            Ok(_) => 0,
            Err(failure) if was_tried(failure) => 1,
            Err(_) => 2,
        }))
    }
}

/// Rehearses. On a terminal, a bar beside the result shows the statement that runs.
async fn rehearse(database: &Database, id: &str, plan: &CompiledPlan) -> Result<Option<Rehearsal>, Failure> {
    if !std::io::stderr().is_terminal() {
        return Box::pin(database.rehearse(id, plan)).await;
    }
    let changes = plan.erase().map_or(0, |erase| erase.deletes.len() + erase.detaches.len());
    let bar = ProgressBar::with_draw_target(u64::try_from(changes).ok(), ProgressDrawTarget::stderr());
    // The template is tested.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(TICK);
    let shown = bar.clone();
    let tell = move |step: Step| {
        shown.set_message(step.doing);
        if step.changes {
            shown.inc(1);
        }
    };
    let rehearsed = followed(tell, Box::pin(database.rehearse(id, plan))).await;
    bar.finish_and_clear();
    rehearsed
}

fn outdated() -> Failure {
    Failure::new(Reason::SerializationFailure, "the database's schema changed twice since the plan was compiled")
        .effect(Effect::RolledBack)
        .remedy("try again while nobody changes the schema")
}

/// Whether the failure concerns the deletion itself, and not the connection to the database.
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

fn printed<'a>(outcome: &'a Result<Rehearsal, Failure>, unprotected_tables: &'a [&'a str]) -> Printed<'a> {
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
        written: rehearsal.and_then(|r| r.written.as_deref()),
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
        "\nA deletion would succeed: {total} rows in {:.3} s, with every constraint checked. Everything was rolled back.\n",
        rehearsal.took.as_secs_f64()
    )]);
    text += &written(rehearsal.written.as_deref());
    if !unprotected.is_empty() {
        text.extend([format!(
            "Not protected by a foreign key: {}. A deletion waits for open transactions to drain, and counts again.\n",
            unprotected.join(", ")
        )]);
    }
    text
}

/// What triggers wrote to tables that are not steps of the plan.
fn written(written: Option<&[WrittenTable]>) -> String {
    match written {
        None => "The server does not count rows (track_counts = off), so the rehearsal cannot tell what triggers wrote to tables that are not steps of the plan.\n".to_owned(),
        Some([]) => String::new(),
        Some(tables) => {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            format!("Triggers wrote to tables that are not steps of the plan, and what they wrote stays: {}.\n", tables.join(", "))
        }
    }
}

fn refusal(failure: &Failure) -> String {
    let what = if was_tried(failure) { "A deletion is blocked" } else { "The deletion could not be rehearsed" };
    format!("{what}: {}", explained(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_can_be_used() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
