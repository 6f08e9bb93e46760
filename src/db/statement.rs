//! Statements with their values bound. None is left prepared on the server.

use k8s_openapi::jiff::Timestamp;
use planner::Query as Count;
use planner::query::Unpaired;
use planner::statement::{CAPTURED_KEYS, Param, Statement};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

use super::error::Unreadable;

/// A statement that was written by hand.
pub(crate) fn own(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// Where the keys are that a run captures. They never leave the server.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The table that holds them, as SQL.
    table: &'static str,
    /// The erasure that captures them.
    erasure: String,
}

impl Keys {
    /// In the operator's own table, where they can outlive the transaction.
    pub(crate) const fn of(erasure: String) -> Self {
        Self { table: CAPTURED_KEYS, erasure }
    }

    /// In a table of this name, for a transaction that is rolled back.
    pub(crate) const fn rolled_back(table: &'static str) -> Self {
        Self { table, erasure: String::new() }
    }

    /// Nowhere: for statements that need none.
    pub(crate) const fn none() -> Self {
        Self::rolled_back(CAPTURED_KEYS)
    }
}

/// A statement of a plan, with its values bound. Its identifiers were quoted when it was compiled.
pub(crate) fn query<'q>(statement: &'q Statement, key: &'q str, keys: &Keys) -> Query<'q, Postgres, PgArguments> {
    bound(statement, keys.table, |query, param| match param {
        Param::Key => query.bind(key),
        Param::Keys => query.bind(vec![key.to_owned()]),
        Param::Erasure => query.bind(keys.erasure.clone()),
    })
}

/// A statement of a plan about one organization, by its key, that needs no captured keys.
pub(crate) fn about<'q>(statement: &'q Statement, key: &'q str) -> Query<'q, Postgres, PgArguments> {
    query(statement, key, &Keys::none())
}

/// A statement of a plan about many organizations, by their keys.
pub(crate) fn about_all<'q>(statement: &'q Statement, keys: &[String]) -> Query<'q, Postgres, PgArguments> {
    bound(statement, CAPTURED_KEYS, |query, _| query.bind(keys.to_vec()))
}

fn bound<'q>(
    statement: &'q Statement,
    captured_keys: &str,
    bind: impl Fn(Query<'q, Postgres, PgArguments>, &Param) -> Query<'q, Postgres, PgArguments>,
) -> Query<'q, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql_with(captured_keys))).persistent(false);
    statement.params().iter().fold(query, bind)
}

/// Runs a statement that returns one number for each of its subjects. A different number of values is an error.
pub(crate) async fn counted<'s, S>(
    connection: &mut PgConnection,
    count: &'s Count<S>,
    key: &str,
    keys: &Keys,
) -> Result<Vec<(&'s S, i64)>, sqlx::Error> {
    let numbers: Vec<i64> = query(count.statement(), key, keys).fetch_one(connection).await?.try_get(0)?;
    count.pair(&numbers).map_err(unpaired)
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
