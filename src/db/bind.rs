//! Binds values to the statements of a compiled plan.

use k8s_openapi::jiff::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use planner::query::Unpaired;
use planner::statement::{Param, Statement};
use planner::{CapturedKeys, Query as Count};

/// A statement of the operator's own schema. Never left prepared on the server.
pub(crate) fn own(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement of the plan, with its values bound. Its identifiers were quoted when it was compiled. Keys that were not
/// captured are those of no row.
pub(crate) fn query<'q>(
    statement: &'q Statement,
    key: &'q str,
    captured: &CapturedKeys,
) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql().to_owned())).persistent(false);
    for param in statement.params() {
        query = match param {
            Param::Key => query.bind(key),
            Param::Keys => query.bind(vec![key.to_owned()]),
            Param::Captured { step, column } => query.bind(captured.values(*step, column)),
        };
    }
    query
}

/// A statement about many organizations.
pub(crate) fn query_keys<'q>(statement: &'q Statement, keys: &[String]) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql().to_owned())).persistent(false);
    for _ in statement.params() {
        query = query.bind(keys.to_vec());
    }
    query
}

/// Runs a statement that returns one number for each of its subjects. Another number of numbers is an error.
pub(crate) async fn counted<'s, S>(
    connection: &mut PgConnection,
    count: &'s Count<S>,
    key: &str,
    captured: &CapturedKeys,
) -> Result<Vec<(&'s S, i64)>, sqlx::Error> {
    let numbers: Vec<i64> = query(count.statement(), key, captured).fetch_one(connection).await?.try_get(0)?;
    count.pair(&numbers).map_err(unpaired)
}

/// The server answered with another number of values than was asked for.
pub(crate) fn unpaired(error: Unpaired) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A time that was selected as microseconds since 1970. One that is out of range is an error and never another time: it
/// would end a wait before it began.
pub(crate) fn time(micros: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(micros).map_err(|_| Unreadable("a time").into())
}

/// Something that this version of the operator cannot read, in words that hold no value: a later version wrote it, or
/// somebody by hand.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be read")]
pub(crate) struct Unreadable(pub(super) &'static str);

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
