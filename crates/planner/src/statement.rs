//! Statements with their parameters.

/// The operator's own table of captured keys, as every statement names it that is to be shown or to last.
pub const CAPTURED_KEYS: &str = "organization_operator.captured_keys";

/// Stands in the text of a statement for the table of captured keys. No identifier and no literal can hold it.
const TABLE: char = '\0';

/// A value bound to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// The organization's key as text.
    Key,
    /// Keys of many organizations as an array of text.
    Keys,
    /// The erasure whose captured keys these are.
    Erasure,
}

/// A statement with what to bind to `$1`, `$2` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    sql: String,
    /// The same with [`TABLE`]. `None` if it does not name the table of captured keys.
    template: Option<String>,
    params: Vec<Param>,
}

impl Statement {
    /// The text.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The text with another table of captured keys, quoted where that is necessary.
    #[must_use]
    pub fn sql_with(&self, captured_keys: &str) -> String {
        self.template.as_ref().map_or_else(|| self.sql.clone(), |text| text.replace(TABLE, captured_keys))
    }

    /// What to bind, in order.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Whether it reads or writes captured keys.
    #[must_use]
    pub const fn uses_captured_keys(&self) -> bool {
        self.template.is_some()
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

    /// The table of captured keys, and the erasure whose keys are meant.
    pub(super) fn captured_keys(&mut self) -> (char, String) {
        (TABLE, format!("${}::text", self.number(Param::Erasure)))
    }

    pub(super) fn finish(self, sql: String) -> Statement {
        let params = self.params;
        if sql.contains(TABLE) {
            return Statement { sql: sql.replace(TABLE, CAPTURED_KEYS), template: Some(sql), params };
        }
        Statement { sql, template: None, params }
    }
}
