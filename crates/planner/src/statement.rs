//! Statements with their parameters.

use crate::step::StepId;

/// A value bound to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// The organization's key as text.
    Key,
    /// Keys of many organizations as an array of text.
    Keys,
    /// One column of the captured rows of a step, as an array of text.
    Captured {
        /// The step whose rows were captured.
        step: StepId,
        /// The captured column.
        column: String,
        /// All columns by which the statement finds rows together, this one included.
        key: Vec<String>,
    },
}

/// A statement with what to bind to `$1`, `$2` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    sql: String,
    params: Vec<Param>,
}

impl Statement {
    /// The text.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Another text with the same parameters.
    pub(crate) fn with_sql(&self, sql: String) -> Self {
        Self { sql, params: self.params.clone() }
    }

    /// What to bind, in order.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }
}

/// Numbers the parameters of one statement.
#[derive(Default)]
pub(super) struct Writer {
    params: Vec<Param>,
}

impl Writer {
    fn number(&mut self, param: Param) -> usize {
        if let Some(i) = self.params.iter().position(|p| *p == param) {
            return i + 1;
        }
        self.params.push(param);
        self.params.len()
    }

    /// The parameter as a value of this type.
    pub(super) fn value(&mut self, param: Param, type_name: &str) -> String {
        format!("${}::text::{type_name}", self.number(param))
    }

    /// The parameter as an array of this type.
    pub(super) fn array(&mut self, param: Param, type_name: &str) -> String {
        format!("${}::text[]::{type_name}[]", self.number(param))
    }

    pub(super) fn finish(self, sql: String) -> Statement {
        Statement { sql, params: self.params }
    }
}
