//! Binds values to the statements of a compiled plan.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use planner::statement::{Param, Statement};

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

/// A time that was selected as microseconds since 1970. One that is out of range is an error and never another time: it
/// would end a wait before it began.
pub(super) fn time(micros: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(micros).map_err(|_| Unreadable("a time").into())
}

/// Something that this version of the operator cannot read, in words that hold no value: a later version wrote it, or
/// somebody by hand.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be read")]
pub(super) struct Unreadable(pub(super) &'static str);

impl From<Unreadable> for sqlx::Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Decode(Box::new(unreadable))
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_out_of_range_is_no_other_time() {
        assert_eq!(time(1_000_000).expect("a time").as_second(), 1);
        assert!(time(i64::MAX).is_err());
        assert!(time(i64::MIN).is_err());
    }
}
