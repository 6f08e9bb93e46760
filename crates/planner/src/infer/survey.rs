//! All tables of a database that could belong to an organization.

use super::sample::Values;
use crate::catalog::{ForeignKey, TableId, TableInfo, begins_index};

/// All tables of the database that could belong to an organization.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Ordinary and partitioned tables. Partitions count as part of their table.
    pub tables: Vec<Surveyed>,
    /// Foreign keys among them.
    pub foreign_keys: Vec<ForeignKey>,
    /// What a sample of the rows says. Empty if no sample was read.
    pub values: Values,
}

/// A table of the survey.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// What the catalogue says about it.
    pub info: TableInfo,
    /// Whether the search path finds it, so that the plan can name it without its schema.
    pub visible: bool,
    /// The columns of its indexes, in order.
    pub indexes: Vec<Vec<String>>,
    /// The columns that the database computes, so that nobody can set them.
    pub generated: Vec<String>,
}

impl Surveyed {
    pub(super) fn id(&self) -> TableId {
        self.info.id
    }

    /// Its name as the configuration writes it.
    pub(super) fn written(&self) -> String {
        let bare = self.info.table.bare();
        // A dot separates schema and table, so a name with a dot needs its schema in front.
        if self.visible && !bare.contains('.') { bare.to_owned() } else { self.info.table.name() }
    }

    /// The column that alone identifies a row; that of the primary key if there are several. Returns `None` if there is
    /// none.
    pub(super) fn key(&self) -> Option<&str> {
        self.info.unique_keys.iter().find(|k| k.len() == 1).map(|k| k[0].as_str())
    }

    /// Whether an index begins with these columns, in any order.
    pub(super) fn indexed(&self, columns: &[String]) -> bool {
        begins_index(&self.indexes, columns)
    }
}

impl Survey {
    pub(super) fn table(&self, id: TableId) -> Option<&Surveyed> {
        self.tables.iter().find(|t| t.id() == id)
    }

    /// The table that the configuration calls by this name.
    pub(super) fn named(&self, name: &str) -> Option<&Surveyed> {
        let full = |t: &&Surveyed| t.info.table.name() == name;
        self.tables.iter().find(|t| t.written() == name).or_else(|| self.tables.iter().find(full))
    }
}
