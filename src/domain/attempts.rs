//! Failed attempts at the same thing.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// Failed attempts at the same thing, in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many.
    pub count: i32,
    /// How long to wait for the next one. `None` if it is due when something changes.
    pub delay: Option<Duration>,
}

impl Attempts {
    /// When the next one is due.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.delay.and_then(|delay| now.checked_add(delay).ok())
    }
}
