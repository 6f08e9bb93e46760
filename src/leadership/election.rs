//! What a process needs to take part in the election.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Leases;
use crate::config::ElectionTimes;
use crate::metrics::Metrics;
use crate::tenure::Tenure;

/// One process in the election.
pub struct Election {
    pub(super) leases: Leases,
    /// The name of this process in the Lease. No other process has it, not even the next one in the same pod.
    pub(super) me: String,
    pub(super) times: ElectionTimes,
    pub(super) tenure: Tenure,
    pub(super) metrics: Arc<Metrics>,
}

impl Election {
    /// A process that is named after its pod. `tenure` begins when it leads.
    #[must_use]
    pub fn new(leases: Leases, pod: &str, times: ElectionTimes, tenure: Tenure, metrics: Arc<Metrics>) -> Self {
        Self { leases, me: format!("{pod}_{:016x}", fastrand::u64(..)), times, tenure, metrics }
    }

    /// The longest wait for one answer of the API server: two attempts fit into the time of a leader.
    #[must_use]
    pub fn limit(times: ElectionTimes) -> Duration {
        times.renew() / 2
    }
}
