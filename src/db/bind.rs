//! Binds values to the statements of a compiled plan.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use planner::query::Unpaired;
use planner::statement::{Param, Statement};
use planner::{CapturedKeys, Query as Count};

/// A statement of the plan, with its values bound. Its identifiers were quoted when it was compiled. Keys that were not
/// captured match no row.
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

/// Runs a statement that returns one number for each of its subjects. A different number of values is an error.
pub(crate) async fn counted<'s, S>(
    connection: &mut PgConnection,
    count: &'s Count<S>,
    key: &str,
    captured: &CapturedKeys,
) -> Result<Vec<(&'s S, i64)>, sqlx::Error> {
    let numbers: Vec<i64> = query(count.statement(), key, captured).fetch_one(connection).await?.try_get(0)?;
    count.pair(&numbers).map_err(unpaired)
}

/// The server answered with a different number of values than the statement asks for.
pub(crate) fn unpaired(error: Unpaired) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
