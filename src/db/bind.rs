//! Binds values to the statements of a compiled plan.

use std::collections::BTreeMap;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

pub(super) use super::statement::own;
use planner::statement::{Param, Statement};

/// Captured columns of a step, each as an array of text.
pub(crate) type Captured = BTreeMap<usize, Vec<Vec<Option<String>>>>;

/// A statement of the plan, with its values bound. Its identifiers were quoted when it was compiled.
pub(super) fn query<'q>(
    statement: &'q Statement,
    key: &'q str,
    captured: &Captured,
) -> Query<'q, Postgres, PgArguments> {
    let none = Vec::new();
    let mut query = sqlx::query(AssertSqlSafe(statement.sql().to_owned())).persistent(false);
    for param in statement.params() {
        query = match param {
            Param::Key => query.bind(key),
            Param::Keys => query.bind(vec![key.to_owned()]),
            Param::Captured { step, position } => {
                let values = captured.get(step).and_then(|c| c.get(*position)).unwrap_or(&none);
                query.bind(values.as_slice())
            }
        };
    }
    query
}

/// Runs a statement that returns one row with an array of numbers.
pub(crate) async fn numbers(
    connection: &mut PgConnection,
    statement: &Statement,
    key: &str,
    captured: &Captured,
) -> Result<Vec<i64>, sqlx::Error> {
    query(statement, key, captured).fetch_one(connection).await?.try_get(0)
}

/// Reads captured columns from a row, beginning at column `first`.
pub(super) fn columns(row: &PgRow, first: usize, count: usize) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    (first..first + count).map(|i| row.try_get(i)).collect()
}
