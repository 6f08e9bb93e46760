//! What triggers wrote while an organization was deleted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What triggers wrote to a table that is not a step of the plan. It stays.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct WrittenTable {
    /// Its name, with its schema. For a partition it is the partitioned table's.
    pub table: String,
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Rows deleted.
    pub deleted: i64,
}

impl fmt::Display for WrittenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.inserted, "inserted"), (self.updated, "updated"), (self.deleted, "deleted")];
        let counts = counts.iter().filter(|(rows, _)| *rows > 0).map(|(rows, what)| format!("{rows} {what}"));
        write!(f, "{} ({})", self.table, counts.collect::<Vec<_>>().join(", "))
    }
}

/// What was written before, and what was written since. `None` if one of the two is not known.
#[must_use]
pub fn sum(before: Option<Vec<WrittenTable>>, since: Option<Vec<WrittenTable>>) -> Option<Vec<WrittenTable>> {
    let mut sums = before?;
    for written in since? {
        match sums.iter_mut().find(|sum| sum.table == written.table) {
            Some(sum) => {
                sum.inserted += written.inserted;
                sum.updated += written.updated;
                sum.deleted += written.deleted;
            }
            None => sums.push(written),
        }
    }
    sums.sort_by(|a, b| a.table.cmp(&b.table));
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_twice_is_added_up() {
        let written =
            |table: &str, inserted| WrittenTable { table: table.to_owned(), inserted, updated: 1, deleted: 0 };
        let both = sum(Some(vec![written("b", 1)]), Some(vec![written("b", 2), written("a", 3)]));
        let b = WrittenTable { updated: 2, ..written("b", 3) };
        assert_eq!(both, Some(vec![written("a", 3), b]));
        assert_eq!(sum(None, Some(Vec::new())), None, "it was not counted");
        assert_eq!(sum(Some(Vec::new()), None), None, "it was not counted");
    }

    #[test]
    fn only_what_was_done_is_named() {
        let table = "public.outbox".to_owned();
        let written = WrittenTable { table, inserted: 2, updated: 0, deleted: 10 };
        assert_eq!(written.to_string(), "public.outbox (2 inserted, 10 deleted)");
    }
}
