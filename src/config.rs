//! The operator's configuration: one YAML file and a few environment variables, validated once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::db::{Settings, UrlSource};
use crate::domain::report::Waits;
use planner::Plan;

/// What an administrator configures. Every field has a default; unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Id of this cluster in claims and ledger. Empty: the uid of the namespace `kube-system`.
    pub cluster_id: String,
    /// The database.
    pub database: DatabaseConfig,
    /// Claims of other clusters.
    pub claims: ClaimsConfig,
    /// Objects worked on at the same time.
    pub concurrency: u16,
    /// How often all organizations are looked at, in seconds.
    pub poll_interval_seconds: u64,
    /// Longest pass over one object, in seconds.
    pub reconcile_timeout_seconds: u64,
    /// How long an erasure waits for another object that takes the organization over, in seconds; 0: not at all.
    pub handover_seconds: u32,
    /// How long writers of tables without a foreign key get to settle, in seconds.
    pub drain_seconds: u64,
    /// Bounds of the retries.
    pub retry: RetryBounds,
    /// The plan of the cascade.
    pub cascade: Plan,
}

/// How to reach the database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// File that holds the URL. The environment variable `DATABASE_URL` wins over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Create and update the operator's own schema at start.
    pub migrate: bool,
    /// Most connections at one time, whatever they are for.
    pub max_connections: u32,
    /// Longest wait for a connection, in seconds.
    pub connect_timeout_seconds: u64,
    /// Longest wait for a lock, in seconds.
    pub lock_timeout_seconds: u64,
    /// Longest statement, in seconds.
    pub statement_timeout_seconds: u64,
}

/// Claims of other clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// Ids of clusters whose claims may be taken over.
    pub adopt_from: Vec<String>,
}

/// Bounds of the retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryBounds {
    /// For what is expected to pass by itself.
    pub backoff: Bounds,
    /// For what a person has to clear.
    pub slow: Bounds,
}

/// First and longest delay of a retry that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bounds {
    /// First delay in seconds.
    pub initial_seconds: u64,
    /// Longest delay in seconds.
    pub max_seconds: u64,
}

impl Bounds {
    /// First delay.
    #[must_use]
    pub const fn initial(self) -> Duration {
        Duration::from_secs(self.initial_seconds)
    }

    /// Longest delay.
    #[must_use]
    pub const fn max(self) -> Duration {
        Duration::from_secs(self.max_seconds)
    }
}

impl RetryBounds {
    /// The longest waits between two attempts, which sentences name.
    #[must_use]
    pub const fn longest(&self) -> Waits {
        Waits { backoff: self.backoff.max(), slow: self.slow.max() }
    }
}

impl Default for RetryBounds {
    fn default() -> Self {
        Self {
            backoff: Bounds { initial_seconds: 1, max_seconds: 60 },
            slow: Bounds { initial_seconds: 60, max_seconds: 900 },
        }
    }
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

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_id: String::new(),
            database: DatabaseConfig::default(),
            claims: ClaimsConfig::default(),
            concurrency: 4,
            poll_interval_seconds: 15,
            reconcile_timeout_seconds: 300,
            handover_seconds: 10,
            drain_seconds: 5,
            retry: RetryBounds::default(),
            cascade: Plan::default(),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what is expected; the message names line and field.
    #[error("the configuration file {path} is not valid: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// Values that cannot be used, each with its field.
    #[error("the configuration is not valid:\n- {}", .0.join("\n- "))]
    Invalid(Vec<String>),
    /// Nobody says where the database is.
    #[error("no database: set DATABASE_URL, or `database.urlFile` in the configuration")]
    NoDatabase,
}

impl Config {
    /// Reads and validates a file; without one, the defaults hold.
    ///
    /// # Errors
    /// Fails when the file cannot be read or parsed, or when values cannot be used; every problem names its field.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let config = match path {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                serde_yaml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?
            }
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = self.cascade.validate().err().unwrap_or_default();
        let database = &self.database;
        let mut at_least_one = |field: &str, value: u64| {
            if value == 0 {
                problems.push(format!("`{field}` must be at least 1"));
            }
        };
        at_least_one("concurrency", u64::from(self.concurrency));
        at_least_one("pollIntervalSeconds", self.poll_interval_seconds);
        at_least_one("reconcileTimeoutSeconds", self.reconcile_timeout_seconds);
        at_least_one("drainSeconds", self.drain_seconds);
        at_least_one("database.connectTimeoutSeconds", database.connect_timeout_seconds);
        at_least_one("database.lockTimeoutSeconds", database.lock_timeout_seconds);
        at_least_one("database.statementTimeoutSeconds", database.statement_timeout_seconds);
        at_least_one("retry.backoff.initialSeconds", self.retry.backoff.initial_seconds);
        at_least_one("retry.slow.initialSeconds", self.retry.slow.initial_seconds);
        for (field, bounds) in [("backoff", self.retry.backoff), ("slow", self.retry.slow)] {
            if bounds.max_seconds < bounds.initial_seconds {
                problems.push(format!("`retry.{field}.maxSeconds` must not be less than `initialSeconds`"));
            }
        }
        if database.lock_timeout_seconds >= database.statement_timeout_seconds {
            // Else a wait for a lock would be reported as a slow statement.
            problems.push("`database.lockTimeoutSeconds` must be less than `database.statementTimeoutSeconds`".into());
        }
        if database.max_connections < u32::from(self.concurrency) + 2 {
            problems.push(
                "`database.maxConnections` must be at least `concurrency` + 2: one for each object that is worked on, one for the regular look at all organizations, one for looking at locks".into(),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Where the database URL comes from: the environment before the file.
    ///
    /// # Errors
    /// Fails when neither is given.
    pub fn url_source(&self, environment: Option<String>) -> Result<UrlSource, ConfigError> {
        match (environment, &self.database.url_file) {
            (Some(url), _) if !url.trim().is_empty() => Ok(UrlSource::Text(url)),
            (_, Some(path)) => Ok(UrlSource::File(path.clone())),
            _ => Err(ConfigError::NoDatabase),
        }
    }

    /// Limits of the connections.
    #[must_use]
    pub fn database_settings(&self) -> Settings {
        Settings {
            max_connections: self.database.max_connections,
            connect_timeout: Duration::from_secs(self.database.connect_timeout_seconds),
            lock_timeout: Duration::from_secs(self.database.lock_timeout_seconds),
            statement_timeout: Duration::from_secs(self.database.statement_timeout_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().expect("valid");
    }

    #[test]
    fn the_documentation_says_the_defaults() {
        let Config { retry, handover_seconds, .. } = Config::default();
        let errors = include_str!("../docs/errors.md");
        let (backoff, slow) = (retry.backoff, retry.slow);
        for row in [
            format!("| backoff | after {} s, doubling to {} s:", backoff.initial_seconds, backoff.max_seconds),
            format!("| slow | after {} min, doubling to {} min:", slow.initial_seconds / 60, slow.max_seconds / 60),
        ] {
            assert!(errors.contains(&row), "{row}");
        }
        let organization = include_str!("../docs/organization.md");
        assert!(organization.contains(&format!("(`handoverSeconds`, by default {handover_seconds};")));
        let readme = include_str!("../README.md");
        assert!(readme.contains(&format!("waits {handover_seconds} seconds (`handoverSeconds`)")));
    }

    #[test]
    fn every_problem_names_its_field() {
        let config: Config = serde_yaml::from_str(
            "concurrency: 8\ndrainSeconds: 0\ndatabase: {lockTimeoutSeconds: 90}\nretry: {slow: {initialSeconds: 9, maxSeconds: 3}}\n",
        )
        .expect("parses");
        let text = config.validate().expect_err("invalid").to_string();
        for field in ["drainSeconds", "database.lockTimeoutSeconds", "database.maxConnections", "retry.slow.maxSeconds"]
        {
            assert!(text.contains(field), "{field} is missing in: {text}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = serde_yaml::from_str::<Config>("pollIntervall: 3").expect_err("refused").to_string();
        assert!(error.contains("pollIntervall"), "{error}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let mut config = Config::default();
        assert!(matches!(config.url_source(None), Err(ConfigError::NoDatabase)));
        config.database.url_file = Some("/x".into());
        assert!(matches!(config.url_source(None), Ok(UrlSource::File(_))));
        assert!(matches!(config.url_source(Some("postgres://".into())), Ok(UrlSource::Text(_))));
    }
}
