//! The limits, row by row, and what they add up to over many pages.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::*;
use crate::pace::Standby;

const SLICE: Duration = Duration::from_secs(5);

fn moment(at: Duration) -> Moment {
    let clock = Timestamp::UNIX_EPOCH + SignedDuration::try_from(at).expect("a short time");
    Moment { at, clock }
}

fn page(rows: i64, milliseconds: u64, wal_bytes: u64) -> PageDone {
    PageDone { rows, took: Duration::from_millis(milliseconds), wal_bytes, table: "t".into() }
}

fn standby(name: &str, state: Option<&str>, lag: u64) -> Standby {
    Standby {
        name: name.into(),
        state: state.map(str::to_owned),
        lag: Some(Duration::from_secs(lag)),
        behind: state.map(|_| 1 << 24),
    }
}

fn load(standbys: &[Standby]) -> Load {
    Load { server: "one".into(), standbys: standbys.to_vec() }
}

/// What a pace says at the beginning of the year 1970.
fn forbidden(pace: &Pace, load: Option<&Load>) -> &'static str {
    let pacer = Pacer::new(pace.clone());
    let now = moment(Duration::from_secs(1000));
    let label = pacer.may_begin(load, now).err().map_or("", |wait| wait.waiting_for.label());
    // A page that was under way ends with the same answer.
    let mut slice = Slice::until(now.at + SLICE);
    let mut pacer = pacer;
    let next = pacer.after(&page(1, 1, 1), load, &mut slice, now);
    assert_eq!(next == Next::Stop, !label.is_empty(), "{slice:?}");
    assert_eq!(slice.waits.map_or("", |waits| waits.label()), label);
    label
}

#[test]
fn standbys() {
    let lag = || Pace { max_replay_lag_seconds: Some(10), ..Pace::default() };
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let named = |of: &[&str]| Pace { standbys: names(of), ..Pace::default() };
    let both = |of: &[&str]| Pace { standbys: names(of), ..lag() };
    let streaming = |name, lag| standby(name, Some("streaming"), lag);
    for (name, pace, standbys, expected) in [
        ("nothing is asked", Pace::default(), None, ""),
        ("the server does not answer", lag(), None, "StandbysUnreadable"),
        ("the server does not answer about a name", named(&["a"]), None, "StandbysUnreadable"),
        ("no standby", lag(), Some(vec![]), ""),
        ("none is late", lag(), Some(vec![streaming("a", 10), streaming("b", 0)]), ""),
        ("one is late", lag(), Some(vec![streaming("a", 0), streaming("b", 11)]), "ReplayLag"),
        ("one that is not named is late", both(&["a"]), Some(vec![streaming("a", 0), streaming("b", 11)]), ""),
        ("one that is named is late", both(&["b"]), Some(vec![streaming("a", 0), streaming("b", 11)]), "ReplayLag"),
        ("two of one name", both(&["b"]), Some(vec![streaming("b", 0), streaming("b", 11)]), "ReplayLag"),
        ("late, but nobody asks", named(&["b"]), Some(vec![streaming("b", 11)]), ""),
        ("one is missing", both(&["a", "b"]), Some(vec![streaming("a", 0)]), "StandbyMissing"),
        ("all are missing", named(&["a"]), Some(vec![]), "StandbyMissing"),
        ("one is the server itself", both(&["a", "one"]), Some(vec![streaming("a", 0)]), ""),
        ("one catches up", lag(), Some(vec![standby("a", Some("catchup"), 0)]), "StandbyCatchingUp"),
        ("one cannot be seen", lag(), Some(vec![standby("a", None, 0)]), "MissingPrivilege"),
        ("one that is only named cannot be seen", named(&["a"]), Some(vec![standby("a", None, 0)]), ""),
    ] {
        let load = standbys.map(|standbys| load(&standbys));
        assert_eq!(forbidden(&pace, load.as_ref()), expected, "{name}");
    }
    let archive = Standby { behind: None, ..standby("pg_receivewal", Some("streaming"), 99) };
    assert_eq!(forbidden(&lag(), Some(&load(&[archive]))), "", "it replays nothing");
}

#[test]
fn hours() {
    let pace = |hours| Pace { hours: Some(Hours::parse(hours, "UTC").expect("hours")), ..Pace::default() };
    // It is 00:16:40.
    assert_eq!(forbidden(&pace("00:00-00:17"), None), "");
    assert_eq!(forbidden(&pace("00:17-00:00"), None), "Hours");
    let now = moment(Duration::from_secs(1000));
    let again = |hours| Pacer::new(pace(hours)).may_begin(None, now).expect_err("it waits").again;
    assert_eq!(again("00:17-00:18"), Duration::from_secs(20));
    assert_eq!(again("12:00-13:00"), Duration::from_hours(1), "it asks again at least every hour");
}

#[test]
fn a_page_rests_for_as_long_as_it_took() {
    let mut pacer = Pacer::new(Pace::default());
    let mut slice = Slice::until(SLICE);
    let next = pacer.after(&page(5000, 100, 1 << 20), None, &mut slice, moment(Duration::from_millis(100)));
    assert_eq!(next, Next::Pause(Duration::from_millis(100)));
    assert_eq!(slice.waits, None);
    // At the end of the slice the rest belongs to the next one.
    let next = pacer.after(&page(5000, 100, 1 << 20), None, &mut slice, moment(Duration::from_millis(4950)));
    assert_eq!((next, slice.again), (Next::Stop, Duration::from_millis(100)));
}

/// Deletes for a minute with this many deletions side by side. Returns rows and bytes a second, and what slowed it down.
fn a_minute(pace: Pace, deletions: usize, of_page: impl Fn(PageSize) -> PageDone) -> (u64, u64, Option<WaitingFor>) {
    let mut pacer = Pacer::new(pace);
    let minute = Duration::from_mins(1);
    // When each deletion begins its next page.
    let mut begins = vec![Duration::ZERO; deletions];
    let (mut rows, mut wal, mut waits) = (0, 0, None);
    loop {
        let (which, begin) = begins.iter().copied().enumerate().min_by_key(|(_, at)| *at).expect("a deletion");
        if begin >= minute {
            return (rows / 60, wal / 60, waits);
        }
        if let Err(wait) = pacer.may_begin(None, moment(begin)) {
            begins[which] = begin + wait.again;
            continue;
        }
        let page = of_page(pacer.page());
        let end = begin + page.took;
        let mut slice = Slice::until(begin + SLICE);
        let next = pacer.after(&page, None, &mut slice, moment(end));
        (rows, wal) = (rows + u64::try_from(page.rows).expect("rows"), wal + page.wal_bytes);
        waits = slice.waits.or(waits);
        begins[which] = end
            + match next {
                Next::Continue => Duration::ZERO,
                Next::Pause(pause) => pause,
                Next::Stop => slice.again,
            };
    }
}

/// A table of which a second deletes so many rows, 100 bytes of the log each.
fn table(rows_per_second: u64) -> impl Fn(PageSize) -> PageDone {
    move |PageSize { takes: page, rows: most, .. }: PageSize| {
        let rows = u64::try_from(page.as_millis()).expect("short") * rows_per_second / 1000;
        let rows = rows.max(1).min(most.unsigned_abs());
        let took = Duration::from_micros(rows * 1_000_000 / rows_per_second);
        PageDone { rows: i64::try_from(rows).expect("few"), took, wal_bytes: rows * 100, table: "t".into() }
    }
}

#[test]
fn no_minute_has_more_than_the_limits() {
    let rows = |limit| Pace { max_rows_per_second: Some(limit), ..Pace::default() };
    let wal = |limit| Pace { max_wal_bytes_per_second: Some(limit), ..Pace::default() };
    for (name, pace, deletions, limit, label) in [
        ("rows", rows(1000), 1, 1000, "RowsPerSecond"),
        ("few rows", rows(7), 1, 7, "RowsPerSecond"),
        ("rows of two deletions", rows(1000), 2, 1000, "RowsPerSecond"),
        ("rows of five deletions", rows(300), 5, 300, "RowsPerSecond"),
        ("bytes", wal(200_000), 1, 2000, "WalBytesPerSecond"),
        ("bytes of two deletions", wal(200_000), 2, 2000, "WalBytesPerSecond"),
        ("both", Pace { max_rows_per_second: Some(5000), ..wal(200_000) }, 1, 2000, "WalBytesPerSecond"),
    ] {
        let (got, _, waits) = a_minute(pace, deletions, table(50_000));
        // The pages that have begun in the minute end in it: up to a second of the limit for each deletion.
        let more = limit * u64::try_from(deletions).expect("few") / 60 + 1;
        assert!(got <= limit + more, "{name}: {got} rows a second, the limit is {limit}");
        assert!(got * 10 >= limit * 9, "{name}: {got} rows a second, the limit of {limit} is not used");
        assert_eq!(waits.map(|w| w.label()), Some(label), "{name}");
    }
    let (got, _, waits) = a_minute(rows(1_000_000), 1, table(50_000));
    assert_eq!((got, waits), (25_000, None), "a limit above what is possible slows nothing down");
}

#[test]
fn under_a_limit_pages_are_short_and_come_evenly() {
    let mut pacer = Pacer::new(Pace { max_rows_per_second: Some(1000), ..Pace::default() });
    assert_eq!(pacer.page(), PageSize { rows: 250, ..SHORTEST_PAGE.into() });
    assert_eq!(Pacer::new(Pace::default()).page(), PAGE.into());
    let mut slice = Slice::until(2 * SLICE);
    let next = pacer.after(&page(5000, 100, 0), None, &mut slice, moment(Duration::from_millis(100)));
    assert_eq!(next, Next::Pause(Duration::from_millis(4900)));
    let quarter = PageSize { rows: 250, ..Duration::from_millis(5).into() };
    assert_eq!(pacer.page(), quarter, "a quarter of a second's rows");
    // Whoever asks too early waits for the rest.
    let wait = pacer.may_begin(None, moment(Duration::from_secs(2))).expect_err("too early");
    assert_eq!((wait.waiting_for, wait.again), (WaitingFor::Rows { limit: 1000 }, Duration::from_secs(3)));
    assert_eq!(pacer.may_begin(None, moment(Duration::from_secs(5))), Ok(()));
}

#[test]
fn every_sentence_names_the_field_that_changes_it() {
    let opens = "2026-11-28T22:00:00Z".parse().expect("a time");
    for (waits, parts) in [
        (
            WaitingFor::Hours { hours: "22:00-06:00 (UTC)".into(), opens },
            &["22:00-06:00 (UTC)", "batch.hours", "2026-11-28T22:00:00Z"][..],
        ),
        (WaitingFor::Standby { name: "a".into() }, &["`a`", "batch.standbys"]),
        (WaitingFor::ReplayLag { name: "a".into(), limit: 9 }, &["`a`", "9 s", "maxReplayLagSeconds"]),
        (WaitingFor::CatchingUp { name: "a".into() }, &["`a`", "maxReplayLagSeconds"]),
        (WaitingFor::Privilege { name: "a".into() }, &["`a`", "GRANT pg_monitor"]),
        (WaitingFor::Unreadable, &["standbys"]),
        (WaitingFor::Rows { limit: 5 }, &["5 rows", "maxRowsPerSecond"]),
        (WaitingFor::Wal { limit: 5 }, &["5 bytes", "maxWalBytesPerSecond"]),
        (WaitingFor::Others { at_once: 1 }, &["only one runs at a time", "batch.atOnce"]),
        (WaitingFor::Others { at_once: 2 }, &["only 2 run at a time", "batch.atOnce"]),
    ] {
        let sentence = waits.sentence();
        assert!(WaitingFor::LABELS.contains(&waits.label()), "{waits:?}");
        assert!(sentence.ends_with('.') && sentence.len() < 1024, "{sentence}");
        for part in parts {
            assert!(sentence.contains(part), "`{part}` is missing: {sentence}");
        }
    }
}
