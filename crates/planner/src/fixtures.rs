//! Hand-written parts of a catalogue, for tests.

use crate::catalog::{ColumnInfo, Enforcement, ForeignKey, OnDelete, Privileges, TableId, TableInfo};
use crate::identifier::Table;

/// A declared table with the key `id` and nullable columns, on which the operator's role has every privilege.
pub(crate) fn table(id: TableId, schema: &str, name: &str, columns: &[&str]) -> TableInfo {
    TableInfo {
        id,
        table: Table::qualified(schema, name),
        declared: vec![name.to_owned()],
        columns: columns.iter().map(|text| column(text, true)).collect(),
        unique_keys: vec![vec!["id".to_owned()]],
        privileges: Privileges { usage: true, select: true, delete: true, lock: true },
        row_security: false,
    }
}

/// A column, as `name:type`, or as `name` if it is a uuid.
pub(crate) fn column(text: &str, nullable: bool) -> ColumnInfo {
    let (name, type_name) = text.split_once(':').unwrap_or((text, "uuid"));
    ColumnInfo { name: name.to_owned(), type_name: type_name.to_owned(), collation: None, nullable, updatable: true }
}

/// A foreign key of one column to the column `id`.
pub(crate) fn foreign_key(name: &str, child: TableId, column: &str, parent: TableId) -> ForeignKey {
    ForeignKey {
        name: name.to_owned(),
        child,
        child_columns: vec![column.to_owned()],
        parent,
        parent_columns: vec!["id".to_owned()],
        on_delete: OnDelete::NoAction,
        deferrable: false,
        enforcement: Enforcement::Enforced,
        partition: None,
    }
}
