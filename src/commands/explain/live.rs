//! An object that is not being deleted.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::explanation::Explanation;
use super::sentences::{
    DELETION, NEXT, OBJECT, OBSTACLE, REMEDY, at, condition, identity, resume, sentence, try_again, would_do,
};
use crate::api::condition as kind;
use crate::api::status::{ErrorDetail, ObservedState, OrganizationStatus};
use crate::api::{DeletionPolicy, Organization, Reason, Retry};

/// After this time without a status, no operator seems to run.
pub(super) const SILENCE: SignedDuration = SignedDuration::from_secs(30);

pub(super) fn explain(name: &str, object: &Organization, status: &OrganizationStatus, now: Timestamp) -> Explanation {
    let spec = &object.spec;
    if status.observed_generation.is_none_or(|seen| seen < 0) {
        return unseen(name, object, now);
    }
    let mut next = Vec::new();
    if status.observed_generation < object.metadata.generation {
        next.push(
            "The operator has not seen the last change of the object yet; what follows is about the one before."
                .to_owned(),
        );
    }
    let mut commands = Vec::new();
    let mut explanation = match &status.error {
        _ if spec.suspend => {
            next.push("Nothing, until somebody lifts the suspension: the operator reads the database, and changes neither the organization nor the object.".to_owned());
            commands.push(resume(name));
            Explanation::new(name, format!("{name} is suspended (spec.suspend)."))
        }
        Some(error) => failed(name, error, &mut next, &mut commands),
        None => Explanation::new(name, fine(name, status)),
    };
    explanation.add(OBJECT, identity(object, status, now), Vec::new());
    if let Some(error) = &status.error {
        obstacle(&mut explanation, error);
    }
    explanation.add(DELETION, deletion(object, status), Vec::new());
    if let Some(time) = &spec.expiration_time
        && time.0 > now
    {
        let suspended = if spec.suspend { ", unless the object is still suspended then" } else { "" };
        next.push(format!("The operator deletes the object {} (spec.expirationTime){suspended}.", at(time.0, now)));
    }
    if next.is_empty() {
        next.push(
            "Nothing: the operator reads the database regularly, and acts when the object or the database changes."
                .to_owned(),
        );
    }
    explanation.add(NEXT, next, commands);
    explanation
}

fn fine(name: &str, status: &OrganizationStatus) -> String {
    match status.state {
        Some(ObservedState::Deactivated) => format!("{name} is as its spec says, and the organization is deactivated."),
        _ => format!("{name} is as its spec says."),
    }
}

/// No operator has written a status.
fn unseen(name: &str, object: &Organization, now: Timestamp) -> Explanation {
    let database = &object.spec.database;
    let created = object.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let mut explanation = Explanation::new(name, format!("No operator has seen {name} yet."));
    if now.duration_since(created) < SILENCE {
        explanation.add(NEXT, vec!["The object is new; the operator reads it within seconds.".to_owned()], Vec::new());
        return explanation;
    }
    explanation.needs_a_person = true;
    explanation.add(OBSTACLE, vec![nobody_serves(database)], Vec::new());
    explanation.add(REMEDY, vec![start_operator(database)], vec![LOOK_FOR_OPERATOR.to_owned()]);
    explanation
}

pub(super) const LOOK_FOR_OPERATOR: &str = "kubectl get pods -A -l app.kubernetes.io/name=organization-operator";

pub(super) fn nobody_serves(database: &str) -> String {
    format!(
        "No operator serves objects with spec.database `{database}`, or the one that does has stopped or cannot reach the API server."
    )
}

pub(super) fn start_operator(database: &str) -> String {
    format!(
        "Start the operator that serves {database} (databases in its configuration, or --database {database}), or read in its log why it does not work."
    )
}

fn failed(name: &str, error: &ErrorDetail, next: &mut Vec<String>, commands: &mut Vec<String>) -> Explanation {
    let mut explanation = Explanation::new(name, format!("{name} is not as its spec says: {}.", error.reason));
    explanation.needs_a_person = error.reason.needs_a_person();
    match (error.reason, error.reason.retry()) {
        (Reason::OrganizationNotFound, _) => {
            next.push("The operator waits for the organization and reads the database regularly.".to_owned());
        }
        (_, Retry::Backoff) => next.push("The operator tries again by itself.".to_owned()),
        (_, Retry::Slow) => {
            next.push("The operator tries again by itself, after minutes. To try at once:".to_owned());
            commands.push(try_again(name));
        }
        (_, Retry::Change) => next.push("The operator tries again when the object changes.".to_owned()),
    }
    explanation
}

/// What stands in the way, and what clears it.
pub(super) fn obstacle(explanation: &mut Explanation, error: &ErrorDetail) {
    let mut said = vec![sentence(&error.message)];
    let mut remedies: Vec<String> = error.remedy.iter().cloned().collect();
    if error.causes.len() > 1 {
        said.extend(error.causes.iter().map(|cause| format!("- {}", sentence(&cause.message))));
        let of_causes: Vec<String> = error.causes.iter().filter_map(|cause| cause.remedy.clone()).collect();
        if remedies.is_empty() {
            remedies = of_causes;
        }
    }
    explanation.add(OBSTACLE, said, Vec::new());
    explanation.add(REMEDY, Vec::new(), remedies);
}

/// What a deletion would do today.
fn deletion(object: &Organization, status: &OrganizationStatus) -> Vec<String> {
    let mut sentences = vec![would_do(object)];
    if let Some(ready) = condition(status, kind::DELETION_READY).filter(|ready| ready.status == "False") {
        let policy = if object.spec.deletion_policy == DeletionPolicy::Delete {
            "But today it would be blocked"
        } else {
            "With deletionPolicy Delete, it would be blocked today"
        };
        sentences.push(format!("{policy} ({}): {}", ready.reason, sentence(&ready.message)));
    }
    sentences
}
