//! Foreign keys of the live schema.

use super::table::TableId;
use crate::identifier::Table;

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// The referring table.
    pub child: TableId,
    /// Its columns.
    pub child_columns: Vec<String>,
    /// The table referred to.
    pub parent: TableId,
    /// The columns referred to, in the same order.
    pub parent_columns: Vec<String>,
    /// What deleting a parent row does.
    pub on_delete: OnDelete,
    /// Whether PostgreSQL can check it at COMMIT.
    pub deferrable: bool,
    /// Whether the database enforces it for new rows.
    pub enforcement: Enforcement,
    /// The partition of the referring table that has the key, if it does not hold for the whole table.
    pub partition: Option<Table>,
}

/// Whether the database enforces a foreign key for new rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// It does.
    #[default]
    Enforced,
    /// It was declared `NOT ENFORCED` (PostgreSQL 18).
    NotEnforced,
    /// Its triggers are disabled (`ALTER TABLE .. DISABLE TRIGGER ALL`).
    Disabled,
}

/// What deleting a parent row does to the rows that refer to it. `Display` writes the words of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum OnDelete {
    /// PostgreSQL rejects the delete at the end of the statement or at COMMIT.
    #[strum(serialize = "NO ACTION")]
    NoAction,
    /// PostgreSQL rejects the delete at once.
    #[strum(serialize = "RESTRICT")]
    Restrict,
    /// PostgreSQL deletes them.
    #[strum(serialize = "CASCADE")]
    Cascade,
    /// PostgreSQL sets their columns to NULL.
    #[strum(serialize = "SET NULL")]
    SetNull,
    /// PostgreSQL sets their columns to the default.
    #[strum(serialize = "SET DEFAULT")]
    SetDefault,
}

impl ForeignKey {
    /// Whether every row that is written to the referring table has its parent.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self.enforcement, Enforcement::Enforced) && self.partition.is_none()
    }

    /// Whether it joins exactly these pairs of a referring column and the column referred to, in any order.
    #[must_use]
    pub fn joins(&self, pairs: &[(String, String)]) -> bool {
        let own = self.child_columns.iter().zip(&self.parent_columns);
        self.child_columns.len() == pairs.len()
            && own.into_iter().all(|(child, parent)| pairs.iter().any(|(c, p)| c == child && p == parent))
    }
}

impl OnDelete {
    /// Whether it deletes or changes the referring rows.
    #[must_use]
    pub const fn changes_rows(self) -> bool {
        matches!(self, Self::Cascade) || self.detaches_rows()
    }

    /// Whether the referring rows outlive the row that they refer to.
    #[must_use]
    pub const fn detaches_rows(self) -> bool {
        matches!(self, Self::SetNull | Self::SetDefault)
    }
}
