//! How far a deletion in pages is, for the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::status::DeletionProgress;
use crate::pace::WaitingFor;

/// The status shows a number that only grows no more often than this.
const PACE_OF_WRITES: SignedDuration = SignedDuration::from_secs(5);

/// How far a deletion in pages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that are gone.
    pub rows: i64,
    /// How many there were, as far as it is known.
    pub estimated: i64,
    /// When the first page began.
    pub since: Timestamp,
    /// What it waits for, or what slows it down.
    pub waiting_for: Option<WaitingFor>,
}

/// What the status shows. The rate is that since the last status, and half of the one before, so that it follows what happens
/// and does not jump.
pub(super) fn progress_status(
    progress: &Progress,
    previous: Option<&DeletionProgress>,
    now: Timestamp,
) -> DeletionProgress {
    let estimated = progress.estimated.max(progress.rows);
    let (rows, since) = previous
        .and_then(|p| Some((p.rows_deleted, p.observed_time.as_ref()?.0)))
        .filter(|(rows, _)| *rows <= progress.rows)
        .unwrap_or((0, progress.since));
    let before = previous.and_then(|p| p.rows_per_second);
    let rate = match per_second(progress.rows - rows, now.duration_since(since)) {
        Some(0) => None,
        Some(lately) => Some(before.map_or(lately, |before| i64::midpoint(lately, before))),
        None => before,
    };
    DeletionProgress {
        rows_deleted: progress.rows,
        rows_estimated: estimated,
        percent: percent(progress.rows, estimated),
        rows_per_second: rate,
        estimated_end_time: rate.and_then(|rate| end(estimated - progress.rows, rate, now)).map(Time),
        waiting_for: progress.waiting_for.as_ref().map(WaitingFor::sentence),
        observed_time: Some(Time(now)),
    }
}

/// The same after something else than a page: the numbers without what moves. Returns `None` if no page has begun.
pub(super) fn standing(progress: &DeletionProgress) -> Option<DeletionProgress> {
    progress.rows_may_be_gone().then(|| DeletionProgress {
        rows_per_second: None,
        estimated_end_time: None,
        waiting_for: None,
        ..progress.clone()
    })
}

/// What is compared with the previous status: not what follows from time alone.
pub(super) fn timeless(progress: &mut DeletionProgress) {
    progress.observed_time = None;
    progress.rows_per_second = None;
    progress.estimated_end_time = None;
}

/// Whether enough time has passed for numbers that only grow.
pub(super) fn due(before: Option<&DeletionProgress>, after: Option<&DeletionProgress>) -> bool {
    let time = |p: Option<&DeletionProgress>| p.and_then(|p| p.observed_time.as_ref()).map(|t| t.0);
    match (time(before), time(after)) {
        (Some(before), Some(after)) => after.duration_since(before) >= PACE_OF_WRITES,
        _ => true,
    }
}

/// `None` if too little time has passed to tell.
fn per_second(rows: i64, within: SignedDuration) -> Option<i64> {
    let milliseconds = i64::try_from(within.as_millis()).ok().filter(|ms| *ms >= 100)?;
    Some(rows.saturating_mul(1000) / milliseconds)
}

/// At most 99: the last row goes with the organization.
fn percent(rows: i64, estimated: i64) -> i32 {
    let percent = i128::from(rows.max(0)) * 100 / i128::from(estimated.max(1));
    i32::try_from(percent.min(99)).unwrap_or(99)
}

fn end(left: i64, rate: i64, now: Timestamp) -> Option<Timestamp> {
    let seconds = left.checked_div(rate)?.saturating_add(1);
    // Whole seconds: the status has no fractions elsewhere.
    let now = Timestamp::from_second(now.as_second()).ok()?;
    now.checked_add(SignedDuration::from_secs(seconds)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn pages(rows: i64, estimated: i64) -> Progress {
        Progress { rows, estimated, since: at(0), waiting_for: None }
    }

    #[test]
    fn what_the_numbers_say() {
        for (rows, estimated, expected) in [
            (0, 1000, (0, 1000)),
            (630, 1000, (63, 1000)),
            (999, 1000, (99, 1000)),
            (1000, 1000, (99, 1000)),
            (2000, 1000, (99, 2000)),
            (0, 0, (0, 0)),
            (i64::MAX, 1, (99, i64::MAX)),
        ] {
            let shown = progress_status(&pages(rows, estimated), None, at(10));
            assert_eq!((shown.percent, shown.rows_estimated), expected, "{rows} of {estimated}");
        }
    }

    #[test]
    fn the_rate_is_that_of_late_and_tells_the_end() {
        let first = progress_status(&pages(1000, 10_000), None, at(10));
        assert_eq!(first.rows_per_second, Some(100));
        assert_eq!(first.estimated_end_time, Some(Time(at(101))));
        let second = progress_status(&pages(3000, 10_000), Some(&first), at(15));
        assert_eq!(second.rows_per_second, Some(250));
        assert_eq!(second.estimated_end_time, Some(Time(at(15 + 28 + 1))));
        // Nothing was deleted lately: nobody knows when it ends.
        let third = progress_status(&pages(3000, 10_000), Some(&second), at(20));
        assert_eq!((third.rows_per_second, third.estimated_end_time), (None, None));
        // Too early to tell: the last rate stays.
        let soon = progress_status(&pages(3001, 10_000), Some(&second), at(15));
        assert_eq!(soon.rows_per_second, Some(250));
    }

    #[test]
    fn another_deletion_begins_anew() {
        let other = progress_status(&pages(9000, 10_000), None, at(10));
        let begun = progress_status(&Progress { since: at(100), ..pages(50, 10_000) }, Some(&other), at(110));
        assert_eq!((begun.rows_deleted, begun.rows_per_second), (50, Some(452)));
    }

    #[test]
    fn a_deletion_that_waited_for_its_first_page_shows_no_numbers_when_it_waits_no_more() {
        let waits = |rows, waiting_for| progress_status(&Progress { waiting_for, ..pages(rows, 100) }, None, at(1));
        let others = || Some(WaitingFor::Others { at_once: 1 });
        for (name, rows, waiting_for, gone) in [
            ("the first page waits", 0, others(), false),
            ("the first page may have begun", 0, None, true),
            ("a later page waits", 7, others(), true),
        ] {
            let shown = waits(rows, waiting_for);
            assert_eq!(shown.rows_may_be_gone(), gone, "{name}");
            let stands = standing(&shown);
            assert_eq!(stands.is_some(), gone, "{name}");
            assert!(stands.is_none_or(|s| s.rows_deleted == rows && s.rows_may_be_gone()), "{name}");
        }
    }

    #[test]
    fn numbers_are_written_every_five_seconds() {
        let status = |second| progress_status(&pages(second, 100), None, at(second));
        assert!(due(None, Some(&status(1))) && due(Some(&status(1)), None));
        assert!(!due(Some(&status(1)), Some(&status(5))) && due(Some(&status(1)), Some(&status(6))));
    }
}
