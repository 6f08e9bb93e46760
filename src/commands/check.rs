//! `organization-operator check`.

mod render;

use std::process::ExitCode;

use clap::Args;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use super::output::OutputArgs;
use super::target::{Identified, Target, Unidentified};
use crate::api::Reason;
use crate::config::Config;
use crate::db::Database;
use crate::domain::facts::Presence;
use crate::domain::left_over::keep_remainder;
use crate::domain::words::quantity;
use crate::domain::{Blame, Failure, PlanError};
use crate::store::partly_erased::PartlyErased;
use crate::store::standbys::UNKNOWN_REMEDY;
use planner::CompiledPlan;
use planner::finding::{Finding, Kind, Severity};
use planner::identifier::quote;
use render::Checked;

const HELP: &str = "\
The command compares the plan with the live schema: missing tables and columns, tables that the plan does not classify, tables \
outside the plan that refer to it, indexes, privileges, row-level security, triggers and rules. With NAME or --id it also \
finds rows outside that refer to rows of that organization, and rows that belong, or could belong, to another organization \
as well. The operator makes the same checks before it deletes. The command also counts rows that belong to no organization.

Run the command as the operator's database role, because privileges are part of the answer. In the cluster:
  kubectl exec -n organization-operator-system deploy/organization-operator -- \\
    organization-operator check --config /etc/organization-operator/config.yaml

Exit codes:
  0  nothing blocks; there may be warnings
  1  something blocks; each finding says what clears it
  2  the check could not run: the configuration is not valid, the database or the API server
     cannot be reached, there is no such object, or the object belongs to another database

Examples:
  organization-operator check               the schema, once for all organizations
  organization-operator check acme          also the rows of the Organization acme
  organization-operator check --id 4711     the same, by its id and without a cluster
  organization-operator check -o json | jq -r '.findings[].remedy'";

/// Show what blocks deletions, or one deletion, and what clears it; changes nothing.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Check {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Check {
    /// Runs the command. The exit code says whether something blocks.
    ///
    /// # Errors
    /// Fails if the check could not run.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let loaded = self.target.load(&self.config).await?;
        let checked = check(&loaded, &self.target).await;
        loaded.database.close().await;
        let checked = checked?;
        self.output.print(&checked.json(), || checked.text())?;
        Ok(if checked.ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn check(loaded: &Loaded, target: &Target) -> Result<Checked, CommandError> {
    let Loaded { config, database, .. } = loaded;
    let (plan, of_plan): (_, Vec<Finding>) = match database.compile(&config.cascade.plan).await {
        Ok(plan) => {
            let findings = plan.findings().cloned().collect();
            (Some(plan), findings)
        }
        // Without the organization's table nothing else can be checked.
        Err(PlanError::Faulty(faults)) => (None, faults.findings().to_vec()),
        Err(PlanError::Unread(failure)) => return Err(failure.into()),
    };
    // A privilege that the role lacks on the operator's own schema is among the findings, with its GRANT. The command
    // still shows the other findings.
    let lacks_privilege = of_plan.iter().any(|f| f.kind == Kind::MissingPrivilege);
    let is_reported = |failure: &Failure| lacks_privilege && failure.reason == Reason::PermissionDenied;
    let subject = match target.identify(loaded).await {
        Ok(subject) => subject,
        Err(Unidentified::Failed(failure)) if is_reported(&failure) => None,
        Err(error) => return Err(error.into()),
    };
    let mut findings = match own_schema(config, database).await {
        Ok(findings) => findings,
        Err(failure) if is_reported(&failure) => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    let organization = match (&plan, subject) {
        (_, None) => None,
        (None, Some(subject)) => Some(render::Organization::unknown(subject.name, subject.id)),
        (Some(plan), Some(subject)) => Some(check_organization(database, plan, subject, &mut findings).await?),
    };
    findings.extend(standbys(config, database).await?);
    findings.extend(partly_erased(database).await);
    findings.extend(of_plan);
    if let Some(plan) = &plan {
        findings.extend(database.nobodys_rows(plan).await?);
    }
    // What blocks comes first. The sort is stable.
    findings.sort_by_key(|f| f.severity);
    let cascade = plan.as_ref().and_then(CompiledPlan::cascade);
    let order = cascade.into_iter().flat_map(|c| &c.entities).map(|e| e.name.clone()).collect();
    Ok(Checked { organization, findings, order })
}

/// Findings about the operator's own schema. The operator creates it when it starts, if the configuration allows that.
async fn own_schema(config: &Config, database: &Database) -> Result<Vec<Finding>, Failure> {
    match database.migrate(false).await {
        Ok(_) => Ok(Vec::new()),
        Err(failure) if failure.reason == Reason::SchemaMismatch => {
            let (severity, message) = if config.database.migrate {
                (
                    Severity::Warning,
                    "the operator's own schema organization_operator is missing or out of date; the operator creates or updates it when it starts",
                )
            } else {
                (Severity::Blocks, failure.what())
            };
            Ok(vec![Finding { remedy: failure.remedy.clone(), ..Finding::new(severity, Kind::OwnSchema, message) }])
        }
        Err(failure) => Err(failure),
    }
}

/// Findings about deletions that have erased a part of an organization. Without a cluster nobody knows whether their objects are
/// there. What cannot be read, other findings say.
async fn partly_erased(database: &Database) -> Vec<Finding> {
    let all = database.partly_erased().await.unwrap_or_default();
    let finding = |of: PartlyErased| {
        let message = format!(
            "the deletion of the object with the uid {} has erased {} of the organization {}, and has not ended",
            of.uid,
            quantity(of.rows, "row"),
            of.key
        );
        let remedy = format!(
            "nothing, if the object is there: its deletion goes on, or its status says what to do\n\
             otherwise, to erase the remainder: create an object for the organization and delete it with deletionPolicy Delete\n\
             otherwise, to keep the rest: {}",
            keep_remainder(&of.key)
        );
        Finding {
            rows: Some(of.rows),
            remedy: Some(remedy),
            ..Finding::new(Severity::Warning, Kind::PartlyErased, message)
        }
    };
    all.into_iter().map(finding).collect()
}

/// Findings about the standbys on which large deletions wait.
async fn standbys(config: &Config, database: &Database) -> Result<Vec<Finding>, Failure> {
    let pace = &config.cascade.batch.pace;
    let mut findings = Vec::new();
    if let Some(unknown) = database.unknown_standbys(&pace.standbys).await? {
        let message = format!("{}; the operator does not start", unknown.sentence());
        let remedy = Some(UNKNOWN_REMEDY.to_owned());
        findings.push(Finding { remedy, ..Finding::new(Severity::Blocks, Kind::UnknownStandby, message) });
    }
    if pace.max_replay_lag_seconds.is_some()
        && let Some(role) = database.role_without_replay_lag().await?
    {
        let message = "the operator's role may not see the replication lag of standbys (`cascade.batch.maxReplayLagSeconds`), so the deletion of a large organization waits while a standby is connected";
        let remedy = Some(format!("GRANT pg_monitor TO {}; -- pg_read_all_stats is enough", quote(&role)));
        findings.push(Finding { remedy, ..Finding::new(Severity::Blocks, Kind::MissingPrivilege, message) });
    }
    Ok(findings)
}

async fn check_organization(
    database: &Database,
    plan: &CompiledPlan,
    subject: Identified,
    findings: &mut Vec<Finding>,
) -> Result<render::Organization, CommandError> {
    let examined = match database.examine(&subject.id, plan).await {
        Ok(examined) => examined,
        Err(failure) if failure.reason == Reason::InvalidOrganizationId => {
            findings.push(blocking(Kind::InvalidOrganizationId, &failure));
            return Ok(render::Organization::unknown(subject.name, subject.id));
        }
        // Columns that cannot be compared: the deletion would fail in the same way.
        Err(failure) if failure.reason == Reason::SchemaMismatch && failure.blame == Blame::Object => {
            findings.push(blocking(Kind::PlanMismatch, &failure));
            return Ok(render::Organization::unknown(subject.name, subject.id));
        }
        // The findings of the plan name what hides the rows.
        Err(failure) if failure.blame == Blame::Plan => {
            return Ok(render::Organization::unknown(subject.name, subject.id));
        }
        Err(failure) => return Err(failure.into()),
    };
    if examined.organization == Presence::Absent {
        findings.push(Finding::new(
            Severity::Warning,
            Kind::OrganizationNotFound,
            "the database has no organization with this id",
        ));
    }
    findings.extend(examined.blockers);
    if !examined.unfound.is_empty() {
        findings.push(on_a_standby(&examined.unfound));
    }
    Ok(render::Organization {
        name: subject.name,
        key: examined.key,
        presence: Some(examined.organization),
        references_checked: examined.complete,
    })
}

/// What a standby cannot say.
fn on_a_standby(tables: &[String]) -> Finding {
    let tables: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
    let message = format!(
        "the server is a standby, where the operator cannot find the rows of {} (`referencedBy`), so the rows of this organization, and references to them, were not checked",
        tables.join(", ")
    );
    let remedy = Some("run the command with the URL of the primary server".to_owned());
    Finding { remedy, ..Finding::new(Severity::Blocks, Kind::Standby, message) }
}

fn blocking(kind: Kind, failure: &Failure) -> Finding {
    Finding { remedy: failure.remedy.clone(), ..Finding::new(Severity::Blocks, kind, failure.what()) }
}
