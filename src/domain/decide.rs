//! What the operator does with an object now. Two tables: one for live objects, one for terminating ones. A suspended object
//! that is terminating is in neither: nothing is done with it.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::breaker::{Limit, breaker_tripped};
use super::commands::{keep_data, set_policy};
use super::completion::CompletionProof;
use super::completion::deleted;
use super::facts::{ClaimOwner, Facts, LedgerEntry, Presence, Successor, UnderWay, Window};
use super::failure::{Effect, Failure};
use super::left_over::left_by_another;
use super::replacement::ForceSetting;
use super::stale::stale_deletion;
use super::subject::{KEEP_REMAINDER, Subject};
use crate::api::reason::Reason;
use crate::api::{Activation, DeletionPolicy};

/// What to do with a live object.
#[derive(Clone, Debug, PartialEq)]
pub enum Apply {
    /// The object is suspended: change nothing.
    Suspend {
        /// Note policy and expiration in the object's claim, so that they are known when it goes on.
        note: bool,
    },
    /// The organization is not there yet.
    Wait,
    /// Nothing may be done.
    Refuse(Failure),
    /// Bring claim and activation in line with the spec.
    Enforce(Enforce),
    /// The expiration that the operator had noted has passed: delete the object.
    Expire,
}

/// Changes to claim and activation. Empty: everything is as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforce {
    /// Claim the organization, from whoever `take_from` names.
    pub claim: bool,
    /// The uid of the owner whose claim is taken over.
    pub take_from: Option<String>,
    /// Switch the organization.
    pub activation: Option<Activation>,
    /// Note policy and expiration in the claim.
    pub note: bool,
    /// The spec names an expiration that had passed before the operator saw it.
    pub expired_unseen: bool,
}

impl Enforce {
    /// Whether the database has to be changed at all.
    #[must_use]
    pub fn changes_database(&self) -> bool {
        self.claim || self.activation.is_some() || self.note
    }
}

/// Decides what to do with a live object.
#[must_use]
pub fn apply(subject: &Subject, facts: &Facts, owner: &ClaimOwner, activation_supported: bool) -> Apply {
    if subject.suspended {
        return Apply::Suspend { note: notes_while_suspended(subject, facts, owner) };
    }
    if let Some(failure) = database_mismatch(subject, facts) {
        return Apply::Refuse(failure);
    }
    let take_from = match owner {
        ClaimOwner::ThisObject | ClaimOwner::Nobody => None,
        ClaimOwner::Gone { uid } | ClaimOwner::OtherCluster { adoptable: Some(uid), .. } => Some(uid.clone()),
        ClaimOwner::OtherObject { .. } | ClaimOwner::OtherCluster { adoptable: None, .. } => {
            return Apply::Refuse(claimed(owner));
        }
    };
    let noted = facts.claim.as_ref().filter(|_| *owner == ClaimOwner::ThisObject);
    let expired = subject.expiration.is_some_and(|t| t <= facts.now);
    let expired_unseen = expired && noted.and_then(|c| c.expiration) != subject.expiration;
    if expired && !expired_unseen {
        return Apply::Expire;
    }
    let Presence::Present { active } = facts.organization else {
        return Apply::Wait;
    };
    if facts.id_changed {
        return Apply::Refuse(id_changed());
    }
    // A deactivation left over from a recovery window is undone with the takeover, unless rows are gone.
    let begun = facts.under_way().filter(|begun| begun.rows() > 0);
    let restore = facts.claim.as_ref().and_then(|c| c.window).filter(|w| w.was_active && begun.is_none());
    if let Some(begun) = begun.filter(|_| subject.state == Some(Activation::Active)) {
        return Apply::Refuse(left_by_another(begun, &facts.key));
    }
    let wanted = subject.state.or(restore.map(|_| Activation::Active));
    let activation = match wanted {
        Some(_) if !activation_supported => return Apply::Refuse(deactivation_unsupported()),
        Some(Activation::Active) if active != Some(true) => Some(Activation::Active),
        Some(Activation::Deactivated) if active != Some(false) => Some(Activation::Deactivated),
        _ => None,
    };
    let expiration = subject.expiration.filter(|t| *t > facts.now);
    let note = noted.is_some_and(|c| {
        c.policy != subject.policy || c.window.is_some() || (!expired_unseen && c.expiration != expiration)
    });
    Apply::Enforce(Enforce { claim: *owner != ClaimOwner::ThisObject, take_from, activation, note, expired_unseen })
}

/// Whether the claim of a suspended object is out of date: a policy that was lowered meanwhile must count when it is deleted
/// later, and an expiration counts that was seen while it was in the future. Only the object's own claim is touched, and none
/// that says more than that.
fn notes_while_suspended(subject: &Subject, facts: &Facts, owner: &ClaimOwner) -> bool {
    let right = database_mismatch(subject, facts).is_none() && !facts.id_changed && *owner == ClaimOwner::ThisObject;
    facts.claim.as_ref().filter(|claim| right && claim.window.is_none()).is_some_and(|claim| {
        let expiration = subject.expiration.filter(|t| *t > facts.now);
        let new = expiration.is_some() && claim.expiration != expiration;
        // An expiration that has passed since it was noted is acted on when the object goes on.
        let passed = subject.expiration.is_some() && claim.expiration == subject.expiration && expiration.is_none();
        !passed && (claim.policy != subject.policy || new)
    })
}

/// What to do with a terminating object before the database is asked. Returns `None` if the database decides.
///
/// `Retain`, and every policy once the CRD itself is terminating, keeps the data and waits for nothing. Where rows may be gone
/// already, the database says first whether they are.
#[must_use]
pub fn keep_without_asking(subject: &Subject, crd_terminating: bool) -> Option<KeepBecause> {
    if crd_terminating {
        Some(KeepBecause::Uninstall)
    } else if subject.policy == DeletionPolicy::Retain && !subject.rows_may_be_gone {
        Some(KeepBecause::Policy)
    } else {
        None
    }
}

/// Why the data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepBecause {
    /// `deletionPolicy: Retain`.
    Policy,
    /// The CRD is being deleted: the operator is being uninstalled, nobody asked to erase tenants.
    Uninstall,
    /// The policy was raised after the deletion began; the operator refuses that.
    RaiseRefused,
    /// Another object of this cluster owns the organization.
    NotOwner {
        /// Its name.
        owner: String,
    },
}

/// What to do with a terminating object.
#[derive(Clone, Debug, PartialEq)]
pub enum Remove {
    /// The deletion is completed: only the object has to be released.
    Release(CompletionProof),
    /// It was erased, as the ledger says; what no foreign key protects must be counted again.
    Verify(LedgerEntry),
    /// Keep everything, record it.
    Retain(KeepBecause),
    /// Stop an erasure of which rows are gone, and say how far it got: the policy was lowered.
    Interrupt(UnderWay),
    /// Keep what an interrupted erasure left, and record it.
    KeepRemainder,
    /// Hand the claim to another live object that names the same organization.
    Transfer(Successor),
    /// Switch the organization off and keep its data.
    Deactivate {
        /// Whose claim is taken over.
        take_from: Option<String>,
    },
    /// Record that there is nothing to delete, after counting again.
    NotFound,
    /// Switch the organization off and begin to wait.
    StartWindow {
        /// Whose claim is taken over.
        take_from: Option<String>,
    },
    /// Wait.
    Wait {
        /// Until this time of the database's clock.
        until: Timestamp,
        /// What for.
        awaited: Awaited,
    },
    /// Run the cascade.
    Erase {
        /// Whose claim is taken over.
        take_from: Option<String>,
    },
    /// Do nothing, and say why.
    Refuse(Failure),
}

/// What an erasure waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Another object that takes the organization over: a rename in Git may delete first and create afterwards.
    Successor,
    /// The end of the recovery window.
    RecoveryWindow,
    /// The end of transactions that write to tables which no foreign key protects.
    Writers,
}

/// What else is known of a deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstances {
    /// Another live object that names the same organization.
    pub successor: Option<Successor>,
    /// Rows of the plan that are left although the organization's own row is gone.
    pub rows_left: bool,
    /// The plan names an activation column.
    pub activation_supported: bool,
    /// How an erasure deletes.
    pub size: Size,
    /// Seconds to wait between deactivation and erasure because some table is not protected, or because rows go in pages; else 0.
    pub drain_seconds: i64,
    /// How long an erasure waits for a successor; zero: not at all.
    pub handover: SignedDuration,
    /// How long ago this process saw first that the object is terminating, by its own clock.
    pub terminating_for: SignedDuration,
    /// The clock of this process.
    pub clock: Timestamp,
    /// How many deletions may begin at once. `None`: any number.
    pub breaker: Option<Limit>,
}

/// How many rows an organization has, as far as that matters for its erasure.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// They go in one transaction.
    Small,
    /// They go in pages first.
    Large {
        /// How many there are, as far as it is known.
        estimated: i64,
    },
    /// They do not go, because none of them can go in pages.
    Unpageable(Box<Failure>),
}

impl Circumstances {
    /// When the wait for a successor ends. The clock that set `deletionTimestamp` cannot shorten it, nor can the database's
    /// as long as nothing was deactivated. A deactivation that precedes the erasure is younger than the deletion, so its
    /// age counts, too, by the database's clock: a process that has just started need not wait again.
    fn handover_ends(&self, facts: &Facts, window: Option<Window>) -> Timestamp {
        let by_own_clock = facts.now + (self.handover - self.terminating_for).max(SignedDuration::ZERO);
        window.map_or(by_own_clock, |w| by_own_clock.min(w.started + self.handover))
    }

    /// When the operator first saw the deletion, as far as the database or this process knows. Of two clocks that disagree the
    /// later one counts: then a deletion is rather held back than erased.
    fn first_seen(&self, facts: &Facts) -> Timestamp {
        let here = facts.now.max(self.clock) - self.terminating_for.max(SignedDuration::ZERO);
        // A window and pages say less: they outlive an object whose finalizer was removed by force. If a backup brings it back,
        // its deletion is a new one, and the note is gone by then.
        facts.noted.map_or(here, |noted| noted.first_seen.min(here))
    }

    /// Why a guard rail holds an erasure back that nobody has confirmed. What the breaker counts now is not among it: that is
    /// counted only when an erasure is due.
    fn held_back(&self, subject: &Subject, facts: &Facts) -> Option<Failure> {
        if subject.confirmed {
            return None;
        }
        let tripped = || {
            let counted = facts.noted?.tripped?;
            // The configuration may have changed since.
            let limit = self.breaker.filter(|limit| limit.exceeded_by(counted))?;
            Some(breaker_tripped(subject, limit, counted))
        };
        let held = stale_deletion(subject, self.first_seen(facts)).or_else(tripped)?;
        let deactivated = facts.claim.as_ref().is_some_and(|claim| claim.window.is_some());
        Some(held.effect(if deactivated { Effect::RolledBack } else { Effect::Untouched }))
    }

    /// Seconds for open transactions to end. They need the deactivation; where the plan has none, only the count after
    /// COMMIT protects.
    fn drain(&self) -> i64 {
        if self.activation_supported { self.drain_seconds } else { 0 }
    }

    /// Seconds between deactivation and erasure.
    fn deactivated_for(&self, subject: &Subject, facts: &Facts) -> i64 {
        match facts.organization {
            Presence::Absent => 0,
            Presence::Present { .. } => subject.recovery_window_seconds.max(self.drain()),
        }
    }

    /// When an erasure is due, and what it waits for until then: the later one of the end of the deactivation and of the wait
    /// for a successor. `window` is the deactivation that precedes it, if one does.
    #[must_use]
    pub fn due(&self, subject: &Subject, facts: &Facts, window: Option<Window>) -> (Timestamp, Awaited) {
        let handover_ends = self.handover_ends(facts, window);
        let seconds = self.deactivated_for(subject, facts);
        let window_ends = match window {
            Some(window) if seconds > 0 => window.started + SignedDuration::from_secs(seconds),
            _ => facts.now,
        };
        let awaited = if window_ends < handover_ends {
            Awaited::Successor
        } else if subject.recovery_window_seconds < self.drain() {
            Awaited::Writers
        } else {
            Awaited::RecoveryWindow
        };
        (window_ends.max(handover_ends), awaited)
    }
}

/// Decides what to do with a terminating object. Read from top to bottom: the first line that applies decides.
#[must_use]
pub fn remove(subject: &Subject, facts: &Facts, owner: &ClaimOwner, with: &Circumstances) -> Remove {
    // 1. What was done is done: the ledger comes first.
    if let Some(entry) = facts.ledger.as_ref().filter(|entry| !entry.may_go_on()) {
        return CompletionProof::recorded(entry).map_or_else(|| Remove::Verify(entry.clone()), Remove::Release);
    }
    // 2. Only the database in which the object was claimed may be asked.
    if let Some(failure) = database_mismatch(subject, facts) {
        return Remove::Refuse(failure);
    }
    // 3. Only the owner acts.
    let take_from = match owner {
        ClaimOwner::ThisObject | ClaimOwner::Nobody => None,
        ClaimOwner::Gone { uid } | ClaimOwner::OtherCluster { adoptable: Some(uid), .. } => Some(uid.clone()),
        ClaimOwner::OtherObject { name, .. } => {
            return Remove::Retain(KeepBecause::NotOwner { owner: name.clone() });
        }
        ClaimOwner::OtherCluster { adoptable: None, .. } => return Remove::Refuse(claimed(owner)),
    };
    let noted = facts.claim.as_ref().filter(|_| *owner == ClaimOwner::ThisObject);
    // 4. Rows of this object's erasure are gone: only the rest can be erased or kept. That `Delete` was in effect, the database
    // has proven. What another object's erasure left proves nothing of the kind: this deletion is like any other.
    if let Some(begun) = facts.under_way().filter(|begun| begun.uid == subject.uid && begun.rows() > 0) {
        return match subject.asked {
            DeletionPolicy::Delete => go_on(subject, take_from, begun),
            _ if subject.keeps_remainder => Remove::KeepRemainder,
            _ => Remove::Interrupt(begun.clone()),
        };
    }
    // 5. A rename hands over instead of deleting.
    if let Some(successor) = &with.successor {
        return Remove::Transfer(successor.clone());
    }
    let absent = facts.organization == Presence::Absent;
    let begun = facts.under_way().is_some_and(|begun| begun.rows() > 0);
    match subject.effective_policy(noted.map(|c| c.policy)) {
        // 6. A policy that was raised while terminating is not followed. Without a raise, the database was only asked whether
        // rows are gone.
        DeletionPolicy::Retain if subject.asked == DeletionPolicy::Retain => Remove::Retain(KeepBecause::Policy),
        DeletionPolicy::Retain => Remove::Retain(KeepBecause::RaiseRefused),
        // What another object's erasure left is finished, also if it is only its record.
        DeletionPolicy::Delete if absent && !with.rows_left && !begun => Remove::NotFound,
        DeletionPolicy::Deactivate if absent && !with.rows_left => Remove::NotFound,
        DeletionPolicy::Deactivate if absent => Remove::Retain(KeepBecause::Policy),
        DeletionPolicy::Deactivate if !with.activation_supported => Remove::Refuse(deactivation_unsupported()),
        DeletionPolicy::Deactivate => Remove::Deactivate { take_from },
        DeletionPolicy::Delete => erase_or_wait(subject, facts, with, take_from, noted.and_then(|c| c.window)),
    }
}

/// An erasure of which rows are gone waits for nothing: nobody can take the organization over any more.
fn go_on(subject: &Subject, take_from: Option<String>, begun: &UnderWay) -> Remove {
    match subject.force_setting {
        Some(setting) => Remove::Refuse(replacement_suspected(subject, setting).effect(Effect::Partial(begun.rows()))),
        None => Remove::Erase { take_from },
    }
}

fn erase_or_wait(
    subject: &Subject,
    facts: &Facts,
    with: &Circumstances,
    take_from: Option<String>,
    window: Option<Window>,
) -> Remove {
    if let Size::Unpageable(failure) = &with.size {
        return Remove::Refuse((**failure).clone());
    }
    // 7. A deletion that may be half of a replacement is not a request to erase.
    if let Some(setting) = subject.force_setting {
        return Remove::Refuse(replacement_suspected(subject, setting));
    }
    // 8. Nor is one that is too old, or one of too many.
    if let Some(failure) = with.held_back(subject, facts) {
        return Remove::Refuse(failure);
    }
    let deactivated_for = with.deactivated_for(subject, facts);
    if deactivated_for > 0 && !with.activation_supported {
        return Remove::Refuse(deactivation_unsupported());
    }
    if window.is_none() {
        // 9. A recovery window deactivates at once; what only drains does so when no successor has come.
        let until = with.handover_ends(facts, None);
        let at_once = subject.recovery_window_seconds > 0 && facts.organization != Presence::Absent;
        if facts.now < until && !at_once {
            return Remove::Wait { until, awaited: Awaited::Successor };
        }
        if deactivated_for > 0 {
            return Remove::StartWindow { take_from };
        }
    }
    let (until, awaited) = with.due(subject, facts, window);
    if facts.now < until { Remove::Wait { until, awaited } } else { Remove::Erase { take_from } }
}

fn replacement_suspected(subject: &Subject, setting: ForceSetting) -> Failure {
    let name = &subject.name;
    Failure::new(
        Reason::ReplacementSuspected,
        format!("this object has {}, so a GitOps engine may have deleted it only to recreate it", setting.described()),
    )
    .effect(Effect::Untouched)
    .remedy(format!("to erase the organization: {}; to keep it: {}", setting.removal(name), keep_data(name)))
}

/// The policy was lowered after rows had been deleted. `left` says what is left.
#[must_use]
pub fn interrupted(subject: &Subject, begun: &UnderWay, left: &str) -> Failure {
    let (name, uid) = (&subject.name, &subject.uid);
    Failure::new(
        Reason::ErasureInterrupted,
        format!(
            "deletionPolicy was set to {} while rows were being deleted in pages, so the erasure stopped after {}. Left: {left}",
            subject.asked.as_str(),
            deleted(&begun.deleted)
        ),
    )
    .rows(begun.rows())
    .effect(Effect::Partial(begun.rows()))
    .remedy(format!(
        "to erase the remainder: {}; to keep the remainder for good: kubectl annotate organization {name} {KEEP_REMAINDER}={uid}",
        set_policy(name, DeletionPolicy::Delete)
    ))
}

/// A standby proves nothing, and changes nothing.
#[must_use]
pub fn on_a_standby() -> Failure {
    Failure::new(
        Reason::DatabaseMismatch,
        "the database server is a standby; its data may be out of date, and it accepts no changes",
    )
    .remedy("put the primary server into the operator's database URL, or promote this one: SELECT pg_promote();")
}

fn database_mismatch(subject: &Subject, facts: &Facts) -> Option<Failure> {
    if facts.standby {
        return Some(on_a_standby());
    }
    let claimed = subject.claimed.as_ref()?;
    (claimed.installation != facts.installation).then(|| {
        Failure::new(
            Reason::DatabaseMismatch,
            format!(
                "this object claimed its organization in the database {}, but the operator is connected to {}",
                claimed.installation, facts.installation
            ),
        )
        .effect(Effect::Untouched)
        .remedy(format!(
            "point the operator's database URL at the database of the claim (SELECT id FROM organization_operator.installation must return {}), or keep the data: {}",
            claimed.installation,
            keep_data(&subject.name)
        ))
    })
}

fn claimed(owner: &ClaimOwner) -> Failure {
    match owner {
        ClaimOwner::OtherCluster { cluster, .. } => Failure::new(
            Reason::OrganizationClaimed,
            format!("the cluster {cluster} owns this organization"),
        )
        .effect(Effect::Untouched)
        .remedy(format!(
            "delete the object in the cluster {cluster} with deletionPolicy Retain, or add `{cluster}` to `claims.adoptFrom` of the operator's configuration"
        )),
        ClaimOwner::OtherObject { name, terminating: true } => Failure::new(
            Reason::OrganizationClaimed,
            format!("the object {name} of this cluster owns this organization and is being deleted"),
        )
        .effect(Effect::Untouched)
        .remedy(format!("nothing: this object takes over, unless {name} has already begun to erase the organization")),
        ClaimOwner::OtherObject { name, terminating: false } => Failure::new(
            Reason::OrganizationClaimed,
            format!("the object {name} of this cluster owns this organization"),
        )
        .effect(Effect::Untouched)
        .remedy("keep one of the two objects: deleting this one changes nothing in the database"),
        ClaimOwner::Nobody | ClaimOwner::ThisObject | ClaimOwner::Gone { .. } => {
            Failure::new(Reason::InternalError, "the operator refused a claim that it is allowed to take; report this as a bug")
        }
    }
}

fn id_changed() -> Failure {
    Failure::new(
        Reason::InvalidOrganizationId,
        "spec.organizationId was changed after the organization was claimed; the operator keeps acting on the claimed one",
    )
    .remedy("set spec.organizationId back to the value in status.claim.organizationKey, and create another object for the other organization")
}

/// The plan names no activation column.
#[must_use]
pub fn deactivation_unsupported() -> Failure {
    Failure::new(
        Reason::DeactivationUnsupported,
        "the plan names no activation column, so the operator cannot activate or deactivate the organization",
    )
    .remedy("remove spec.state and set spec.recoveryWindowSeconds to 0, or name `cascade.organization.active` in the operator's configuration")
}

#[cfg(test)]
mod tests;
