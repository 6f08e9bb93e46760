//! An object that is being deleted.

use k8s_openapi::jiff::Timestamp;

use super::explanation::Explanation;
use super::live::{LOOK_FOR_OPERATOR, SILENCE, nobody_serves, obstacle, start_operator};
use super::sentences::{NEXT, OBJECT, OBSTACLE, REMEDY, at, condition, identity, resume, sentence, try_again};
use crate::api::condition::{self as kind, stage};
use crate::api::status::{DeletionProgress, DeletionStatus, ErrorDetail, OrganizationStatus};
use crate::api::{Organization, Retry};
use crate::commands::amounts::grouped;
use crate::commands::guard_rail::{Held, held};

pub(super) fn explain(
    name: &str,
    object: &Organization,
    status: &OrganizationStatus,
    since: Timestamp,
    now: Timestamp,
) -> Explanation {
    let Some(deletion) = &status.deletion else { return requested(name, object, since, now) };
    let deleting = condition(status, kind::DELETING);
    let stage = deleting.map_or(stage::PENDING, |c| c.reason.as_str());
    let held = held(object);
    let suspended = object.spec.suspend;
    let mut explanation = match (&status.error, held) {
        (_, Some(held)) => Explanation::new(name, held_back(name, held)),
        _ if suspended => Explanation::new(name, format!("The deletion of {name} is suspended (spec.suspend).")),
        (Some(error), _) => Explanation::new(name, format!("The deletion of {name} is blocked: {}.", error.reason)),
        (None, _) => Explanation::new(name, format!("{name} is being deleted: {}.", in_words(stage, deletion))),
    };
    let stalled = condition(status, kind::STALLED).is_some_and(|c| c.status == "True");
    explanation.needs_a_person = match held {
        Some(held) => !held.confirmed,
        None => stalled && !suspended,
    };
    let mut about = identity(object, status, now);
    about.push(format!("Its deletion was requested {}.", at(since, now)));
    if deletion.policy != object.spec.deletion_policy {
        about.push(format!(
            "The deletion goes by {}: the operator does not raise the policy of an object that is being deleted.",
            deletion.policy.as_str()
        ));
    }
    explanation.add(OBJECT, about, Vec::new());
    if let Some(error) = &status.error {
        obstacle(&mut explanation, error);
    }
    let (mut next, mut commands) = (Vec::new(), Vec::new());
    if status.observed_generation < object.metadata.generation {
        next.push("The operator has not seen the last change of the object yet.".to_owned());
    }
    if let Some(held) = held.filter(|held| held.confirmed) {
        next.push(format!(
            "The deletion is confirmed, and the operator goes on soon ({} no longer holds it back).",
            held.reason
        ));
    } else if held.is_some() {
        next.push("Nothing, until somebody confirms the deletion or lowers the policy. To confirm it:".to_owned());
        commands.push(format!("kubectl organization confirm {name}"));
    }
    if suspended {
        next.push("Nothing, until somebody lifts the suspension: the deletion then goes on where it was.".to_owned());
        commands.push(resume(name));
    }
    match &status.error {
        _ if held.is_some() || suspended => {}
        Some(error) => retried(name, error, deletion, now, &mut next, &mut commands),
        None => goes_on(status, stage, deletion, now, &mut next),
    }
    explanation.add(NEXT, next, commands);
    explanation
}

/// No operator has taken the deletion up.
fn requested(name: &str, object: &Organization, since: Timestamp, now: Timestamp) -> Explanation {
    let mut explanation = Explanation::new(name, format!("The deletion of {name} was requested {}.", at(since, now)));
    if object.spec.suspend {
        explanation.add(
            NEXT,
            vec!["Nothing, until somebody lifts the suspension (spec.suspend).".to_owned()],
            vec![resume(name)],
        );
    } else if now.duration_since(since) < SILENCE {
        explanation.add(NEXT, vec!["The operator takes it up within seconds.".to_owned()], Vec::new());
    } else {
        let database = &object.spec.database;
        explanation.needs_a_person = true;
        explanation.add(OBSTACLE, vec![nobody_serves(database)], Vec::new());
        explanation.add(REMEDY, vec![start_operator(database)], vec![LOOK_FOR_OPERATOR.to_owned()]);
    }
    explanation
}

fn held_back(name: &str, held: Held) -> String {
    let confirmed = if held.confirmed { ", and somebody has confirmed it" } else { " until somebody confirms it" };
    format!("A guard rail holds the deletion of {name} back{confirmed}: {}.", held.reason)
}

/// A stage in a clause.
fn in_words(stage: &str, deletion: &DeletionStatus) -> String {
    match stage {
        stage::AWAITING_SUCCESSOR => {
            "the operator waits for another object that takes the organization over".to_owned()
        }
        stage::RECOVERY_WINDOW => "its recovery window runs".to_owned(),
        stage::DRAINING => "the operator waits for open transactions to drain".to_owned(),
        stage::SHRINKING => match &deletion.progress {
            Some(progress) if !progress.rows_may_be_gone() => "it waits before its first row is deleted".to_owned(),
            Some(progress) => format!("{}% of its rows are gone", progress.percent),
            None => "its rows are deleted in pages".to_owned(),
        },
        stage::ERASING => "the cascade runs".to_owned(),
        stage::VERIFYING => "it is erased, and the operator counts again".to_owned(),
        stage::COMPLETED => match deletion.outcome {
            Some(outcome) => format!("the deletion is completed ({})", outcome.as_str()),
            None => "the deletion is completed".to_owned(),
        },
        _ => "the operator decides what to do".to_owned(),
    }
}

/// When the operator tries again.
fn retried(
    name: &str,
    error: &ErrorDetail,
    deletion: &DeletionStatus,
    now: Timestamp,
    next: &mut Vec<String>,
    commands: &mut Vec<String>,
) {
    let tried = match deletion.attempts {
        Some(1) => "It has tried once. ".to_owned(),
        Some(attempts) if attempts > 1 => format!("It has tried at least {attempts} times. "),
        _ => String::new(),
    };
    // As of the last status write, which not every attempt causes.
    let due = deletion.next_attempt_time.as_ref().filter(|time| time.0 > now).map(|time| at(time.0, now));
    match error.reason.retry() {
        Retry::Change => next.push(format!("{tried}The operator tries again when the object changes.")),
        retry => {
            let when = match (due, retry) {
                (Some(due), _) => format!(" {due}"),
                (None, Retry::Backoff) => " soon".to_owned(),
                (None, _) => " within minutes".to_owned(),
            };
            next.push(format!("{tried}The operator tries again{when}. To try at once:"));
            commands.push(try_again(name));
        }
    }
}

/// What a deletion does that nothing blocks.
fn goes_on(
    status: &OrganizationStatus,
    stage: &str,
    deletion: &DeletionStatus,
    now: Timestamp,
    next: &mut Vec<String>,
) {
    if let Some(time) = &deletion.erase_time {
        next.push(format!("The operator erases the data {}.", at(time.0, now)));
    }
    if let Some(progress) = deletion.progress.as_ref().filter(|_| stage == stage::SHRINKING) {
        next.extend(pages(progress, now));
    }
    next.extend(condition(status, kind::DELETING).map(|c| sentence(&c.message)));
    if stage == stage::COMPLETED {
        next.push("The operator is about to release the object.".to_owned());
    }
}

fn pages(progress: &DeletionProgress, now: Timestamp) -> Vec<String> {
    let mut sentences = vec![format!(
        "{} of about {} rows are gone.",
        grouped(progress.rows_deleted),
        grouped(progress.rows_estimated)
    )];
    if let Some((rate, end)) = progress.rows_per_second.zip(progress.estimated_end_time.as_ref()) {
        sentences.push(format!("At {} rows a second the last one goes {}.", grouped(rate), at(end.0, now)));
    }
    sentences
}
