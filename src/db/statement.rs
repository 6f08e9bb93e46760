//! Statements with their values bound. None is left prepared on the server.

use k8s_openapi::jiff::Timestamp;
use planner::statement::{Param, Statement};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::error::Unreadable;

/// A statement that was written by hand.
pub(crate) fn own(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement of a plan about one organization, by its key. Its identifiers were quoted when it was compiled.
pub(crate) fn about<'q>(statement: &'q Statement, key: &'q str) -> Query<'q, Postgres, PgArguments> {
    bound(statement, |query, param| match param {
        Param::Keys => query.bind(vec![key.to_owned()]),
        _ => query.bind(key),
    })
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

/// Reads a `timestamptz`. A time that is out of range is an error and never another time, which would end a wait before it
/// began.
pub(crate) fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    match row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column) {
        Ok(time) => Ok(time.map(jiff_sqlx::Timestamp::to_jiff)),
        Err(sqlx::Error::ColumnDecode { .. }) => Err(Unreadable("a time").into()),
        Err(error) => Err(error),
    }
}
