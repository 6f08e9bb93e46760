//! What names say: which table a column is named after.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::{Survey, Surveyed};

/// Only letters and digits, in lower case: `organization_id` and `organizationId` are the same name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The possible names of one row of the table: `status` for `statuses`, `policy` for `policies`, `User` for `User`.
fn singulars(table: &str) -> BTreeSet<String> {
    let name = plain(table);
    let mut names = BTreeSet::from([name.clone()]);
    for (ending, singular) in [("ies", "y"), ("es", ""), ("s", "")] {
        if let Some(stem) = name.strip_suffix(ending) {
            names.insert(format!("{stem}{singular}"));
        }
    }
    names
}

/// The names of columns that are named after the table: `flow_id` for `flows` with the key `id` or `flow_id`.
fn column_names(table: &str, key: &str) -> BTreeSet<String> {
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

/// Whether the column is named after the table.
pub(super) fn named_after(column: &str, table: &str, key: &str) -> bool {
    column_names(table, key).contains(&plain(column))
}

/// Every table, with its key, by the names of columns that are named after it.
pub(super) struct TablesByColumn<'a>(BTreeMap<String, Vec<(&'a Surveyed, &'a str)>>);

impl<'a> TablesByColumn<'a> {
    pub(super) fn new(survey: &'a Survey) -> Self {
        let mut all: BTreeMap<String, Vec<(&Surveyed, &str)>> = BTreeMap::new();
        for (table, key) in survey.tables.iter().filter_map(|t| t.key().map(|key| (t, key))) {
            for name in column_names(table.info.table.bare(), key) {
                all.entry(name).or_default().push((table, key));
            }
        }
        Self(all)
    }

    /// The table that a column of `table` is named after, with its key; one in the same schema takes precedence. Returns
    /// `None` if there is none, or more than one.
    pub(super) fn get(&self, table: &Surveyed, column: &str) -> Option<(&'a Surveyed, &'a str)> {
        let all = self.0.get(&plain(column))?;
        let schema = table.info.table.schema();
        let near: Vec<_> = all.iter().filter(|(t, _)| t.info.table.schema() == schema).copied().collect();
        match (near.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Some(*one),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_after_its_table() {
        for (column, table, key) in [
            ("organization_id", "organizations", "id"),
            ("organizationId", "Organization", "id"),
            ("task_status_id", "task_statuses", "id"),
            ("policy_id", "policies", "id"),
            ("flow_id", "flows", "flow_id"),
            ("box_id", "boxes", "id"),
        ] {
            assert!(named_after(column, table, key), "{column} {table} {key}");
        }
        for (column, table, key) in [
            ("created_by", "users", "id"),
            ("id", "flows", "id"),
            ("code", "countries", "code"),
            ("parent_flow_id", "flows", "id"),
        ] {
            assert!(!named_after(column, table, key), "{column} {table} {key}");
        }
    }
}
