//! A process that wants to lead.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::election::Election;
use super::leader::Leader;
use super::observed::Observed;
use super::record;
use crate::domain::Failure;

/// How much longer than `retrySeconds` a candidate waits at most, so that candidates do not write at the same moment.
const JITTER: f64 = 0.2;

/// How an attempt ended.
enum Attempt {
    /// This process leads.
    Won(Box<Lease>),
    /// Another one leads, or was faster.
    Lost(Option<String>),
}

/// Waits until this process leads. It reads the Lease every `retrySeconds`, and writes it only when it is free.
pub async fn win(election: Election) -> Leader {
    let mut observed = Observed::default();
    let mut said = None;
    loop {
        let attempt = attempt(&election, &mut observed).await;
        election.metrics.lease_seen(attempt.is_ok());
        let news = match attempt {
            Ok(Attempt::Won(lease)) => {
                tracing::info!(lease = election.leases.place(), identity = election.me, "this replica leads");
                return Leader::new(election, *lease);
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
                Ok(_) => tracing::info!(lease = election.leases.place(), identity = election.me, "{words}"),
                Err(failure) => {
                    let remedy = failure.remedy.as_deref().unwrap_or_default();
                    tracing::warn!(lease = election.leases.place(), remedy, "the election waits: {words}");
                }
            }
            said = Some(words);
        }
        tokio::time::sleep(election.times.retry().mul_f64(1.0 + JITTER * fastrand::f64())).await;
    }
}

async fn attempt(election: &Election, observed: &mut Observed) -> Result<Attempt, Failure> {
    let lease = election.leases.read().await?;
    if !observed.is_free(lease.as_ref(), &election.me, election.times.lease(), Instant::now()) {
        return Ok(Attempt::Lost(lease.as_ref().and_then(record::holder).map(str::to_owned)));
    }
    let began = Instant::now();
    let taken = record::taken(lease.as_ref(), &election.me, election.times, Timestamp::now());
    let Some(lease) = election.leases.write(&taken).await? else { return Ok(Attempt::Lost(None)) };
    // Counted from before the request: the others saw it later.
    election.tenure.begin(began + election.times.renew());
    Ok(if election.tenure.holds() { Attempt::Won(Box::new(lease)) } else { Attempt::Lost(None) })
}
