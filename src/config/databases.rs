//! `database` and `databases`: how to reach the one database, or several that one operator serves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cascade::Cascade;

/// How to reach the database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// File that contains the URL. The environment variable `DATABASE_URL` takes precedence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Whether to create and update the operator's own schema at the start.
    pub migrate: bool,
    /// The most connections at one time, for any purpose.
    pub max_connections: u32,
    /// The longest wait for a connection, in seconds.
    pub connect_timeout_seconds: u64,
    /// The longest wait for a lock, in seconds.
    pub lock_timeout_seconds: u64,
    /// The longest statement, in seconds.
    pub statement_timeout_seconds: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url_file: None,
            migrate: true,
            max_connections: 8,
            connect_timeout_seconds: 5,
            lock_timeout_seconds: 5,
            statement_timeout_seconds: 60,
        }
    }
}

/// One of several databases. What is left out is as the rest of the configuration has it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListedDatabase {
    /// The `spec.database` of its objects.
    pub name: String,
    /// File that contains its URL.
    pub url_file: PathBuf,
    /// As `database.migrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<bool>,
    /// As `database.maxConnections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// As `database.connectTimeoutSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_seconds: Option<u64>,
    /// As `database.lockTimeoutSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_timeout_seconds: Option<u64>,
    /// As `database.statementTimeoutSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_timeout_seconds: Option<u64>,
    /// A plan of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Cascade>,
}

impl ListedDatabase {
    /// How to reach it, with what all have where it says nothing.
    pub(super) fn merged(&self, of_all: &DatabaseConfig) -> DatabaseConfig {
        DatabaseConfig {
            url_file: Some(self.url_file.clone()),
            migrate: self.migrate.unwrap_or(of_all.migrate),
            max_connections: self.max_connections.unwrap_or(of_all.max_connections),
            connect_timeout_seconds: self.connect_timeout_seconds.unwrap_or(of_all.connect_timeout_seconds),
            lock_timeout_seconds: self.lock_timeout_seconds.unwrap_or(of_all.lock_timeout_seconds),
            statement_timeout_seconds: self.statement_timeout_seconds.unwrap_or(of_all.statement_timeout_seconds),
        }
    }
}

/// What cannot be used of the names and files of a list.
pub(super) fn problems(list: &[ListedDatabase]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, ListedDatabase { name, url_file, .. }) in list.iter().enumerate() {
        if !is_dns_label(name) {
            problems.push(format!(
                "`databases`: the name `{name}` is not a DNS label: at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
            ));
        }
        if list[..index].iter().any(|before| before.name == *name) {
            problems.push(format!("`databases` names `{name}` twice"));
        }
        if let Some(before) = list[..index].iter().find(|before| before.url_file == *url_file) {
            problems.push(format!("`databases`: `{}` and `{name}` have the same `urlFile`", before.name));
        }
    }
    problems
}

/// Whether the CRD allows this `spec.database` (RFC 1123).
fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.chars().all(|c| inner(c) || c == '-') && name.starts_with(inner) && name.ends_with(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_crd_allows() {
        let long = "a".repeat(63);
        for good in ["eu", "0", "eu-west-1", long.as_str()] {
            assert!(is_dns_label(good), "{good}");
        }
        let longer = "a".repeat(64);
        for bad in ["", "-", "eu-", "-eu", "e_u", "EU", "eu.west", longer.as_str()] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }
}
