//! Whether a column and the key that it holds compare values in the same way. If they do not, a deletion finds rows of
//! another organization or misses rows of its own.

use super::faults::Collector;
use crate::catalog::{Catalog, ColumnInfo, Relation, TableInfo};
use crate::identifier::Column;

/// Whether the column and the key that it holds compare values in the same way; if not, reports why.
pub(super) fn compare_alike(
    at: &str,
    child: (&TableInfo, &str),
    parent: (&TableInfo, &str),
    catalog: &Catalog,
    faults: &mut Collector,
) -> bool {
    let (Some(column), Some(key)) = (child.0.column(child.1), parent.0.column(parent.1)) else { return false };
    let Some((message, remedy)) = disagreement((child.0, column), (parent.0, key)) else { return true };
    let is_view = catalog.properties(child.0.id).is_some_and(|t| t.relation == Relation::View);
    let remedy =
        if is_view { format!("change the view so that it casts the column to {}", key.type_name) } else { remedy };
    faults.schema(format!("`{at}`: {message}"), Some(&child.0.table.name()), Some(remedy));
    false
}

/// What is wrong with comparing the two columns, and what clears it. Returns `None` if they agree about which values are
/// equal, or if the child's comparison is the stricter one and each value of the parent has one spelling.
pub(super) fn disagreement(
    (child, column): (&TableInfo, &ColumnInfo),
    (parent, key): (&TableInfo, &ColumnInfo),
) -> Option<(String, String)> {
    let described = |info: &TableInfo, column: &ColumnInfo| {
        let collation = column.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
        format!("`{}.{}` ({}{collation})", info.table.name(), column.name, column.type_name)
    };
    if have_equal_values(column, key) {
        return None;
    }
    let collation = match (&key.collation, &column.collation) {
        (Some(collation), _) => format!(" COLLATE {collation}"),
        (None, Some(_)) if is_text(&key.type_name) => " COLLATE \"default\"".to_owned(),
        (None, _) => String::new(),
    };
    Some((
        format!(
            "{} and {}, whose values it holds, do not agree about which values are equal, so a deletion could find rows of another organization or miss some of its own",
            described(child, column),
            described(parent, key)
        ),
        format!(
            "ALTER TABLE {} ALTER COLUMN {name} TYPE {key_type}{collation} USING {name}::text::{key_type};",
            child.table,
            name = Column::new(&column.name),
            key_type = key.type_name
        ),
    ))
}

fn have_equal_values(column: &ColumnInfo, key: &ColumnInfo) -> bool {
    if column.collation != key.collation {
        return false;
    }
    let (column, key) = (column.type_name.as_str(), key.type_name.as_str());
    column == key || (is_whole(column) && is_whole(key)) || (is_text(column) && (is_text(key) || has_one_spelling(key)))
}

/// The type as which a value is compared with a column: the column's own, so that its index is used; but whole numbers of
/// any size compare with each other as they are, and a large one does not fit into a small column.
pub(super) fn compared_as(column: &str, value: &str) -> String {
    if is_whole(column) && is_whole(value) { value.to_owned() } else { column.to_owned() }
}

/// Whole numbers of any size compare as they are.
fn is_whole(type_name: &str) -> bool {
    ["smallint", "integer", "bigint"].contains(&type_name)
}

/// Types that compare character by character unless the collation is not deterministic. `character` does not: it ignores
/// trailing blanks.
fn is_text(type_name: &str) -> bool {
    ["text", "character varying"].contains(&type_name)
}

/// Types whose values have one spelling each, so that comparing the text tells them apart.
fn has_one_spelling(type_name: &str) -> bool {
    is_whole(type_name) || type_name == "uuid"
}
