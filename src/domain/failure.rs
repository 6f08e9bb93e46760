//! A failure as a person needs to read it: what happened, where, how many rows, what it did to the data, and what clears it.

use std::borrow::Cow;
use std::fmt;

use planner::finding::{Finding, Kind, remedies};
use planner::infer::InferError;
use planner::{CompiledPlan, Faults};

use super::words::quantity;
use crate::api::reason::Reason;
use crate::api::status::ErrorCause;

/// Why the operator could not do something. `reason()` decides code, retry and whether a person must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The reason, in one word.
    pub reason: Reason,
    /// What happened. Holds no row value, connection string or secret.
    what: String,
    /// Whose failure it is.
    pub blame: Blame,
    /// What the attempt did to the data; `None` if that is not known here.
    pub effect: Option<Effect>,
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
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blame {
    /// One object's.
    #[default]
    Object,
    /// The plan's as a whole: then it is the same for every object, and is cleared for all at once.
    Plan,
}

/// What a failed attempt did to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changed nothing.
    Untouched,
    /// Its transaction was rolled back, and no earlier one was committed.
    RolledBack,
    /// It deleted nothing; an attempt before it may have.
    NothingThisTime,
    /// Its COMMIT was never answered.
    Open,
    /// The organization was erased before; the last count is still to come.
    Erased,
    /// It deleted nothing more; so many rows had been deleted in pages before.
    Partial(i64),
}

impl Effect {
    /// The sentence with which a message ends, without a full stop.
    #[must_use]
    pub fn sentence(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Untouched => "Nothing was changed",
            Self::RolledBack => "Nothing was deleted",
            Self::NothingThisTime => "This attempt deleted nothing",
            Self::Open => {
                "It is not known whether the transaction was committed; the next attempt checks the ledger first"
            }
            Self::Erased => "The organization was erased, and its unprotected tables still have to be counted again",
            Self::Partial(rows) => {
                return Cow::Owned(format!(
                    "{} had already been deleted in pages; the remainder is unchanged",
                    quantity(rows, "row")
                ));
            }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message())
    }
}

impl Failure {
    /// A failure with nothing but its word and what happened, in a clause without a full stop.
    #[must_use]
    pub fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            blame: Blame::Object,
            effect: None,
            entity: None,
            table: None,
            constraint: None,
            sql_state: None,
            rows: None,
            causes: Vec::new(),
            remedy: None,
        }
    }

    /// The failure for rows that block one deletion. Returns `None` if there are none.
    #[must_use]
    pub fn blocked_by(findings: &[Finding]) -> Option<Self> {
        let first = findings.first()?;
        let messages = findings.iter().map(|f| f.message.as_str()).collect::<Vec<_>>().join("; ");
        let what = match findings.iter().filter(|f| f.kind == Kind::ReferenceFromOutside).count() {
            0 => messages,
            1 => format!("1 foreign key from outside the plan blocks the deletion: {messages}"),
            keys => format!("{keys} foreign keys from outside the plan block the deletion: {messages}"),
        };
        Some(Self {
            effect: Some(Effect::RolledBack),
            entity: first.entity.clone(),
            constraint: first.constraint.clone(),
            rows: Some(findings.iter().filter_map(|f| f.rows).sum()),
            ..Self::new(Reason::ForeignKeyViolation, what).caused_by(findings)
        })
    }

    fn caused_by(mut self, findings: &[Finding]) -> Self {
        self.table = findings.first().and_then(|f| f.table.clone());
        self.remedy = remedies(findings.iter().map(|f| f.remedy.as_deref()));
        self.causes = findings
            .iter()
            .map(|finding| ErrorCause {
                message: finding.message.clone(),
                entity: finding.entity.clone(),
                table: finding.table.clone(),
                constraint: finding.constraint.clone(),
                rows: finding.rows,
                remedy: finding.remedy.clone(),
            })
            .collect();
        self
    }

    /// What the server refused, in the words of the plan's own faults if they are the cause: they name each privilege.
    #[must_use]
    pub fn explained_by(self, plan: &CompiledPlan) -> Self {
        match plan.faults() {
            Some(faults)
                if (self.reason == Reason::PermissionDenied && faults.any_access())
                    || (self.reason == Reason::SchemaMismatch && !faults.only_access()) =>
            {
                Self { sql_state: self.sql_state, ..faults.into() }
            }
            _ => self,
        }
    }

    /// What happened, and what that did to the data. Ends without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        match self.effect {
            Some(effect) => format!("{}. {}", self.what.trim_end_matches('.'), effect.sentence()),
            None => self.what.clone(),
        }
    }

    /// The same failure in other words.
    #[must_use]
    pub fn retold(self, what: String) -> Self {
        Self { what, ..self }
    }

    /// What happened, without what it did to the data.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Says what the attempt did to the data.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// Corrects what the attempt did to the data if an earlier one erased the organization.
    #[must_use]
    pub fn after_erasure(self) -> Self {
        match self.effect {
            Some(Effect::Open | Effect::Erased) => self,
            _ => self.effect(Effect::NothingThisTime),
        }
    }

    /// Says what the attempt did to the data, unless the failure knows better.
    #[must_use]
    pub fn or_effect(self, effect: Effect) -> Self {
        Self { effect: self.effect.or(Some(effect)), ..self }
    }

    /// Adds a clause to what happened.
    #[must_use]
    pub fn detail(mut self, clause: &str) -> Self {
        self.what = format!("{}; {clause}", self.what.trim_end_matches('.'));
        self
    }

    /// Adds a sentence to what happened. Neither needs a full stop.
    #[must_use]
    pub fn sentence(mut self, sentence: &str) -> Self {
        self.what = format!("{}. {sentence}", self.what.trim_end_matches('.'));
        self
    }

    /// Adds the command or SQL that clears it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
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

impl From<&Faults> for Failure {
    /// One failure with the faults for a status as its causes. Faults of the schema decide the reason.
    fn from(faults: &Faults) -> Self {
        let reason = if faults.only_access() { Reason::PermissionDenied } else { Reason::SchemaMismatch };
        let causes: Vec<Finding> = faults.for_status().into_iter().cloned().collect();
        Self {
            blame: Blame::Plan,
            effect: Some(Effect::RolledBack),
            ..Self::new(reason, faults.to_string()).caused_by(&causes)
        }
    }
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        Self::new(Reason::SchemaMismatch, error.to_string()).table(error.table()).remedy(error.remedy())
    }
}

/// Why there is no compiled plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not even the organization's table can be used.
    #[error(transparent)]
    Faulty(#[from] Faults),
    /// The catalogue could not be read.
    #[error(transparent)]
    Unread(#[from] Failure),
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Faulty(faults) => Self::from(&faults),
            PlanError::Unread(failure) => failure,
        }
    }
}
