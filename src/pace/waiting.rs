//! What a deletion in pages waits for, in words.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The longest wait before the operator asks again.
const LONGEST: Duration = Duration::from_hours(1);
/// How soon the operator asks the standbys again.
const SOON: Duration = Duration::from_secs(2);

/// What a deletion in pages waits for, or what slows it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// An hour in which pages are deleted.
    Hours {
        /// The hours, with their time zone.
        hours: String,
        /// When they begin.
        opens: Timestamp,
    },
    /// A standby that is expected and not connected.
    Standby {
        /// Its name.
        name: String,
    },
    /// A standby that is late.
    ReplayLag {
        /// Its name.
        name: String,
        /// How late it may be, in seconds.
        limit: u64,
    },
    /// A standby that copies what it missed.
    CatchingUp {
        /// Its name.
        name: String,
    },
    /// The operator's role may not see how late a standby is.
    Privilege {
        /// The standby's name.
        name: String,
    },
    /// The server does not say how its standbys are.
    Unreadable,
    /// So many rows a second.
    Rows {
        /// The most rows a second.
        limit: u64,
    },
    /// So many bytes of the write-ahead log a second.
    Wal {
        /// The most bytes a second.
        limit: u64,
    },
    /// Other deletions in pages.
    Others {
        /// How many go at the same time.
        at_once: u16,
    },
}

/// A wait: for what, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for.
    pub waiting_for: WaitingFor,
    /// When to ask again.
    pub again: Duration,
}

impl WaitingFor {
    /// All labels in the metrics.
    pub const LABELS: [&str; 9] = [
        "Hours",
        "StandbyMissing",
        "ReplayLag",
        "StandbyCatchingUp",
        "MissingPrivilege",
        "StandbysUnreadable",
        "RowsPerSecond",
        "WalBytesPerSecond",
        "OtherDeletions",
    ];

    /// The label in the metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Hours { .. } => "Hours",
            Self::Standby { .. } => "StandbyMissing",
            Self::ReplayLag { .. } => "ReplayLag",
            Self::CatchingUp { .. } => "StandbyCatchingUp",
            Self::Privilege { .. } => "MissingPrivilege",
            Self::Unreadable => "StandbysUnreadable",
            Self::Rows { .. } => "RowsPerSecond",
            Self::Wal { .. } => "WalBytesPerSecond",
            Self::Others { .. } => "OtherDeletions",
        }
    }

    /// One or two sentences for the status. They hold no number that moves: each new sentence is a write of the status.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Hours { hours, opens } => {
                format!(
                    "Pages run only in the hours {hours} (cascade.batch.hours). The deletion continues at {opens:.0}."
                )
            }
            Self::Standby { name } => format!(
                "The standby `{name}` (cascade.batch.standbys) is not connected to the server. The deletion continues when it is."
            ),
            Self::ReplayLag { name, limit } => format!(
                "The standby `{name}` is more than {limit} s behind (cascade.batch.maxReplayLagSeconds). The deletion continues when it has caught up."
            ),
            Self::CatchingUp { name } => format!(
                "The standby `{name}` is catching up after an absence (cascade.batch.maxReplayLagSeconds). The deletion continues when it has caught up."
            ),
            Self::Privilege { name } => format!(
                "The operator's role may not see the replication lag of the standby `{name}` (cascade.batch.maxReplayLagSeconds). GRANT pg_monitor TO the operator's role."
            ),
            Self::Unreadable => {
                "The operator cannot read the state of the standbys. The deletion continues when it can.".to_owned()
            }
            Self::Rows { limit } => {
                format!("The deletion is limited to {limit} rows per second (cascade.batch.maxRowsPerSecond).")
            }
            Self::Wal { limit } => format!(
                "The deletion is limited to {limit} bytes of write-ahead log per second (cascade.batch.maxWalBytesPerSecond)."
            ),
            Self::Others { at_once: 1 } => {
                "Another large organization is being deleted, and only one runs at a time (cascade.batch.atOnce)."
                    .to_owned()
            }
            Self::Others { at_once } => format!(
                "Other large organizations are being deleted, and only {at_once} run at a time (cascade.batch.atOnce)."
            ),
        }
    }

    /// With the time after which to ask again.
    pub(super) fn from(self, now: Timestamp) -> Wait {
        let again = match &self {
            Self::Hours { opens, .. } => {
                let until = Duration::try_from(opens.duration_since(now)).unwrap_or_default();
                until.clamp(Duration::from_millis(1), LONGEST)
            }
            _ => SOON,
        };
        Wait { waiting_for: self, again }
    }
}
