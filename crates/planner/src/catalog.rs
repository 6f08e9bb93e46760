//! What the live schema looks like, as far as deleting from it matters.

use std::collections::BTreeMap;
use std::fmt;

use crate::identifier::Table;

/// Identity of a table in the database: its `oid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of the catalogue that a plan touches: tables of the plan, tables that refer to them, and tables with a
/// tenant column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Tables, each once.
    pub tables: Vec<TableInfo>,
    /// Foreign keys that refer to a table of the plan. Clones on partitions are left out.
    pub foreign_keys: Vec<ForeignKey>,
    /// Identities of the tables of the plan and of their partitions.
    pub plan_tables: Vec<TableId>,
    /// Changes when a foreign key to, or a trigger on, a table of the plan changes. Read again inside every cascade.
    pub fingerprint: String,
    /// What each table does or costs when rows are deleted.
    pub properties: BTreeMap<TableId, TableProperties>,
    /// Privileges that the operator's role lacks on the operator's own schema.
    pub own_missing: Vec<OwnPrivilege>,
}

/// A privilege on the operator's own schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPrivilege {
    /// Its name in SQL.
    pub privilege: String,
    /// The schema.
    pub schema: String,
    /// The table; None: it is a privilege on the schema itself.
    pub table: Option<String>,
}

/// What changes how a delete from a table behaves, or what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableProperties {
    /// What kind of table it is.
    pub relation: Relation,
    /// Leading plain columns of each valid index that covers every row.
    pub indexes: Vec<Vec<String>>,
    /// Triggers that a delete fires. Those of the system, for foreign keys, are left out.
    pub triggers: Vec<Trigger>,
    /// Rules that rewrite a delete.
    pub rules: Vec<Rule>,
    /// Names of its foreign keys whose older rows were never checked.
    pub not_valid: Vec<String>,
    /// The partitioned table that it is a partition of.
    pub partition_of: Option<String>,
    /// Tables that inherit from it, other than partitions.
    pub inheritance_children: Vec<String>,
    /// Of a view: foreign keys that change rows when a row is deleted from a table below the view.
    pub below: Vec<KeyBelow>,
    /// Foreign tables: itself, its partitions, or what a view is made of.
    pub foreign: Vec<String>,
    /// Of a view: tables of the plan that it reads.
    pub reads: Vec<String>,
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
    /// For each row, not once a statement.
    pub per_row: bool,
    /// It fires in the operator's sessions: neither disabled nor only for replication.
    pub fires: bool,
}

/// When a trigger fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Before the row is deleted.
    Before,
    /// After it.
    After,
    /// Instead of deleting; views only.
    Instead,
}

impl Timing {
    /// The words of SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "BEFORE",
            Self::After => "AFTER",
            Self::Instead => "INSTEAD OF",
        }
    }
}

/// A rule on DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// It runs in place of the delete.
    pub instead: bool,
    /// It has a condition or does nothing, so that rows may stay.
    pub partial: bool,
    /// It fires in the operator's sessions.
    pub fires: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its identity.
    pub id: TableId,
    /// Its full name.
    pub table: Table,
    /// What the configuration called it, where the configuration names it.
    pub declared: Vec<String>,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// Column sets that are unique: primary key and unique constraints or full indexes that are not deferrable.
    pub unique_keys: Vec<Vec<String>>,
    /// What the operator may do with it.
    pub privileges: Privileges,
    /// Row-level security applies to the operator's role.
    pub row_security: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Type without a length, so that a cast to it never cuts a value off (`character varying`, not `varchar(36)`).
    pub type_name: String,
    /// Its collation, quoted, if that calls values equal that are written differently (it is not deterministic).
    pub collation: Option<String>,
    /// NULL is allowed.
    pub nullable: bool,
    /// The operator may update it.
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
    /// UPDATE on at least one column: what row locks ask for.
    pub lock: bool,
}

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
    /// It can be checked at COMMIT.
    pub deferrable: bool,
    /// Whether the database enforces it for new rows.
    pub enforcement: Enforcement,
    /// The single partition of the referring table whose key it is.
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

/// What deleting a parent row does to the rows that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// Refused, at the end of the statement or at COMMIT.
    NoAction,
    /// Refused at once.
    Restrict,
    /// They are deleted.
    Cascade,
    /// Their columns become NULL.
    SetNull,
    /// Their columns become their default.
    SetDefault,
}

impl ForeignKey {
    /// Every row of the referring table that is written has its parent.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self.enforcement, Enforcement::Enforced) && self.partition.is_none()
    }
}

impl OnDelete {
    /// The words of SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }

    /// Whether it changes the referring rows instead of refusing.
    #[must_use]
    pub const fn changes_rows(self) -> bool {
        matches!(self, Self::Cascade | Self::SetNull | Self::SetDefault)
    }
}

impl Catalog {
    /// The table with this identity.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&TableInfo> {
        self.tables.iter().find(|t| t.id == id)
    }

    /// What the table does or costs when rows are deleted; None: nobody looked.
    #[must_use]
    pub fn properties(&self, id: TableId) -> Option<&TableProperties> {
        self.properties.get(&id)
    }

    /// The table that the configuration calls so.
    #[must_use]
    pub fn declared(&self, name: &str) -> Option<&TableInfo> {
        self.tables.iter().find(|t| t.declared.iter().any(|d| d == name))
    }
}

impl TableProperties {
    /// Whether a trigger may keep a row from being deleted.
    #[must_use]
    pub fn may_suppress(&self) -> bool {
        self.triggers.iter().any(|t| t.fires && t.per_row && t.timing != Timing::After)
    }

    /// Whether an index begins with these columns, in any order.
    #[must_use]
    pub fn indexed(&self, columns: &[String]) -> bool {
        let begins = |index: &[String]| columns.iter().all(|c| index.contains(c));
        self.indexes.iter().any(|index| index.get(..columns.len()).is_some_and(begins))
    }
}

impl TableInfo {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether these columns, in any order, identify one row.
    #[must_use]
    pub fn unique_on(&self, columns: &[&str]) -> bool {
        self.unique_keys.iter().any(|key| !key.is_empty() && key.iter().all(|k| columns.contains(&k.as_str())))
    }
}
