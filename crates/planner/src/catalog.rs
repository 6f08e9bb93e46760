//! The live schema, as far as it matters for deletions.

mod foreign_key;
mod properties;
mod table;

use std::collections::BTreeMap;

pub use foreign_key::{Enforcement, ForeignKey, OnDelete};
pub(crate) use properties::begins_index;
pub use properties::{ByList, KeyBelow, Relation, Rule, TableProperties, Timing, Trigger};
pub use table::{ColumnInfo, Privileges, TableId, TableInfo};

use crate::identifier::Table;

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
    /// Changes when a foreign key to, or a trigger on, a table of the plan changes; with `unknownTables: block` also when a
    /// table is created. Every cascade reads it again.
    pub fingerprint: String,
    /// What changes how a delete from each table behaves, or what it costs.
    pub properties: BTreeMap<TableId, TableProperties>,
    /// Tables of the database that the plan does not mention at all, see [`Plan::unknown_tables`].
    ///
    /// [`Plan::unknown_tables`]: crate::plan::Plan::unknown_tables
    pub unmentioned: Vec<Table>,
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
    /// The table. `None` if it is a privilege on the schema itself.
    pub table: Option<String>,
}

impl Catalog {
    /// The table with this identity. Returns `None` if the plan does not touch it.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&TableInfo> {
        self.tables.iter().find(|t| t.id == id)
    }

    /// The properties of the table. Returns `None` if they were not read.
    #[must_use]
    pub fn properties(&self, id: TableId) -> Option<&TableProperties> {
        self.properties.get(&id)
    }

    /// The table as SQL, without the rows of tables that inherit from it: no foreign key of the table holds for them.
    #[must_use]
    pub fn rows_with_keys(&self, table: &TableInfo) -> String {
        let inherited = self.properties(table.id).is_some_and(|t| !t.inheritance_children.is_empty());
        if inherited { format!("ONLY {}", table.table) } else { table.table.to_string() }
    }

    /// The table that the configuration calls by this name. Returns `None` if the database has no such table.
    #[must_use]
    pub fn declared(&self, name: &str) -> Option<&TableInfo> {
        self.tables.iter().find(|t| t.declared.iter().any(|d| d == name))
    }
}
