//! When an object is reconciled again.

use std::time::Duration;

use crate::api::{Reason, Retry};
use crate::config::{Bounds, RetryBounds};
use crate::domain::attempts::Attempts;

/// How often a healthy object is reconciled although nothing changed: capped counts are refreshed then.
pub(super) const RESYNC: Duration = Duration::from_mins(10);
/// When to reconcile an object again that changed meanwhile: the watch may not report what changed.
pub(super) const AFTER_A_CHANGE: Duration = Duration::from_secs(1);

/// When a healthy object is reconciled again: up to a fifth earlier than [`RESYNC`], at random, so that not all are at once.
pub(super) fn resync() -> Duration {
    jittered(RESYNC)
}

fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(1.0 - 0.2 * fastrand::f64())
}

/// Failures in a row, with the same reason.
#[derive(Default)]
pub(super) struct Failures {
    reason: Option<Reason>,
    count: u32,
}

impl Failures {
    /// Counts a failure. Returns how many there were in a row with this reason, and when to try again.
    pub(super) fn count(&mut self, reason: Reason, bounds: &RetryBounds) -> Attempts {
        if self.reason.replace(reason) != Some(reason) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        let delay = match reason.retry() {
            Retry::Backoff => Some(delay(bounds.backoff, self.count)),
            Retry::Slow => Some(delay(bounds.slow, self.count)),
            Retry::Change => None,
        };
        Attempts { count: i32::try_from(self.count).unwrap_or(i32::MAX), delay }
    }
}

/// Doubling from the first to the longest, less up to a fifth at random, so that objects that failed together are not tried
/// again together.
fn delay(bounds: Bounds, failures: u32) -> Duration {
    let doubled =
        bounds.initial().saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20))).min(bounds.max());
    jittered(doubled)
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
    fn another_reason_is_counted_anew() {
        let bounds = RetryBounds { backoff: BOUNDS, slow: BOUNDS };
        let mut failures = Failures::default();
        let mut count = |reason| failures.count(reason, &bounds).count;
        assert_eq!([Reason::LockTimeout; 3].map(&mut count), [1, 2, 3]);
        assert_eq!([Reason::PermissionDenied, Reason::LockTimeout].map(count), [1, 1]);
    }
}
