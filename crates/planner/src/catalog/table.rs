//! Tables of the live schema, with their columns, keys and privileges.

use crate::identifier::Table;

/// Identity of a table in the database: its `oid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its identity.
    pub id: TableId,
    /// Its full name.
    pub table: Table,
    /// The names by which the configuration calls it; empty if it does not.
    pub declared: Vec<String>,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// Sets of columns that identify a row: of the primary key, and of unique constraints and full unique indexes that are
    /// not deferrable.
    pub unique_keys: Vec<Vec<String>>,
    /// What the operator's role may do with it.
    pub privileges: Privileges,
    /// Whether row-level security applies to the operator's role.
    pub row_security: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type without a length, so that a cast to it never truncates a value (`character varying`, not `varchar(36)`).
    pub type_name: String,
    /// Its collation, quoted, if that is not deterministic: it may treat values as equal that are spelled differently.
    pub collation: Option<String>,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether the operator's role may update it.
    pub updatable: bool,
}

/// Privileges of the operator's role on a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a privilege of its own in PostgreSQL")]
pub struct Privileges {
    /// USAGE on its schema.
    pub usage: bool,
    /// SELECT.
    pub select: bool,
    /// DELETE.
    pub delete: bool,
    /// UPDATE on at least one column, which PostgreSQL requires for row locks.
    pub lock: bool,
}

impl TableInfo {
    /// The column of this name. Returns `None` if there is none.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether these columns, in any order, identify one row.
    #[must_use]
    pub fn unique_on(&self, columns: &[&str]) -> bool {
        self.unique_keys.iter().any(|key| !key.is_empty() && key.iter().all(|k| columns.contains(&k.as_str())))
    }

    /// Whether these columns are only part of a key, so that several rows may have the same values in them.
    #[must_use]
    pub fn part_of_key(&self, columns: &[&str]) -> bool {
        let belong = |key: &Vec<String>| columns.iter().all(|c| key.iter().any(|k| k == c));
        !columns.is_empty() && !self.unique_on(columns) && self.unique_keys.iter().any(belong)
    }
}
