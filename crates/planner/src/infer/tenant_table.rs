//! The table with one row for each organization, as a person named it.

use super::survey::{Survey, Surveyed};
use crate::catalog::TableId;

/// The table with one row for each organization.
#[derive(Clone, Copy)]
pub(super) struct TenantTable<'a> {
    pub(super) table: &'a Surveyed,
    pub(super) key: &'a str,
}

/// The table that a person named cannot be the organizations'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The database does not have it.
    #[error("there is no table `{table}` in the database")]
    NoTable {
        /// The name that the person gave.
        table: String,
        /// Tables whose names have the same ending.
        similar: Vec<String>,
    },
    /// The column that was named, or any column, does not identify its rows alone.
    #[error("the organization's key must be a single column that identifies a row of the table `{table}`")]
    NoKey {
        /// The name that the person gave.
        table: String,
    },
}

impl InferError {
    /// The name that the person gave to the table.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::NoTable { table, .. } | Self::NoKey { table } => table,
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoTable { similar, .. } if similar.is_empty() => {
                "name the table that has one row for each organization, as table or schema.table and with the capital letters that it has in the database".to_owned()
            }
            Self::NoTable { similar, .. } => format!("did you mean: {}", similar.join(", ")),
            Self::NoKey { .. } => "name a column that has a primary key or a unique constraint of its own: --key COLUMN".to_owned(),
        }
    }
}

impl<'a> TenantTable<'a> {
    pub(super) fn find(survey: &'a Survey, name: &str, key: Option<&'a str>) -> Result<Self, InferError> {
        let Some(table) = survey.named(name) else {
            let ending = name.to_lowercase();
            let names = survey.tables.iter().map(Surveyed::written);
            let similar = names.filter(|t| t.to_lowercase().ends_with(&ending)).collect();
            return Err(InferError::NoTable { table: name.to_owned(), similar });
        };
        let key = match key {
            Some(key) => table.info.unique_on(&[key]).then_some(key),
            None => table.key(),
        };
        Ok(Self { table, key: key.ok_or_else(|| InferError::NoKey { table: name.to_owned() })? })
    }

    pub(super) fn is(self, id: TableId) -> bool {
        self.table.id() == id
    }
}
