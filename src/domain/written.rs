//! What triggers wrote while an organization was deleted.

use std::fmt;

use serde::Serialize;

/// What triggers wrote to a table that is not a step of the plan. It stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_done_is_named() {
        let table = "public.outbox".to_owned();
        let written = WrittenTable { table, inserted: 2, updated: 0, deleted: 10 };
        assert_eq!(written.to_string(), "public.outbox (2 inserted, 10 deleted)");
    }
}
