//! For how long this process may act as the leader, by its own monotonic clock. Whatever changes something asks here first:
//! every commit in the database and every write to the API server. A process that was frozen finds its time over before it
//! does anything else.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time in which this process may act. Clones share it.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<watch::Sender<End>>);

#[derive(Clone, Copy, Debug)]
enum End {
    /// There is no election.
    Never,
    /// At this moment, or before it.
    At(Instant),
}

/// This process may not act as the leader, or not any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this process is not the leader, so it changes nothing")]
pub struct Ended;

impl Tenure {
    /// For a process without an election: it may always act.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(Arc::new(watch::Sender::new(End::Never)))
    }

    /// For a process that has yet to be elected.
    #[must_use]
    pub fn not_yet() -> Self {
        Self(Arc::new(watch::Sender::new(End::At(Instant::now()))))
    }

    /// Begins, and lasts until this moment.
    pub fn begin(&self, until: Instant) {
        self.0.send_replace(End::At(until));
    }

    /// Lasts until this moment, unless it is over already. What is over stays over.
    pub fn extend(&self, until: Instant) {
        self.0.send_if_modified(|end| {
            let holds = end.holds();
            if holds {
                *end = End::At(until);
            }
            holds
        });
    }

    /// Ends now.
    pub fn end(&self) {
        self.begin(Instant::now());
    }

    /// Whether this process may act.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.borrow().holds()
    }

    /// Returns when this process may not act any more.
    pub async fn ended(&self) {
        let mut changed = self.0.subscribe();
        loop {
            let end = *changed.borrow_and_update();
            match end {
                // It fails when nobody can change it any more; `self` can.
                End::Never => drop(changed.changed().await),
                End::At(at) if at <= Instant::now() => return,
                End::At(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    _ = changed.changed() => {}
                },
            }
        }
    }

    /// Does `work` as long as this process may act. It asks before each part of the work, and after a freeze, too.
    ///
    /// # Errors
    /// Fails if this process may not act any more. What has begun is dropped.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        let mut work = pin!(work);
        poll_fn(|context| if self.holds() { work.as_mut().poll(context).map(Ok) } else { Poll::Ready(Err(Ended)) })
            .await
    }
}

impl End {
    fn holds(self) -> bool {
        match self {
            Self::Never => true,
            Self::At(at) => Instant::now() < at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn what_is_over_stays_over() {
        let tenure = Tenure::not_yet();
        tenure.extend(Instant::now() + LONG);
        assert!(!tenure.holds(), "it has not begun");
        tenure.begin(Instant::now() + LONG);
        assert!(tenure.clone().holds());
        tenure.end();
        tenure.extend(Instant::now() + LONG);
        assert!(!tenure.holds(), "a late answer extends nothing");
        assert!(Tenure::unlimited().holds());
    }

    #[tokio::test]
    async fn work_stops_where_the_tenure_ends() {
        let tenure = Tenure::not_yet();
        tenure.begin(Instant::now() + LONG);
        assert_eq!(tenure.guard(async { 7 }).await.expect("it holds"), 7);
        let (ours, mut parts) = (tenure.clone(), 0);
        let cut = tenure.guard(async {
            parts += 1;
            ours.end();
            tokio::task::yield_now().await;
            parts += 1;
        });
        assert!(cut.await.is_err());
        assert_eq!(parts, 1, "the second part is not done");
        assert!(tenure.guard(async { 7 }).await.is_err(), "nothing begins");
    }

    #[tokio::test]
    async fn the_end_is_noticed_by_the_clock_and_at_once() {
        let tenure = Tenure::not_yet();
        tenure.ended().await;
        tenure.begin(Instant::now() + Duration::from_millis(20));
        tenure.extend(Instant::now() + Duration::from_millis(40));
        tenure.ended().await;
        assert!(!tenure.holds());
        tenure.begin(Instant::now() + LONG);
        let waiting = tenure.ended();
        tokio::select! {
            biased;
            () = waiting => {}
            () = async { tenure.end(); std::future::pending::<()>().await } => {}
        }
    }
}
