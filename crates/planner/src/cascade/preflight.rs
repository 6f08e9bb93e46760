//! What must not be there before the first delete.

use crate::catalog::OnDelete;
use crate::query::Query;

/// What must not be there before the first delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Rows outside that refer to rows inside, by the foreign key. `None` if no foreign key allows such a row.
    pub references: Option<Query<Check>>,
    /// Rows that the plan gives to this organization and to another one as well. `None` if no table can have such a row.
    pub shared: Option<Query<SharedRows>>,
    /// Rows that are found by part of a parent's key, if a parent row outside has the same part. `None` if all rows are found
    /// by whole keys.
    pub ambiguous: Option<Query<AmbiguousRows>>,
}

/// A foreign key over which rows outside may refer to rows inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name of the constraint.
    pub constraint: String,
    /// The referring table.
    pub table: String,
    /// The table referred to.
    pub parent_table: String,
    /// The entity of the table referred to; the organization itself has none.
    pub parent_entity: Option<String>,
    /// What deleting the parent would do to the referring rows.
    pub on_delete: OnDelete,
    /// The referring table is a step of the plan: the rows are another organization's, or nobody's.
    pub in_plan: bool,
    /// The referring table is kept on purpose: its rows must never be proposed for deletion.
    pub kept: bool,
    /// `SET` list that detaches the referring rows. `None` if a referring column cannot be NULL.
    pub detach: Option<String>,
    /// The referring table, quoted.
    pub child_sql: String,
    /// The table referred to, quoted.
    pub parent_sql: String,
    /// The way from the referring table to the organization's.
    pub path: Vec<String>,
    /// Which rows: the referring table is `c`, the other `p`, and `:key` stands for the organization's key.
    pub condition: String,
}

/// A table whose rows may belong to several organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRows {
    /// Its name.
    pub table: String,
    /// The entity under which its rows are counted.
    pub entity: String,
    /// Shows the rows to a person; `:key` stands for the organization's key.
    pub(crate) query: String,
}

/// A table whose rows are found by part of a parent's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbiguousRows {
    /// Its name.
    pub table: String,
    /// The entity under which its rows are counted.
    pub entity: String,
    /// The columns that hold the part.
    pub columns: Vec<String>,
    /// The parent's table.
    pub parent_table: String,
    /// The parent's columns, in the same order.
    pub parent_columns: Vec<String>,
    /// Shows the rows to a person; `:key` stands for the organization's key.
    pub(crate) query: String,
}
