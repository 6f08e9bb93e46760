//! After a page: on, a pause, or what it waits for.

use std::time::Duration;

use super::hours::Hours;
use super::load::{Load, Stand};
use super::page::{Moment, Next, PageDone, PageSize};
use super::waiting::{Wait, WaitingFor};

/// How long pages rest, in percent of the time that they took, so that others get the processor and the disk.
const REST_PERCENT: u32 = 100;
/// How long a page takes if nothing limits it.
const PAGE: Duration = Duration::from_millis(100);
/// How long a page takes under a limit before it is known how many rows it has, and the shortest page.
const SHORTEST_PAGE: Duration = Duration::from_millis(1);
/// Pages in a second that has as much as the limits allow, so that rows go evenly.
const PAGES_PER_SECOND: u32 = 4;

/// The limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// The most rows in a second. Not 0.
    pub max_rows_per_second: Option<u64>,
    /// The most bytes of the write-ahead log in a second. Not 0.
    pub max_wal_bytes_per_second: Option<u64>,
    /// How late a standby may be, in seconds.
    pub max_replay_lag_seconds: Option<u64>,
    /// The standbys that have to be connected, and of which the lag counts. If empty, that of all counts.
    pub standbys: Vec<String>,
    /// The hours of the day. `None`: all.
    pub hours: Option<Hours>,
}

impl Pace {
    /// Whether anything depends on the standbys.
    #[must_use]
    pub fn needs_load(&self) -> bool {
        self.max_replay_lag_seconds.is_some() || !self.standbys.is_empty()
    }

    /// What forbids a page now, whatever was deleted before.
    fn forbids(&self, load: Option<&Load>, now: Moment) -> Option<WaitingFor> {
        let closed = self.hours.as_ref().and_then(|hours| Some((hours, hours.opens(now.clock)?)));
        if let Some((hours, opens)) = closed {
            return Some(WaitingFor::Hours { hours: hours.to_string(), opens });
        }
        if !self.needs_load() {
            return None;
        }
        let Some(load) = load else { return Some(WaitingFor::Unreadable) };
        self.missing(load).or_else(|| self.late(load))
    }

    fn missing(&self, load: &Load) -> Option<WaitingFor> {
        // After a failover one of the names is that of the server itself.
        let seen = |name: &String| *name == load.server || load.standbys.iter().any(|s| s.name == *name);
        let name = self.standbys.iter().find(|name| !seen(name))?.clone();
        Some(WaitingFor::Standby { name })
    }

    fn late(&self, load: &Load) -> Option<WaitingFor> {
        let limit = self.max_replay_lag_seconds?;
        let counts = |name: &String| self.standbys.is_empty() || self.standbys.contains(name);
        load.standbys.iter().filter(|s| counts(&s.name)).find_map(|standby| {
            let name = standby.name.clone();
            match standby.stand() {
                Stand::Hidden => Some(WaitingFor::Privilege { name }),
                Stand::CatchingUp => Some(WaitingFor::CatchingUp { name }),
                Stand::Late(lag) if lag > Duration::from_secs(limit) => Some(WaitingFor::ReplayLag { name, limit }),
                Stand::Late(_) | Stand::ReplaysNothing => None,
            }
        })
    }

    /// How long the rate limits make a page last, with its pause, and which of them does.
    fn costs(&self, page: &PageDone) -> Option<(Duration, WaitingFor)> {
        let rows = u64::try_from(page.rows).unwrap_or_default();
        let rows = self.max_rows_per_second.map(|limit| (at_most(rows, limit), WaitingFor::Rows { limit }));
        let wal = self.max_wal_bytes_per_second;
        let wal = wal.map(|limit| (at_most(page.wal_bytes, limit), WaitingFor::Wal { limit }));
        rows.into_iter().chain(wal).max_by_key(|(time, _)| *time)
    }
}

fn rows_of_a_page(limit: u64) -> i64 {
    i64::try_from(limit / u64::from(PAGES_PER_SECOND)).unwrap_or(i64::MAX).max(1)
}

/// How much of `amount` a page may have that is like one that `costs` this long.
fn of_a_page(amount: u128, costs: Duration) -> u64 {
    let pages = u128::from(PAGES_PER_SECOND) * costs.as_micros().max(1);
    u64::try_from(amount * 1_000_000 / pages).unwrap_or(u64::MAX)
}

/// How long `amount` takes at `limit` a second.
fn at_most(amount: u64, limit: u64) -> Duration {
    let nanoseconds = u128::from(amount) * 1_000_000_000 / u128::from(limit.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Decides for all deletions in pages of a process: together they keep the limits.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// Before that, the rate limits allow no page.
    free_at: Duration,
    /// The limit that decided.
    limited_by: Option<WaitingFor>,
    page: PageSize,
}

/// The time that one reconciliation has for pages, and what happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// When it ends.
    pub ends_at: Duration,
    /// What stopped it or slowed it down.
    pub waits: Option<WaitingFor>,
    /// How long to wait before the next slice.
    pub again: Duration,
}

impl Slice {
    /// A slice that ends then.
    #[must_use]
    pub fn until(ends_at: Duration) -> Self {
        Self { ends_at, waits: None, again: Duration::ZERO }
    }
}

impl Pacer {
    /// One that has not seen a page yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let limited = pace.max_rows_per_second.is_some() || pace.max_wal_bytes_per_second.is_some();
        let mut page = PageSize::from(if limited { SHORTEST_PAGE } else { PAGE });
        if let Some(limit) = pace.max_rows_per_second {
            page.rows = rows_of_a_page(limit);
        }
        Self { pace, free_at: Duration::ZERO, limited_by: None, page }
    }

    /// The limits.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How large the next page should be. Under a rate limit pages are smaller, so that rows go evenly.
    #[must_use]
    pub fn page(&self) -> PageSize {
        self.page
    }

    /// Whether a page may begin. `load`: what the server said about its standbys; `None` if it did not say.
    ///
    /// # Errors
    /// Fails with what has to be waited for, and when to ask again.
    pub fn may_begin(&self, load: Option<&Load>, now: Moment) -> Result<(), Wait> {
        if let Some(waiting_for) = self.pace.forbids(load, now) {
            return Err(waiting_for.from(now.clock));
        }
        match (&self.limited_by, self.free_at.checked_sub(now.at)) {
            (Some(waiting_for), Some(again)) if !again.is_zero() => {
                Err(Wait { waiting_for: waiting_for.clone(), again })
            }
            _ => Ok(()),
        }
    }

    /// What follows a page that has just ended.
    pub fn after(&mut self, page: &PageDone, load: Option<&Load>, slice: &mut Slice, now: Moment) -> Next {
        let pause = self.pause(page, slice, now);
        if let Some(waiting_for) = self.pace.forbids(load, now) {
            let wait = waiting_for.from(now.clock);
            slice.again = wait.again.max(pause);
            slice.waits = Some(wait.waiting_for);
            return Next::Stop;
        }
        if now.at + pause >= slice.ends_at {
            slice.again = pause;
            return Next::Stop;
        }
        if pause.is_zero() { Next::Continue } else { Next::Pause(pause) }
    }

    /// Others get their share, and no second has more than the limits.
    fn pause(&mut self, page: &PageDone, slice: &mut Slice, now: Moment) -> Duration {
        let rest = page.took * REST_PERCENT / 100;
        let Some((costs, limit)) = self.pace.costs(page) else { return rest };
        // The time that the page took counts, but not twice if pages of two deletions ran side by side.
        let began = now.at.saturating_sub(page.took);
        self.free_at = self.free_at.max(began) + costs;
        let pause = self.free_at.saturating_sub(now.at);
        self.page.takes = Duration::from_micros(of_a_page(page.took.as_micros(), costs)).clamp(SHORTEST_PAGE, PAGE);
        if page.rows > 0 {
            let rows = of_a_page(page.rows.unsigned_abs().into(), costs);
            self.page.rows = i64::try_from(rows).unwrap_or(i64::MAX).max(1);
        }
        if pause <= rest {
            self.limited_by = None;
            return rest;
        }
        self.limited_by = Some(limit.clone());
        slice.waits = Some(limit);
        pause
    }
}

#[cfg(test)]
mod tests;
