//! A failure as a person needs to read it: what happened, where, how many rows, and what clears it.

use std::fmt;

use super::findings::Finding;
use crate::api::reason::Reason;
use crate::api::status::ErrorCause;

/// Something that stands in the way. `reason()` decides code, retry and whether a person must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The one word.
    pub reason: Reason,
    /// What happened and what was deleted. Holds no row value, connection string or secret.
    pub message: String,
    /// Entity of the plan.
    pub entity: Option<String>,
    /// Table.
    pub table: Option<String>,
    /// Constraint.
    pub constraint: Option<String>,
    /// SQLSTATE.
    pub sql_state: Option<String>,
    /// Rows concerned.
    pub rows: Option<i64>,
    /// Every cause.
    pub causes: Vec<ErrorCause>,
    /// The command or SQL that clears it.
    pub remedy: Option<String>,
    /// What is wrong with the plan as a whole, where that is the cause.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl Failure {
    /// A failure with nothing but its word and message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            entity: None,
            table: None,
            constraint: None,
            sql_state: None,
            rows: None,
            causes: Vec::new(),
            remedy: None,
            findings: Vec::new(),
        }
    }

    /// Whether the plan as a whole is the cause: then it is the same for every object, and is cured for all at once.
    #[must_use]
    pub fn of_the_plan(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Adds the command or SQL that clears it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What a message says of a transaction whose COMMIT was never answered.
    pub const OPEN: &str = "whether it was carried out is not known; the next attempt asks the ledger first";

    /// Says that nothing was deleted, unless the message tells what was.
    #[must_use]
    pub fn deleted_nothing(self) -> Self {
        self.telling("Nothing was deleted")
    }

    /// Says that this attempt deleted nothing, unless the message tells what was: an attempt before may have.
    #[must_use]
    pub fn attempt_deleted_nothing(self) -> Self {
        self.telling("This attempt deleted nothing")
    }

    fn telling(mut self, sentence: &str) -> Self {
        const TOLD: [&str; 5] =
            ["othing was deleted", "othing was touched", "deleted nothing", "was erased", Failure::OPEN];
        if !TOLD.iter().any(|told| self.message.contains(told)) {
            self = self.adding(sentence);
        }
        self
    }

    /// Adds a sentence to the message. Neither needs a full stop.
    #[must_use]
    pub fn adding(mut self, sentence: &str) -> Self {
        self.message = format!("{}. {sentence}", self.message.trim_end_matches('.'));
        self
    }

    /// Adds the table.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Adds the entity of the plan.
    #[must_use]
    pub fn entity(mut self, entity: impl Into<String>) -> Self {
        self.entity = Some(entity.into());
        self
    }

    /// Adds a number of rows.
    #[must_use]
    pub fn rows(mut self, rows: i64) -> Self {
        self.rows = Some(rows);
        self
    }
}
