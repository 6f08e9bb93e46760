//! `kubectl organization explain`.

mod deletion;
mod explanation;
mod live;
mod sentences;
mod unserved;

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::error::CommandError;
use super::kubeconfig::ClusterArgs;
use super::output::OutputArgs;
use crate::api::status::Outcome;
use crate::api::{Organization, Reason};
use crate::cluster::Cluster;
use crate::cluster::list::Noted;
use explanation::Explanation;
use sentences::{EVENTS, OTHERS, at, sentence, when};

/// So many Events are told.
const EVENTS_TOLD: usize = 5;

/// Say in plain sentences how an object is, what stands in the way, what clears it, and what happens next and when.
///
/// The command reads the object, its Events, and other objects of the same organization. It changes nothing, and needs no
/// database.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  nobody has to act: everything is as the spec says, or the operator goes on by itself
  1  a person has to act; the command says what to do
  2  the object cannot be read, or there is none of that name

The command needs the right to get and list organizations (organization-viewer), and to list Events in the namespace default;
without the latter it says less.

Examples:
  kubectl organization explain acme
  kubectl organization explain acme --context production
  kubectl organization explain acme -o json | jq -r '.sections[].commands[]?'")]
pub struct Explain {
    /// Name of an Organization object
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Explain {
    /// Runs the command. The exit code says whether a person has to act.
    ///
    /// # Errors
    /// Fails if the API server cannot be asked, or if there is no such object.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let cluster = self.cluster.cluster("set KUBECONFIG").await?;
        let explanation = match cluster.live(&self.name).await? {
            Some(object) => {
                // Without the right to read Events the object still says most.
                let events = cluster.events_about(&self.name, object.metadata.uid.as_deref()).await.unwrap_or_default();
                let others = others(&cluster, &object).await?;
                explain(&object, &others, &events, Timestamp::now())
            }
            None => {
                gone(&self.name, &cluster.events_about(&self.name, None).await.unwrap_or_default(), Timestamp::now())?
            }
        };
        self.output.print(&explanation, || explanation.text())?;
        Ok(ExitCode::from(u8::from(explanation.needs_a_person)))
    }
}

/// Other objects of the same organization: those that write its id in the same way.
async fn others(cluster: &Cluster, object: &Organization) -> Result<Vec<Organization>, CommandError> {
    let spec = &object.spec;
    let mut others = cluster.objects_naming(&spec.organization_id, &spec.database).await?;
    if let Some(claim) = object.status.as_ref().and_then(|status| status.claim.as_ref())
        && claim.organization_key != spec.organization_id
    {
        others.extend(cluster.objects_naming(&claim.organization_key, &spec.database).await?);
    }
    others.retain(|other| other.uid() != object.uid());
    Ok(others)
}

/// Explains an object.
fn explain(object: &Organization, others: &[Organization], events: &[Noted], now: Timestamp) -> Explanation {
    let name = object.name_any();
    let status = object.status.clone().unwrap_or_default();
    let not_served = status.error.as_ref().filter(|error| error.reason == Reason::DatabaseNotServed);
    let mut explanation = match (not_served, &object.metadata.deletion_timestamp) {
        (Some(error), _) => unserved::explain(&name, object, error),
        (None, Some(since)) => deletion::explain(&name, object, &status, since.0, now),
        (None, None) => live::explain(&name, object, &status, now),
    };
    explanation.add(OTHERS, others.iter().map(|other| beside(other, object)).collect(), Vec::new());
    let current = status.error.as_ref().map(|error| error.reason.as_str());
    let told = events.iter().filter(|event| Some(event.reason.as_str()) != current);
    let told: Vec<String> =
        told.map(|event| format!("{}: {}: {}", when(event.time, now), event.reason, sentence(&event.note))).collect();
    explanation.add(EVENTS, told.into_iter().rev().take(EVENTS_TOLD).rev().collect(), Vec::new());
    explanation
}

/// Another object of the same organization.
fn beside(other: &Organization, object: &Organization) -> String {
    let name = other.name_any();
    let claims = |object: &Organization| object.status.as_ref().is_some_and(|status| status.claim.is_some());
    let owner = claims(other) && !claims(object);
    match (&other.metadata.deletion_timestamp, owner) {
        (None, true) => format!("{name} owns the organization."),
        (None, false) if object.metadata.deletion_timestamp.is_some() => {
            format!("{name} names the same organization and takes it over, unless rows are gone already.")
        }
        (None, false) => format!("{name} names the same organization and does not own it."),
        (Some(_), true) => format!("{name} owns the organization and is being deleted."),
        (Some(_), false) => format!("{name} names the same organization and is being deleted."),
    }
}

/// An object that is not there: its Events say how its deletion ended.
fn gone(name: &str, events: &[Noted], now: Timestamp) -> Result<Explanation, CommandError> {
    let ended = |event: &&Noted| event.action == "Delete" && Outcome::parse(&event.reason).is_some();
    let Some(event) = events.iter().rev().find(ended) else {
        return Err(CommandError(format!(
            "there is no Organization `{name}` in this cluster, and no Event says that one was deleted within the last hour; list the objects with: kubectl get organizations; ask the ledger with: kubectl organization history {name}"
        )));
    };
    let summary = format!("{name} is gone: its deletion was completed {} ({}).", at(event.time, now), event.reason);
    let mut explanation = Explanation::new(name, summary);
    explanation.add(EVENTS, vec![sentence(&event.note)], vec![format!("kubectl organization history {name}")]);
    Ok(explanation)
}

#[cfg(test)]
mod tests;
