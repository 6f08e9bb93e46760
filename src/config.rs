//! The operator's configuration: one YAML file and a few environment variables, validated once.

mod batch;
mod breaker;
mod cascade;
mod databases;
mod election;
mod retry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::DEFAULT_DATABASE;
use crate::db::{Settings, UrlSource};

pub use batch::{BatchConfig, PaceConfig, Unpageable};
pub use breaker::BreakerConfig;
pub use cascade::Cascade;
pub use databases::{DatabaseConfig, ListedDatabase};
pub use election::{ElectionConfig, ElectionTimes};
pub use retry::{Bounds, RetryBounds};

/// Connections for the regular query of all organizations, and for queries about locks.
const OTHERS: u32 = 2;

/// What an administrator configures. Every field has a default. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Id of this cluster in claims and in the ledger. If empty, the uid of the namespace `kube-system`.
    pub cluster_id: String,
    /// The database; beside `databases`, what its entries leave out.
    pub database: DatabaseConfig,
    /// Several databases. If it is empty, there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<ListedDatabase>,
    /// Claims of other clusters.
    pub claims: ClaimsConfig,
    /// How many objects the operator reconciles at the same time. [`Config::concurrency`] says how many by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// How often the operator queries all organizations and the schema, in seconds.
    pub poll_interval_seconds: u64,
    /// The longest reconciliation of one object, in seconds.
    pub reconcile_timeout_seconds: u64,
    /// How long an erasure waits for another object that takes over the organization, in seconds. With 0 it does not wait.
    pub handover_seconds: u32,
    /// How long open transactions drain if tables are not protected by a foreign key, or the tenant is large, in seconds.
    pub drain_seconds: u64,
    /// How many deletions may begin at once before no further one erases.
    pub breaker: BreakerConfig,
    /// Bounds of the retries.
    pub retry: RetryBounds,
    /// How the replicas elect their leader.
    pub leader_election: ElectionConfig,
    /// The plan of the cascade, and how large tenants are deleted.
    pub cascade: Cascade,
}

/// Claims of other clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// Ids of clusters whose claims this operator may take over.
    pub adopt_from: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_id: String::new(),
            database: DatabaseConfig::default(),
            databases: Vec::new(),
            claims: ClaimsConfig::default(),
            concurrency: None,
            poll_interval_seconds: 15,
            reconcile_timeout_seconds: 300,
            handover_seconds: 10,
            drain_seconds: 5,
            breaker: BreakerConfig::default(),
            retry: RetryBounds::default(),
            leader_election: ElectionConfig::default(),
            cascade: Cascade::default(),
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
    /// The file is not valid; the message names line and field.
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
    /// The list of databases has none of this name.
    #[error("the configuration has no database `{name}`: it has {}", .has.join(", "))]
    NotListed {
        /// What was asked for.
        name: String,
        /// What is in the list.
        has: Vec<String>,
    },
    /// Several databases, and none was named.
    #[error("the configuration has several databases: name one with --database NAME; it has {}", .0.join(", "))]
    Several(Vec<String>),
    /// No database URL is given.
    #[error("no database URL is given: set DATABASE_URL, or `database.urlFile` in the configuration")]
    NoDatabase,
}

impl Config {
    /// Reads and validates a file. Without a file, the defaults apply.
    ///
    /// # Errors
    /// Fails if the file cannot be read or parsed, or if values cannot be used. Every problem names its field.
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
        let common = self.problems_of_one();
        let mut problems = common.clone();
        if self.database.url_file.is_some() && !self.databases.is_empty() {
            problems.push("`database.urlFile` has no effect beside `databases`: remove it".to_owned());
        }
        problems.extend(databases::problems(&self.databases));
        // What is wrong with all of them is said once.
        for listed in &self.databases {
            let own = self.alone(listed).problems_of_one().into_iter().filter(|problem| !common.contains(problem));
            problems.extend(own.map(|problem| format!("`databases`, `{}`: {problem}", listed.name)));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// What cannot be used, each with its field, without the list of databases.
    fn problems_of_one(&self) -> Vec<String> {
        let mut problems = self.cascade.plan.validate().err().unwrap_or_default();
        problems.extend(self.cascade.batch.problems());
        problems.extend(self.breaker.problems());
        problems.extend(self.leader_election.problems());
        let database = &self.database;
        let mut at_least_one = |field: &str, value: u64| {
            if value == 0 {
                problems.push(format!("`{field}` must be at least 1"));
            }
        };
        at_least_one("concurrency", u64::from(self.concurrency()));
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
            // Otherwise a wait for a lock would be reported as a slow statement.
            problems.push("`database.lockTimeoutSeconds` must be less than `database.statementTimeoutSeconds`".into());
        }
        let places = u32::from(self.concurrency()) + u32::from(self.cascade.batch.places());
        if database.max_connections < places + OTHERS {
            problems.push(format!(
                "`database.maxConnections` must be at least {}: `concurrency` + `cascade.batch.atOnce` + 2, one for each object that the operator reconciles, one for each organization that it deletes in pages, one for the regular query of all organizations, and one for queries about locks",
                places + OTHERS
            ));
        }
        problems
    }

    /// The configuration of one of several databases alone.
    fn alone(&self, listed: &ListedDatabase) -> Self {
        Self {
            database: listed.merged(&self.database),
            cascade: listed.cascade.as_ref().unwrap_or(&self.cascade).clone(),
            databases: Vec::new(),
            ..self.clone()
        }
    }

    /// The databases to serve, each with a configuration of its own: all that are listed, or the one of this name. Without a list,
    /// one of this name, or `default`.
    ///
    /// # Errors
    /// Fails if the list has no database of this name.
    pub fn served(&self, name: Option<&str>) -> Result<Vec<(String, Self)>, ConfigError> {
        if self.databases.is_empty() || name.is_some() {
            return self.one(name).map(|one| vec![one]);
        }
        Ok(self.databases.iter().map(|listed| (listed.name.clone(), self.alone(listed))).collect())
    }

    /// One database with its configuration: the one of this name. Without a name, the only one of the list, or `default`.
    ///
    /// # Errors
    /// Fails if the list has no database of this name, and if no name is given and the list does not say which one is meant.
    pub fn one(&self, name: Option<&str>) -> Result<(String, Self), ConfigError> {
        if self.databases.is_empty() {
            return Ok((name.unwrap_or(DEFAULT_DATABASE).to_owned(), self.clone()));
        }
        let wanted = match (name, self.databases.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only.name.as_str(),
            (None, _) => DEFAULT_DATABASE,
        };
        let found = self.databases.iter().find(|listed| listed.name == wanted);
        found.map(|listed| (listed.name.clone(), self.alone(listed))).ok_or_else(|| {
            let has = self.databases.iter().map(|listed| listed.name.clone()).collect();
            match name {
                Some(name) => ConfigError::NotListed { name: name.to_owned(), has },
                None => ConfigError::Several(has),
            }
        })
    }

    /// How many objects the operator reconciles at the same time: by default as many as `database.maxConnections` allows.
    #[must_use]
    pub fn concurrency(&self) -> u16 {
        let others = u32::from(self.cascade.batch.places()) + OTHERS;
        let rest = || self.database.max_connections.saturating_sub(others).max(1);
        self.concurrency.unwrap_or_else(|| u16::try_from(rest()).unwrap_or(u16::MAX))
    }

    /// Where the database URL comes from. The environment takes precedence over the file.
    ///
    /// # Errors
    /// Fails if neither is given.
    pub fn url_source(&self, environment: Option<String>) -> Result<UrlSource, ConfigError> {
        match (environment, &self.database.url_file) {
            (Some(url), _) if !url.trim().is_empty() => Ok(UrlSource::Text(url)),
            (_, Some(path)) => Ok(UrlSource::File(path.clone())),
            _ => Err(ConfigError::NoDatabase),
        }
    }

    /// Limits of the connections and their timeouts.
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
mod tests;
