//! Proof that an object may be released: a finalizer needs a [`CompletionProof`] to be released, and an erasure can only be
//! completed with a recount that found nothing.

use super::facts::LedgerEntry;
use crate::api::status::{DeletionStep, Outcome};

/// A recount of every table of the plan that found nothing.
#[derive(Clone, Copy, Debug)]
pub struct NothingLeft(());

impl NothingLeft {
    /// The proof, if every number is zero.
    #[must_use]
    pub fn prove<'r>(recount: impl IntoIterator<Item = &'r i64>) -> Option<Self> {
        recount.into_iter().all(|rows| *rows == 0).then_some(Self(()))
    }
}

/// The deletion of an object is completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionProof {
    outcome: Outcome,
    steps: Vec<DeletionStep>,
    detail: String,
}

impl CompletionProof {
    /// Everything is gone.
    #[must_use]
    pub fn erased(_: NothingLeft, steps: Vec<DeletionStep>) -> Self {
        Self { outcome: Outcome::Erased, steps, detail: String::new() }
    }

    /// There was nothing.
    #[must_use]
    pub fn not_found(_: NothingLeft) -> Self {
        Self { outcome: Outcome::NotFound, steps: Vec::new(), detail: String::new() }
    }

    /// The data is kept as it is.
    #[must_use]
    pub fn retained(detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Retained, steps: Vec::new(), detail: detail.into() }
    }

    /// The data is kept and the organization is off.
    #[must_use]
    pub fn deactivated() -> Self {
        Self { outcome: Outcome::Deactivated, steps: Vec::new(), detail: String::new() }
    }

    /// Another object owns the organization now.
    #[must_use]
    pub fn transferred(successor: &str) -> Self {
        Self {
            outcome: Outcome::Transferred,
            steps: Vec::new(),
            detail: format!("the object {successor} names the same organization and owns it now"),
        }
    }

    /// Some rows are gone, and what is left is kept for good. `left` says what that is.
    #[must_use]
    pub fn interrupted(steps: Vec<DeletionStep>, left: impl Into<String>) -> Self {
        Self { outcome: Outcome::Interrupted, steps, detail: left.into() }
    }

    /// What the ledger says, if nothing is left to verify. The entry of an interrupted erasure is none until somebody has
    /// decided that what is left stays.
    #[must_use]
    pub fn recorded(entry: &LedgerEntry) -> Option<Self> {
        entry.verified.then(|| Self {
            outcome: entry.outcome,
            steps: entry.steps.clone(),
            detail: entry.detail.clone().unwrap_or_default(),
        })
    }

    /// What the ledger says of an erasure that was never verified, because the policy was lowered to `Retain` meanwhile.
    #[must_use]
    pub fn unverified(entry: &LedgerEntry) -> Self {
        Self {
            outcome: entry.outcome,
            steps: entry.steps.clone(),
            detail: " Tables without a foreign key were not counted again, because deletionPolicy was set to Retain."
                .into(),
        }
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What was found and deleted.
    #[must_use]
    pub fn steps(&self) -> &[DeletionStep] {
        &self.steps
    }

    /// One sentence for people: Event, log line and condition.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.outcome {
            Outcome::Erased => {
                format!(
                    "The organization and its data were erased permanently: {}.{}",
                    deleted(&self.steps),
                    self.detail
                )
            }
            Outcome::Interrupted => format!(
                "The erasure was stopped for good. Deleted permanently: {}. The rest is kept: {}.",
                deleted(&self.steps),
                self.detail
            ),
            Outcome::Deactivated => "The organization was deactivated; its data is kept.".into(),
            Outcome::Retained => format!("The organization and its data are kept: {}.", self.detail),
            Outcome::NotFound => {
                "The database had no such organization and no rows that belong to it; nothing was deleted.".into()
            }
            Outcome::Transferred => format!("Nothing was deleted: {}.", self.detail),
        }
    }
}

/// How many rows were deleted, and of what.
#[must_use]
pub fn deleted(steps: &[DeletionStep]) -> String {
    let rows: i64 = steps.iter().map(|s| s.deleted).sum();
    let list: Vec<String> = steps.iter().map(|s| format!("{} {}", s.deleted, s.entity)).collect();
    format!("{rows} rows ({})", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_row_left_is_no_proof() {
        assert!(NothingLeft::prove(&[0, 0, 1]).is_none());
        assert!(NothingLeft::prove(&[0, 0]).is_some());
    }

    #[test]
    fn an_interruption_is_no_end_until_the_rest_is_kept() {
        let step = |entity: &str, rows| DeletionStep {
            entity: entity.to_owned(),
            tables: Vec::new(),
            found: rows,
            deleted: rows,
        };
        let mut entry = LedgerEntry {
            outcome: Outcome::Interrupted,
            steps: vec![step("users", 3), step("flows", 4)],
            finished: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            verified: false,
            detail: Some("the organization itself, 10000+ outputs".to_owned()),
        };
        assert!(entry.may_go_on());
        assert_eq!(CompletionProof::recorded(&entry), None);
        entry.verified = true;
        assert!(!entry.may_go_on());
        let proof = CompletionProof::recorded(&entry).expect("somebody has decided");
        assert_eq!(
            proof.sentence(),
            "The erasure was stopped for good. Deleted permanently: 7 rows (3 users, 4 flows). The rest is kept: the \
             organization itself, 10000+ outputs."
        );
        assert_eq!(proof, CompletionProof::interrupted(entry.steps, "the organization itself, 10000+ outputs"));
    }
}
