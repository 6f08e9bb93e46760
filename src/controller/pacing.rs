//! The pace of deletions in pages: the clocks and the standbys of which the pacer is told.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use crate::db::Database;
use crate::pace::{Load, Moment, Next, Pace, Pacer, PageDone, PageSize, Slice, Wait};

/// How often the standbys are read while pages are deleted.
const PERIOD: Duration = Duration::from_secs(1);

/// Shared by all deletions in pages of the process.
pub(super) struct Pacing {
    began: Instant,
    pacer: Mutex<Pacer>,
}

/// The pages of one reconciliation.
pub(super) struct Pages<'a> {
    pacing: &'a Pacing,
    database: &'a Database,
    /// What the server said last about its standbys. `None` if it did not say.
    load: Mutex<Option<Load>>,
    slice: Mutex<Slice>,
}

impl Pacing {
    pub(super) fn new(pace: Pace) -> Self {
        Self { began: Instant::now(), pacer: Mutex::new(Pacer::new(pace)) }
    }

    /// Begins a slice of that length, if pages may be deleted now.
    ///
    /// # Errors
    /// Fails with what has to be waited for, and when to ask again.
    pub(super) async fn begin<'a>(&'a self, database: &'a Database, length: Duration) -> Result<Pages<'a>, Wait> {
        let load = self.read(database).await;
        let now = self.now();
        locked(&self.pacer).may_begin(load.as_ref(), now)?;
        Ok(Pages { pacing: self, database, load: Mutex::new(load), slice: Mutex::new(Slice::until(now.at + length)) })
    }

    /// How large the next page should be.
    pub(super) fn page(&self) -> PageSize {
        locked(&self.pacer).page()
    }

    /// Asks the server about its standbys, if anything depends on them.
    async fn read(&self, database: &Database) -> Option<Load> {
        if !locked(&self.pacer).pace().needs_load() {
            return None;
        }
        database.load().await.inspect_err(|f| tracing::warn!(reason = f.reason.as_str(), "{}", f.message())).ok()
    }

    fn now(&self) -> Moment {
        Moment { at: self.began.elapsed(), clock: Timestamp::now() }
    }
}

impl Pages<'_> {
    /// What follows a page that has just ended.
    pub(super) fn after(&self, page: &PageDone) -> Next {
        let mut slice = locked(&self.slice);
        let load = locked(&self.load);
        locked(&self.pacing.pacer).after(page, load.as_ref(), &mut slice, self.pacing.now())
    }

    /// Deletes pages, and meanwhile reads how the standbys are.
    pub(super) async fn with_standbys<T>(&self, pages: impl Future<Output = T>) -> T {
        if !locked(&self.pacing.pacer).pace().needs_load() {
            return pages.await;
        }
        tokio::select! {
            biased;
            done = pages => done,
            never = self.keep_reading() => match never {},
        }
    }

    /// How the slice ended.
    pub(super) fn ended(self) -> Slice {
        self.slice.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_reading(&self) -> Infallible {
        loop {
            tokio::time::sleep(PERIOD).await;
            let load = self.pacing.read(self.database).await;
            *locked(&self.load) = load;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
