//! Questions for a sample of the rows, and the answers.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::TableId;
use crate::identifier::Table;

/// What to ask a sample of the rows of each table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// The organizations' table.
    pub organization: Table,
    /// Its key.
    pub key: String,
    /// The type of the key.
    pub key_type: KeyType,
    /// Names of columns and of members of JSON that mean the organization: only letters and digits, in lower case.
    pub names: Vec<String>,
    /// The tables, each with its questions.
    pub tables: Vec<(TableId, Table, Vec<Question>)>,
}

/// How to compare a value with the organization's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A uuid: a value that equals one is never there by chance.
    Uuid,
    /// An integer: it says nothing without a name.
    Integer,
    /// Text: it says nothing without a name, unless it is long.
    Text,
    /// Any other type, compared as text.
    Other,
}

/// Whether a column holds keys of organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The column.
    pub column: String,
    /// Where in it the keys may be.
    pub form: Form,
    /// Whether its name means the organization.
    pub named: bool,
}

/// Where in a column a key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value itself.
    Value,
    /// An element of an array.
    Array,
    /// A value at any depth of JSON.
    Json,
}

/// What a sample of the rows says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Columns whose values are keys of organizations.
    pub held: BTreeMap<TableId, BTreeSet<String>>,
    /// Columns whose values could not be read.
    pub unread: BTreeMap<TableId, BTreeSet<String>>,
}

impl Values {
    pub(super) fn holds(&self, table: TableId, column: &str) -> bool {
        self.held.get(&table).is_some_and(|columns| columns.contains(column))
    }
}
