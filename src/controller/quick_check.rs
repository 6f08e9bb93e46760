//! What would block the deletion of a live object, found before anybody asks for it. It is information: the object stays
//! `Ready`, and nothing is tried again because of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use super::backoff::RESYNC;
use super::cached::LAST_APPLIED;
use crate::api::Organization;
use crate::domain::Failure;
use planner::CompiledPlan;

/// How often an object is checked if nothing blocked its deletion.
const SELDOM: Duration = Duration::from_hours(1);

/// The last check of an object.
pub(super) struct QuickCheck {
    at: Instant,
    /// Of the object and the statements that checked it.
    fingerprint: u64,
    /// What would block its deletion. Nothing does for most objects.
    blocked: Option<Box<Failure>>,
}

impl QuickCheck {
    /// A check that has just been made.
    pub(super) fn new(fingerprint: u64, blocked: Option<Failure>) -> Self {
        Self { at: Instant::now(), fingerprint, blocked: blocked.map(Box::new) }
    }

    /// What would block the deletion of the object.
    pub(super) fn blocked(&self) -> Option<Failure> {
        self.blocked.as_deref().cloned()
    }

    /// Whether the object need not be checked again yet.
    pub(super) fn holds(&self, fingerprint: u64) -> bool {
        self.holds_after(self.at.elapsed(), fingerprint)
    }

    fn holds_after(&self, age: Duration, fingerprint: u64) -> bool {
        // Whoever clears what blocks the deletion sees that at the next regular reconciliation, the earliest of which comes
        // then.
        let often = if self.blocked.is_some() { RESYNC.mul_f64(0.8) } else { SELDOM };
        self.fingerprint == fingerprint && age < often
    }
}

/// Changes when a person has changed the object, or the check has other statements.
pub(super) fn fingerprint(object: &Organization, plan: &CompiledPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.metadata.generation.hash(&mut hasher);
    // The cache leaves this one out. It changes with the spec, or nothing does.
    let annotations = object.metadata.annotations.iter().flatten().filter(|(name, _)| *name != LAST_APPLIED);
    annotations.collect::<Vec<_>>().hash(&mut hasher);
    if let Some(erase) = plan.cascade() {
        erase.quick_check.references.as_ref().map(|query| query.statement().sql()).hash(&mut hasher);
        erase.quick_check.shared.as_ref().map(|query| query.statement().sql()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;

    #[test]
    fn the_documentation_says_how_often_and_for_how_long() {
        let docs = include_str!("../../docs/organization.md");
        let limit =
            format!("for at most {} seconds a statement", crate::cascade::quick_check::QUICK_CHECK_LIMIT.as_secs());
        assert_eq!((SELDOM.as_secs(), RESYNC.as_secs()), (3600, 600));
        for part in [limit.as_str(), "else once an hour; every ten minutes while something blocks"] {
            assert!(docs.contains(part), "{part}");
        }
    }

    #[test]
    fn a_check_holds_for_an_hour_or_until_the_next_regular_reconciliation_while_something_blocks() {
        let minutes = Duration::from_mins;
        for (blocked, fingerprint, age, holds) in [
            (false, 1, minutes(59), true),
            (false, 1, minutes(60), false),
            (false, 2, minutes(0), false),
            (true, 1, minutes(7), true),
            (true, 1, minutes(8), false),
            (true, 2, minutes(0), false),
        ] {
            let failure = blocked.then(|| Failure::new(Reason::ForeignKeyViolation, "rows refer to it"));
            let check = QuickCheck::new(1, failure);
            assert_eq!(check.holds_after(age, fingerprint), holds, "{blocked} {fingerprint} {age:?}");
        }
    }
}
