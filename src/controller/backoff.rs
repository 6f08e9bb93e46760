//! When a failed object is tried again. Live and terminating are counted apart, so that failures of a live object never
//! delay its deletion.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::api::{Reason, Retry};
use crate::config::{Bounds, RetryBounds};

/// What an object is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Live,
    Terminating,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Pass(Phase),
    /// The API server is told what the pass came to.
    Publishing,
}

pub(super) struct Backoff {
    bounds: RetryBounds,
    failures: Mutex<HashMap<(String, Doing), (Reason, u32)>>,
}

impl Backoff {
    pub(super) fn new(bounds: RetryBounds) -> Self {
        Self { bounds, failures: Mutex::new(HashMap::new()) }
    }

    /// Counts a failure. Returns how many there were in a row with this reason, and when to try again; None: when
    /// something changes.
    pub(super) fn failed(&self, uid: &str, doing: Doing, reason: Reason) -> (u32, Option<Duration>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.entry((uid.to_owned(), doing)).or_insert((reason, 0));
        if entry.0 != reason {
            *entry = (reason, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        let delay = match reason.retry() {
            Retry::Backoff => Some(delay(self.bounds.backoff, entry.1)),
            Retry::Slow => Some(delay(self.bounds.slow, entry.1)),
            Retry::Change => None,
        };
        (entry.1, delay)
    }

    /// Forgets the failures of an object.
    pub(super) fn succeeded(&self, uid: &str, doing: Doing) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&(uid.to_owned(), doing));
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).retain(|(uid, _), _| exists(uid));
    }
}

/// Doubling from the first to the longest, less up to a fifth at random, so that objects that failed together do not come
/// back together.
fn delay(bounds: Bounds, failures: u32) -> Duration {
    let doubled =
        bounds.initial().saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20))).min(bounds.max());
    doubled.mul_f64(1.0 - 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { initial_seconds: 1, max_seconds: 60 };

    #[test]
    fn delays_double_up_to_the_longest_and_never_exceed_it() {
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)] {
            let delay = delay(BOUNDS, failures);
            assert!(delay <= Duration::from_secs(longest), "{failures}: {delay:?}");
            assert!(delay >= Duration::from_secs(longest).mul_f64(0.8), "{failures}: {delay:?}");
        }
    }

    #[test]
    fn f20_failures_of_the_live_object_do_not_delay_its_deletion() {
        let backoff = Backoff::new(RetryBounds { backoff: BOUNDS, slow: BOUNDS });
        for _ in 0..10 {
            backoff.failed("u", Doing::Pass(Phase::Live), Reason::DatabaseUnavailable);
        }
        let (count, delay) = backoff.failed("u", Doing::Pass(Phase::Terminating), Reason::DatabaseUnavailable);
        assert_eq!(count, 1);
        assert!(delay.expect("tried again") <= Duration::from_secs(1));
    }
}
