//! `databases`: several databases that one operator serves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Cascade, Config, DatabaseConfig};

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
    /// The configuration of this database alone.
    pub(super) fn alone(&self, all: &Config) -> Config {
        let of_all = &all.database;
        let database = DatabaseConfig {
            url_file: Some(self.url_file.clone()),
            migrate: self.migrate.unwrap_or(of_all.migrate),
            max_connections: self.max_connections.unwrap_or(of_all.max_connections),
            connect_timeout_seconds: self.connect_timeout_seconds.unwrap_or(of_all.connect_timeout_seconds),
            lock_timeout_seconds: self.lock_timeout_seconds.unwrap_or(of_all.lock_timeout_seconds),
            statement_timeout_seconds: self.statement_timeout_seconds.unwrap_or(of_all.statement_timeout_seconds),
        };
        let cascade = self.cascade.as_ref().unwrap_or(&all.cascade).clone();
        Config { database, cascade, databases: Vec::new(), ..all.clone() }
    }
}

/// What cannot be used of the list, each with its field.
pub(super) fn problems(all: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if all.databases.is_empty() {
        return problems;
    }
    if all.database.url_file.is_some() {
        problems.push("`database.urlFile` has no effect beside `databases`: remove it".to_owned());
    }
    for (index, listed) in all.databases.iter().enumerate() {
        let ListedDatabase { name, url_file, .. } = listed;
        if !is_dns_label(name) {
            problems.push(format!(
                "`databases`: the name `{name}` is not a DNS label: at most 63 small letters, digits and hyphens, with a letter or digit at both ends"
            ));
        }
        if all.databases[..index].iter().any(|before| before.name == *name) {
            problems.push(format!("`databases` names `{name}` twice"));
        }
        if let Some(before) = all.databases[..index].iter().find(|before| before.url_file == *url_file) {
            problems.push(format!("`databases`: `{}` and `{name}` have the same `urlFile`", before.name));
        }
    }
    // What is wrong with all of them was said already.
    let common = all.problems_of_one();
    for listed in &all.databases {
        let own = listed.alone(all).problems_of_one().into_iter().filter(|problem| !common.contains(problem));
        problems.extend(own.map(|problem| format!("`databases`, `{}`: {problem}", listed.name)));
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
    use super::super::ConfigError;
    use super::*;

    const LIST: &str = "
database: {maxConnections: 12, lockTimeoutSeconds: 3}
databases:
- {name: eu, urlFile: /eu}
- name: us
  urlFile: /us
  maxConnections: 4
  statementTimeoutSeconds: 9
  migrate: false
  cascade: {organization: {table: tenants, key: id}, steps: [{entity: users, table: users, organization: tenant_id}]}
";

    fn parsed(yaml: &str) -> Config {
        serde_yaml::from_str(yaml).expect("it parses")
    }

    #[test]
    fn each_database_has_what_it_says_and_else_what_all_have() {
        let config = parsed(LIST);
        config.validate().expect("valid");
        let served = config.served(None).expect("both");
        let names: Vec<&str> = served.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["eu", "us"]);
        let [(_, eu), (_, us)] = served.as_slice() else { unreachable!("two") };
        assert_eq!(eu.database, DatabaseConfig { url_file: Some("/eu".into()), ..config.database.clone() });
        assert_eq!((eu.concurrency(), us.concurrency()), (9, 1));
        assert_eq!((us.database.statement_timeout_seconds, us.database.lock_timeout_seconds), (9, 3));
        assert!(eu.database.migrate && !us.database.migrate);
        assert_eq!(eu.cascade, config.cascade);
        assert_eq!(us.cascade.plan.organization.table, "tenants");
        assert!(served.iter().all(|(_, one)| one.databases.is_empty()));
    }

    #[test]
    fn one_of_them_can_be_named() {
        let config = parsed(LIST);
        let name = |name| config.one(name).map(|(name, _)| name);
        assert_eq!(name(Some("us")).expect("listed"), "us");
        let refused = name(Some("asia")).expect_err("not listed").to_string();
        assert!(refused.contains("`asia`") && refused.contains("eu, us"), "{refused}");
        let refused = name(None).expect_err("two").to_string();
        assert!(refused.contains("--database") && refused.contains("eu, us"), "{refused}");
        let single = parsed("databases: [{name: eu, urlFile: /eu}]");
        assert_eq!(single.one(None).expect("the only one").0, "eu");
        let with_default = parsed("databases: [{name: eu, urlFile: /eu}, {name: default, urlFile: /d}]");
        assert_eq!(with_default.one(None).expect("that of objects that name none").0, "default");
        let none = Config::default();
        assert_eq!(none.one(None).expect("without a list").0, "default");
        assert_eq!(none.one(Some("eu")).expect("any").0, "eu");
        let served = config.served(Some("us")).expect("listed");
        assert_eq!(served.len(), 1, "an instance for one of the list");
    }

    #[test]
    fn every_problem_names_its_field() {
        for (yaml, parts) in [
            (
                "database: {urlFile: /x}\ndatabases: [{name: eu, urlFile: /eu}]",
                &["`database.urlFile`", "`databases`"][..],
            ),
            ("databases: [{name: EU, urlFile: /eu}]", &["`databases`", "`EU`", "DNS label"]),
            ("databases: [{name: eu, urlFile: /a}, {name: eu, urlFile: /b}]", &["`databases` names `eu` twice"]),
            ("databases: [{name: eu, urlFile: /a}, {name: us, urlFile: /a}]", &["`eu` and `us`", "`urlFile`"]),
            (
                "databases: [{name: eu, urlFile: /a, maxConnections: 2}]",
                &["`databases`, `eu`: `database.maxConnections` must be at least 4"],
            ),
            (
                "databases: [{name: eu, urlFile: /a, cascade: {batch: 0}}]",
                &["`databases`, `eu`: `cascade.batch.rows` must be at least 1"],
            ),
        ] {
            let problems = match parsed(yaml).validate() {
                Err(ConfigError::Invalid(problems)) => problems,
                other => panic!("{yaml}: {other:?}"),
            };
            let text = problems.join("\n");
            for part in parts {
                assert!(text.contains(part), "{part} is missing for {yaml}: {text}");
            }
        }
        let common = "database: {lockTimeoutSeconds: 0}\ndatabases: [{name: eu, urlFile: /a}, {name: us, urlFile: /b}]";
        let text = parsed(common).validate().expect_err("invalid").to_string();
        assert_eq!(text.matches("lockTimeoutSeconds").count(), 1, "said once: {text}");
        for (yaml, part) in [
            ("databases: [{name: eu}]", "urlFile"),
            ("databases: [{urlFile: /a}]", "name"),
            ("databases: [{name: eu, urlFile: /a, url: x}]", "url"),
        ] {
            let refused = serde_yaml::from_str::<Config>(yaml).expect_err("refused").to_string();
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }

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
