//! What names say: which table a column is called after.

use std::collections::{BTreeMap, BTreeSet};

use super::place::Placing;
use super::{Survey, Surveyed};
use crate::catalog::TableId;
use crate::entity;

/// Letters and digits in lower case: `organization_id` and `organizationId` are the same name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What one row of the table may be called: `statuses` is a `status`, `policies` a `policy`, `User` a `User`.
fn singulars(table: &str) -> BTreeSet<String> {
    let name = plain(table);
    let mut found = BTreeSet::from([name.clone()]);
    for (ending, singular) in [("ies", "y"), ("es", ""), ("s", "")] {
        if let Some(stem) = name.strip_suffix(ending) {
            found.insert(format!("{stem}{singular}"));
        }
    }
    found
}

/// What columns that are called after the table are called: `flow_id` after `flows` with the key `id`, or with the key
/// `flow_id`.
fn names_after(table: &str, key: &str) -> BTreeSet<String> {
    let key = plain(key);
    let mut names = BTreeSet::new();
    for one in singulars(table).into_iter().filter(|one| !one.is_empty()) {
        if key.starts_with(&one) && key != one {
            names.insert(key.clone());
        }
        names.insert(one + &key);
    }
    names
}

/// Whether the column is called after the table.
pub(super) fn called_after(column: &str, table: &str, key: &str) -> bool {
    names_after(table, key).contains(&plain(column))
}

/// Every table, with its key, by what columns that are called after it are called.
pub(super) struct Namesakes<'a>(BTreeMap<String, Vec<(&'a Surveyed, &'a str)>>);

impl<'a> Namesakes<'a> {
    pub(super) fn of(survey: &'a Survey) -> Self {
        let mut all: BTreeMap<String, Vec<(&Surveyed, &str)>> = BTreeMap::new();
        for (table, key) in survey.tables.iter().filter_map(|t| t.key().map(|key| (t, key))) {
            for name in names_after(table.info.table.bare(), key) {
                all.entry(name).or_default().push((table, key));
            }
        }
        Self(all)
    }

    /// The one table that a column of `table` is called after, with its key; one of the same schema before others. None:
    /// there is none, or more than one.
    pub(super) fn find(&self, table: &Surveyed, column: &str) -> Option<(&'a Surveyed, &'a str)> {
        let all = self.0.get(&plain(column))?;
        let schema = table.info.table.schema();
        let near: Vec<_> = all.iter().filter(|(t, _)| t.info.table.schema() == schema).copied().collect();
        match (near.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Some(*one),
            _ => None,
        }
    }
}

/// One entity for each table of the plan, in this order.
pub(super) fn entities(survey: &Survey, placing: &Placing<'_>, order: &[TableId]) -> BTreeMap<TableId, String> {
    let open = placing.unclassified.keys();
    // Tables on the search path first: they get the short names.
    let mut tables: Vec<&Surveyed> = order.iter().chain(open).filter_map(|id| survey.table(*id)).collect();
    tables.sort_by_key(|t| !t.visible);
    entity::names(tables.into_iter().map(|t| &t.info), BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_called_after_its_table() {
        for (column, table, key) in [
            ("organization_id", "organizations", "id"),
            ("organizationId", "Organization", "id"),
            ("task_status_id", "task_statuses", "id"),
            ("policy_id", "policies", "id"),
            ("flow_id", "flows", "flow_id"),
            ("box_id", "boxes", "id"),
        ] {
            assert!(called_after(column, table, key), "{column} {table} {key}");
        }
        for (column, table, key) in [
            ("created_by", "users", "id"),
            ("id", "flows", "id"),
            ("code", "countries", "code"),
            ("parent_flow_id", "flows", "id"),
        ] {
            assert!(!called_after(column, table, key), "{column} {table} {key}");
        }
    }
}
