//! How a reconciliation of a terminating object ended, and what the status says about the deletion.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::progress::{Progress, progress_status, standing};
use crate::api::DeletionPolicy;
use crate::api::condition::stage;
use crate::api::status::{DeletionProgress, DeletionStatus, DeletionStep, Outcome};
use crate::domain::attempts::Attempts;
use crate::domain::completion::CompletionProof;
use crate::domain::failure::Failure;

/// The summary of a deletion that cannot go on.
const BLOCKED: &str = "Blocked";

/// How far a deletion got.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// The policy in effect.
    pub policy: DeletionPolicy,
    /// Where it stands: one of [`stage`].
    pub stage: &'static str,
    /// One sentence about the stage.
    pub message: String,
    /// When the data will be erased.
    pub erase_time: Option<Timestamp>,
    /// What was found and deleted.
    pub steps: Vec<DeletionStep>,
    /// How far it is, if it goes in pages.
    pub progress: Option<Progress>,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// What blocks it.
    pub failure: Option<Failure>,
}

impl Deletion {
    /// A deletion at `stage` that has nothing else to report.
    #[must_use]
    pub fn at(policy: DeletionPolicy, stage: &'static str, message: impl Into<String>) -> Self {
        Self {
            policy,
            stage,
            message: message.into(),
            erase_time: None,
            steps: Vec::new(),
            progress: None,
            outcome: None,
            failure: None,
        }
    }

    /// It waits for the end of a suspension.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.stage == stage::SUSPENDED
    }

    /// The sentence about the stage, and what its pages wait for.
    pub(super) fn said(&self) -> String {
        let waiting_for = self.progress.as_ref().and_then(|progress| progress.waiting_for.as_ref());
        let waits = waiting_for.map(|waits| format!(" {}", waits.sentence())).unwrap_or_default();
        format!("{}{waits}", self.message)
    }

    /// A deletion that cannot go on. `erased`: its cascade was committed before, and the second count is still to come.
    #[must_use]
    pub fn blocked(policy: DeletionPolicy, failure: Failure, erased: bool) -> Self {
        let deletion = if erased {
            Self::at(
                policy,
                stage::VERIFYING,
                "Everything was erased; the second count of the unprotected tables is blocked.",
            )
        } else {
            let effect = failure.effect.map(|effect| format!(" {}.", effect.sentence())).unwrap_or_default();
            Self::at(policy, stage::PENDING, format!("The deletion is blocked.{effect}"))
        };
        Self { failure: Some(failure), ..deletion }
    }

    /// A completed deletion of an object that the API server does not release.
    #[must_use]
    pub fn held(policy: DeletionPolicy, proof: &CompletionProof, refusal: Failure) -> Self {
        let outcome = proof.outcome().as_str();
        let refusal =
            refusal.sentence(&format!("The deletion itself is completed ({outcome}); only the object remains"));
        Self { failure: Some(refusal), ..Self::completed(policy, proof) }
    }

    /// A completed deletion.
    #[must_use]
    pub fn completed(policy: DeletionPolicy, proof: &CompletionProof) -> Self {
        Self {
            outcome: Some(proof.outcome()),
            steps: proof.steps().to_vec(),
            ..Self::at(policy, stage::COMPLETED, proof.sentence())
        }
    }
}

pub(super) fn deletion_status(
    deletion: &Deletion,
    previous: Option<&DeletionStatus>,
    attempts: Attempts,
    now: Timestamp,
) -> DeletionStatus {
    let progress = progress_of(deletion, previous.and_then(|p| p.progress.as_ref()), now);
    DeletionStatus {
        policy: deletion.policy,
        outcome: deletion.outcome,
        steps: if deletion.steps.is_empty() {
            previous.map(|p| p.steps.clone()).unwrap_or_default()
        } else {
            deletion.steps.clone()
        },
        summary: Some(summary(deletion, progress.as_ref())),
        progress,
        start_time: previous.and_then(|p| p.start_time.clone()).or(Some(Time(now))),
        finish_time: deletion.outcome.map(|_| previous.and_then(|p| p.finish_time.clone()).unwrap_or(Time(now))),
        erase_time: deletion.erase_time.map(Time),
        attempts: (attempts.count > 0).then_some(attempts.count),
        next_attempt_time: attempts.next(now).map(Time),
    }
}

/// Numbers that a stage without pages does not mention stay until the deletion is completed: the rows are gone.
fn progress_of(deletion: &Deletion, previous: Option<&DeletionProgress>, now: Timestamp) -> Option<DeletionProgress> {
    if deletion.outcome.is_some() {
        return None;
    }
    match &deletion.progress {
        Some(progress) => Some(progress_status(progress, previous, now)),
        None => previous.and_then(standing),
    }
}

/// One word for the column `Deleting`.
fn summary(deletion: &Deletion, progress: Option<&DeletionProgress>) -> String {
    if deletion.failure.is_some() {
        return BLOCKED.to_owned();
    }
    if deletion.suspended() {
        return deletion.stage.to_owned();
    }
    match progress.filter(|_| deletion.progress.is_some()) {
        Some(progress) => format!("{}%", progress.percent),
        None => deletion.stage.to_owned(),
    }
}
