#![expect(clippy::large_stack_arrays, reason = "a table of cases is read as a table")]

//! Both tables, row by row. Each row changes one thing of an ordinary case.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::*;
use crate::api::status::{ClaimStatus, DeletionStep, Outcome};
use crate::domain::breaker::Counted;
use crate::domain::facts::{Claim, NotedDeletion};
use crate::domain::left_over::left_over;
use crate::domain::subject::example;

const MINE: &str = "uid-of-this";
const LIMIT: Limit = Limit { deletions: 10, minutes: 10 };
/// Seven days, in seconds.
const WEEK: i64 = 7 * 24 * 3600;

/// Everything that a decision is made from: an object with `Delete` that owns an active organization, and is terminating.
#[derive(Clone)]
struct Case {
    subject: Subject,
    facts: Facts,
    owner: ClaimOwner,
    successor: Option<Successor>,
    rows_left: bool,
    activation_supported: bool,
    size: Size,
    drain_seconds: i64,
    handover: i64,
    terminating_for: i64,
    crd_terminating: bool,
    clock: Timestamp,
    breaker: Option<Limit>,
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + second)
}

fn case() -> Case {
    Case {
        subject: Subject {
            uid: MINE.into(),
            terminating_since: Some(at(0)),
            claimed: Some(ClaimStatus { installation: "db".into(), organization_key: "1".into() }),
            ..example()
        },
        facts: Facts {
            installation: "db".into(),
            standby: false,
            now: at(100),
            key: "1".into(),
            id_changed: false,
            organization: Presence::Present { active: Some(true) },
            claim: Some(Claim {
                cluster: "here".into(),
                uid: MINE.into(),
                name: "acme".into(),
                policy: DeletionPolicy::Delete,
                expiration: None,
                window: None,
            }),
            under_way: None,
            ledger: None,
            noted: None,
        },
        owner: ClaimOwner::ThisObject,
        successor: None,
        rows_left: false,
        activation_supported: true,
        size: Size::Small,
        drain_seconds: 0,
        handover: 0,
        terminating_for: 0,
        crd_terminating: false,
        clock: at(100),
        breaker: Some(LIMIT),
    }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn policy(self, policy: DeletionPolicy) -> Self {
        self.with(|c| (c.subject.policy, c.subject.asked) = (policy, policy))
    }

    /// Pages deleted so many rows of an erasure of the object with this uid, and the status shows it.
    fn shrunk(self, uid: &str, rows: i64) -> Self {
        self.with(|c| {
            let deleted = vec![DeletionStep { entity: "users".into(), tables: Vec::new(), found: rows, deleted: rows }];
            c.facts.under_way = Some(UnderWay {
                uid: uid.into(),
                started: at(1),
                updated: at(2),
                estimated: 100,
                deleted,
                interrupted: None,
                paged: true,
            });
            c.subject.rows_may_be_gone = true;
        })
    }

    /// The policy was lowered, seen so, and set to `Delete` again.
    fn set_again(self) -> Self {
        self.with(|c| {
            (c.subject.policy, c.subject.asked) = (DeletionPolicy::Retain, DeletionPolicy::Delete);
            c.subject.raise_suspected = true;
        })
    }

    fn unpageable(self) -> Self {
        self.with(|c| {
            c.size = Size::Unpageable(Box::new(Failure::new(Reason::SchemaMismatch, "nothing can go in pages")));
        })
    }

    fn keeps_remainder(self) -> Self {
        self.with(|c| c.subject.keeps_remainder = true)
    }

    /// The owner is somebody else; the claim says who.
    fn owned_by(self, owner: ClaimOwner) -> Self {
        self.with(|c| c.owner = owner)
    }

    fn free(self) -> Self {
        self.with(|c| {
            c.owner = ClaimOwner::Nobody;
            c.facts.claim = None;
        })
    }

    fn absent(self) -> Self {
        self.with(|c| c.facts.organization = Presence::Absent)
    }

    fn inactive(self) -> Self {
        self.with(|c| c.facts.organization = Presence::Present { active: Some(false) })
    }

    fn cannot_deactivate(self) -> Self {
        self.with(|c| {
            c.activation_supported = false;
            c.facts.organization = Presence::Present { active: None };
        })
    }

    fn recovery(self, seconds: i64) -> Self {
        self.with(|c| c.subject.recovery_window_seconds = seconds)
    }

    fn window(self, started: i64) -> Self {
        self.with(|c| {
            if let Some(claim) = &mut c.facts.claim {
                claim.window = Some(Window { started: at(started), was_active: true });
            }
        })
    }

    fn recorded(self, outcome: Outcome, verified: bool) -> Self {
        self.with(|c| {
            c.facts.ledger = Some(LedgerEntry { outcome, steps: Vec::new(), finished: at(2), verified, detail: None });
        })
    }

    fn standby(self) -> Self {
        self.with(|c| c.facts.standby = true)
    }

    fn other_database(self) -> Self {
        self.with(|c| c.facts.installation = "copy".into())
    }

    fn successor(self) -> Self {
        let newer = Successor { name: "newer".into(), uid: "uid-of-newer".into(), policy: DeletionPolicy::Retain };
        self.with(|c| c.successor = Some(newer))
    }

    /// The policy was changed after the deletion began; `noted` is what the claim remembers.
    fn raised(self, noted: DeletionPolicy) -> Self {
        self.with(|c| {
            c.subject.raise_suspected = true;
            if let Some(claim) = &mut c.facts.claim {
                claim.policy = noted;
            }
        })
    }

    /// An erasure waits 10 s for a successor, and this process has known of the deletion for `seconds`.
    fn handover(self, seconds: i64) -> Self {
        self.with(|c| {
            c.handover = 10;
            c.terminating_for = seconds;
        })
    }

    /// The operator noted that it first saw the deletion then, and what the breaker counted.
    fn noted(self, first_seen: i64, tripped: Option<(u64, u64)>) -> Self {
        self.with(|c| {
            let tripped = tripped.map(|(deletions, objects)| Counted { deletions, objects });
            c.facts.noted = Some(NotedDeletion { first_seen: at(first_seen), tripped });
        })
    }

    /// So long after the deletion was requested, by all clocks.
    fn after(self, seconds: i64) -> Self {
        self.with(|c| (c.facts.now, c.clock) = (at(seconds), at(seconds)))
    }

    fn confirmed(self) -> Self {
        self.with(|c| c.subject.confirmed = true)
    }

    fn suspended(self) -> Self {
        self.with(|c| c.subject.suspended = true)
    }

    fn forced(self) -> Self {
        self.with(|c| c.subject.force_setting = Some(ForceSetting::ArgoCd))
    }

    fn wants(self, state: Activation) -> Self {
        self.with(|c| c.subject.state = Some(state))
    }

    /// The spec's expiration, and the one that the claim notes.
    fn expires(self, at: Timestamp, noted: Option<Timestamp>) -> Self {
        self.with(|c| {
            c.subject.expiration = Some(at);
            if let Some(claim) = &mut c.facts.claim {
                claim.expiration = noted;
            }
        })
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            successor: self.successor.clone(),
            rows_left: self.rows_left,
            activation_supported: self.activation_supported,
            size: self.size.clone(),
            drain_seconds: self.drain_seconds,
            handover: SignedDuration::from_secs(self.handover),
            terminating_for: SignedDuration::from_secs(self.terminating_for),
            clock: self.clock,
            breaker: self.breaker,
        }
    }

    fn remove(&self) -> String {
        if let Some(because) = keep_without_asking(&self.subject, self.crd_terminating) {
            return format!("at once: {}", kept(&because));
        }
        match remove(&self.subject, &self.facts, &self.owner, &self.circumstances()) {
            Remove::Release(proof) => format!("release, {}", proof.outcome().as_str()),
            Remove::Verify(_) => "count again".into(),
            Remove::Retain(because) => kept(&because),
            Remove::Interrupt(begun) => format!("stop after {} rows", begun.rows()),
            Remove::KeepRemainder => "keep the rest".into(),
            Remove::Transfer(successor) => format!("hand over to {}", successor.name),
            Remove::Deactivate { take_from } => from("deactivate", take_from),
            Remove::NotFound => "nothing there".into(),
            Remove::StartWindow { take_from } => from("start window", take_from),
            Remove::Wait { until, awaited } => {
                let left = until.duration_since(self.facts.now).as_secs();
                let what = match awaited {
                    Awaited::Successor => " for a successor",
                    Awaited::RecoveryWindow => "",
                    Awaited::Writers => " to drain",
                };
                format!("wait {left} s{what}")
            }
            Remove::Erase { take_from } => from("erase", take_from),
            Remove::Refuse(failure) => format!("refuse: {}", failure.reason),
        }
    }

    fn apply(&self) -> String {
        match apply(&self.subject, &self.facts, &self.owner, self.activation_supported) {
            Apply::Suspend { note } => if note { "nothing but a note" } else { "nothing" }.into(),
            Apply::Wait => "wait".into(),
            Apply::Refuse(failure) => format!("refuse: {}", failure.reason),
            Apply::Expire => "expire".into(),
            Apply::Enforce(enforce) => {
                let mut words = Vec::new();
                if enforce.claim {
                    words.push(from("claim", enforce.take_from.clone()));
                }
                words.extend(enforce.activation.map(|a| format!("{a:?}")));
                if enforce.note {
                    words.push("note".into());
                }
                if enforce.expired_unseen {
                    words.push("expired unseen".into());
                }
                assert_eq!(enforce.changes_database(), enforce.claim || enforce.activation.is_some() || enforce.note);
                if words.is_empty() { "nothing".into() } else { words.join(", ") }
            }
        }
    }
}

fn from(what: &str, take_from: Option<String>) -> String {
    take_from.map_or_else(|| what.to_owned(), |uid| format!("{what}, taking the claim of {uid}"))
}

fn kept(because: &KeepBecause) -> String {
    match because {
        KeepBecause::Policy => "keep".into(),
        KeepBecause::Uninstall => "keep, uninstalling".into(),
        KeepBecause::RaiseRefused => "keep, raise refused".into(),
        KeepBecause::NotOwner { owner } => format!("keep, {owner} owns it"),
    }
}

fn gone() -> ClaimOwner {
    ClaimOwner::Gone { uid: "uid-of-gone".into() }
}

fn other() -> ClaimOwner {
    ClaimOwner::OtherObject { name: "other".into(), terminating: false }
}

fn foreign(adoptable: bool) -> ClaimOwner {
    ClaimOwner::OtherCluster { cluster: "there".into(), adoptable: adoptable.then(|| "uid-of-foreign".into()) }
}

/// Tells which row is wrong, and all of them at once.
fn check(rows: &[(&str, Case, &str)], decide: impl Fn(&Case) -> String) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(name, case, expected)| (name, decide(case), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(name, found, expected)| format!("{name}: decides `{found}`, expected `{expected}`"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn terminating_objects() {
    use DeletionPolicy::{Deactivate, Delete, Retain};
    let case = case();
    let c = || case.clone();
    check(
        &[
            // The policy, for the owner.
            ("Delete erases", c(), "erase"),
            ("Deactivate deactivates", c().policy(Deactivate), "deactivate"),
            ("Deactivate of an inactive one records it", c().policy(Deactivate).inactive(), "deactivate"),
            ("Retain asks nobody", c().policy(Retain), "at once: keep"),
            ("Retain does not wait for the right database", c().policy(Retain).other_database(), "at once: keep"),
            ("an uninstallation keeps", c().with(|c| c.crd_terminating = true), "at once: keep, uninstalling"),
            // The ledger first.
            ("what was erased is released", c().recorded(Outcome::Erased, true).absent(), "release, Erased"),
            ("what was kept is released", c().recorded(Outcome::Retained, true), "release, Retained"),
            ("the ledger beats a successor", c().recorded(Outcome::Erased, true).successor(), "release, Erased"),
            (
                "the ledger beats a claim",
                c().recorded(Outcome::Transferred, true).owned_by(other()),
                "release, Transferred",
            ),
            ("what is not verified is counted again", c().recorded(Outcome::Erased, false).absent(), "count again"),
            // The database of the claim.
            ("a standby is not asked", c().standby(), "refuse: DatabaseMismatch"),
            ("an absence on a standby is none", c().standby().absent(), "refuse: DatabaseMismatch"),
            ("another database is not asked", c().other_database(), "refuse: DatabaseMismatch"),
            (
                "an absence in another database is none",
                c().other_database().absent().free(),
                "refuse: DatabaseMismatch",
            ),
            (
                "an object that never claimed may use any",
                c().other_database().free().with(|c| c.subject.claimed = None),
                "erase",
            ),
            // The claim.
            ("a free claim is taken", c().free(), "erase"),
            ("a claim of a gone object is taken over", c().owned_by(gone()), "erase, taking the claim of uid-of-gone"),
            (
                "also to deactivate",
                c().owned_by(gone()).policy(Deactivate),
                "deactivate, taking the claim of uid-of-gone",
            ),
            ("who does not own touches nothing", c().owned_by(other()), "keep, other owns it"),
            ("not even to deactivate", c().owned_by(other()).policy(Deactivate), "keep, other owns it"),
            ("nor where there is nothing", c().owned_by(other()).absent(), "keep, other owns it"),
            ("another cluster's claim is respected", c().owned_by(foreign(false)), "refuse: OrganizationClaimed"),
            ("unless it may be adopted", c().owned_by(foreign(true)), "erase, taking the claim of uid-of-foreign"),
            // A rename.
            ("a successor inherits", c().successor(), "hand over to newer"),
            ("whatever the policy", c().successor().policy(Deactivate), "hand over to newer"),
            ("also within the recovery window", c().successor().recovery(500).window(50), "hand over to newer"),
            ("a successor does not inherit what others own", c().successor().owned_by(other()), "keep, other owns it"),
            // A policy that was changed after the deletion began.
            ("a raise from Retain is refused", c().raised(Retain), "keep, raise refused"),
            ("a raise from Deactivate deactivates", c().raised(Deactivate), "deactivate"),
            ("a change back to Delete is no raise", c().raised(Delete), "erase"),
            ("without a claim nobody knows what it was", c().raised(Delete).free(), "keep, raise refused"),
            ("what the gone owner noted does not count", c().raised(Delete).owned_by(gone()), "keep, raise refused"),
            ("lowering always works", c().raised(Delete).policy(Deactivate), "deactivate"),
            // Nothing there.
            ("absent and no rows", c().absent(), "nothing there"),
            ("absent, to deactivate", c().absent().policy(Deactivate), "nothing there"),
            ("absent, rows are left", c().absent().with(|c| c.rows_left = true), "erase"),
            ("rows left of nobody's claim", c().absent().free().with(|c| c.rows_left = true), "erase"),
            ("rows are left, to deactivate", c().absent().policy(Deactivate).with(|c| c.rows_left = true), "keep"),
            ("absent with a window", c().absent().recovery(500).with(|c| c.rows_left = true), "erase"),
            // What may be half of a replacement.
            ("a replacement is no deletion", c().forced(), "refuse: ReplacementSuspected"),
            ("nor with a recovery window", c().forced().recovery(500), "refuse: ReplacementSuspected"),
            ("nor in one", c().forced().recovery(500).window(50), "refuse: ReplacementSuspected"),
            ("Deactivate erases nothing", c().forced().policy(Deactivate), "deactivate"),
            ("Retain neither", c().forced().policy(Retain), "at once: keep"),
            ("a successor inherits all the same", c().forced().successor(), "hand over to newer"),
            ("what was done is released", c().forced().recorded(Outcome::Erased, true), "release, Erased"),
            // No activation column.
            ("cannot deactivate", c().cannot_deactivate().policy(Deactivate), "refuse: DeactivationUnsupported"),
            ("can erase all the same", c().cannot_deactivate(), "erase"),
            ("without a recovery window", c().cannot_deactivate().recovery(5), "refuse: DeactivationUnsupported"),
            (
                "what is not protected is counted after COMMIT only",
                c().cannot_deactivate().with(|c| c.drain_seconds = 5),
                "erase",
            ),
        ],
        Case::remove,
    );
}

#[test]
fn a_deletion_in_pages() {
    use DeletionPolicy::{Deactivate, Retain};
    let (begun, case) = (case().inactive().window(50).shrunk(MINE, 7), case());
    let (b, c) = (|| begun.clone(), || case.clone());
    let l = || b().shrunk("uid-of-gone", 7).owned_by(gone());
    check(
        &[
            ("it goes on", b(), "erase"),
            ("nobody takes over any more", b().successor(), "erase"),
            ("a longer recovery window comes too late", b().recovery(500), "erase"),
            ("it waits for no successor", b().handover(0), "erase"),
            ("also where the organization's own row is gone", b().absent(), "erase"),
            ("it may be half of a replacement all the same", b().forced(), "refuse: ReplacementSuspected"),
            ("another database proves nothing", b().other_database(), "refuse: DatabaseMismatch"),
            ("a standby proves nothing", b().standby(), "refuse: DatabaseMismatch"),
            ("another cluster owns it by now", b().owned_by(foreign(false)), "refuse: OrganizationClaimed"),
            // The policy is lowered.
            ("Retain stops it", b().policy(Retain), "stop after 7 rows"),
            ("Deactivate stops it", b().policy(Deactivate), "stop after 7 rows"),
            ("whatever the manifest forces", b().policy(Retain).forced(), "stop after 7 rows"),
            ("a successor inherits no rest", b().policy(Retain).successor(), "stop after 7 rows"),
            (
                "an uninstallation waits for nothing",
                b().with(|c| c.crd_terminating = true),
                "at once: keep, uninstalling",
            ),
            (
                "where the status shows no rows, Retain asks nobody",
                b().policy(Retain).with(|c| c.subject.rows_may_be_gone = false),
                "at once: keep",
            ),
            // Nothing can go in pages, and the configuration refuses the rest.
            ("a large one that has no pages is refused", c().unpageable(), "refuse: SchemaMismatch"),
            ("a successor inherits it", c().unpageable().successor(), "hand over to newer"),
            ("it can be deactivated", c().unpageable().policy(Deactivate), "deactivate"),
            // Before the first page it is an ordinary deletion.
            ("before the first page, Retain keeps", c().shrunk(MINE, 0).policy(Retain), "keep"),
            ("before the first page, Deactivate", c().shrunk(MINE, 0).policy(Deactivate), "deactivate"),
            ("before the first page, a successor inherits", c().shrunk(MINE, 0).successor(), "hand over to newer"),
            ("before the first page, a raise is refused", c().shrunk(MINE, 0).raised(Retain), "keep, raise refused"),
            // Interrupted.
            ("Delete again goes on", b().recorded(Outcome::Interrupted, false).set_again(), "erase"),
            ("it stays stopped", b().recorded(Outcome::Interrupted, false).policy(Retain), "stop after 7 rows"),
            ("the rest is kept for good", b().policy(Retain).keeps_remainder(), "keep the rest"),
            (
                "that is said of a deletion that stopped",
                b().recorded(Outcome::Interrupted, false).policy(Deactivate).keeps_remainder(),
                "keep the rest",
            ),
            ("not of one that goes on", b().keeps_remainder(), "erase"),
            ("nor of one that deleted nothing", c().shrunk(MINE, 0).policy(Deactivate).keeps_remainder(), "deactivate"),
            ("what was kept is released", c().recorded(Outcome::Interrupted, true), "release, Interrupted"),
            // Left behind by an object that is gone: a deletion like any other.
            ("Delete finishes what a gone object began", l(), "erase, taking the claim of uid-of-gone"),
            ("also with the claim taken", b().shrunk("uid-of-gone", 7), "erase"),
            ("a successor inherits it", l().successor(), "hand over to newer"),
            ("also with the claim taken", b().shrunk("uid-of-gone", 7).successor(), "hand over to newer"),
            ("it waits for one", c().shrunk("uid-of-gone", 7).handover(4), "wait 6 s for a successor"),
            ("it has a recovery window", c().shrunk("uid-of-gone", 7).recovery(50), "start window"),
            ("which it waits for", b().shrunk("uid-of-gone", 7).recovery(500), "wait 450 s"),
            ("it drains", c().shrunk("uid-of-gone", 7).with(|c| c.drain_seconds = 5), "start window"),
            ("it may be half of a replacement", l().forced(), "refuse: ReplacementSuspected"),
            ("a raise is no permission", b().shrunk("uid-of-gone", 7).raised(Retain), "keep, raise refused"),
            ("Retain keeps it, as it says", b().shrunk("uid-of-gone", 7).policy(Retain), "keep"),
            ("Deactivate deactivates", b().shrunk("uid-of-gone", 7).policy(Deactivate), "deactivate"),
            (
                "where nothing else is left, the record is finished",
                l().absent(),
                "erase, taking the claim of uid-of-gone",
            ),
            ("not by Deactivate", l().absent().policy(Deactivate), "nothing there"),
        ],
        Case::remove,
    );
}

#[test]
fn an_interruption_says_how_to_go_on_and_how_to_stop_for_good() {
    let Case { subject, facts, .. } = case().policy(DeletionPolicy::Retain).shrunk(MINE, 7);
    let begun = facts.under_way().expect("rows are gone");
    let failure = interrupted(&subject, begun, "12 users");
    let text = failure.message();
    for part in
        ["set to Retain", "stopped after 7 rows (7 users). Left: 12 users. 7 rows had already been deleted in pages"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let remedy = failure.remedy.expect("a remedy");
    for part in [r#"'{"spec":{"deletionPolicy":"Delete"}}'"#, "organization-operator.io/keep-remainder=uid-of-this"] {
        assert!(remedy.contains(part), "{part}: {remedy}");
    }
}

#[test]
fn what_another_object_left_is_told_with_what_to_do() {
    let (live, terminating) = (case().with(|c| c.subject.terminating_since = None), case());
    for (name, case, told) in [
        ("nothing", live.clone(), false),
        ("no row", live.clone().shrunk("uid-of-gone", 0), false),
        ("to a live object", live.clone().shrunk("uid-of-gone", 7), true),
        ("to a live object that a restored backup brought back", live.shrunk(MINE, 7), true),
        ("to a terminating one", terminating.clone().shrunk("uid-of-gone", 7), true),
        ("its own is no left-over", terminating.shrunk(MINE, 7), false),
    ] {
        let text = left_over(&case.subject, &case.facts);
        assert_eq!(text.is_some(), told, "{name}: {text:?}");
        for part in ["erased 7 rows", "deletionPolicy Delete", "keep_remainder('1')"] {
            assert!(text.as_ref().is_none_or(|text| text.contains(part)), "{name}: {part}: {text:?}");
        }
    }
}

#[test]
fn live_objects() {
    let case = case().with(|c| c.subject.terminating_since = None);
    let c = || case.clone();
    let (past, future) = (at(50), at(500));
    check(
        &[
            ("all is well", c(), "nothing"),
            ("a free claim", c().free(), "claim"),
            ("a claim of a gone object", c().owned_by(gone()), "claim, taking the claim of uid-of-gone"),
            ("a claim of a live object", c().owned_by(other()), "refuse: OrganizationClaimed"),
            ("a claim of another cluster", c().owned_by(foreign(false)), "refuse: OrganizationClaimed"),
            ("a claim to adopt", c().owned_by(foreign(true)), "claim, taking the claim of uid-of-foreign"),
            ("not there", c().absent(), "wait"),
            ("not there, claimed by another", c().absent().owned_by(other()), "refuse: OrganizationClaimed"),
            ("a standby", c().standby(), "refuse: DatabaseMismatch"),
            ("another database", c().other_database(), "refuse: DatabaseMismatch"),
            ("an id that was changed", c().with(|c| c.facts.id_changed = true), "refuse: InvalidOrganizationId"),
            // Activation.
            ("no wish", c().inactive(), "nothing"),
            ("to deactivate", c().wants(Activation::Deactivated), "Deactivated"),
            ("is deactivated", c().inactive().wants(Activation::Deactivated), "nothing"),
            ("to activate", c().inactive().wants(Activation::Active), "Active"),
            ("is active", c().wants(Activation::Active), "nothing"),
            ("cannot", c().cannot_deactivate().wants(Activation::Active), "refuse: DeactivationUnsupported"),
            ("cannot, no wish", c().cannot_deactivate(), "nothing"),
            // A recovery window that an owner left behind.
            ("a window is undone", c().inactive().window(50), "Active, note"),
            (
                "a window of a gone owner is undone",
                c().inactive().window(50).owned_by(gone()),
                "claim, taking the claim of uid-of-gone, Active",
            ),
            ("unless it should be inactive", c().inactive().window(50).wants(Activation::Deactivated), "note"),
            // Rows that an erasure of a gone owner deleted.
            (
                "what is left of an organization is not activated",
                c().inactive().window(50).shrunk("uid-of-gone", 7).owned_by(gone()),
                "claim, taking the claim of uid-of-gone",
            ),
            (
                "not even if that is asked for",
                c().inactive().shrunk("uid-of-gone", 7).wants(Activation::Active),
                "refuse: ErasureInterrupted",
            ),
            ("as long as nothing is gone it is", c().inactive().window(50).shrunk("uid-of-gone", 0), "Active, note"),
            // What the claim notes.
            ("a new policy", c().policy(DeletionPolicy::Retain), "note"),
            ("an expiration in the future", c().expires(future, None), "note"),
            ("noted already", c().expires(future, Some(future)), "nothing"),
            ("moved", c().expires(future, Some(at(400))), "note"),
            ("removed", c().expires(future, Some(future)).with(|c| c.subject.expiration = None), "note"),
            // Expiration.
            ("has come, and was seen before", c().expires(past, Some(past)), "expire"),
            ("to the second", c().expires(at(100), Some(at(100))), "expire"),
            ("had passed when it was first seen", c().expires(past, None), "expired unseen"),
            ("another one was seen", c().expires(past, Some(future)), "expired unseen"),
            (
                "a re-created object",
                c().expires(past, Some(past)).owned_by(gone()),
                "claim, taking the claim of uid-of-gone, expired unseen",
            ),
            ("expires although nothing is there", c().expires(past, Some(past)).absent(), "expire"),
            (
                "expires, but another owns it",
                c().expires(past, Some(past)).owned_by(other()),
                "refuse: OrganizationClaimed",
            ),
            ("expires, but on a standby", c().expires(past, Some(past)).standby(), "refuse: DatabaseMismatch"),
        ],
        Case::apply,
    );
}

#[test]
fn every_refusal_says_what_to_do() {
    let case = case();
    let c = || case.clone();
    let refusals = [
        c().standby(),
        c().other_database(),
        c().owned_by(foreign(false)),
        c().cannot_deactivate().recovery(5),
        c().cannot_deactivate().policy(DeletionPolicy::Deactivate),
        c().forced(),
    ];
    for case in refusals {
        let Remove::Refuse(failure) = remove(&case.subject, &case.facts, &case.owner, &case.circumstances()) else {
            panic!("refused")
        };
        assert!(failure.remedy.is_some(), "{failure}");
    }
    for terminating in [false, true] {
        let other = ClaimOwner::OtherObject { name: "other".into(), terminating };
        let Apply::Refuse(failure) = apply(&c().subject, &c().facts, &other, true) else { panic!("refused") };
        assert!(failure.message().contains("other"), "{failure}");
        assert!(failure.remedy.is_some(), "{failure}");
    }
}

#[test]
fn what_an_erasure_waits_for() {
    use DeletionPolicy::{Deactivate, Retain};
    let case = case();
    let c = || case.clone();
    check(
        &[
            // The recovery window.
            ("the window starts", c().recovery(500), "start window"),
            (
                "also for a claim taken over",
                c().recovery(500).owned_by(gone()),
                "start window, taking the claim of uid-of-gone",
            ),
            ("the window runs", c().recovery(500).window(50), "wait 450 s"),
            ("a longer window counts from its start", c().recovery(900).window(50), "wait 850 s"),
            ("the window ends on time", c().recovery(50).window(50), "erase"),
            ("and not before", c().recovery(51).window(50), "wait 1 s"),
            ("a window set to zero ends at once", c().recovery(0).window(99), "erase"),
            (
                "a window taken over starts again",
                c().recovery(10).window(50).owned_by(gone()),
                "start window, taking the claim of uid-of-gone",
            ),
            ("lowered to Deactivate in the window", c().recovery(500).window(50).policy(Deactivate), "deactivate"),
            ("lowered to Retain in the window", c().recovery(500).window(50).policy(Retain), "at once: keep"),
            // Draining, where a table is not protected.
            ("draining starts", c().with(|c| c.drain_seconds = 5), "start window"),
            ("draining runs", c().window(98).with(|c| c.drain_seconds = 5), "wait 3 s to drain"),
            ("drained", c().window(95).with(|c| c.drain_seconds = 5), "erase"),
            ("the longer of both counts", c().recovery(10).window(95).with(|c| c.drain_seconds = 5), "wait 5 s"),
            // The wait for a successor.
            ("a successor is waited for", c().handover(0), "wait 10 s for a successor"),
            ("as long as it takes", c().handover(9), "wait 1 s for a successor"),
            ("and no longer", c().handover(10), "erase"),
            ("also long after", c().handover(500), "erase"),
            ("it comes", c().handover(3).successor(), "hand over to newer"),
            ("also for a free claim", c().handover(0).free(), "wait 10 s for a successor"),
            (
                "rows that are left wait, too",
                c().handover(4).absent().with(|c| c.rows_left = true),
                "wait 6 s for a successor",
            ),
            (
                "a clock of the API server that is behind shortens nothing",
                c().handover(0).with(|c| c.subject.terminating_since = Some(at(-5000))),
                "wait 10 s for a successor",
            ),
            (
                "nor does one of the database that is ahead",
                c().handover(0).with(|c| c.facts.now = at(500_000)),
                "wait 10 s for a successor",
            ),
            (
                "nobody is deactivated meanwhile",
                c().handover(4).with(|c| c.drain_seconds = 5),
                "wait 6 s for a successor",
            ),
            ("draining starts then", c().handover(10).with(|c| c.drain_seconds = 5), "start window"),
            ("draining runs", c().handover(12).window(98).with(|c| c.drain_seconds = 5), "wait 3 s to drain"),
            (
                "a restart while it drains waits from the deactivation",
                c().handover(0).window(98).with(|c| c.drain_seconds = 5),
                "wait 8 s for a successor",
            ),
            ("a recovery window starts at once", c().handover(0).recovery(500), "start window"),
            ("the wait lies inside it", c().handover(2).recovery(500).window(98), "wait 498 s"),
            (
                "a short window is no shorter than the wait",
                c().handover(2).recovery(3).window(98),
                "wait 8 s for a successor",
            ),
            ("a window that is set to zero still waits", c().handover(2).window(98), "wait 8 s for a successor"),
            ("a restart in an old window waits for nobody", c().handover(0).recovery(50).window(50), "erase"),
            ("a restart in an old window that was shortened", c().handover(0).window(50), "erase"),
            ("Deactivate does not wait", c().handover(0).policy(Deactivate), "deactivate"),
            ("Retain does not wait", c().handover(0).policy(Retain), "at once: keep"),
            ("nor does an absence", c().handover(0).absent(), "nothing there"),
            ("nor what was done", c().handover(0).recorded(Outcome::Erased, true).absent(), "release, Erased"),
            ("nor the second count", c().handover(0).recorded(Outcome::Erased, false).absent(), "count again"),
        ],
        Case::remove,
    );
}

#[test]
fn guard_rails() {
    let c = case;
    let stale = || c().after(WEEK + 1);
    let tripped = || c().noted(1, Some((30, 40)));
    check(
        &[
            // Deletions that are seen late.
            ("seen at once", c(), "erase"),
            ("seen in time", c().after(WEEK), "erase"),
            ("seen late", stale(), "refuse: StaleDeletion"),
            ("and confirmed", stale().confirmed(), "erase"),
            ("before it waits", stale().handover(0), "refuse: StaleDeletion"),
            ("before anything is deactivated", stale().recovery(500), "refuse: StaleDeletion"),
            ("by the database's clock", c().with(|c| c.facts.now = at(WEEK + 1)), "refuse: StaleDeletion"),
            ("by this process's clock", c().with(|c| c.clock = at(WEEK + 1)), "refuse: StaleDeletion"),
            ("this process has seen it for days", stale().with(|c| c.terminating_for = 60), "erase"),
            ("an earlier process had noted it", c().after(90 * WEEK).noted(5, None), "erase"),
            (
                "an earlier process had noted that it was late",
                c().after(90 * WEEK).noted(WEEK + 1, None),
                "refuse: StaleDeletion",
            ),
            ("a long window lasts", stale().recovery(WEEK + 500).window(2).noted(2, None), "wait 501 s"),
            (
                "a window without a note may be that of a restored object",
                stale().recovery(500).window(2),
                "refuse: StaleDeletion",
            ),
            ("and so may pages", stale().shrunk(MINE, 0), "refuse: StaleDeletion"),
            ("what has begun goes on", stale().shrunk(MINE, 5), "erase"),
            ("pages that deleted nothing yet", stale().shrunk(MINE, 0).noted(2, None), "erase"),
            ("the pages were another object's", stale().shrunk("another", 5), "refuse: StaleDeletion"),
            ("of a free claim", stale().free(), "refuse: StaleDeletion"),
            (
                "of a claim that is left over",
                stale().owned_by(ClaimOwner::Gone { uid: "x".into() }),
                "refuse: StaleDeletion",
            ),
            ("Retain passes", stale().policy(DeletionPolicy::Retain), "at once: keep"),
            ("Deactivate passes", stale().policy(DeletionPolicy::Deactivate), "deactivate"),
            ("a handover passes", stale().successor(), "hand over to newer"),
            ("nothing to erase", stale().absent(), "nothing there"),
            ("what was done", stale().recorded(Outcome::Erased, true).absent(), "release, Erased"),
            // Too many at once, as it was counted when the erasure was due.
            ("held by the breaker", tripped(), "refuse: BreakerTripped"),
            ("and confirmed", tripped().confirmed(), "erase"),
            ("and after a restart", tripped().after(WEEK * 2), "refuse: BreakerTripped"),
            ("the limit was raised", tripped().with(|c| c.breaker = Some(Limit { deletions: 30, ..LIMIT })), "erase"),
            (
                "not far enough",
                tripped().with(|c| c.breaker = Some(Limit { deletions: 29, ..LIMIT })),
                "refuse: BreakerTripped",
            ),
            ("the breaker was turned off", tripped().with(|c| c.breaker = None), "erase"),
            ("Retain passes the breaker", tripped().policy(DeletionPolicy::Retain), "at once: keep"),
            ("Deactivate passes the breaker", tripped().policy(DeletionPolicy::Deactivate), "deactivate"),
            ("a handover passes the breaker", tripped().successor(), "hand over to newer"),
            ("what has begun goes on", tripped().shrunk(MINE, 5), "erase"),
            ("at the end of its window", tripped().recovery(50).window(50), "refuse: BreakerTripped"),
        ],
        Case::remove,
    );
}

#[test]
fn what_a_guard_rail_did_to_the_data() {
    for (name, case, effect) in [
        ("before anything", case(), Effect::Untouched),
        ("in a window", case().recovery(50).window(50), Effect::RolledBack),
    ] {
        let case = case.noted(1, Some((30, 40)));
        let refused = match remove(&case.subject, &case.facts, &case.owner, &case.circumstances()) {
            Remove::Refuse(failure) => failure.effect,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(refused, Some(effect), "{name}");
    }
}

#[test]
fn a_suspended_live_object_is_left_alone() {
    let c = || case().with(|c| c.subject.terminating_since = None).suspended();
    let (passed, ahead) = (at(90), at(900));
    check(
        &[
            ("an ordinary one", c(), "nothing"),
            ("it wants to be off", c().wants(Activation::Deactivated), "nothing"),
            ("nobody has claimed it", c().free(), "nothing"),
            ("its owner is gone", c().owned_by(ClaimOwner::Gone { uid: "x".into() }), "nothing"),
            ("it is not there", c().absent(), "nothing"),
            ("its expiration has passed", c().expires(passed, Some(passed)), "nothing"),
            ("and nobody had seen it", c().expires(passed, None), "nothing"),
            ("an expiration to come", c().expires(ahead, None), "nothing but a note"),
            ("which is known", c().expires(ahead, Some(ahead)), "nothing"),
            ("the policy was lowered", c().policy(DeletionPolicy::Retain), "nothing but a note"),
            (
                "an expiration that has passed stays noted",
                c().policy(DeletionPolicy::Retain).expires(passed, Some(passed)),
                "nothing",
            ),
            ("another database", c().policy(DeletionPolicy::Retain).other_database(), "nothing"),
            ("a standby", c().policy(DeletionPolicy::Retain).standby(), "nothing"),
        ],
        Case::apply,
    );
}
