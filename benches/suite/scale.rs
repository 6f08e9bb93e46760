//! How large a run is.

use std::time::Duration;

use clap::ValueEnum;

use super::tenants::Size;

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[value(rename_all = "lower")]
#[strum(serialize_all = "lowercase")]
pub enum Scale {
    /// Every row once, with thousands of rows and tens of objects: shows that the suite works, and no figure is worth anything.
    /// Less than two minutes.
    Small,
    /// The table of docs/benchmarks.md: up to 11 million rows and 10,000 objects. About an hour.
    Full,
    /// One tenant of 110 million rows, deleted in pages, and nothing else. Needs 40 GB of disk and about two hours.
    Huge,
}

/// How often, how many and how long.
pub struct Sizes {
    /// Tenants, the smallest first.
    pub tenants: Vec<Size>,
    /// A tenant that takes minutes.
    pub large: Size,
    /// A tenant that takes hours.
    pub huge: Size,
    /// The tenant of the row about another tenant's small transactions.
    pub beside: Size,
    /// Objects that are deleted at once.
    pub bursts: Vec<u32>,
    /// Idle objects: few, and many.
    pub idle: [u32; 2],
    /// Objects that are deleted at once among many.
    pub among: u32,
    /// How often each side of a row is measured.
    pub repeats: usize,
    /// How long the small transactions are watched before the deletion.
    pub quiet: Duration,
    /// How long an operator that has something to do is left alone before it counts as idle.
    pub settle: Duration,
    /// How long an idle operator is watched.
    pub watch: Duration,
    /// Tables of the large plan.
    pub tables: usize,
    /// Deletions with, and as many without a preflight.
    pub deletions: usize,
}

impl Scale {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// How often, how many and how long.
    pub fn sizes(self) -> Sizes {
        match self {
            Self::Small => Sizes {
                tenants: vec![Size::new(1, 100), Size::new(2, 100)],
                large: Size::new(10, 100),
                huge: Size::new(20, 100),
                beside: Size::new(10, 100),
                bursts: vec![5, 10],
                idle: [5, 20],
                among: 5,
                repeats: 1,
                quiet: Duration::from_secs(1),
                settle: Duration::from_secs(1),
                watch: Duration::from_secs(2),
                tables: 20,
                deletions: 5,
            },
            Self::Full | Self::Huge => Sizes {
                tenants: [1, 10, 100].map(|flows| Size::new(flows, 1000)).to_vec(),
                large: Size::new(1000, 1000),
                huge: Size::new(10_000, 1000),
                beside: Size::new(100, 1000),
                bursts: vec![300, 1500],
                idle: [300, 10_000],
                among: 300,
                repeats: 5,
                quiet: Duration::from_secs(10),
                settle: Duration::from_secs(30),
                watch: Duration::from_mins(1),
                tables: 140,
                deletions: 100,
            },
        }
    }
}
