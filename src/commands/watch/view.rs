//! What one state of an object says to a person who waits for its deletion.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::Organization;
use crate::api::condition;
use crate::api::status::{DeletionProgress, OrganizationStatus};
use crate::cluster::follow::Ending;
use crate::commands::amounts::{grouped, length};

/// After this time without a status, no operator seems to run.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);

/// A state of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// One word: the stage, or the reason of what blocks.
    pub(super) word: String,
    /// The sentence about it.
    pub(super) text: String,
    /// What clears it.
    pub(super) remedy: Option<String>,
    /// How far it is, while rows go in pages.
    pub(super) progress: Option<DeletionProgress>,
    /// When the data will be erased, or the last row will be gone.
    pub(super) until: Option<Timestamp>,
    person: bool,
}

impl View {
    pub(super) fn of(object: &Organization, now: Timestamp) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let Some(since) = &object.metadata.deletion_timestamp else { return Self::live(object, &status) };
        if let Some(error) = &status.error
            && status.deletion.is_some()
        {
            return Self {
                remedy: error.remedy.clone(),
                person: is_true(&status, condition::STALLED),
                ..Self::new(error.reason.as_str(), error.message.clone())
            };
        }
        let Some(deletion) = &status.deletion else {
            let text = if now.duration_since(since.0) < SILENCE {
                "The deletion was requested; no operator has taken it up yet.".to_owned()
            } else {
                format!(
                    "The deletion was requested, and no operator has taken it up: check that the one for spec.database `{}` runs.",
                    object.spec.database
                )
            };
            return Self::new("Requested", text);
        };
        let (stage, text) = said(&status, condition::DELETING).unwrap_or_default();
        // Numbers of pages that are over do not move any more.
        let progress =
            deletion.progress.clone().filter(|_| deletion.summary.as_deref().is_some_and(|s| s.ends_with('%')));
        let end = progress.as_ref().map_or(&deletion.erase_time, |p| &p.estimated_end_time);
        let person = is_true(&status, condition::STALLED);
        Self { until: end.as_ref().map(|time| time.0), progress, person, ..Self::new(&stage, text) }
    }

    fn new(word: &str, text: String) -> Self {
        Self { word: word.to_owned(), text, remedy: None, progress: None, until: None, person: false }
    }

    /// The object is not being deleted.
    fn live(object: &Organization, status: &OrganizationStatus) -> Self {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut text = format!(
            "The object is not being deleted. Its deletionPolicy is {}; to delete it: kubectl delete organization {name}.",
            object.spec.deletion_policy.as_str()
        );
        let ready = status.conditions.iter().find(|c| c.type_ == condition::DELETION_READY && c.status == "False");
        if let Some(blocked) = ready {
            text = format!("{text} A deletion would be blocked today ({}): {}", blocked.reason, blocked.message);
        }
        Self::new("Live", text)
    }

    /// Whether the deletion goes on only after a person has acted.
    pub(super) fn needs_a_person(&self) -> bool {
        self.person
    }

    /// One line for a log: without what moves by itself.
    pub(super) fn line(&self) -> String {
        let said = match &self.progress {
            None => format!("{}: {}", self.word, self.text),
            Some(progress) => {
                let rate = progress.rows_per_second.zip(self.until);
                let rate = rate.map(|(rate, end)| format!(", {} rows a second, ends at about {end:.0}", grouped(rate)));
                let (rate, waits) = (rate.unwrap_or_default(), waits(progress));
                format!("{} {}%: {}{rate}{waits}", self.word, progress.percent, amounts(progress))
            }
        };
        match &self.remedy {
            None => said,
            Some(remedy) => format!("{said}\n  To clear it: {}", remedy.replace('\n', "\n  ")),
        }
    }

    /// What makes another line worth printing.
    pub(super) fn news(&self) -> (String, Option<i32>, Option<String>) {
        match &self.progress {
            None => (format!("{}: {}", self.word, self.text), None, None),
            Some(progress) => (self.word.clone(), Some(progress.percent), progress.waiting_for.clone()),
        }
    }

    /// What stands behind the bar, or instead of it, on a terminal.
    pub(super) fn moving(&self, now: Timestamp) -> String {
        let left = self.until.map(|until| length(until.duration_since(now)));
        match &self.progress {
            None => left.map_or_else(|| self.text.clone(), |left| format!("in {left}. {}", self.text)),
            Some(progress) => {
                let rate = progress.rows_per_second.map(|rate| format!("{} rows/s", grouped(rate)));
                let left = left.map(|left| format!("{left} left"));
                let parts: Vec<String> = rate.into_iter().chain(left).collect();
                format!("{}{}", parts.join(", "), waits(progress))
            }
        }
    }
}

fn amounts(progress: &DeletionProgress) -> String {
    format!("{} of about {} rows", grouped(progress.rows_deleted), grouped(progress.rows_estimated))
}

fn waits(progress: &DeletionProgress) -> String {
    progress.waiting_for.as_ref().map(|waits| format!(". {waits}")).unwrap_or_default()
}

/// Reason and message of a condition.
fn said(status: &OrganizationStatus, kind: &str) -> Option<(String, String)> {
    let condition = status.conditions.iter().find(|c| c.type_ == kind)?;
    Some((condition.reason.clone(), condition.message.clone()))
}

fn is_true(status: &OrganizationStatus, kind: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == kind && c.status == "True")
}

/// How the deletion of an object ended, as its last state says.
pub(super) fn ending(object: &Organization) -> Option<Ending> {
    let status = object.status.as_ref()?;
    let outcome = status.deletion.as_ref()?.outcome?;
    let note = said(status, condition::DELETING).map(|(_, message)| message).unwrap_or_default();
    Some(Ending { outcome, note })
}

#[cfg(test)]
mod tests;
