//! Binds values to the statements of a compiled plan.

use std::collections::BTreeMap;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use crate::domain::statement::{Param, Statement};

/// Captured columns of a step, each as an array of text.
pub(super) type Captured = BTreeMap<usize, Vec<Vec<Option<String>>>>;

/// A statement of the operator's own schema. Never left prepared on the server.
pub(super) fn own(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

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

/// A statement about many organizations.
pub(super) fn query_keys<'q>(statement: &'q Statement, keys: &[String]) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql().to_owned())).persistent(false);
    for _ in statement.params() {
        query = query.bind(keys.to_vec());
    }
    query
}

/// Runs a statement that returns one row with an array of numbers.
pub(super) async fn numbers(
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

/// A time that was selected as microseconds since 1970.
pub(super) fn time(micros: i64) -> k8s_openapi::jiff::Timestamp {
    k8s_openapi::jiff::Timestamp::from_microsecond(micros).unwrap_or_default()
}
