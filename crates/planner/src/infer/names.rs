//! What names say: which table a column is named after.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::{Survey, Surveyed};

/// Only letters and digits, in lower case: `organization_id` and `organizationId` are the same name.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a name: `created`, `by`, `user` and `id` for `created_by_user_id` and for `createdByUserId`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    let mut after_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            inside = false;
            continue;
        }
        let begins = !inside || (letter.is_uppercase() && after_small);
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
        inside = true;
        after_small = !letter.is_uppercase();
    }
    words
}

/// The possible names of one row of the table: `status` for `statuses`, `policy` for `policies`, `User` for `User`.
pub(super) fn singulars(table: &str) -> BTreeSet<String> {
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

/// Whether the column is named after the table, or after the end of the table's name: `version_id` for `flow_versions`.
pub(super) fn named_after_end(column: &str, table: &str, key: &str) -> bool {
    let words = words(table);
    named_after(column, table, key)
        || (1..words.len()).any(|from| is_telling(&words[from..]) && named_after(column, &words[from..].concat(), key))
}

/// Whether a part of a table's name says anything about its rows: `v1` and `x` do not.
pub(super) fn is_telling(words: &[String]) -> bool {
    let is_version = |w: &String| {
        w.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()))
    };
    words.iter().any(|w| !is_version(w) && w.chars().filter(|c| c.is_alphabetic()).count() > 1)
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
    fn names_have_words() {
        for (name, expected) in [
            ("created_by_user_id", "created by user id"),
            ("createdByUserId", "created by user id"),
            ("v1_dag", "v1 dag"),
            ("Task Outputs", "task outputs"),
            ("URL", "url"),
            ("__", ""),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
        assert!(named_after_end("version_id", "flow_versions", "id") && named_after_end("dag_id", "v1_dag", "id"));
        assert!(!named_after_end("flow_id", "flow_versions", "id") && !named_after_end("v1_id", "dag_v1", "id"));
    }

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
