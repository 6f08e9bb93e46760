//! What some tests need beside the servers of every test, and what becomes of them where it cannot be had.

use std::collections::HashMap;

use libtest_mimic::Arguments;
use testbed::{ArgoCd, Error, Flux, Image, Postgres, PostgresVersion, Progress, Tool, compiled_here};

use super::Test;
use super::world::{NEWEST, path};

/// What a test may need beside the servers of every test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// A pooler.
    PgBouncer,
    /// The program that makes a standby.
    PgBaseBackup,
    /// The command line client of PostgreSQL.
    Psql,
    /// The monitoring server.
    Prometheus,
    /// What tests its rules.
    Promtool,
    /// The newest PostgreSQL.
    Newest,
    /// Flux's kustomize-controller.
    Flux,
    /// Argo CD's engine.
    ArgoCd,
    /// What builds and runs the image.
    Image,
}

impl Need {
    /// Gets it, wherever from.
    async fn meet(self) -> testbed::Result<()> {
        let progress = Progress::default();
        match self {
            Self::PgBouncer => Tool::PgBouncer.prepare(&progress).await,
            Self::PgBaseBackup => Tool::PgBaseBackup.prepare(&progress).await,
            Self::Psql => Tool::Psql.prepare(&progress).await,
            Self::Prometheus => Tool::Prometheus.prepare(&progress).await,
            Self::Promtool => Tool::Promtool.prepare(&progress).await,
            Self::Newest => Postgres::prepare(PostgresVersion::Major(NEWEST), &progress).await,
            Self::Flux => Flux::prepare(&progress).await,
            Self::ArgoCd => ArgoCd::prepare(&progress).await,
            Self::Image if compiled_here().is_none() => {
                // Otherwise the build would take longer than a test may.
                Err(Error::ImageImpossible { why: "there is no release build beside this one".to_owned() })
            }
            Self::Image => Image::prepare(path(".").as_ref(), &progress).await,
        }
    }

    /// What people call it.
    fn name(self) -> String {
        match self {
            Self::PgBouncer => "PgBouncer".to_owned(),
            Self::PgBaseBackup => "pg_basebackup".to_owned(),
            Self::Psql => "psql".to_owned(),
            Self::Prometheus => "Prometheus".to_owned(),
            Self::Promtool => "promtool".to_owned(),
            Self::Newest => format!("PostgreSQL {NEWEST}"),
            Self::Flux => "Flux's kustomize-controller".to_owned(),
            Self::ArgoCd => "Argo CD's engine".to_owned(),
            Self::Image => "what builds and runs the image".to_owned(),
        }
    }

    /// What a person does to have it.
    fn remedy(self) -> String {
        match self {
            Self::PgBouncer => "apt-get install pgbouncer".to_owned(),
            Self::PgBaseBackup | Self::Psql => "apt-get install postgresql-client".to_owned(),
            Self::Flux | Self::ArgoCd => {
                "install Go 1.26 or newer (https://go.dev/dl), which builds it once".to_owned()
            }
            Self::Prometheus | Self::Promtool => "apt-get install prometheus".to_owned(),
            Self::Image => {
                "run `make test` as root on Debian, with the Rust version that the Dockerfile names".to_owned()
            }
            // No older distribution has it.
            Self::Newest => {
                format!("TESTBED_DOWNLOAD=1 make test, or apt-get install postgresql-{NEWEST} from apt.postgresql.org")
            }
        }
    }
}

/// What is needed and cannot be had.
pub struct Unmet {
    /// The reasons.
    missing: HashMap<Need, String>,
    /// Tests that lack something are run, and so fail, where somebody insists on every test.
    strict: bool,
}

impl Unmet {
    /// Gets what the selected tests need.
    pub async fn resolve(tests: &[Test], arguments: &Arguments) -> Self {
        let mut missing = HashMap::new();
        let mut needed: Vec<Need> = Vec::new();
        for test in tests.iter().filter(|test| selected(test, arguments)) {
            needed.extend(test.needs.iter().filter(|need| !needed.contains(need)).collect::<Vec<_>>());
        }
        for need in needed {
            if let Err(error) = need.meet().await {
                let why = match error {
                    Error::PackageMissing { why, .. }
                    | Error::PostgresMissing { why, .. }
                    | Error::ImageImpossible { why } => why,
                    Error::GoMissing { .. } => "`go` is not in PATH".to_owned(),
                    Error::GoBuild { program, module, log, .. } => {
                        let last = log.lines().last().unwrap_or_default().to_owned();
                        format!("`go build` of {program} in {} says: {last}", module.display())
                    }
                    other => other.to_string(),
                };
                missing.insert(need, why);
            }
        }
        Self { missing, strict: std::env::var_os("CI").is_some_and(|value| value == "true") }
    }

    /// Why a test cannot be run, and what would make it run.
    pub fn of(&self, test: &Test) -> Option<String> {
        let lines = test.needs.iter().filter_map(|need| {
            let why = self.missing.get(need)?;
            Some(format!("needs {} ({why}); to run it: {}", need.name(), need.remedy()))
        });
        lines.reduce(|all, line| format!("{all}; {line}"))
    }

    /// Whether a test that lacks something is skipped.
    pub const fn skips(&self) -> bool {
        !self.strict
    }

    /// Says by name which tests were skipped.
    pub fn report(&self, tests: &[Test], arguments: &Arguments) {
        if self.strict || arguments.ignored || arguments.include_ignored {
            return;
        }
        for test in tests.iter().filter(|test| selected(test, arguments)) {
            if let Some(why) = self.of(test) {
                println!("skipped: {}: {why}", test.name);
            }
        }
    }
}

/// Whether a test is to be run; the same as what libtest-mimic makes of the arguments.
pub fn selected(test: &Test, arguments: &Arguments) -> bool {
    let fits = |filter: &String| if arguments.exact { test.name == filter } else { test.name.contains(filter) };
    !arguments.list
        && !arguments.bench
        && arguments.filter.as_ref().is_none_or(fits)
        && !arguments.skip.iter().any(fits)
}
