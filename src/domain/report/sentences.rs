//! The sentences of conditions and Events.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::api::{Reason, Retry};
use crate::domain::commands::keep_data;
use crate::domain::decide::Awaited;
use crate::domain::failure::{Blame, Failure};
use crate::domain::subject::Subject;

/// The longest waits between two attempts, as they are configured. Sentences name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After a cause that is expected to clear by itself.
    pub backoff: Duration,
    /// After what a person has to clear.
    pub slow: Duration,
}

/// The message of a condition: what happened, what clears it, when the operator tries again.
#[must_use]
pub fn explained(failure: &Failure, name: &str, waits: &Waits) -> String {
    let mut text = cured(failure);
    match (failure.reason, failure.reason.retry()) {
        _ if failure.blame == Blame::Plan => {
            text.push_str(
                " This affects every organization. The operator tries again when the schema has changed, which it \
                 checks at every poll.",
            );
        }
        // The operator that says so is not the one that would try.
        (Reason::DatabaseNotServed, _) => {}
        (Reason::OrganizationNotFound, _) => text.push_str(" The operator queries the database again at every poll."),
        (_, Retry::Backoff) => {
            let _ = write!(text, " The operator tries again after at most {}.", length(waits.backoff));
        }
        (_, Retry::Slow) => {
            let _ = write!(
                text,
                " The operator tries again after at most {}. To try at once: {}",
                length(waits.slow),
                try_again(name)
            );
        }
        (_, Retry::Change) => text.push_str(" The operator tries again when the object changes."),
    }
    text
}

/// What would block a deletion of this object. Rows that would block one were found by a query: nothing was tried.
pub(super) fn foreseen(failure: &Failure, subject: &Subject, waits: &Waits) -> String {
    let name = &subject.name;
    if failure.reason != Reason::ForeignKeyViolation || subject.terminating_since.is_some() {
        return explained(failure, name, waits);
    }
    format!("{} The operator checks this again regularly. To check at once: {}", cured(failure), try_again(name))
}

/// What happened, and what clears it.
fn cured(failure: &Failure) -> String {
    let mut text = failure.message();
    if !text.ends_with('.') {
        text.push('.');
    }
    if let Some(remedy) = &failure.remedy {
        text.push_str(" To clear it: ");
        text.push_str(remedy);
        if !remedy.ends_with(['.', ';']) {
            text.push('.');
        }
    }
    text
}

/// The command that makes the operator reconcile an object at once.
fn try_again(name: &str) -> String {
    format!("kubectl annotate organization {name} organization-operator.io/retry=\"$(date +%s)\" --overwrite")
}

/// A wait in words: whole minutes as minutes, all else in seconds.
fn length(wait: Duration) -> String {
    match wait.as_secs() {
        60 => "a minute".to_owned(),
        1 => "a second".to_owned(),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

/// What a deletion that waits says about itself: what will happen and when, what will block it then (`obstacle`), and how to
/// undo it.
#[must_use]
pub fn until_erasure(
    subject: &Subject,
    awaited: Awaited,
    until: Timestamp,
    deactivated: bool,
    obstacle: Option<&Failure>,
) -> String {
    let state = if deactivated { "The organization is deactivated" } else { "Nothing has been changed yet" };
    let mut text = match awaited {
        Awaited::Successor => format!(
            "{state}. The organization and its data will be erased at {until:.0}, unless another object with this \
             spec.organizationId is created before then; that object then takes over, and nothing is erased."
        ),
        Awaited::RecoveryWindow => format!("{state}; its data will be erased at {until:.0}."),
        Awaited::Writers => {
            format!("{state}; its data will be erased at {until:.0}, after open transactions have had time to end.")
        }
    };
    if let Some(obstacle) = obstacle {
        let _ = write!(
            text,
            " As things stand, the erasure will be blocked then ({}): {}.",
            obstacle.reason,
            obstacle.what().trim_end_matches('.')
        );
        if let Some(remedy) = &obstacle.remedy {
            let _ = write!(text, " To clear it: {}.", remedy.trim_end_matches('.'));
        }
    }
    let _ = write!(text, " To undo: {}", keep_data(&subject.name));
    text
}
