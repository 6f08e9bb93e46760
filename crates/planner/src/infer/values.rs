//! Which columns may hold keys of organizations in their values.

use std::collections::BTreeSet;

use super::names::{plain, singulars, words};
use super::sample::{Form, KeyType, Question};
use super::tenant_table::TenantTable;
use crate::catalog::ColumnInfo;

/// The type of the organization's key.
pub(super) fn key_type(tenants: TenantTable<'_>) -> KeyType {
    match tenants.table.info.column(tenants.key).map(|c| c.type_name.as_str()) {
        Some("uuid") => KeyType::Uuid,
        Some("smallint" | "integer" | "bigint") => KeyType::Integer,
        Some("text" | "character varying") => KeyType::Text,
        _ => KeyType::Other,
    }
}

/// Whether the column is named after the organization and could hold its key, whatever the type of the key: `tenant` and
/// `owner_tenant`, but not the number `max_tenant`, and not `tenants`.
pub(super) fn is_named(tenants: TenantTable<'_>, column: &ColumnInfo, names: &[String]) -> bool {
    let is_plural = |name: &str| {
        name.strip_suffix('s').is_some_and(|one| names.iter().any(|n| n == one)) || name == plain(tenants.key)
    };
    let all = words(&column.name);
    let is_name = |at: usize| {
        let name = all[at..].concat();
        names.contains(&name) && !is_plural(&name)
    };
    match column.type_name.as_str() {
        "text" | "character varying" | "character" | "uuid" => (0..all.len()).any(is_name),
        "smallint" | "integer" | "bigint" | "numeric" => !all.is_empty() && is_name(0),
        _ => false,
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
    let key_type = key_type(tenants);
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
    // A number may equal a key by chance, and only JSON has names inside.
    if key_type == KeyType::Integer && form != Form::Json && !named {
        return None;
    }
    Some(Question { column: column.name.clone(), form, named })
}
