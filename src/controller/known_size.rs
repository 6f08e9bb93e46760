//! How large an organization was when its rows were counted last.

use std::time::{Duration, Instant};

use crate::api::status::Inventory;

/// How long a size holds. A live object's rows are counted more often.
const HOLDS: Duration = Duration::from_mins(15);

/// How many rows an organization had when they were counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownSize {
    at: Instant,
    /// As far as it is known.
    pub(super) rows: i64,
    /// They go in pages.
    pub(super) large: bool,
}

impl KnownSize {
    /// Of a count that was made just now.
    pub(super) fn new(rows: i64, large: bool) -> Self {
        Self { at: Instant::now(), rows, large }
    }

    /// Of an inventory that was taken just now: small, if it is below `threshold`. Returns `None` if it does not say.
    pub(super) fn of(inventory: &Inventory, threshold: Option<u64>) -> Option<Self> {
        let complete = inventory.entities.iter().all(|entity| !entity.capped);
        let small = u64::try_from(inventory.total).is_ok_and(|total| threshold.is_some_and(|most| total < most));
        (complete && small).then(|| Self::new(inventory.total, false))
    }

    /// Whether the rows need not be counted again yet.
    pub(super) fn holds(&self) -> bool {
        self.at.elapsed() < HOLDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::EntityRows;

    #[test]
    fn only_a_complete_count_says_that_an_organization_is_small() {
        let inventory = |rows, capped| Inventory {
            entities: vec![EntityRows { entity: "users".into(), rows, capped }],
            total: rows,
            ..Inventory::default()
        };
        for (rows, capped, threshold, small) in [
            (99, false, Some(100), true),
            (100, false, Some(100), false),
            (10, true, Some(100), false),
            (10, false, None, false),
        ] {
            let known = KnownSize::of(&inventory(rows, capped), threshold);
            assert_eq!(known.is_some_and(|size| !size.large), small, "{rows} {capped} {threshold:?}");
        }
    }
}
