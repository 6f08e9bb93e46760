//! A page, and what follows it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// What a page did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageDone {
    /// Rows that it deleted.
    pub rows: i64,
    /// How long it took, from the beginning of its transaction to the end of its COMMIT.
    pub took: Duration,
    /// How much the server's write-ahead log grew meanwhile, in bytes, whoever wrote it.
    pub wal_bytes: u64,
    /// The table.
    pub table: String,
}

/// How large a page should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// How long it should take.
    pub takes: Duration,
    /// The most blocks.
    pub blocks: i64,
    /// The most rows, where that can be limited.
    pub rows: i64,
    /// A table is walked whole if the organization has more than one row of it in so many blocks; else pages visit only the
    /// organization's rows. 0 if they always do where an index finds those.
    pub sparse: i64,
}

/// A row that is visited alone costs about as much as a block that is read in a walk, twice: once to find it, once to delete it.
const SPARSE: i64 = 4;

impl From<Duration> for PageSize {
    fn from(takes: Duration) -> Self {
        Self { takes, blocks: i64::MAX, rows: i64::MAX, sparse: SPARSE }
    }
}

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next page, at once.
    Continue,
    /// The next page, after a pause.
    Pause(Duration),
    /// No page for now.
    Stop,
}

/// A point in time, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since the process began, by a clock that never jumps: pauses are measured by it.
    pub at: Duration,
    /// The time of day, for the hours.
    pub clock: Timestamp,
}
