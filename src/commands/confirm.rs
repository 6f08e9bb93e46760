//! `kubectl organization confirm`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::amounts::length;
use super::error::CommandError;
use super::guard_rail::{Held, held};
use super::kubeconfig::ClusterArgs;
use super::output::table;
use crate::api::Organization;
use crate::api::status::Inventory;
use crate::cluster::Cluster;

/// Field manager of a confirmation.
const MANAGER: &str = "kubectl-organization";

/// Confirm deletions that a guard rail holds back: their organizations are then ERASED.
///
/// The operator does not erase an organization if too many deletions began at once (BreakerTripped), or if a deletion was
/// requested long before the operator first saw it (StaleDeletion). The command shows what the deletions would erase, asks, and
/// then writes the annotation organization-operator.io/confirm-deletion with the uid of each object. It refuses an object that
/// no guard rail holds back, and one that changes meanwhile.
///
/// To keep an organization instead, set its deletionPolicy to Retain.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  the deletions are confirmed, or were confirmed before
  1  nothing was confirmed: you said no, or no deletion is held back
  2  some deletion could not be confirmed; the last lines say which, and why

The command needs the rights to get, list and patch organizations; with the admission policies of deploy/ a confirmation also
needs the right to delete organizations (organization-eraser).

Examples:
  kubectl organization confirm acme globex
  kubectl organization confirm --all-held --context production")]
pub struct Confirm {
    /// Names of Organization objects
    #[arg(value_name = "NAME", required_unless_present = "all_held", conflicts_with = "all_held")]
    names: Vec<String>,
    /// Confirm every deletion of the cluster that a guard rail holds back
    #[arg(long)]
    all_held: bool,
    /// With --all-held: only objects with this spec.database
    #[arg(long, value_name = "DATABASE", conflicts_with = "names")]
    database: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Confirm {
    /// Runs the command. The exit code says whether something was confirmed.
    ///
    /// # Errors
    /// Fails if an object cannot be read or confirmed, or if no guard rail holds it back.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let cluster = self.cluster.cluster("set KUBECONFIG").await?;
        let objects = if self.all_held {
            all_held(&cluster, self.database.as_deref()).await?
        } else {
            named(&cluster, &self.names).await?
        };
        let (confirmed, open): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(_, held)| held.confirmed);
        for (object, _) in &confirmed {
            println!("{} is confirmed already; the operator goes on soon.", object.name_any());
        }
        if open.is_empty() {
            if confirmed.is_empty() {
                println!("No guard rail holds a deletion back.");
                return Ok(ExitCode::FAILURE);
            }
            return Ok(ExitCode::SUCCESS);
        }
        print!("{}", shown(&open, Timestamp::now()));
        if !self.yes && !asked(open.len())? {
            println!("Nothing was confirmed.");
            return Ok(ExitCode::FAILURE);
        }
        confirm(&cluster, &open).await
    }
}

/// The objects that have these names, if all of them are held back.
async fn named(cluster: &Cluster, names: &[String]) -> Result<Vec<(Organization, Held)>, CommandError> {
    let (mut objects, mut refused) = (Vec::new(), Vec::new());
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            continue;
        }
        match cluster.live(name).await? {
            None => refused.push(format!("there is no Organization `{name}` in this cluster")),
            Some(object) => match held(&object) {
                Some(held) => objects.push((object, held)),
                None => refused.push(not_held(name, &object)),
            },
        }
    }
    if refused.is_empty() {
        return Ok(objects);
    }
    Err(CommandError(format!("{}\nNothing was confirmed.", refused.join("\n"))))
}

fn not_held(name: &str, object: &Organization) -> String {
    let what = if object.metadata.deletion_timestamp.is_some() {
        "no guard rail holds its deletion back so far"
    } else {
        "it is not being deleted, and a deletion can only be confirmed when it is held back"
    };
    format!("{name} cannot be confirmed: {what}; see: kubectl organization explain {name}")
}

async fn all_held(cluster: &Cluster, database: Option<&str>) -> Result<Vec<(Organization, Held)>, CommandError> {
    let mut objects = Vec::new();
    let mut from = None;
    loop {
        let (page, next) = cluster.page(from.as_deref()).await?;
        let meant = page.into_iter().filter(|object| database.is_none_or(|name| object.spec.database == name));
        objects.extend(meant.filter_map(|object| held(&object).map(|held| (object, held))));
        from = next;
        if from.is_none() {
            return Ok(objects);
        }
    }
}

/// What is about to be confirmed.
fn shown(open: &[(Organization, Held)], now: Timestamp) -> String {
    let head = ["NAME", "ORGANIZATION", "DATABASE", "ROWS", "DELETED", "HELD BY"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for (object, held) in open {
        let status = object.status.as_ref();
        let key = status.and_then(|s| s.claim.as_ref()).map(|claim| claim.organization_key.clone());
        let total = |inventory: &Inventory| {
            let capped = if inventory.entities.iter().any(|entity| entity.capped) { "+" } else { "" };
            format!("{}{capped}", inventory.total)
        };
        let since = object.metadata.deletion_timestamp.as_ref();
        rows.push(vec![
            object.name_any(),
            key.unwrap_or_else(|| object.spec.organization_id.clone()),
            object.spec.database.clone(),
            status.and_then(|s| s.inventory.as_ref()).map(total).unwrap_or_default(),
            since.map(|since| format!("{} ago", length(now.duration_since(since.0)))).unwrap_or_default(),
            held.reason.to_string(),
        ]);
    }
    let organizations =
        if open.len() == 1 { "this organization and all its data" } else { "these organizations and all their data" };
    let mut text = table(&rows);
    text.extend(["\nA confirmation ERASES ", organizations, " permanently. It cannot be undone.\n"]);
    text
}

/// Asks a person.
fn asked(number: usize) -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError(
            "nobody can be asked, because standard input is no terminal: add --yes. Nothing was confirmed.".to_owned(),
        ));
    }
    let unreadable = |e: std::io::Error| CommandError(format!("the answer cannot be read: {e}"));
    print!("Type the number of organizations to erase ({number}) to confirm: ");
    std::io::stdout().flush().map_err(unreadable)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(answer.trim() == number.to_string())
}

/// Confirms one after another. What cannot be confirmed hinders no other.
async fn confirm(cluster: &Cluster, open: &[(Organization, Held)]) -> Result<ExitCode, CommandError> {
    let mut failed = Vec::new();
    for (object, _) in open {
        let name = object.name_any();
        match cluster.confirm(object, MANAGER).await {
            Ok(true) => println!("{name} confirmed"),
            Ok(false) => failed.push(format!("{name} was not confirmed: it has changed meanwhile, or is gone; see: kubectl organization explain {name}")),
            Err(failure) => failed.push(format!("{name} was not confirmed: {}", CommandError::from(failure))),
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CommandError(failed.join("\n")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;

    fn object(change: impl Fn(&mut Value)) -> Organization {
        let mut object = json!({
            "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
            "metadata": {"name": "acme", "uid": "u", "deletionTimestamp": "2026-11-29T00:00:00Z"},
            "spec": {"organizationId": "042", "deletionPolicy": "Delete", "database": "eu"},
            "status": {
                "claim": {"installation": "i", "organizationKey": "42"},
                "inventory": {"total": 12_000, "entities": [{"entity": "users", "rows": 10_000, "capped": true}]},
                "conditions": [{"type": "DeletionBlocked", "status": "True", "reason": "BreakerTripped", "message": "m",
                    "lastTransitionTime": "2026-11-29T00:00:00Z"}],
            },
        });
        change(&mut object);
        serde_json::from_value(object).expect("an object")
    }

    #[test]
    fn only_what_a_guard_rail_holds_back_can_be_confirmed() {
        let confirmation = |uid: &str| json!({"organization-operator.io/confirm-deletion": uid});
        let expected = Held { reason: Reason::BreakerTripped, confirmed: false };
        assert_eq!(held(&object(|_| {})), Some(expected));
        assert_eq!(held(&object(|o| o["metadata"]["annotations"] = confirmation("other"))), Some(expected));
        let confirmed = held(&object(|o| o["metadata"]["annotations"] = confirmation("u")));
        assert_eq!(confirmed, Some(Held { confirmed: true, ..expected }));
        let stale = held(&object(|o| o["status"]["conditions"][0]["reason"] = json!("StaleDeletion")));
        assert_eq!(stale, Some(Held { reason: Reason::StaleDeletion, ..expected }));
        for (name, object) in [
            ("live", object(|o| o["metadata"]["deletionTimestamp"] = json!(null))),
            ("not blocked", object(|o| o["status"]["conditions"][0]["status"] = json!("False"))),
            ("blocked otherwise", object(|o| o["status"]["conditions"][0]["reason"] = json!("LockTimeout"))),
            ("another condition", object(|o| o["status"]["conditions"][0]["type"] = json!("Ready"))),
            ("no status", object(|o| o["status"] = json!(null))),
        ] {
            assert_eq!(held(&object), None, "{name}");
        }
    }

    #[test]
    fn a_person_sees_what_would_be_erased() {
        let object = object(|_| {});
        let held = held(&object).expect("held");
        let now = "2026-11-29T01:30:00Z".parse().expect("a time");
        let expected = "\
NAME  ORGANIZATION  DATABASE    ROWS  DELETED         HELD BY
acme            42  eu        12000+  1 h 30 min ago  BreakerTripped

A confirmation ERASES this organization and all its data permanently. It cannot be undone.
";
        assert_eq!(shown(&[(object.clone(), held)], now), expected);
        assert!(
            shown(&[(object.clone(), held), (object, held)], now).contains("these organizations and all their data")
        );
    }
}
