//! Suspended objects: the operator observes them and changes nothing. A deletion that waits for that must never be silent.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::announcement::{Announcement, Severity};
use super::decide::resume;
use super::facts::{Facts, UnderWay};
use super::failure::Effect;
use super::report::deletion::Deletion;
use super::report::progress::Progress;
use super::subject::{Subject, whole_seconds};
use crate::api::condition::{self, stage};
use crate::api::status::{OrganizationStatus, Outcome};
use crate::api::{DeletionPolicy, Organization};

/// What a live object says that is suspended.
#[must_use]
pub fn observed_only(subject: &Subject) -> String {
    format!(
        "spec.suspend is true: the operator observes the organization and changes nothing. To go on: {}",
        resume(&subject.name)
    )
}

/// The deletion of a suspended object. Without `facts`, the database could not be read.
#[must_use]
pub fn suspended(subject: &Subject, facts: Option<&Facts>) -> Deletion {
    let mine = |begun: &&UnderWay| begun.uid == subject.uid && begun.rows() > 0;
    let begun = facts.and_then(Facts::under_way).filter(mine);
    let policy = if begun.is_some() { DeletionPolicy::Delete } else { subject.policy };
    let message = format!(
        "spec.suspend is true, so the operator does nothing for this deletion.{} To go on with deletionPolicy {}: {}",
        so_far(subject, facts, begun).map(|sentence| format!(" {sentence}")).unwrap_or_default(),
        policy.as_str(),
        resume(&subject.name)
    );
    Deletion {
        erase_time: facts.and_then(|facts| window_ends(subject, facts)).map(whole_seconds),
        steps: begun.map(|begun| begun.deleted.clone()).unwrap_or_default(),
        progress: begun.map(|begun| Progress {
            rows: begun.rows(),
            estimated: begun.estimated,
            since: begun.started,
            waiting_for: None,
        }),
        ..Deletion::at(policy, stage::SUSPENDED, message)
    }
}

/// What the deletion did before.
fn so_far(subject: &Subject, facts: Option<&Facts>, begun: Option<&UnderWay>) -> Option<String> {
    let facts = facts?;
    let recorded = facts.ledger.as_ref().filter(|entry| !entry.may_go_on());
    Some(match (recorded, begun, window_ends(subject, facts)) {
        (Some(entry), _, _) if entry.outcome == Outcome::Erased => {
            "The organization was erased before; only the end of the deletion is missing.".to_owned()
        }
        (Some(entry), _, _) => format!("How it ended is recorded already ({}).", entry.outcome.as_str()),
        (None, Some(begun), _) => format!("{}.", Effect::Partial(begun.rows()).sentence()),
        (None, None, Some(ends)) => format!(
            "The organization is deactivated, and nothing was deleted; its data will not be erased at {:.0}, when the recovery \
             window ends, but after that when the suspension has been lifted.",
            whole_seconds(ends)
        ),
        (None, None, None) => "Nothing was deleted.".to_owned(),
    })
}

/// When the recovery window of this object's deletion ends. It does not wait for the suspension.
fn window_ends(subject: &Subject, facts: &Facts) -> Option<Timestamp> {
    let window = facts.claim.as_ref().filter(|claim| claim.uid == subject.uid)?.window?;
    let seconds = subject.recovery_window_seconds;
    let ends = || window.started + SignedDuration::from_secs(seconds);
    (seconds > 0 && subject.policy == DeletionPolicy::Delete).then(ends)
}

/// The Event when a suspension begins. Returns `None` if the status shows it already.
#[must_use]
pub fn begins(object: &Organization, subject: &Subject, message: &str) -> Option<Announcement> {
    let (kind, severity, action) = match subject.terminating_since {
        None => (condition::READY, Severity::Normal, "Reconcile"),
        Some(_) => (condition::DELETION_BLOCKED, Severity::Warning, "Delete"),
    };
    let conditions = |status: &OrganizationStatus| {
        status.conditions.iter().any(|c| c.type_ == kind && c.reason == condition::SUSPENDED)
    };
    let shown = object.status.as_ref().is_some_and(conditions);
    (!shown)
        .then(|| Announcement::once(severity, condition::SUSPENDED, action, message).per_generation(subject.generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::DeletionStep;
    use crate::domain::facts::{Claim, LedgerEntry, Presence, Window};
    use crate::domain::subject::example;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn facts() -> Facts {
        let claim = Claim {
            cluster: "here".into(),
            uid: "u".into(),
            name: "acme".into(),
            policy: DeletionPolicy::Delete,
            expiration: None,
            window: None,
        };
        Facts {
            installation: "db".into(),
            standby: false,
            now: at(100),
            key: "1".into(),
            id_changed: false,
            organization: Presence::Present { active: Some(true) },
            claim: Some(claim),
            under_way: None,
            ledger: None,
            noted: None,
        }
    }

    fn in_window(started: i64) -> Facts {
        let window = Some(Window { started: at(started), was_active: true });
        Facts { claim: facts().claim.map(|claim| Claim { window, ..claim }), ..facts() }
    }

    fn shrunk(uid: &str, rows: i64) -> Facts {
        let deleted = vec![DeletionStep { entity: "users".into(), tables: Vec::new(), found: rows, deleted: rows }];
        let (uid, interrupted) = (uid.to_owned(), None);
        let (started, updated, estimated, paged) = (at(1), at(2), 100, true);
        Facts { under_way: Some(UnderWay { uid, started, updated, estimated, deleted, interrupted, paged }), ..facts() }
    }

    fn recorded(outcome: Outcome) -> Facts {
        let entry = LedgerEntry { outcome, steps: Vec::new(), finished: at(2), verified: false, detail: None };
        Facts { ledger: Some(entry), ..facts() }
    }

    #[test]
    fn a_deletion_says_what_has_happened_so_far() {
        let subject =
            Subject { terminating_since: Some(at(0)), suspended: true, recovery_window_seconds: 3600, ..example() };
        for (name, facts, said, erase_time, rows) in [
            ("nothing", Some(facts()), "Nothing was deleted.", None, None),
            ("in its window", Some(in_window(10)), "not be erased at 1970-01-01T01:00:10Z", Some(3610), None),
            (
                "a window that is over",
                Some(in_window(-9000)),
                "is deactivated, and nothing was deleted",
                Some(-5400),
                None,
            ),
            ("in its pages", Some(shrunk("u", 7)), "7 rows had already been deleted in pages", None, Some(7)),
            ("before the first page", Some(shrunk("u", 0)), "Nothing was deleted.", None, None),
            ("another object's pages", Some(shrunk("x", 7)), "Nothing was deleted.", None, None),
            ("erased", Some(recorded(Outcome::Erased)), "The organization was erased before", None, None),
            ("recorded", Some(recorded(Outcome::Transferred)), "recorded already (Transferred)", None, None),
            ("the database does not answer", None, "nothing for this deletion. To go on with", None, None),
        ] {
            let deletion = suspended(&subject, facts.as_ref());
            assert!(deletion.message.contains(said), "{name}: {}", deletion.message);
            assert!(deletion.message.ends_with(&resume("acme")), "{name}: {}", deletion.message);
            assert_eq!(deletion.erase_time, erase_time.map(at), "{name}");
            assert_eq!(deletion.progress.map(|p| p.rows), rows, "{name}");
            assert_eq!((deletion.stage, deletion.failure), (stage::SUSPENDED, None), "{name}");
        }
    }
}
