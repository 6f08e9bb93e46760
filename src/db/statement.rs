//! Statements with their values bound. None is left prepared on the server.

use k8s_openapi::jiff::Timestamp;
use planner::query::Unpaired;
use planner::statement::{Param, Statement};
use planner::{CapturedKeys, Query as Count, StepId};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use super::error::Unreadable;

/// A statement that was written by hand.
pub(crate) fn own(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement of a plan, with its values bound. Its identifiers were quoted when it was compiled. Keys that were not
/// captured match no row.
pub(crate) fn query<'q>(
    statement: &'q Statement,
    key: &'q str,
    captured: &CapturedKeys,
) -> Query<'q, Postgres, PgArguments> {
    bound(statement, |query, param| match param {
        Param::Key => query.bind(key),
        Param::Keys => query.bind(vec![key.to_owned()]),
        Param::Captured { step, column } => query.bind(captured.values(*step, column)),
    })
}

/// A statement of a plan about one organization, by its key, before anything was captured.
pub(crate) fn about<'q>(statement: &'q Statement, key: &'q str) -> Query<'q, Postgres, PgArguments> {
    query(statement, key, &CapturedKeys::default())
}

/// A statement of a plan about many organizations, by their keys.
pub(crate) fn about_all<'q>(statement: &'q Statement, keys: &[String]) -> Query<'q, Postgres, PgArguments> {
    bound(statement, |query, _| query.bind(keys.to_vec()))
}

fn bound<'q>(
    statement: &'q Statement,
    bind: impl Fn(Query<'q, Postgres, PgArguments>, &Param) -> Query<'q, Postgres, PgArguments>,
) -> Query<'q, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql().to_owned())).persistent(false);
    statement.params().iter().fold(query, bind)
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

/// Adds captured columns of a step to the keys, from a row that returns an array for each of them, beginning with its column
/// number `first`.
pub(crate) fn captured(
    keys: &mut CapturedKeys,
    step: StepId,
    row: &PgRow,
    first: usize,
    columns: &[String],
) -> Result<(), sqlx::Error> {
    let values = (first..first + columns.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>()?;
    keys.add(step, columns, values).map_err(unpaired)
}

/// The server answered with a different number of values than the statement asks for.
pub(crate) fn unpaired(error: Unpaired) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Reads a `timestamptz`. A time that is out of range is an error and never another time, which would end a wait before it
/// began.
pub(crate) fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    match row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column) {
        Ok(time) => Ok(time.map(jiff_sqlx::Timestamp::to_jiff)),
        Err(sqlx::Error::ColumnDecode { .. }) => Err(Unreadable("a time").into()),
        Err(error) => Err(error),
    }
}
