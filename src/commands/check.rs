//! `organization-operator check`.

mod render;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::target::{Identified, Target, Unidentified};
use super::{CommandError, ConfigArgs};
use crate::api::Reason;
use crate::config::Config;
use crate::db::Database;
use crate::domain::facts::Presence;
use crate::domain::{Blame, Failure, PlanError};
use planner::CompiledPlan;
use planner::finding::{Finding, Kind, Severity};
use render::Checked;

const HELP: &str = "\
Compares the plan with the live schema: missing tables and columns, tables that nobody classified, tables outside that \
refer to the plan, indexes, privileges, row-level security, triggers and rules. With NAME or --id it also looks for rows \
outside that refer to rows of that organization, and for rows that are another one's as well, as the operator does before it deletes.

Run it as the operator's database role, because privileges are part of the answer. In the cluster:
  kubectl exec -n organization-operator-system deploy/organization-operator -- \\
    organization-operator check --config /etc/organization-operator/config.yaml

Exit codes:
  0  nothing blocks; there may be warnings
  1  something blocks: each finding comes with what clears it
  2  could not check: bad configuration, database or API server out of reach, no such object, or one of another database

Examples:
  organization-operator check               the schema, once for all organizations
  organization-operator check acme          and what refers to rows of the Organization acme
  organization-operator check --id 4711     the same by its id in the database, without a cluster
  organization-operator check -o json | jq -r '.findings[].remedy'";

/// Say what stands in the way of deletions, or of one, and what clears it; changes nothing
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Check {
    #[command(flatten)]
    target: Target,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    config: ConfigArgs,
}

/// How to print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a person
    Table,
    /// For a program
    Json,
}

/// Exit code of a check that could not be made.
const COULD_NOT_CHECK: u8 = 2;

impl Check {
    /// Checks and prints. The exit code says how it ended, also where it could not check.
    pub async fn execute(self) -> ExitCode {
        let output = self.output;
        match self.check().await.and_then(|checked| Ok((checked.print(output == Output::Json)?, checked))) {
            Ok((text, checked)) => {
                print!("{text}");
                if checked.ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                eprintln!("error: could not check: {error}");
                ExitCode::from(COULD_NOT_CHECK)
            }
        }
    }

    async fn check(self) -> Result<Checked, CommandError> {
        let (config, database) = self.config.load()?;
        let checked = look(&config, &database, &self.target).await;
        database.close().await;
        checked
    }
}

async fn look(config: &Config, database: &Database, target: &Target) -> Result<Checked, CommandError> {
    let (plan, known): (_, Vec<Finding>) = match database.compile(&config.cascade).await {
        Ok(plan) => {
            let known = plan.findings().cloned().collect();
            (Some(plan), known)
        }
        // Not even the organization's table can be used, so nothing else can be looked at.
        Err(PlanError::Faulty(faults)) => (None, faults.findings().to_vec()),
        Err(PlanError::Unread(failure)) => return Err(failure.into()),
    };
    // A refusal of the operator's own schema is told with its GRANT, and is no reason to tell nothing.
    let missing = known.iter().any(|f| f.kind == Kind::MissingPrivilege);
    let told = |failure: &Failure| missing && failure.reason == Reason::PermissionDenied;
    let subject = match target.identify(database).await {
        Ok(subject) => subject,
        Err(Unidentified::Failed(failure)) if told(&failure) => None,
        Err(error) => return Err(error.into()),
    };
    let mut found = match own_schema(config, database).await {
        Ok(found) => found,
        Err(failure) if told(&failure) => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    let organization = match (&plan, subject) {
        (_, None) => None,
        (None, Some(subject)) => Some(render::Organization::unseen(subject.name, subject.id)),
        (Some(plan), Some(subject)) => Some(examine(database, plan, subject, &mut found).await?),
    };
    found.extend(known);
    // What blocks comes first; the order within is that of the findings.
    found.sort_by_key(|f| f.severity);
    let cascade = plan.as_ref().and_then(CompiledPlan::cascade);
    let order = cascade.into_iter().flat_map(|c| &c.entities).map(|e| e.name.clone()).collect();
    Ok(Checked { organization, findings: found, order })
}

/// The operator's own schema. It is created at start, where that is allowed.
async fn own_schema(config: &Config, database: &Database) -> Result<Vec<Finding>, Failure> {
    match database.migrate(false).await {
        Ok(_) => Ok(Vec::new()),
        Err(failure) if failure.reason == Reason::SchemaMismatch => {
            let (severity, message) = if config.database.migrate {
                (
                    Severity::Warning,
                    "the operator's own schema organization_operator is missing or old; the operator creates or updates it when it starts",
                )
            } else {
                (Severity::Blocks, failure.what())
            };
            Ok(vec![Finding { remedy: failure.remedy.clone(), ..Finding::new(severity, Kind::OwnSchema, message) }])
        }
        Err(failure) => Err(failure),
    }
}

async fn examine(
    database: &Database,
    plan: &CompiledPlan,
    subject: Identified,
    found: &mut Vec<Finding>,
) -> Result<render::Organization, CommandError> {
    let examined = match database.examine(&subject.id, plan).await {
        Ok(examined) => examined,
        Err(failure) if failure.reason == Reason::InvalidOrganizationId => {
            found.push(of_failure(Severity::Blocks, Kind::InvalidOrganizationId, &failure));
            return Ok(render::Organization::unseen(subject.name, subject.id));
        }
        // Columns that cannot be compared: the deletion fails the same way.
        Err(failure) if failure.reason == Reason::SchemaMismatch && failure.blame == Blame::Object => {
            found.push(of_failure(Severity::Blocks, Kind::PlanMismatch, &failure));
            return Ok(render::Organization::unseen(subject.name, subject.id));
        }
        // What hides the rows is among the findings of the plan.
        Err(failure) if failure.blame == Blame::Plan => {
            return Ok(render::Organization::unseen(subject.name, subject.id));
        }
        Err(failure) => return Err(failure.into()),
    };
    if examined.organization == Presence::Absent {
        found.push(Finding::new(
            Severity::Warning,
            Kind::OrganizationNotFound,
            "the database has no organization with this id",
        ));
    }
    found.extend(examined.blockers);
    Ok(render::Organization {
        name: subject.name,
        key: examined.key,
        presence: Some(examined.organization),
        looked: examined.complete,
    })
}

fn of_failure(severity: Severity, kind: Kind, failure: &Failure) -> Finding {
    Finding { remedy: failure.remedy.clone(), ..Finding::new(severity, kind, failure.what()) }
}
