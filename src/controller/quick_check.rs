//! What would stand in the way of a live object's deletion, found before anybody asks for it. It is information: the object
//! stays `Ready`, and nothing is tried again because of it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use super::Context;
use super::apply::RESYNC;
use crate::api::{Organization, Reason};
use crate::domain::Failure;
use planner::CompiledPlan;

/// How often an object is looked at where nothing stood in the way.
const SELDOM: Duration = Duration::from_hours(1);

/// What was seen of each object, and when.
#[derive(Default)]
pub(super) struct QuickChecks(Mutex<HashMap<String, QuickCheck>>);

struct QuickCheck {
    at: Instant,
    /// Of the object and the statements that it was looked at with.
    mark: u64,
    /// What stood in the way.
    blocked: Option<Failure>,
}

impl QuickCheck {
    /// Whether it still tells how things are, after so long.
    fn holds(&self, mark: u64, age: Duration) -> bool {
        // Whoever clears what stands in the way sees it at the next regular pass, the earliest of which comes then.
        let often = if self.blocked.is_some() { RESYNC.mul_f64(0.8) } else { SELDOM };
        self.mark == mark && age < often
    }
}

impl QuickChecks {
    /// What stood in the way when the object was looked at last.
    pub(super) fn blocked(&self, uid: &str) -> Option<Failure> {
        self.lock().get(uid).and_then(|quick_check| quick_check.blocked.clone())
    }

    /// Whether it need not be looked for again.
    fn holds(&self, uid: &str, mark: u64) -> bool {
        self.lock().get(uid).is_some_and(|quick_check| quick_check.holds(mark, quick_check.at.elapsed()))
    }

    fn note(&self, uid: &str, mark: u64, blocked: Option<Failure>) {
        self.lock().insert(uid.to_owned(), QuickCheck { at: Instant::now(), mark, blocked });
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| exists(uid));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, QuickCheck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What would stand in the way of the object's deletion, by a short look if one is due. None: nothing that is known; a look
/// that took too long knows nothing.
pub(super) async fn look(object: &Organization, key: &str, plan: &CompiledPlan, context: &Context) -> Option<Failure> {
    let uid = object.uid().unwrap_or_default();
    let mark = mark(object, plan);
    if context.quick_checks.holds(&uid, mark) {
        return context.quick_checks.blocked(&uid);
    }
    let blocked = match context.database.quick_check(key, plan).await {
        Ok(blocked) => blocked,
        Err(failure) => {
            tracing::debug!(object = object.name_any(), reason = failure.reason.as_str(), "{}", failure.message());
            // What takes too long takes no shorter at the next pass; all else is tried there.
            if !matches!(failure.reason, Reason::StatementTimeout | Reason::LockTimeout) {
                return None;
            }
            None
        }
    };
    context.quick_checks.note(&uid, mark, blocked.clone());
    blocked
}

/// Changes when a person has changed the object, or the look would be another one.
fn mark(object: &Organization, plan: &CompiledPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.metadata.generation.hash(&mut hasher);
    object.metadata.annotations.hash(&mut hasher);
    if let Some(erase) = plan.cascade() {
        erase.quick_check.references.as_ref().map(|query| query.statement().sql()).hash(&mut hasher);
        erase.quick_check.shared.as_ref().map(|query| query.statement().sql()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick_check(blocked: bool) -> QuickCheck {
        let blocked = blocked.then(|| Failure::new(Reason::ForeignKeyViolation, "rows refer to it"));
        QuickCheck { at: Instant::now(), mark: 1, blocked }
    }

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
    fn what_was_seen_holds_for_an_hour_or_until_the_next_regular_pass_while_something_blocks() {
        let minutes = Duration::from_mins;
        for (blocked, mark, age, holds) in [
            (false, 1, minutes(59), true),
            (false, 1, minutes(60), false),
            (false, 2, minutes(0), false),
            (true, 1, minutes(7), true),
            (true, 1, minutes(8), false),
            (true, 2, minutes(0), false),
        ] {
            assert_eq!(quick_check(blocked).holds(mark, age), holds, "{blocked} {mark} {age:?}");
        }
    }
}
