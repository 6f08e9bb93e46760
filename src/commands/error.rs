//! Why a command failed, and with which exit code it ends then.

use std::process::ExitCode;

use crate::background::Lost;
use crate::config::ConfigError;
use crate::domain::{Failure, PlanError};
use crate::leadership::LeadershipLost;

/// Why a command failed: one message for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<Lost> for CommandError {
    fn from(lost: Lost) -> Self {
        Self(lost.to_string())
    }
}

impl From<LeadershipLost> for CommandError {
    fn from(lost: LeadershipLost) -> Self {
        Self(lost.to_string())
    }
}

impl From<PlanError> for CommandError {
    fn from(error: PlanError) -> Self {
        Failure::from(error).into()
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let remedy = failure.remedy.as_ref().map(|r| format!("\n{r}")).unwrap_or_default();
        Self(format!("{failure}{remedy}"))
    }
}

/// The exit code of a command for which 1 is an answer: a failure is printed and ends it with 2.
pub(super) fn exit_code(result: Result<ExitCode, CommandError>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
