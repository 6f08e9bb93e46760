//! What was observed: in the database, and of the other objects.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::breaker::Counted;
use crate::api::DeletionPolicy;
use crate::api::status::{DeletionStep, Outcome};

/// So long after a page that found no row, everything that may block is checked again.
const CHECKED_LATELY: SignedDuration = SignedDuration::from_mins(15);

/// What one query of the database says about an object and its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Identity of the database.
    pub installation: String,
    /// The server is a standby.
    pub standby: bool,
    /// The database's clock. Windows are measured with it, so that clocks that disagree erase nothing early.
    pub now: Timestamp,
    /// The organization's key in canonical text: of the claim if this object has one, else of the spec.
    pub key: String,
    /// The spec names another organization than this object claimed.
    pub id_changed: bool,
    /// The organization itself.
    pub organization: Presence,
    /// Who claimed the key.
    pub claim: Option<Claim>,
    /// The organization's erasure in pages, if one has begun and not ended: whoever began it, and whoever has the claim.
    pub under_way: Option<UnderWay>,
    /// How this object's deletion ended, if it did.
    pub ledger: Option<LedgerEntry>,
    /// What the operator has noted of this object's deletion, if it did not end at once.
    pub noted: Option<NotedDeletion>,
}

/// What the operator has noted of a deletion that did not end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedDeletion {
    /// When it first saw the deletion.
    pub first_seen: Timestamp,
    /// What the breaker had counted when it held the deletion back. `None` if it never did.
    pub tripped: Option<Counted>,
}

/// An erasure of a large organization that has deleted rows in pages, or is about to, and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Uid of the object whose deletion it is.
    pub uid: String,
    /// When it began, by the database's clock.
    pub started: Timestamp,
    /// When its last page was committed.
    pub updated: Timestamp,
    /// Rows of the organization before the first page, as estimated.
    pub estimated: i64,
    /// Rows that pages have deleted, by entity: as many were found as deleted.
    pub deleted: Vec<DeletionStep>,
    /// When a lowered policy stopped it. `None` if it goes on.
    pub interrupted: Option<Timestamp>,
    /// A page was committed since it began or the plan changed, also if the organization had no row there.
    pub paged: bool,
}

impl UnderWay {
    /// What was deleted in pages and then by `last`, the steps of the last transaction, in the order of these. Entities that
    /// the plan no longer has come first.
    #[must_use]
    pub fn and_then(&self, last: Vec<DeletionStep>) -> Vec<DeletionStep> {
        let known = |step: &&DeletionStep| last.iter().any(|of_last| of_last.entity == step.entity);
        let mut steps: Vec<DeletionStep> = self.deleted.iter().filter(|step| !known(step)).cloned().collect();
        for mut step in last {
            if let Some(paged) = self.deleted.iter().find(|paged| paged.entity == step.entity) {
                step.found += paged.found;
                step.deleted += paged.deleted;
            }
            steps.push(step);
        }
        steps
    }

    /// Whether pages go on without another check of everything that may block them. The check reads all rows of a large
    /// organization, so it must not precede each slice while the first table's pages find nothing; but what blocks may have come
    /// since the last page, and nothing is gone yet.
    #[must_use]
    pub fn checked(&self, now: Timestamp) -> bool {
        let lately = || self.paged && now.duration_since(self.updated) < CHECKED_LATELY;
        self.interrupted.is_none() && (self.rows() > 0 || lately())
    }

    /// Rows that pages have deleted.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.deleted.iter().map(|step| step.deleted).sum()
    }
}

impl Facts {
    /// The organization's erasure in pages, if one has begun and not ended.
    #[must_use]
    pub fn under_way(&self) -> Option<&UnderWay> {
        self.under_way.as_ref()
    }

    /// What an interrupted erasure has left, in words, if that was recorded and the erasure has not gone on since.
    #[must_use]
    pub fn interrupted(&self) -> Option<&str> {
        let entry = self.ledger.as_ref().filter(|entry| entry.may_go_on())?;
        self.under_way().filter(|begun| begun.interrupted.is_some())?;
        entry.detail.as_deref()
    }
}

/// Whether the organization is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is no such row.
    Absent,
    /// There is. The activation is unknown where the plan names no column for it.
    Present {
        /// Whether it is in use.
        active: Option<bool>,
    },
}

/// Who owns an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Cluster of the owner.
    pub cluster: String,
    /// Uid of the owning object.
    pub uid: String,
    /// Its name, to look it up.
    pub name: String,
    /// The policy that the operator saw last while the object was not terminating.
    pub policy: DeletionPolicy,
    /// An expiration that the operator saw while it was in the future.
    pub expiration: Option<Timestamp>,
    /// The deactivation that precedes an erasure.
    pub window: Option<Window>,
}

/// The deactivation that precedes an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it began, by the database's clock.
    pub started: Timestamp,
    /// Whether the organization was active before.
    pub was_active: bool,
}

/// How a deletion ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// How.
    pub outcome: Outcome,
    /// What was deleted.
    pub steps: Vec<DeletionStep>,
    /// When it was recorded.
    pub finished: Timestamp,
    /// What no foreign key protects was counted again after COMMIT.
    pub verified: bool,
    /// Why the data was kept, or what is left of it, if that was recorded.
    pub detail: Option<String>,
}

impl LedgerEntry {
    /// It says how far an interrupted erasure got, which may still go on.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        self.outcome == Outcome::Interrupted && !self.verified
    }
}

/// Who owns the claim on the organization, seen from one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOwner {
    /// Nobody.
    Nobody,
    /// This object.
    ThisObject,
    /// An object of this cluster that is gone; its claim may be taken over.
    Gone {
        /// Its uid.
        uid: String,
    },
    /// Another object of this cluster that exists.
    OtherObject {
        /// Its name.
        name: String,
        /// It is being deleted.
        terminating: bool,
    },
    /// Another cluster.
    OtherCluster {
        /// Its id.
        cluster: String,
        /// The owner's uid, for a takeover that the configuration allows.
        adoptable: Option<String>,
    },
}

/// A live object of this cluster that names the same organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its policy.
    pub policy: DeletionPolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_block_is_checked_before_the_first_page_and_not_before_each_slice() {
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        for (name, rows, paged, interrupted, updated, checked) in [
            ("it has just begun", 0, false, None, 999, false),
            ("pages found no row yet", 0, true, None, 999, true),
            ("that was long ago", 0, true, None, 99, false),
            ("rows are gone", 7, true, None, 0, true),
            ("rows are gone, and the plan has changed", 7, false, None, 0, true),
            ("it goes on after an interruption", 7, true, Some(at(999)), 999, false),
        ] {
            let step = DeletionStep { found: rows, deleted: rows, ..DeletionStep::default() };
            let (uid, started, estimated) = (String::new(), at(0), 100);
            let begun =
                UnderWay { uid, started, updated: at(updated), estimated, deleted: vec![step], interrupted, paged };
            assert_eq!(begun.checked(at(1000)), checked, "{name}");
        }
    }
}
