//! What changes how a delete from a table behaves, or what it costs.

use super::foreign_key::OnDelete;

/// What changes how a delete from a table behaves, or what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableProperties {
    /// What kind of table it is.
    pub relation: Relation,
    /// About how large it is with its partitions, in bytes, as PostgreSQL noted when it last vacuumed or analyzed it; 0 if it
    /// never did.
    pub size: i64,
    /// Leading plain columns of each valid index that covers every row.
    pub indexes: Vec<Vec<String>>,
    /// Triggers that a delete fires, without those by which PostgreSQL enforces foreign keys.
    pub triggers: Vec<Trigger>,
    /// Rules that rewrite a delete.
    pub rules: Vec<Rule>,
    /// Names of its foreign keys that PostgreSQL never checked for older rows (`NOT VALID`).
    pub not_valid: Vec<String>,
    /// The partitioned table that it is a partition of.
    pub partition_of: Option<String>,
    /// If it is partitioned by the values of one column: how.
    pub by_list: Option<ByList>,
    /// Tables that inherit from it, other than partitions.
    pub inheritance_children: Vec<String>,
    /// If it is a view: foreign keys that change rows when a row is deleted from a table that the view is made of.
    pub below: Vec<KeyBelow>,
    /// The foreign tables among itself, its partitions and the tables that a view is made of.
    pub foreign: Vec<String>,
    /// If it is a view: tables of the plan that it reads.
    pub reads: Vec<String>,
}

/// A table that is partitioned by the values of one column (`PARTITION BY LIST`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByList {
    /// The column.
    pub column: String,
    /// Whether the operator's role owns the table and its partitions, so that it may detach and drop them.
    pub owned: bool,
    /// Whether the operator's role may truncate every partition.
    pub truncatable: bool,
}

/// A foreign key to a table that a view is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBelow {
    /// Name of the constraint.
    pub name: String,
    /// The referring table.
    pub child: String,
    /// The table referred to.
    pub parent: String,
    /// What deleting a row does to the rows that refer to it.
    pub on_delete: OnDelete,
}

/// What kind of table it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// An ordinary table.
    #[default]
    Table,
    /// A partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A foreign table.
    Foreign,
}

/// A trigger on DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Its function, qualified and quoted.
    pub function: String,
    /// When it fires.
    pub timing: Timing,
    /// Whether it fires for each row, not once for each statement.
    pub per_row: bool,
    /// Whether it fires in the operator's sessions: it is neither disabled nor only for replication.
    pub fires: bool,
}

/// When a trigger fires. `Display` writes the words of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Timing {
    /// Before the row is deleted.
    #[strum(serialize = "BEFORE")]
    Before,
    /// After the row is deleted.
    #[strum(serialize = "AFTER")]
    After,
    /// Instead of the delete. Only triggers on views have it.
    #[strum(serialize = "INSTEAD OF")]
    Instead,
}

/// A rule on DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Whether it replaces the delete.
    pub instead: bool,
    /// Whether it has a condition or does nothing, so that rows may stay.
    pub partial: bool,
    /// Whether it fires in the operator's sessions.
    pub fires: bool,
}

impl TableProperties {
    /// Whether a trigger may suppress the delete of a row.
    #[must_use]
    pub fn may_suppress(&self) -> bool {
        self.triggers.iter().any(|t| t.fires && t.may_suppress())
    }

    /// Whether an index begins with these columns, in any order.
    #[must_use]
    pub fn indexed(&self, columns: &[String]) -> bool {
        begins_index(&self.indexes, columns)
    }
}

impl Trigger {
    /// Whether it may suppress the delete of a row, by returning NULL before PostgreSQL deletes the row.
    pub(crate) fn may_suppress(&self) -> bool {
        self.per_row && self.timing != Timing::After
    }
}

impl Rule {
    /// Whether every deletion fails because of this rule. A step counts the rows that it deletes in a `WITH` query, where
    /// PostgreSQL accepts a rule only if it replaces the delete by one other statement. A rule that replaces the delete
    /// from a table leaves the row in the table. Two rules remain: one that forwards the deletes of a view, and one that
    /// adds a statement to the delete of the organization itself (`of_organization`).
    pub(crate) fn blocks(&self, relation: Relation, of_organization: bool) -> bool {
        match relation {
            Relation::View => !self.instead || self.partial,
            _ => self.instead || !of_organization,
        }
    }
}

/// Whether one of these indexes begins with these columns, in any order.
pub(crate) fn begins_index(indexes: &[Vec<String>], columns: &[String]) -> bool {
    let begins = |index: &[String]| columns.iter().all(|c| index.contains(c));
    indexes.iter().any(|index| index.get(..columns.len()).is_some_and(begins))
}
