//! Which replica leads: the one whose name stands in the Lease. It renews the Lease, and acts no longer than its last renewal
//! allows; the others wait for longer than that. This is the algorithm of client-go. The database decides what happens if two
//! replicas act all the same.

mod leader;
mod observed;
mod record;

pub use leader::{Leader, LeadershipLost};

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::Leases;
use crate::config::ElectionTimes;
use crate::domain::Failure;
use crate::metrics::Metrics;
use crate::tenure::Tenure;
use observed::Observed;

/// How much longer than `retrySeconds` a candidate waits at most, so that candidates do not write at the same moment.
const JITTER: f64 = 0.2;

/// A replica that wants to lead.
pub struct Candidate {
    leases: Leases,
    /// The name of this process in the Lease. No other process has it, not even the next one in the same pod.
    me: String,
    times: ElectionTimes,
    tenure: Tenure,
    metrics: Arc<Metrics>,
}

/// How an attempt ended.
enum Attempt {
    /// This process leads.
    Won(Box<k8s_openapi::api::coordination::v1::Lease>),
    /// Another one leads, or was faster.
    Lost(Option<String>),
}

impl Candidate {
    /// A replica that is named after its pod. `tenure` begins when it leads.
    #[must_use]
    pub fn new(leases: Leases, pod: &str, times: ElectionTimes, tenure: Tenure, metrics: Arc<Metrics>) -> Self {
        Self { leases, me: format!("{pod}_{:016x}", fastrand::u64(..)), times, tenure, metrics }
    }

    /// The longest wait for one answer of the API server: two attempts fit into the time of a leader.
    #[must_use]
    pub fn limit(times: ElectionTimes) -> Duration {
        times.renew() / 2
    }

    /// Waits until this process leads. It reads the Lease every `retrySeconds`, and writes nothing else.
    pub async fn win(self) -> Leader {
        let mut observed = Observed::default();
        let mut said = None;
        loop {
            let attempt = self.attempt(&mut observed).await;
            self.metrics.lease_seen(attempt.is_ok());
            let news = match attempt {
                Ok(Attempt::Won(lease)) => {
                    tracing::info!(lease = self.leases.place(), identity = self.me, "this replica leads");
                    return Leader::new(self, *lease);
                }
                Ok(Attempt::Lost(leader)) => Ok(leader),
                Err(failure) => Err(failure),
            };
            let words = match &news {
                Ok(leader) => format!("standing by while {} leads", leader.as_deref().unwrap_or("another replica")),
                Err(failure) => failure.message(),
            };
            if said.as_ref() != Some(&words) {
                match &news {
                    Ok(_) => tracing::info!(lease = self.leases.place(), identity = self.me, "{words}"),
                    Err(failure) => {
                        let remedy = failure.remedy.as_deref().unwrap_or_default();
                        tracing::warn!(lease = self.leases.place(), remedy, "the election waits: {words}");
                    }
                }
                said = Some(words);
            }
            tokio::time::sleep(self.times.retry().mul_f64(1.0 + JITTER * fastrand::f64())).await;
        }
    }

    async fn attempt(&self, observed: &mut Observed) -> Result<Attempt, Failure> {
        let lease = self.leases.read().await?;
        if !observed.is_free(lease.as_ref(), &self.me, self.times.lease(), Instant::now()) {
            return Ok(Attempt::Lost(lease.as_ref().and_then(record::holder).map(str::to_owned)));
        }
        let began = Instant::now();
        let taken = record::taken(lease.as_ref(), &self.me, self.times, Timestamp::now());
        let Some(lease) = self.leases.write(&taken).await? else { return Ok(Attempt::Lost(None)) };
        // Counted from before the request: the others saw it later.
        self.tenure.begin(began + self.times.renew());
        Ok(if self.tenure.holds() { Attempt::Won(Box::new(lease)) } else { Attempt::Lost(None) })
    }
}
