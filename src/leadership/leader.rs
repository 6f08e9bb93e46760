//! The leader renews its Lease, and notices in time that it cannot.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Candidate, record};
use crate::api::Reason;
use crate::domain::Failure;

/// The replica that leads. The renewals go on in the background until it is released or dropped.
#[derive(Debug)]
pub struct Leader {
    release: Option<oneshot::Sender<()>>,
    renewing: JoinHandle<Result<(), LeadershipLost>>,
}

/// This process does not lead any more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LeadershipLost {
    /// The API server answered no renewal in time.
    #[error(
        "this replica could not renew the Lease {lease} for {seconds} s and leads no longer{}; {ENDS}",
        .last.as_ref().map(|last| format!(" (last: {last})")).unwrap_or_default()
    )]
    Expired {
        /// Namespace and name of the Lease.
        lease: String,
        /// `leaderElection.renewSeconds`.
        seconds: u64,
        /// The last failure. `None` if there was none: the process was frozen.
        last: Option<String>,
    },
    /// Another process holds the Lease.
    #[error("{holder} took the Lease {lease}, so this replica leads no longer; {ENDS}")]
    Taken {
        /// Namespace and name of the Lease.
        lease: String,
        /// Who holds it now.
        holder: String,
    },
    /// The task that renews the Lease failed.
    #[error("the renewal of the Lease failed, so this replica leads no longer; {ENDS}")]
    Failed,
}

/// What a replica does that leads no longer.
const ENDS: &str =
    "the operator exits, PostgreSQL rolls back what is under way, and the kubelet starts the operator again";

impl Leader {
    pub(super) fn new(candidate: Candidate, lease: Lease) -> Self {
        let (release, released) = oneshot::channel();
        candidate.metrics.leads(true);
        Self { release: Some(release), renewing: tokio::spawn(Renewal { candidate, lease, last: None }.run(released)) }
    }

    /// Returns when this process does not lead any more.
    pub async fn lost(&mut self) -> LeadershipLost {
        match (&mut self.renewing).await {
            Ok(Err(lost)) => lost,
            Ok(Ok(())) | Err(_) => LeadershipLost::Failed,
        }
    }

    /// Stops acting, and then gives the Lease back, so that the next replica need not wait until it expires.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // The renewals may have ended by themselves.
            let _ = release.send(());
        }
        // Whatever became of it is logged.
        drop((&mut self.renewing).await);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

struct Renewal {
    candidate: Candidate,
    lease: Lease,
    /// The message of the last failure since the last success.
    last: Option<String>,
}

/// Why one renewal did not succeed.
enum NotRenewed {
    /// This process holds it: another, or nobody.
    Taken(String),
    /// It may succeed the next time.
    Failed(Failure),
}

impl From<Failure> for NotRenewed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How often one renewal is tried when somebody changes something else in the Lease meanwhile: a label, say.
const TRIES: usize = 3;

impl Renewal {
    async fn run(mut self, mut released: oneshot::Receiver<()>) -> Result<(), LeadershipLost> {
        let tenure = self.candidate.tenure.clone();
        let ended = loop {
            tokio::select! {
                biased;
                () = tenure.ended() => break Err(self.expired()),
                _ = &mut released => break Ok(()),
                () = tokio::time::sleep(self.candidate.times.retry()) => {}
            }
            let renewed = tokio::select! {
                biased;
                () = tenure.ended() => break Err(self.expired()),
                renewed = self.renew() => renewed,
            };
            if let Err(lost) = renewed {
                break Err(lost);
            }
        };
        tenure.end();
        self.candidate.metrics.leads(false);
        match &ended {
            Ok(()) => self.give_back().await,
            Err(lost) => tracing::error!("{lost}"),
        }
        ended
    }

    fn expired(&self) -> LeadershipLost {
        LeadershipLost::Expired {
            lease: self.candidate.leases.place(),
            seconds: self.candidate.times.renew_seconds,
            last: self.last.clone(),
        }
    }

    /// One renewal. A failure is logged when it is new; the next attempt follows after `retrySeconds`.
    async fn renew(&mut self) -> Result<(), LeadershipLost> {
        let lease = self.candidate.leases.place();
        match self.try_to_renew().await {
            Ok(()) => self.last = None,
            Err(NotRenewed::Taken(holder)) => return Err(LeadershipLost::Taken { lease, holder }),
            Err(NotRenewed::Failed(failure)) => {
                let message = failure.message();
                if self.last.as_ref() != Some(&message) {
                    tracing::warn!(lease, "the Lease was not renewed: {message}");
                }
                self.last = Some(message);
            }
        }
        Ok(())
    }

    async fn try_to_renew(&mut self) -> Result<(), NotRenewed> {
        let Candidate { leases, me, times, tenure, .. } = &self.candidate;
        for _ in 0..TRIES {
            let began = Instant::now();
            let renewed = record::taken(Some(&self.lease), me, *times, Timestamp::now());
            if let Some(written) = leases.write(&renewed).await? {
                tenure.extend(began + times.renew());
                self.lease = written;
                return Ok(());
            }
            let Some(now) = leases.read().await? else {
                // Somebody deleted it: the next write creates it.
                self.lease.metadata = ObjectMeta::default();
                continue;
            };
            match record::holder(&now) {
                Some(holder) if holder == me => self.lease = now,
                holder => return Err(NotRenewed::Taken(holder.unwrap_or("nobody").to_owned())),
            }
        }
        Err(Failure::new(Reason::InternalError, "the Lease changed each time this replica tried to renew it").into())
    }

    async fn give_back(&self) {
        let leases = &self.candidate.leases;
        match leases.write(&record::released(&self.lease, Timestamp::now())).await {
            Ok(Some(_)) => tracing::info!(lease = leases.place(), "the Lease is released"),
            Ok(None) => tracing::info!(lease = leases.place(), "the Lease has changed and is not released"),
            Err(failure) => {
                tracing::warn!(
                    "the Lease is not released; the next replica waits until it expires: {}",
                    failure.message()
                );
            }
        }
    }
}
