//! When this process first saw each object terminating, by its own monotonic clock: clocks of other machines that disagree
//! must not shorten the wait for a successor.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct FirstSeen(Mutex<HashMap<String, Instant>>);

impl FirstSeen {
    /// How long ago the object was first seen terminating; it is now, if it was not before.
    pub(super) fn since(&self, uid: &str) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = seen.get(uid) {
            return first.elapsed();
        }
        seen.insert(uid.to_owned(), Instant::now());
        Duration::ZERO
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| exists(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_counts_and_an_object_that_is_gone_is_forgotten() {
        let seen = FirstSeen::default();
        assert_eq!(seen.since("a"), Duration::ZERO);
        assert_eq!(seen.since("b"), Duration::ZERO);
        assert!(seen.since("a") > Duration::ZERO, "the second look does not start again");
        seen.keep_only(|uid| uid == "b");
        assert_eq!(seen.since("a"), Duration::ZERO);
        assert!(seen.since("b") > Duration::ZERO);
    }
}
