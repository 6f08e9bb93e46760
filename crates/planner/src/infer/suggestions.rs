//! What a draft contains besides the plan.

use crate::plan::Step;

/// What a person can do with an unclassified table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// Possible steps, the best first.
    pub steps: Vec<Step>,
    /// Whether some of its rows are named in an array or in JSON, where no step finds them.
    pub inside: bool,
    /// Whether one of its columns says to which table another refers, so that only a view can be a step.
    pub polymorphic: bool,
}

/// A table with columns whose values could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its name.
    pub table: String,
    /// The columns.
    pub columns: Vec<String>,
}

/// A global table to whose rows the organizations' rows refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// Its name.
    pub table: String,
    /// The tables of the organizations' rows.
    pub by: Vec<String>,
}
