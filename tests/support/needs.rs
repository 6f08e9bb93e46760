//! What some tests need beside the servers of every test, and what becomes of them where it cannot be had.

use std::collections::HashMap;

use libtest_mimic::Arguments;
use testbed::{Error, Progress, Tool};

use super::Test;

/// What is needed and cannot be had.
pub struct Unmet {
    /// The reasons.
    missing: HashMap<Tool, String>,
    /// Tests that lack something are run, and so fail, where somebody insists on every test.
    strict: bool,
}

impl Unmet {
    /// Gets what the selected tests need.
    pub async fn resolve(tests: &[Test], arguments: &Arguments) -> Self {
        let mut missing = HashMap::new();
        let mut needed: Vec<Tool> = Vec::new();
        for test in tests.iter().filter(|test| selected(test, arguments)) {
            needed.extend(test.needs.iter().filter(|need| !needed.contains(need)).collect::<Vec<_>>());
        }
        for tool in needed {
            if let Err(error) = tool.prepare(&Progress::default()).await {
                let why = match error {
                    Error::PackageMissing { why, .. } => why,
                    other => other.to_string(),
                };
                missing.insert(tool, why);
            }
        }
        Self { missing, strict: std::env::var_os("CI").is_some_and(|value| value == "true") }
    }

    /// Why a test cannot be run, and what would make it run.
    pub fn of(&self, test: &Test) -> Option<String> {
        let lines = test.needs.iter().filter_map(|tool| {
            let why = self.missing.get(tool)?;
            Some(format!("needs {} ({why}); to run it: apt-get install {}", tool.name(), tool.package()))
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
