//! Sentences that live and terminating objects share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::status::{Inventory, ObservedState, OrganizationStatus};
use crate::api::{DeletionPolicy, Organization};
use crate::commands::amounts::length;
use crate::domain::words::quantity;

pub(super) const OBJECT: &str = "The object";
pub(super) const DELETION: &str = "If somebody deletes the object";
pub(super) const OBSTACLE: &str = "What stands in the way";
pub(super) const REMEDY: &str = "What clears it";
pub(super) const NEXT: &str = "What happens next";
pub(super) const OTHERS: &str = "Other objects of the same organization";
pub(super) const EVENTS: &str = "What happened";

/// A time with its distance from now: `2026-11-29T00:15:25Z (in 3 min 2 s)`.
pub(super) fn when(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("{time:.0} (in {})", length(time.duration_since(now)))
    } else {
        format!("{time:.0} ({})", ago(time, now))
    }
}

/// The same in a sentence.
pub(super) fn at(time: Timestamp, now: Timestamp) -> String {
    format!("at {}", when(time, now))
}

/// How long ago that was.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", length(now.duration_since(time)))
}

/// A condition of this type.
pub(super) fn condition<'s>(status: &'s OrganizationStatus, kind: &str) -> Option<&'s Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

/// A message as a sentence.
pub(super) fn sentence(message: &str) -> String {
    let message = message.trim_end();
    if message.is_empty() || message.ends_with(['.', ';', '!', '?']) {
        message.to_owned()
    } else {
        format!("{message}.")
    }
}

/// What the object stands for, and what the database says about it.
pub(super) fn identity(object: &Organization, status: &OrganizationStatus, now: Timestamp) -> Vec<String> {
    let spec = &object.spec;
    let mut sentences = vec![format!(
        "It stands for the organization `{}` in the database `{}`; its deletionPolicy is {}.",
        status.claim.as_ref().map_or(&spec.organization_id, |claim| &claim.organization_key),
        spec.database,
        spec.deletion_policy.as_str()
    )];
    if status.claim.is_none() {
        sentences.push("It has not claimed this organization, so deleting the object would change nothing.".to_owned());
    }
    let rows = status.inventory.as_ref().map(|inventory| rows(inventory, now));
    let is = match status.state {
        Some(ObservedState::Active) => "The organization is active",
        Some(ObservedState::Deactivated) => "The organization is deactivated",
        Some(ObservedState::Absent) => "The database has no such organization",
        None => "The operator has not read the organization yet",
    };
    match (status.state, rows) {
        (Some(ObservedState::Active | ObservedState::Deactivated), Some(rows)) => {
            sentences.push(format!("{is} and has {rows}."));
        }
        _ => sentences.push(format!("{is}.")),
    }
    sentences
}

fn rows(inventory: &Inventory, now: Timestamp) -> String {
    let capped = inventory.entities.iter().any(|entity| entity.capped);
    let at_least = if capped { "at least " } else { "" };
    let rows = quantity(inventory.total, "row");
    let users = match inventory.users {
        Some(1) => ", 1 of them a user".to_owned(),
        Some(users) => format!(", {users} of them users"),
        None => String::new(),
    };
    let when = inventory.observed_time.as_ref().map(|time| format!(", counted {}", ago(time.0, now)));
    format!("{at_least}{rows}{users}{}", when.unwrap_or_default())
}

/// What the deletion of a live object would do.
pub(super) fn would_do(object: &Organization) -> String {
    let window = i64::from(object.spec.recovery_window_seconds);
    match object.spec.deletion_policy {
        DeletionPolicy::Retain => "The organization and its data are kept as they are (Retain).".to_owned(),
        DeletionPolicy::Deactivate => {
            "The operator deactivates the organization and keeps its data (Deactivate).".to_owned()
        }
        DeletionPolicy::Delete if window > 0 => format!(
            "The operator deactivates the organization at once, and erases it and all its data permanently {} later (Delete).",
            length(SignedDuration::from_secs(window))
        ),
        DeletionPolicy::Delete => {
            "The operator erases the organization and all its data permanently (Delete).".to_owned()
        }
    }
}

/// The command that makes the operator try again.
pub(super) fn try_again(name: &str) -> String {
    format!("kubectl annotate organization {name} organization-operator.io/retry=\"$(date +%s)\" --overwrite")
}

/// The command that lifts a suspension.
pub(super) fn resume(name: &str) -> String {
    format!("kubectl patch organization {name} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'")
}
