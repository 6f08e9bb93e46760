//! Which columns may hold keys of organizations in their values: the questions for a sample of the rows, and the answers.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{plain, singulars, words};
use super::tenant_table::TenantTable;
use crate::catalog::{ColumnInfo, TableId};
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
    /// The tables with the columns to look at.
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

impl KeyType {
    pub(super) fn of(tenants: TenantTable<'_>) -> Self {
        match tenants.table.info.column(tenants.key).map(|c| c.type_name.as_str()) {
            Some("uuid") => Self::Uuid,
            Some("smallint" | "integer" | "bigint") => Self::Integer,
            Some("text" | "character varying") => Self::Text,
            _ => Self::Other,
        }
    }
}

/// The names that mean the organization, in columns and in members of JSON: `tenant`, `tenants`, `tenantid`, `tenantids`.
pub(super) fn names(tenants: TenantTable<'_>, tenant_columns: &[String]) -> Vec<String> {
    let key = plain(tenants.key);
    let mut stems: BTreeSet<String> = tenant_columns.iter().map(|c| plain(c)).collect();
    let stripped: Vec<String> = stems.iter().filter_map(|c| Some(c.strip_suffix(&key)?.to_owned())).collect();
    stems.extend(stripped);
    for one in singulars(tenants.table.info.table.bare()) {
        stems.extend([format!("{one}{key}"), one]);
    }
    let plurals: Vec<String> = stems.iter().map(|s| format!("{s}s")).collect();
    stems.extend(plurals);
    stems.into_iter().filter(|s| s.len() > 1 && *s != key).collect()
}

/// What to ask about a column. Returns `None` if its values say nothing.
pub(super) fn question(tenants: TenantTable<'_>, column: &ColumnInfo, names: &[String]) -> Option<Question> {
    let all = words(&column.name);
    let named = (0..all.len()).any(|at| names.contains(&all[at..].concat()));
    let key_type = KeyType::of(tenants);
    let is_text = |t: &str| ["text", "character varying", "character", "bpchar"].contains(&t);
    let is_number = |t: &str| ["smallint", "integer", "bigint", "numeric"].contains(&t);
    let form = match column.type_name.as_str() {
        "json" | "jsonb" => Form::Json,
        array if array.ends_with("[]") => {
            let element = array.trim_end_matches("[]");
            let may_hold = is_text(element)
                || element == "uuid" && matches!(key_type, KeyType::Uuid | KeyType::Other)
                || is_number(element) && matches!(key_type, KeyType::Integer | KeyType::Other);
            (may_hold || named).then_some(Form::Array)?
        }
        "uuid" if matches!(key_type, KeyType::Uuid) => Form::Value,
        text if is_text(text) => Form::Value,
        _ => return None,
    };
    // A number is a key by chance, and an array or a text has no name inside.
    if key_type == KeyType::Integer && form != Form::Json && !named {
        return None;
    }
    Some(Question { column: column.name.clone(), form, named })
}
