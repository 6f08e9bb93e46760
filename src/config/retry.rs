//! When the operator tries again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::report::Waits;

/// Bounds of the retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryBounds {
    /// For a cause that is expected to clear by itself.
    pub backoff: Bounds,
    /// For a cause that a person has to clear.
    pub slow: Bounds,
}

/// The first and the longest delay of retries whose delay doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bounds {
    /// The first delay, in seconds.
    pub initial_seconds: u64,
    /// The longest delay, in seconds.
    pub max_seconds: u64,
}

impl Bounds {
    /// The first delay.
    #[must_use]
    pub const fn initial(self) -> Duration {
        Duration::from_secs(self.initial_seconds)
    }

    /// The longest delay.
    #[must_use]
    pub const fn max(self) -> Duration {
        Duration::from_secs(self.max_seconds)
    }
}

impl RetryBounds {
    /// The longest waits between two attempts, for the messages of the status.
    #[must_use]
    pub const fn longest(&self) -> Waits {
        Waits { backoff: self.backoff.max(), slow: self.slow.max() }
    }
}

impl Default for RetryBounds {
    fn default() -> Self {
        Self {
            backoff: Bounds { initial_seconds: 1, max_seconds: 60 },
            slow: Bounds { initial_seconds: 60, max_seconds: 900 },
        }
    }
}
